//! The rules of a sync, between ends that are made up.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Mutex,
};

use async_trait::async_trait;
use berth_oci::{Algorithm, Digest, MediaType, Reference, Tag};

use super::{
    access::{Access, Comparison},
    place::Place,
    plan::Item,
    request::{From, Prune, Request},
    run::{dry_run, run},
    *,
};
use crate::{Error, ImageName, Result, Side, copy};

/// Repositories by `host/name`, each with its tags.
#[derive(Default)]
struct Fake {
    sources: BTreeMap<String, Vec<&'static str>>,
    existing: BTreeMap<String, Vec<&'static str>>,
    present: BTreeSet<String>,
    broken: BTreeSet<String>,
    log: Mutex<Vec<String>>,
}

impl Fake {
    fn log(&self, line: String) {
        self.log.lock().unwrap().push(line);
    }

    fn sorted_log(&self) -> Vec<String> {
        let mut log = self.log.lock().unwrap().clone();
        log.sort();
        log
    }

    fn check(&self, name: &str) -> Result<()> {
        if self.broken.contains(name) {
            return Err(Error::Network { what: name.to_owned(), source: "broken".into() });
        }
        Ok(())
    }
}

fn parsed(tags: Option<&Vec<&'static str>>) -> Vec<Tag> {
    tags.into_iter().flatten().map(|tag| tag.parse().unwrap()).collect()
}

fn digest(text: &str) -> Digest {
    Digest::of(Algorithm::Sha256, text.as_bytes())
}

#[async_trait]
impl Access for Fake {
    async fn tags(&self, repository: &Reference, _side: &Side) -> Result<Vec<Tag>> {
        self.log(format!("list {repository}"));
        self.check(&repository.to_string())?;
        Ok(parsed(self.sources.get(&repository.to_string())))
    }

    async fn existing(&self, place: &Place) -> Result<Vec<Tag>> {
        self.check(&place.to_string())?;
        Ok(parsed(self.existing.get(&place.to_string())))
    }

    async fn compare(&self, item: &Item) -> Result<Comparison> {
        let present = self.present.contains(&item.destination.to_string());
        let digest = digest(&item.source.to_string());
        Ok(Comparison { digest, present, other: None, bytes: (!present).then_some(10) })
    }

    async fn copy(&self, item: &Item) -> Result<copy::Report> {
        self.log(format!("copy {} {}", item.source, item.destination));
        self.check(&item.source.to_string())?;
        Ok(copy::Report {
            source: item.source.to_string(),
            destination: item.destination.to_string(),
            digest: digest(&item.source.to_string()),
            media_type: MediaType::OCI_MANIFEST.into(),
            source_digest: None,
            unchanged: self.present.contains(&item.destination.to_string()),
            manifests: 1,
            blobs: Vec::new(),
            bytes_copied: 10,
            manifest: bytes::Bytes::new(),
        })
    }

    async fn digest(&self, image: &ImageName) -> Result<Option<Digest>> {
        Ok(Some(digest(&image.to_string())))
    }

    async fn delete(&self, image: &ImageName) -> Result<()> {
        self.log(format!("delete {image}"));
        self.check(&image.to_string())
    }
}

fn request(from: From) -> Request {
    Request {
        from,
        to: Destination {
            transport: Transport::Docker,
            root: "my.io".to_owned(),
            scoped: false,
            suffix: String::new(),
        },
        source: Side::default(),
        destination: Side::default(),
        include: Vec::new(),
        exclude: Vec::new(),
        latest: None,
        prune: Prune::Never,
        overwrite: false,
        keep_going: false,
        options: copy::Options::default(),
        parallel: 1,
    }
}

