//! The transports against the skopeo that is installed: the same files, both ways.

use std::{io::Read as _, path::Path};

use berth_conformance::{
    clients::Skopeo,
    harness::{Scratch, Tool, require, require_root},
};
use berth_copier::{Error, Side, signature::Signature};

use crate::transports_carry::{carry, carry_plain, gzip, make_layout, session, top, tree};

struct Lab {
    skopeo: Skopeo,
    scratch: Scratch,
}

impl Lab {
    fn new() -> Option<Self> {
        if !require(Skopeo::TOOLS) {
            return None;
        }
        let scratch = Scratch::new("transports").unwrap();
        make_layout(&scratch.join("layout"));
        Some(Self { skopeo: Skopeo::new().unwrap(), scratch })
    }

    fn path(&self, name: &str) -> String {
        self.scratch.join(name).display().to_string()
    }

    fn skopeo(&self, flags: &[&str], from: &str, to: &str) {
        let mut tool = self.skopeo.command("copy").unwrap();
        tool = tool.args(flags).args([from, to]);
        tool.run().unwrap();
    }
}

#[tokio::test]
async fn dir_images_are_those_that_skopeo_writes() {
    let Some(lab) = Lab::new() else { return };
    for image in ["one", "multi"] {
        let from = format!("oci:{}:{image}", lab.path("layout"));
        let (ours, theirs) = (format!("ours-{image}"), format!("theirs-{image}"));
        carry(&from, &format!("dir:{}", lab.path(&ours))).await.unwrap();
        lab.skopeo(&["--all"], &from, &format!("dir:{}", lab.path(&theirs)));
        assert_eq!(tree(&lab.scratch.join(&ours)), tree(&lab.scratch.join(&theirs)));
        // And each reads the other's.
        lab.skopeo(&["--all"], &format!("dir:{}", lab.path(&ours)), &format!("dir:{}", lab.path("back")));
        assert_eq!(tree(&lab.scratch.join("back")), tree(&lab.scratch.join(&theirs)));
        carry(&format!("dir:{}", lab.path(&theirs)), &format!("dir:{}", lab.path("again"))).await.unwrap();
        assert_eq!(tree(&lab.scratch.join("again")), tree(&lab.scratch.join(&theirs)));
    }
}

#[tokio::test]
async fn signatures_are_files_that_skopeo_carries_untouched() {
    let Some(lab) = Lab::new() else { return };
    let (layout, ours) = (format!("oci:{}:multi", lab.path("layout")), format!("dir:{}", lab.path("ours")));
    carry(&layout, &ours).await.unwrap();
    let manifest = session().source(&ours.parse().unwrap(), &Side::default()).await.unwrap();
    let manifest = manifest.manifest(None).await.unwrap();
    let sink = session().sink(&ours.parse().unwrap(), &Side::default()).await.unwrap();
    let signatures = [
        Signature::Simple((&b"\x90\x0d\x03\x00\x08\x01"[..]).into()),
        Signature::Sigstore {
            media_type: "application/vnd.dev.cosign.simplesigning.v1+json".to_owned(),
            payload: (&b"{\"critical\":{}}"[..]).into(),
            annotations: [("k".to_owned(), "a<b>&c \"d\" \u{2028}".to_owned())].into(),
        },
    ];
    sink.put_signatures(&manifest.digest, &signatures).await.unwrap();
    sink.put_signatures(&manifest.parse().unwrap().manifests[0].digest, &signatures[1..]).await.unwrap();
    sink.commit().await.unwrap();
    lab.skopeo(&["--all"], &ours, &format!("dir:{}", lab.path("theirs")));
    let files = tree(&lab.scratch.join("theirs"));
    assert_eq!(files, tree(&lab.scratch.join("ours")));
    assert_eq!(files.iter().filter(|(path, _)| path.to_string_lossy().contains("signature-")).count(), 3);
}

