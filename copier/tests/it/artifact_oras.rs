//! Artifacts beside oras's Python library, both ways, and what a registry without a list of referrers makes of them.

use std::path::Path;

use berth_conformance::harness::{Berth, DockerRegistry, Scratch, Tool, require};

use crate::{
    sync_lab::{done, failed},
    transports_carry::tree,
};

const PUSH: &str = r"
import sys, oras.client
client = oras.client.OrasClient(hostname=sys.argv[1], insecure=True)
client.push(target=sys.argv[2], files=sys.argv[3:], disable_path_validation=True,
            manifest_annotations={'org.example.kind': 'test'})
";
const PULL: &str = r"
import sys, oras.client
client = oras.client.OrasClient(hostname=sys.argv[1], insecure=True)
print('\n'.join(client.pull(target=sys.argv[2], outdir=sys.argv[3])))
";

struct Lab {
    berth: Berth,
    docker: DockerRegistry,
    scratch: Scratch,
}

impl Lab {
    fn new(name: &str) -> Option<Self> {
        if !require(&["oras-python", "setpriv"]) || !require(DockerRegistry::TOOLS) {
            return None;
        }
        let scratch = Scratch::new(name).unwrap();
        scratch.write("notes.txt", "some notes").unwrap();
        scratch.write("report.json", "{\"ok\": true}").unwrap();
        std::fs::create_dir_all(scratch.join("docs/deep/er")).unwrap();
        scratch.write("docs/index.md", "# docs").unwrap();
        scratch.write(&format!("docs/deep/{}", "long".repeat(40)), vec![7; 70_000]).unwrap();
        scratch.write("docs/deep/er/x", "").unwrap();
        Some(Self {
            berth: Berth::builder().start().unwrap(),
            docker: DockerRegistry::start().unwrap(),
            scratch,
        })
    }

    fn hosts(&self) -> [String; 2] {
        [self.berth.host(), self.docker.host()]
    }

    fn path(&self, name: &str) -> String {
        self.scratch.join(name).display().to_string()
    }

    fn python(&self, script: &str, host: &str, words: &[&str]) -> String {
        Tool::new("oras-python").unwrap().args(["-c", script, host]).args(words).run().unwrap()
    }

    fn copier(&self, arguments: &[&str]) -> String {
        done(&self.scratch, arguments)
    }
}

const KIND: &str = "application/vnd.example.kind";

#[test]
fn oras_pulls_what_was_pushed_here() {
    let Some(lab) = Lab::new("artifact-push") else { return };
    for (n, host) in lab.hosts().iter().enumerate() {
        let image = format!("{host}/artifact/ours:1");
        let (report, notes, docs) = (lab.path("report.json"), lab.path("notes.txt"), lab.path("docs"));
        let report = format!("{report}:application/json");
        let files = [report.as_str(), &notes, &docs];
        let name = format!("docker://{image}");
        let push =
            [&["push", "--tls-verify=false", "--artifact-type", KIND][..], &files, &[name.as_str()]].concat();
        lab.copier(&push);
        let out = lab.scratch.subfolder(&format!("oras-{n}")).unwrap();
        lab.python(PULL, host, &[&image, &out.display().to_string()]);
        assert_eq!(tree(&out.join("docs")), tree(&lab.scratch.join("docs")));
        assert_eq!(std::fs::read(out.join("notes.txt")).unwrap(), b"some notes");
        assert_eq!(std::fs::read(out.join("report.json")).unwrap(), b"{\"ok\": true}");
    }
}

#[test]
fn what_oras_pushed_is_pulled_here() {
    let Some(lab) = Lab::new("artifact-pull") else { return };
    for (n, host) in lab.hosts().iter().enumerate() {
        let image = format!("{host}/artifact/theirs:1");
        let report = format!("{}:application/json", lab.path("report.json"));
        lab.python(PUSH, host, &[&image, &report, &lab.path("notes.txt"), &lab.path("docs")]);
        let out = lab.path(&format!("out-{n}"));
        let pull = ["pull", "--tls-verify=false", "-o", &out, "--unpack", &image];
        let told = lab.copier(&pull);
        assert_eq!(told.lines().count(), 4, "{told}");
        let out = Path::new(&out);
        assert_eq!(tree(&out.join("docs")), tree(&lab.scratch.join("docs")));
        assert_eq!(std::fs::read(out.join("report.json")).unwrap(), b"{\"ok\": true}");
        let (code, told) = failed(&lab.scratch, &pull);
        assert!(code == 5 && told.contains("is there already; --overwrite replaces it"), "{told}");
        lab.copier(&[&["pull", "--overwrite"][..], &pull[1..]].concat());
        assert_eq!(tree(&out.join("docs")), tree(&lab.scratch.join("docs")));
    }
}

#[test]
fn what_is_attached_is_found_and_pulled_with_and_without_a_list_of_referrers() {
    let Some(lab) = Lab::new("artifact-attach") else { return };
    let layout = format!("oci:{}:app", lab.path("layout"));
    for (n, host) in lab.hosts().iter().enumerate() {
        let image = format!("docker://{host}/artifact/app:1");
        check_attached(&lab, &image, &format!("at-{n}"));
    }
    check_attached(&lab, &layout, "at-layout");
}

