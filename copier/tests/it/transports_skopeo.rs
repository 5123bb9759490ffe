//! The transports against the skopeo that is installed: the same files, both ways.

use berth_conformance::{
    clients::Skopeo,
    harness::{Scratch, require},
};

use crate::transports_carry::{carry, make_layout, top, tree};

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
