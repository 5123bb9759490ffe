//! The suites of sources and sinks on every transport.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use berth_conformance::harness::Berth;
use tokio::sync::Mutex;

use super::*;
use crate::sink::suite::{self, Place};

struct Named {
    session: Session,
    name: ImageName,
    side: Side,
    again: bool,
    remembers: bool,
    signatures: bool,
}

impl Named {
    fn new(name: &str) -> Self {
        Self {
            session: Session::new(Settings { insecure_policy: true, ..Settings::default() }).unwrap(),
            name: name.parse().unwrap(),
            side: Side { tls_verify: Some(false), ..Side::default() },
            again: true,
            remembers: true,
            signatures: false,
        }
    }
}

#[async_trait]
impl Place for Named {
    async fn sink(&self) -> Result<Box<dyn Sink>> {
        self.session.sink(&self.name, &self.side).await
    }

    async fn source(&self) -> Result<Box<dyn Source>> {
        self.session.source(&self.name, &self.side).await
    }

    fn again(&self) -> bool {
        self.again
    }

    fn remembers(&self) -> bool {
        self.remembers
    }

    fn signatures(&self) -> bool {
        self.signatures
    }
}

/// A name in a folder of its own, which lives as long as the value.
fn place(form: &str) -> (tempfile::TempDir, Named) {
    let folder = tempfile::tempdir().unwrap();
    let name = form.replace("HERE", &folder.path().join("place").display().to_string());
    (folder, Named::new(&name))
}

/// Everything below a folder that a sink should not leave.
fn leftovers(folder: &tempfile::TempDir) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![folder.path().to_owned()]);
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_name().unwrap().to_string_lossy().starts_with(".berth") {
                found.push(path);
            }
        }
    }
    found
}

#[tokio::test]
async fn additional_tags_are_refused_where_nothing_takes_them() {
    let tags = vec!["b:2".parse().unwrap()];
    for form in ["docker://127.0.0.1:1/a:1", "dir:HERE", "oci:HERE:a", "oci-archive:HERE:a"] {
        let (folder, mut place) = place(form);
        place.side.additional_tags.clone_from(&tags);
        let Err(error) = place.sink().await else { panic!("{form}: taken") };
        assert!(matches!(&error, Error::Usage(fault) if fault.contains("--additional-tag")), "{error}");
        assert_eq!(error.to_string().contains("blobs are at the registry"), form.starts_with("docker:"));
        assert!(!folder.path().join("place").exists(), "{form}");
    }
    let (_folder, mut place) = place("docker-archive:HERE:a:1");
    place.side.additional_tags = tags;
    place.sink().await.unwrap();
}

#[tokio::test]
async fn dir_keeps_the_contract() {
    let (folder, place) = place("dir:HERE");
    suite::run(&Named { signatures: true, ..place }).await;
    assert_eq!(leftovers(&folder), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn oci_keeps_the_contract() {
    for form in ["oci:HERE:name", "oci:HERE"] {
        let (folder, place) = place(form);
        // Without a name a second image stands beside the first.
        let again = form.ends_with("name");
        suite::run(&Named { again, ..place }).await;
        assert_eq!(leftovers(&folder), Vec::<PathBuf>::new());
    }
}

#[tokio::test]
async fn oci_with_shared_blobs_keeps_the_contract() {
    let (folder, mut place) = place("oci:HERE:name");
    place.side.shared_blob_dir = Some(folder.path().join("shared"));
    suite::run(&place).await;
    assert!(!folder.path().join("place/blobs").exists());
    assert_eq!(leftovers(&folder), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn oci_archive_keeps_the_contract() {
    let (folder, place) = place("oci-archive:HERE:name");
    suite::run(&Named { remembers: false, ..place }).await;
    assert_eq!(leftovers(&folder), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn docker_archive_keeps_the_contract() {
    let (folder, place) = place("docker-archive:HERE:app:v1");
    suite::run(&Named { again: false, remembers: false, ..place }).await;
    assert_eq!(leftovers(&folder), Vec::<PathBuf>::new());
}

/// An archive that is written to a pipe, as to standard output, and read from the file that the pipe filled.
struct Piped {
    folder: tempfile::TempDir,
    form: &'static str,
    reader: Arc<Mutex<Option<std::thread::JoinHandle<Vec<u8>>>>>,
}

#[async_trait]
impl Place for Piped {
    async fn sink(&self) -> Result<Box<dyn Sink>> {
        let pipe = self.folder.path().join("pipe");
        let _before = std::fs::remove_file(&pipe);
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
            .unwrap();
        let from = pipe.clone();
        *self.reader.lock().await = Some(std::thread::spawn(move || std::fs::read(from).unwrap()));
        let place = Named::new(&self.form.replace("HERE", &pipe.display().to_string()));
        place.sink().await
    }

    async fn source(&self) -> Result<Box<dyn Source>> {
        let file = self.folder.path().join("file");
        if let Some(reader) = self.reader.lock().await.take() {
            let content = reader.join().unwrap();
            // Whoever reads a pipe that broke off has no archive: it lacks the list of images.
            std::fs::write(&file, content).unwrap();
        }
        Named::new(&self.form.replace("HERE", &file.display().to_string())).source().await
    }

    fn again(&self) -> bool {
        false
    }

    fn remembers(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn archives_on_a_pipe_keep_the_contract() {
    for form in ["oci-archive:HERE:name", "docker-archive:HERE:app:v1"] {
        let folder = tempfile::tempdir().unwrap();
        suite::run(&Piped { folder, form, reader: Arc::default() }).await;
    }
}

#[tokio::test]
async fn a_registry_keeps_the_contract() {
    if !berth_conformance::harness::require(&["setpriv"]) {
        return;
    }
    // Without a server there is nothing to talk to; where everything is required that is a failure.
    if let Err(missing) = Berth::binary() {
        assert!(
            std::env::var_os("CI").is_none() && std::env::var_os("BERTH_REQUIRE_ALL").is_none(),
            "{missing}"
        );
        tracing::warn!("SKIP {missing}");
        return;
    }
    let registry = Berth::builder().start().unwrap();
    suite::run(&Named::new(&format!("docker://{}/some/name:tag", registry.host()))).await;
}