fn app(tags: &[&'static str]) -> Fake {
    Fake { sources: [("a.io/app".to_owned(), tags.to_vec())].into(), ..Fake::default() }
}

fn from_app() -> Request {
    request(From::Docker("a.io/app".parse().unwrap()))
}

fn list_file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sync.yml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

#[tokio::test]
async fn every_tag_is_copied_and_listed_once() {
    let fake = app(&["1", "2", "latest"]);
    let report = run(&fake, &from_app()).await.unwrap();
    assert_eq!(
        fake.sorted_log(),
        [
            "copy docker://a.io/app:1 docker://my.io/app:1",
            "copy docker://a.io/app:2 docker://my.io/app:2",
            "copy docker://a.io/app:latest docker://my.io/app:latest",
            "list a.io/app",
        ]
    );
    assert_eq!((report.count(Action::Copy), report.exit_code(), report.bytes_copied), (3, 0, 30));
    let lines = report.digest_lines();
    assert!(
        lines.starts_with(&format!("{} docker://my.io/app:1\n", digest("docker://a.io/app:1"))),
        "{lines}"
    );
}

#[tokio::test]
async fn one_named_image_needs_no_list() {
    let fake = app(&[]);
    run(&fake, &request(From::Docker("a.io/app:7".parse().unwrap()))).await.unwrap();
    assert_eq!(fake.sorted_log(), ["copy docker://a.io/app:7 docker://my.io/app:7"]);
}

#[tokio::test]
async fn a_source_with_nothing_in_it_is_an_error() {
    let error = run(&app(&[]), &from_app()).await.unwrap_err().to_string();
    assert_eq!(error, "No images to sync found in \"a.io/app\"");
    let filtered = Request { exclude: vec!["*".parse().unwrap()], ..from_app() };
    let error = run(&app(&["1"]), &filtered).await.unwrap_err().to_string();
    assert!(error.ends_with("it has tags, but none is selected"), "{error}");
}

#[tokio::test]
async fn the_first_failure_ends_a_sync_and_keep_going_names_all() {
    let fake = || Fake { broken: ["docker://a.io/app:1".to_owned()].into(), ..app(&["1", "2"]) };
    let stopped = run(&fake(), &from_app()).await.unwrap();
    assert_eq!((stopped.images.len(), stopped.failures.len()), (1, 1));
    let error = stopped.into_result().unwrap_err().to_string();
    assert!(error.starts_with("Error copying ref \"docker://a.io/app:1\": "), "{error}");

    let going = run(&fake(), &Request { keep_going: true, ..from_app() }).await.unwrap();
    assert_eq!((going.count(Action::Copy), going.count(Action::Fail), going.exit_code()), (1, 1, 1));
}

#[tokio::test]
async fn a_list_lists_each_repository_once_and_a_broken_one_does_not_stop_the_others() {
    let (_folder, path) = list_file(
        "a.io:\n  images-by-tag-regex: {app: '^1'}\n  images-by-semver: {app: '>=2'}\nb.io:\n  images: {gone: [], x: ['3']}\n",
    );
    let fake = Fake { broken: ["b.io/gone".to_owned()].into(), ..app(&["1.0", "2.0", "edge"]) };
    let report = run(&fake, &request(From::Yaml(path))).await.unwrap();
    assert_eq!(
        fake.sorted_log(),
        [
            "copy docker://a.io/app:1.0 docker://my.io/app:1.0",
            "copy docker://a.io/app:2.0 docker://my.io/app:2.0",
            "copy docker://b.io/x:3 docker://my.io/x:3",
            "list a.io/app",
            "list b.io/gone",
        ]
    );
    assert_eq!((report.count(Action::Copy), report.failures.len(), report.exit_code()), (3, 1, 1));
}

#[tokio::test]
async fn two_images_of_one_name_are_refused_and_scoped_keeps_them_apart() {
    let (_folder, path) = list_file("a.io:\n  images: {app: ['1']}\nb.io:\n  images: {x/app: ['1']}\n");
    let fake = Fake::default();
    let mut request = request(From::Yaml(path));
    let error = run(&fake, &request).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "docker://a.io/app:1 and docker://b.io/x/app:1 would both be docker://my.io/app:1; keep them apart with --scoped"
    );
    request.to.scoped = true;
    assert_eq!(run(&fake, &request).await.unwrap().count(Action::Copy), 2);
}

#[tokio::test]
async fn a_prune_deletes_what_is_covered_and_gone_and_nothing_else() {
    let digest_tag: &'static str = Box::leak(format!("sha256-{}.sig", "0".repeat(64)).into_boxed_str());
    let fake = Fake {
        existing: [("docker://my.io/app".to_owned(), vec!["1", "1.5", "0.9", "edge", digest_tag])].into(),
        ..app(&["1", "2", "3"])
    };
    let mut request = Request { prune: Prune::Gone, latest: Some(1), ..from_app() };
    request.exclude = vec!["0.*".parse().unwrap(), "edge".parse().unwrap()];
    let planned = dry_run(&fake, &request).await.unwrap();
    assert_eq!(planned.deleted[0].image, "docker://my.io/app:1.5");
    assert_eq!(fake.sorted_log(), ["list a.io/app"], "a dry run does nothing");

    let report = run(&fake, &request).await.unwrap();
    assert_eq!(
        fake.sorted_log().iter().filter(|line| line.starts_with("delete")).collect::<Vec<_>>(),
        ["delete docker://my.io/app:1.5"],
        "1 is at the source, though not among the latest"
    );
    assert_eq!(report.deleted.len(), 1);
}

#[tokio::test]
async fn a_prune_minds_the_suffix() {
    let fake = Fake {
        existing: [("docker://my.io/app".to_owned(), vec!["1-m", "2-m", "2", "m"])].into(),
        ..app(&["1"])
    };
    let mut request = Request { prune: Prune::Gone, ..from_app() };
    request.to.suffix = "-m".to_owned();
    let report = run(&fake, &request).await.unwrap();
    assert_eq!(
        report.deleted.iter().map(|d| d.image.as_str()).collect::<Vec<_>>(),
        ["docker://my.io/app:2-m"]
    );
}