fn check_attached(lab: &Lab, image: &str, name: &str) {
    let plain = "--tls-verify=false";
    let (notes, report) = (lab.path("notes.txt"), lab.path("report.json"));
    lab.copier(&["push", plain, "--artifact-type", KIND, &notes, image]);
    let attach = |kind: &str, to: &str, file: &str| -> String {
        let told = lab.copier(&["attach", plain, "--report", "json", "--artifact-type", kind, to, file]);
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        told["digest"].as_str().unwrap().to_owned()
    };
    let sbom = attach("application/vnd.example.sbom", image, &report);
    let note = attach("application/vnd.example.note", image, &notes);
    // Attached twice, it is the same artifact and listed once.
    assert_eq!(attach("application/vnd.example.note", image, &notes), note);
    let found = |flags: &[&str]| -> serde_json::Value {
        let words = [&["discover", plain, "--format", "json"][..], flags, &[image]].concat();
        serde_json::from_str(&lab.copier(&words)).unwrap()
    };
    let digests = |found: &serde_json::Value| {
        let all = found["referrers"].as_array().unwrap();
        let mut all: Vec<_> = all.iter().map(|one| one["digest"].as_str().unwrap().to_owned()).collect();
        all.sort();
        all
    };
    let mut both = vec![sbom.clone(), note.clone()];
    both.sort();
    assert_eq!(digests(&found(&[])), both, "{image}");
    assert_eq!(digests(&found(&["--artifact-type", "application/vnd.example.sbom"])), [sbom.clone()]);

    if let Some((repository, _)) = image.rsplit_once(':').filter(|_| image.starts_with("docker:")) {
        let on_sbom = format!("{repository}@{sbom}");
        attach("application/vnd.example.signature", &on_sbom, &notes);
        let tree = lab.copier(&["discover", plain, image]);
        assert!(
            tree.contains("        └── application/vnd.example.signature")
                || tree.contains("│       └── application/vnd.example.signature"),
            "{tree}"
        );
        let flat = lab.copier(&["discover", plain, "--depth", "1", image]);
        assert!(!flat.contains("signature"), "{flat}");
        let out = lab.path(name);
        lab.copier(&["pull", plain, "--include-subject", "-o", &out, &on_sbom]);
        assert_eq!(std::fs::read(Path::new(&out).join("report.json")).unwrap(), b"{\"ok\": true}");
        assert_eq!(std::fs::read(Path::new(&out).join("notes.txt")).unwrap(), b"some notes");
    }
}

#[test]
fn c10_titles_that_lead_out_write_nothing() {
    let Some(lab) = Lab::new("artifact-escape") else { return };
    let image = format!("docker://{}/artifact/evil:1", lab.berth.host());
    let annotations = |title: &str| {
        let json = serde_json::json!({"notes.txt": {"org.opencontainers.image.title": title}});
        lab.scratch.write("annotations.json", json.to_string()).unwrap().display().to_string()
    };
    let out = lab.scratch.subfolder("out").unwrap();
    std::os::unix::fs::symlink(lab.scratch.path(), out.join("link")).unwrap();
    let absolute = lab.path("absolute");
    for title in ["../escaped", &absolute, "a/../../escaped", "..", "a\u{1b}[2J", "link/escaped"] {
        let file = annotations(title);
        lab.copier(&[
            "push",
            "--tls-verify=false",
            "--annotation-file",
            &file,
            &lab.path("notes.txt"),
            &image,
        ]);
        let (code, told) =
            failed(&lab.scratch, &["pull", "--tls-verify=false", "-o", &out.display().to_string(), &image]);
        assert_eq!(code, 4, "{title:?}: {told}");
        assert!(!told.contains('\u{1b}'), "{told:?}");
        assert!(!lab.scratch.join("escaped").exists() && !lab.scratch.join("absolute").exists(), "{title:?}");
    }
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 1, "nothing but the link is there");
}

#[test]
fn the_same_files_make_the_same_artifact() {
    let Some(lab) = Lab::new("artifact-same") else { return };
    let push = |name: &str| {
        let image = format!("oci:{}:{name}", lab.path("layout"));
        let manifest = lab.path(name);
        lab.copier(&[
            "push",
            "--artifact-type",
            KIND,
            "--export-manifest",
            &manifest,
            &lab.path("docs"),
            &image,
        ]);
        std::fs::read_to_string(manifest).unwrap()
    };
    let first = push("first");
    std::fs::rename(lab.scratch.join("docs"), lab.scratch.join("docs.old")).unwrap();
    let copied = Tool::new("cp").unwrap().args(["-r", &lab.path("docs.old"), &lab.path("docs")]);
    copied.run().unwrap();
    assert_eq!(first, push("second"));
    assert!(first.contains("\"org.opencontainers.image.created\":\"2023-11-14T22:13:20Z\""), "{first}");
}