#[tokio::test]
async fn layouts_are_those_that_skopeo_writes() {
    let Some(lab) = Lab::new() else { return };
    for image in ["one", "multi"] {
        let from = format!("oci:{}:{image}", lab.path("layout"));
        let name = format!("docker.io/library/{image}:v1");
        carry(&from, &format!("oci:{}:{name}", lab.path("ours"))).await.unwrap();
        lab.skopeo(&["--all"], &from, &format!("oci:{}:{name}", lab.path("theirs")));
        assert_eq!(tree(&lab.scratch.join("ours")), tree(&lab.scratch.join("theirs")));
        for layout in ["ours", "theirs"] {
            let read = top(&format!("oci:{}:{name}", lab.path(layout))).await.unwrap();
            let by_tag_less = top(&format!("oci:{}:{image}:v1", lab.path(layout))).await.unwrap();
            assert_eq!(read, by_tag_less);
        }
        lab.skopeo(
            &["--all"],
            &format!("oci:{}:{name}", lab.path("ours")),
            &format!("dir:{}", lab.path(&format!("dir-{image}"))),
        );
    }
}

#[tokio::test]
async fn archives_of_layouts_that_skopeo_writes_are_read_in_place() {
    let Some(lab) = Lab::new() else { return };
    for image in ["one", "multi"] {
        let from = format!("oci:{}:{image}", lab.path("layout"));
        let archive = format!("oci-archive:{}:v1", lab.path(&format!("{image}.tar")));
        lab.skopeo(&["--all"], &from, &archive);
        carry(&archive, &format!("dir:{}", lab.path(&format!("ours-{image}")))).await.unwrap();
        let theirs = format!("dir:{}", lab.path(&format!("theirs-{image}")));
        lab.skopeo(&["--all"], &archive, &theirs);
        assert_eq!(
            tree(&lab.scratch.join(format!("ours-{image}"))),
            tree(&lab.scratch.join(format!("theirs-{image}")))
        );
    }
}

/// Name, kind and content of every member.
fn members(archive: &Path) -> Vec<(String, u8, Vec<u8>)> {
    let mut archive = tar::Archive::new(std::fs::File::open(archive).unwrap());
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            let name = entry.path().unwrap().display().to_string();
            (name, entry.header().entry_type().as_byte(), content)
        })
        .collect()
}

#[tokio::test]
async fn archives_of_layouts_go_both_ways() {
    let Some(lab) = Lab::new() else { return };
    for image in ["one", "multi"] {
        let from = format!("oci:{}:{image}", lab.path("layout"));
        let archive = format!("oci-archive:{}:v1", lab.path(&format!("{image}.tar")));
        carry(&from, &archive).await.unwrap();
        lab.skopeo(&["--all"], &archive, &format!("dir:{}", lab.path(&format!("theirs-{image}"))));
        carry(&from, &format!("dir:{}", lab.path(&format!("ours-{image}")))).await.unwrap();
        assert_eq!(
            tree(&lab.scratch.join(format!("ours-{image}"))),
            tree(&lab.scratch.join(format!("theirs-{image}")))
        );
        // The members are those of a layout that skopeo packs, with the same content.
        let theirs = format!("{image}-theirs.tar");
        lab.skopeo(&["--all"], &from, &format!("oci-archive:{}:v1", lab.path(&theirs)));
        let mut members = [image.to_owned() + ".tar", theirs].map(|name| members(&lab.scratch.join(name)));
        members.iter_mut().for_each(|members| members.sort());
        assert_eq!(members[0], members[1]);
    }
}

