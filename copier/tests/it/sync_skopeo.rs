//! `sync` beside the skopeo that is installed: the same folders, the same tags.

use std::path::Path;

use berth_conformance::{
    clients::Skopeo,
    harness::{DockerRegistry, Scratch, require},
};

use crate::{
    sync_lab::{PLAIN, done, failed, sync},
    transports_carry::{make_layout, tree},
};

struct Lab {
    registry: DockerRegistry,
    skopeo: Skopeo,
    scratch: Scratch,
}

impl Lab {
    /// A registry with `team/app` in versions, of which 2.0 is for two platforms.
    fn new(name: &str) -> Option<Self> {
        if !require(Skopeo::TOOLS) || !require(DockerRegistry::TOOLS) {
            return None;
        }
        let lab = Self {
            registry: DockerRegistry::start().unwrap(),
            skopeo: Skopeo::new().unwrap(),
            scratch: Scratch::new(name).unwrap(),
        };
        make_layout(&lab.scratch.join("layout"));
        for (image, tag) in [("one", "1.0"), ("one", "1.1-rc1"), ("multi", "2.0")] {
            let (from, to) =
                (format!("oci:{}:{image}", lab.path("layout")), lab.image(&format!("team/app:{tag}")));
            lab.skopeo.copy(&["--all"], &from, &format!("docker://{to}")).unwrap();
        }
        Some(lab)
    }

    fn path(&self, name: &str) -> String {
        self.scratch.join(name).display().to_string()
    }

    fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.host())
    }

    fn skopeo(&self, arguments: &[&str]) {
        self.skopeo.command("sync").unwrap().args(PLAIN).args(arguments).run().unwrap();
    }

    /// Tags and their manifests' digests.
    fn tags(&self, repository: &str) -> Vec<String> {
        let image = self.image(repository);
        let list = self.skopeo.command("list-tags").unwrap();
        let list = list.args(["--tls-verify=false", &format!("docker://{image}")]).run().unwrap();
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        let tags = list["Tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned());
        tags.map(|tag| {
            let raw = self.skopeo.command("inspect").unwrap();
            let raw =
                raw.args(["--raw", "--tls-verify=false", &format!("docker://{image}:{tag}")]).run().unwrap();
            format!("{tag} {raw}")
        })
        .collect()
    }
}

#[test]
fn a_registry_goes_into_the_same_folders() {
    let Some(lab) = Lab::new("sync-folders") else { return };
    let source = lab.image("team/app");
    for (name, flags) in [("plain", &[][..]), ("all", &["--all"]), ("scoped", &["--scoped", "--all"])] {
        let (ours, theirs) = (lab.path(&format!("{name}/ours")), lab.path(&format!("{name}/theirs")));
        let with = |to| [&["-s", "docker", "-d", "dir"], flags, &[source.as_str(), to]].concat();
        done(&lab.scratch, &sync(&with(&ours)));
        lab.skopeo(&with(&theirs));
        assert_eq!(tree(Path::new(&ours)), tree(Path::new(&theirs)), "{name}");
    }
}

#[test]
fn a_suffix_stands_behind_every_tag() {
    let Some(lab) = Lab::new("sync-suffix") else { return };
    let (source, usb) = (lab.image("team/app"), lab.path("usb"));
    // Skopeo has this since 1.14, which is not everywhere.
    done(&lab.scratch, &sync(&["--append-suffix", "-m", "-s", "docker", "-d", "dir", &source, &usb]));
    let mut names: Vec<_> = std::fs::read_dir(usb)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["app:1.0-m", "app:1.1-rc1-m", "app:2.0-m"]);
}

#[test]
fn folders_go_into_the_same_repositories() {
    let Some(lab) = Lab::new("sync-back") else { return };
    let folder = lab.path("usb");
    lab.skopeo(&["--all", "--scoped", "-s", "docker", "-d", "dir", &lab.image("team/app"), &folder]);
    let inner = format!("{folder}/{}", lab.registry.host());
    for (name, from, flags) in [
        ("plain", &folder, &[][..]),
        ("scoped", &inner, &["--scoped"]),
        ("one", &format!("{inner}/team/app:1.0"), &[]),
    ] {
        let (ours, theirs) = (lab.image(&format!("ours-{name}")), lab.image(&format!("theirs-{name}")));
        let with = |to| [&["--all", "-s", "dir", "-d", "docker"], flags, &[from.as_str(), to]].concat();
        done(&lab.scratch, &sync(&with(&ours)));
        lab.skopeo(&with(&theirs));
        let path = if flags.is_empty() { "app" } else { "team/app" };
        let tags = lab.tags(&format!("ours-{name}/{path}"));
        assert_eq!(tags, lab.tags(&format!("theirs-{name}/{path}")), "{name}");
        assert_eq!(tags.len(), if name == "one" { 1 } else { 3 });
    }
}

#[test]
fn a_list_means_the_same() {
    let Some(lab) = Lab::new("sync-list") else { return };
    let list = format!(
        "{}:\n  tls-verify: false\n  images:\n    team/app: [\"2.0\"]\n  images-by-tag-regex:\n    team/app: ^1\\.0$\n  \
         images-by-semver:\n    team/app: \">= 1.0, < 2 || >= 2\"\n",
        lab.registry.host()
    );
    let path = lab.scratch.write("list.yml", list).unwrap().display().to_string();
    let (ours, theirs) = (lab.path("ours"), lab.path("theirs"));
    done(&lab.scratch, &["sync", "--all", "-s", "yaml", "-d", "dir", &path, &ours]);
    // This release of skopeo knows no images-by-semver, and reads past what it does not know.
    let command = lab.skopeo.command("sync").unwrap();
    command.args(["--all", "-s", "yaml", "-d", "dir", &path, &theirs]).run().unwrap();
    assert_eq!(tree(Path::new(&ours)), tree(Path::new(&theirs)));
}

#[test]
fn a_folder_with_another_image_is_left_alone_until_that_is_asked() {
    let Some(lab) = Lab::new("sync-overwrite") else { return };
    let (source, usb) = (lab.image("team/app:1.0"), lab.path("usb"));
    let arguments = ["-s", "docker", "-d", "dir", &source, &usb];
    done(&lab.scratch, &sync(&arguments));
    // The same image is no obstacle: an interrupted sync is run again.
    done(&lab.scratch, &sync(&arguments));
    // Without its manifest it is what an interrupted sync leaves.
    std::fs::remove_file(format!("{usb}/app:1.0/manifest.json")).unwrap();
    done(&lab.scratch, &sync(&arguments));

    lab.skopeo
        .copy(&["--all"], &format!("oci:{}:multi", lab.path("layout")), &format!("docker://{source}"))
        .unwrap();
    let again = [&["--all"][..], &arguments].concat();
    let (code, told) = failed(&lab.scratch, &sync(&again));
    assert_eq!(code, 5, "{told}");
    assert!(told.contains("Refusing to overwrite destination directory"), "{told}");
    done(&lab.scratch, &sync(&[&["--overwrite"][..], &again].concat()));
    lab.skopeo(&["--all", "-s", "docker", "-d", "dir", &source, &lab.path("theirs")]);
    assert_eq!(tree(Path::new(&usb)), tree(Path::new(&lab.path("theirs"))));
}
