//! What is done to images that are here.

use super::{
    done,
    layout::{Layer, Layout, digest, tar},
    refused,
};
use crate::program::Runner;

fn layout() -> Layout {
    Layout::of(&[Layer::gzip(&tar(&[("etc/motd", b"hello\n")])), Layer::gzip(&tar(&[("b", b"b")]))])
}

const NAME: &str = "test.example/image:1";

#[test]
fn names_come_and_go_and_the_last_takes_the_image_with_it() {
    let (runner, layout) = (Runner::new(), layout());
    let id = digest(&layout.config).hex().to_owned();
    assert_eq!(done(&runner, &["pull", "-q", &layout.name()]), id);
    assert_eq!(done(&runner, &["image", "exists", NAME]), "");
    refused(&runner, 1, &["image", "exists", "test.example/other"]);

    done(&runner, &["tag", NAME, "mine", "other.example/x:2"]);
    let names = done(&runner, &["images", "--format", "{{.Repository}}:{{.Tag}}", "--sort", "repository"]);
    assert_eq!(names, "localhost/mine:latest\nother.example/x:2\ntest.example/image:1");
    assert_eq!(done(&runner, &["images", "-q", "--no-trunc", "mine"]), format!("sha256:{id}"));
    assert_eq!(done(&runner, &["image", "inspect", "-f", "{{.Id}}", "mine"]), id);
    assert_eq!(done(&runner, &["image", "inspect", "-f", "{{.Id}}", &id[..12]]), id);

    assert_eq!(done(&runner, &["rmi", "other.example/x:2"]), "Untagged: other.example/x:2");
    let error = refused(&runner, 1, &["rmi", &id[..12]]);
    assert!(error.contains("has several names (localhost/mine:latest, test.example/image:1)"), "{error}");
    done(&runner, &["untag", NAME, "mine"]);
    let said = done(&runner, &["rmi", NAME]);
    assert_eq!(said, format!("Untagged: {NAME}\nDeleted: {id}"));
    super::assert_empty(&runner);
    let error = refused(&runner, 1, &["rmi", NAME]);
    assert!(error.contains("no image test.example/image:1"), "{error}");
    assert_eq!(done(&runner, &["rmi", "--ignore", NAME]), "");
}

#[test]
fn an_image_without_a_name_is_dangling_and_found_by_its_id() {
    let (runner, layout) = (Runner::new(), layout());
    let id = done(&runner, &["pull", "-q", &layout.name()]);
    done(&runner, &["untag", NAME]);
    assert_eq!(done(&runner, &["images", "-q", "--filter", "dangling=true"]), id[..12]);
    assert_eq!(done(&runner, &["images", "-q", "--filter", "dangling=false"]), "");
    assert_eq!(done(&runner, &["images", "--format", "{{.Repository}}"]), "<none>");
    done(&runner, &["rmi", &id]);
    super::assert_empty(&runner);
}

#[test]
fn filters_and_formats_are_podmans() {
    let (runner, layout) = (Runner::new(), layout());
    done(&runner, &["pull", "-q", &layout.name()]);
    for (filter, found) in [
        ("label=kind=test", true),
        ("label=kind", true),
        ("label=kind=other", false),
        ("reference=*image*", true),
        ("reference=test.example/image", true),
        ("reference=other", false),
        ("until=2000-01-01T00:00:00Z", true),
    ] {
        assert_eq!(!done(&runner, &["images", "-q", "-f", filter]).is_empty(), found, "{filter}");
    }
    refused(&runner, 2, &["images", "-f", "nonsense=1"]);
    let json = done(&runner, &["images", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["Digest"], layout.digest().as_str());
    assert_eq!(json[0]["Names"][0], NAME);
    let table = done(&runner, &["images"]);
    assert!(table.starts_with("REPOSITORY"), "{table}");
    let history = done(&runner, &["history", "--format", "{{.Size}}", "--human=false", NAME]);
    assert_eq!(history, "1\n6", "one step per layer, the latest first");
}

#[test]
fn a_tar_becomes_an_image_with_what_the_changes_say() {
    let runner = Runner::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.tar.gz");
    std::fs::write(&path, super::layout::gzip(&tar(&[("bin/app", b"x")]))).unwrap();
    let id = done(
        &runner,
        &[
            "import",
            "-q",
            "-c",
            "CMD [\"/bin/app\"]",
            "-c",
            "ENV A=1",
            "-m",
            "why",
            path.to_str().unwrap(),
            "made:1",
        ],
    );
    let shown = done(
        &runner,
        &[
            "image",
            "inspect",
            "-f",
            "sha256:{{.Id}} {{.Config.Cmd}} {{.Config.Env}} {{.Comment}}",
            "localhost/made:1",
        ],
    );
    assert_eq!(shown, format!("{id} [/bin/app] [A=1] why"));
    let error = refused(&runner, 2, &["import", "-c", "RUN x", path.to_str().unwrap()]);
    assert!(error.contains("known are CMD, ENTRYPOINT"), "{error}");
    std::fs::write(&path, b"no tar at all, and far from a block of 512 bytes").unwrap();
    refused(&runner, 4, &["import", path.to_str().unwrap()]);
}