#[tokio::test]
async fn docker_archives_go_both_ways() {
    let Some(lab) = Lab::new() else { return };
    let from = format!("oci:{}:one", lab.path("layout"));
    let (ours, theirs) = (lab.path("ours.tar"), lab.path("theirs.tar"));
    carry_plain(&from, &format!("docker-archive:{ours}:app:v1"), &Side::default()).await.unwrap();
    lab.skopeo(&[], &from, &format!("docker-archive:{theirs}:app:v1"));
    let named = |archive: &str, name: &str| {
        let found = members(archive.as_ref()).into_iter().find(|(own, ..)| own == name);
        found.unwrap_or_else(|| panic!("{name} in {archive}"))
    };
    assert_eq!(named(&ours, "manifest.json"), named(&theirs, "manifest.json"));
    for (name, kind, content) in members(ours.as_ref()) {
        if name.len() > 64 {
            assert_eq!(named(&theirs, &name), (name.clone(), kind, content));
        }
    }
    // Skopeo takes ours for what it takes its own for, and we both for the same.
    for archive in [&ours, &theirs] {
        let to = format!("dir:{archive}-skopeo");
        lab.skopeo(&[], &format!("docker-archive:{archive}:app:v1"), &to);
        carry(&format!("docker-archive:{archive}"), &format!("dir:{archive}-berth")).await.unwrap();
    }
    assert_eq!(tree(format!("{ours}-skopeo").as_ref()), tree(format!("{theirs}-skopeo").as_ref()));
    assert_eq!(tree(format!("{ours}-berth").as_ref()), tree(format!("{theirs}-berth").as_ref()));
    for name in ["app:v1", "docker.io/library/app:v1", "@0"] {
        top(&format!("docker-archive:{theirs}:{name}")).await.unwrap();
    }
    for name in ["app:v2", "@1"] {
        let error = top(&format!("docker-archive:{theirs}:{name}")).await.unwrap_err();
        assert!(matches!(error.root(), Error::NotFound { .. }), "{error}");
    }
    let names = session().archive_names(theirs.as_ref()).await.unwrap();
    assert_eq!(names, ["docker.io/library/app:v1"]);
}

#[tokio::test]
async fn archives_are_read_out_of_gzip_and_zstd() {
    let Some(lab) = Lab::new() else { return };
    let from = format!("oci:{}:one", lab.path("layout"));
    let plain = lab.path("plain.tar");
    lab.skopeo(&[], &from, &format!("docker-archive:{plain}:app:v1"));
    let expected = top(&format!("docker-archive:{plain}")).await.unwrap();
    let content = std::fs::read(&plain).unwrap();
    std::fs::write(lab.scratch.join("gz"), gzip(&content)).unwrap();
    std::fs::write(lab.scratch.join("zst"), zstd::encode_all(&content[..], 3).unwrap()).unwrap();
    for packed in ["gz", "zst"] {
        assert_eq!(top(&format!("docker-archive:{}", lab.path(packed))).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn umoci_unpacks_layouts_of_ours() {
    if !require(&["umoci", "setpriv"]) || !require_root() {
        return;
    }
    let Some(lab) = Lab::new() else { return };
    let from = format!("oci:{}:one", lab.path("layout"));
    carry(&from, &format!("oci:{}:v1", lab.path("ours"))).await.unwrap();
    let umoci = || Tool::new("umoci").unwrap();
    let image = format!("{}:v1", lab.path("ours"));
    assert_eq!(umoci().args(["list", "--layout", &lab.path("ours")]).run().unwrap().trim(), "v1");
    umoci().args(["unpack", "--image", &image, &lab.path("bundle")]).run().unwrap();
    assert_eq!(std::fs::read(lab.scratch.join("bundle/rootfs/amd64.bin")).unwrap().len(), 3000);
    // And what it adds to the layout is read.
    umoci().args(["tag", "--image", &image, "v2"]).run().unwrap();
    umoci().args(["config", "--image", &image, "--author", "somebody"]).run().unwrap();
    let old = top(&format!("oci:{}:v2", lab.path("ours"))).await.unwrap();
    assert_ne!(top(&format!("oci:{image}")).await.unwrap(), old);
    carry(&format!("oci:{image}"), &format!("oci:{}:v2", lab.path("ours"))).await.unwrap();
    assert_ne!(top(&format!("oci:{}:v2", lab.path("ours"))).await.unwrap(), old);
}