#[tokio::test]
async fn nothing_is_deleted_where_a_list_is_in_doubt() {
    let (_folder, path) =
        list_file("a.io:\n  prune: true\n  images: {app: []}\nb.io:\n  images: {other: []}\n");
    let existing: BTreeMap<_, _> = [("docker://my.io/app".to_owned(), vec!["old"])].into();
    let broken = Fake { existing: existing.clone(), broken: ["b.io/other".to_owned()].into(), ..app(&["1"]) };
    let report = run(&broken, &request(From::Yaml(path.clone()))).await.unwrap();
    assert!(report.deleted.is_empty() && report.count(Action::Copy) == 1);
    assert_eq!(report.exit_code(), 5);
    let told: Vec<_> = report.failures.iter().map(|failure| failure.error.to_string()).collect();
    assert!(
        told.iter().any(|text| text.starts_with("nothing is deleted, since the tags of docker://b.io/other")),
        "{told:?}"
    );

    let blind = Fake { broken: ["docker://my.io/app".to_owned()].into(), ..app(&["1"]) };
    let report = run(&blind, &Request { prune: Prune::Gone, ..from_app() }).await.unwrap();
    assert!(report.deleted.is_empty() && report.failures.len() == 1);
}

#[tokio::test]
async fn an_empty_selection_deletes_only_when_that_is_meant() {
    let (_folder, path) = list_file("a.io:\n  images-by-tag-regex: {app: '^v'}\n");
    let fake =
        || Fake { existing: [("docker://my.io/app".to_owned(), vec!["v1", "x"])].into(), ..app(&["1"]) };
    let mut request = Request { prune: Prune::Gone, ..request(From::Yaml(path)) };
    let report = run(&fake(), &request).await.unwrap();
    assert!(report.deleted.is_empty());
    assert!(report.failures[0].error.to_string().contains("--prune=empty-ok"));
    request.prune = Prune::EmptyOk;
    let report = run(&fake(), &request).await.unwrap();
    assert_eq!(report.deleted[0].image, "docker://my.io/app:v1");
    assert_eq!(report.deleted.len(), 1);
}

#[tokio::test]
async fn repositories_that_share_a_place_keep_each_others_tags() {
    let (_folder, path) = list_file("a.io:\n  images: {app: []}\nb.io:\n  images: {app: []}\n");
    let fake = Fake {
        sources: [("a.io/app".to_owned(), vec!["1"]), ("b.io/app".to_owned(), vec!["2"])].into(),
        existing: [("docker://my.io/app".to_owned(), vec!["1", "2", "3"])].into(),
        ..Fake::default()
    };
    let report = run(&fake, &Request { prune: Prune::Gone, ..request(From::Yaml(path)) }).await.unwrap();
    assert_eq!(report.deleted.iter().map(|d| d.image.as_str()).collect::<Vec<_>>(), ["docker://my.io/app:3"]);
}

#[tokio::test]
async fn a_plan_says_copy_skip_and_delete_with_digests_and_bytes() {
    let fake = Fake {
        present: ["docker://my.io/app:1".to_owned()].into(),
        existing: [("docker://my.io/app".to_owned(), vec!["0"])].into(),
        ..app(&["1", "2"])
    };
    let report = dry_run(&fake, &Request { prune: Prune::Gone, ..from_app() }).await.unwrap();
    let mut text = Vec::new();
    report.write_plan(&mut text).unwrap();
    assert_eq!(
        String::from_utf8(text).unwrap(),
        format!(
            "skip   docker://a.io/app:1 -> docker://my.io/app:1 {}\n\
             copy   docker://a.io/app:2 -> docker://my.io/app:2 {} 10 bytes\n\
             delete docker://my.io/app:0 {}\n\
             1 to copy (at most 10 bytes), 1 unchanged, 1 to delete, 0 failed\n",
            digest("docker://a.io/app:1"),
            digest("docker://a.io/app:2"),
            digest("docker://my.io/app:0"),
        )
    );
}

#[test]
fn syncs_and_artifacts_can_run_in_tasks_of_any_thread() {
    fn movable<T: Send>(_future: &T) {}
    let session =
        crate::Session::new(crate::Settings { insecure_policy: true, ..Default::default() }).unwrap();
    let (request, side) = (from_app(), Side::default());
    let name: ImageName = "docker://a.io/app:1".parse().unwrap();
    let how = crate::artifact::Pull::default();
    let artifact = crate::artifact::Artifact::new(Some("0"), jiff::Timestamp::now()).unwrap();
    let attachment = crate::artifact::Attachment::default();
    movable(&super::run(&session, &request));
    movable(&super::dry_run(&session, &request));
    movable(&crate::artifact::push(&session, &name, &side, &artifact));
    movable(&crate::artifact::attach(&session, &name, &side, &artifact, &attachment));
    movable(&crate::artifact::pull(&session, &name, &side, &how));
    movable(&crate::artifact::discover(&session, &name, &side, None, None, 0));
}
