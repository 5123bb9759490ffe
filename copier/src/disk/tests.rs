use std::os::unix::fs::symlink;

use super::*;
use crate::{Content, content::Blob};
use berth_oci::{Descriptor, MediaType};
use futures_util::{StreamExt, TryStreamExt, stream};

fn folder() -> (tempfile::TempDir, Folder) {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap().unwrap();
    (dir, folder)
}

struct Pieces(Vec<std::result::Result<&'static [u8], &'static str>>);

#[async_trait::async_trait]
impl Content for Pieces {
    async fn open(&self, _from: u64) -> Result<crate::ByteStream> {
        let pieces = self.0.clone().into_iter();
        Ok(stream::iter(pieces.map(|piece| match piece {
            Ok(bytes) => Ok(Bytes::from_static(bytes)),
            Err(fault) => Err(Error::Integrity(fault.to_owned())),
        }))
        .boxed())
    }
}

fn blob(content: &[u8]) -> Blob {
    let kind = MediaType::new("application/octet-stream");
    let digest = Digest::of(Algorithm::Sha256, content);
    let known = Descriptor::new(kind.clone(), digest, content.len() as u64);
    Blob { known: Some(known), media_type: kind, part: crate::content::Part::Other }
}

#[test]
fn c10_names_that_are_no_single_component_are_refused() {
    let (_dir, folder) = folder();
    for name in ["", ".", "..", "a/b", "/etc/passwd", "../x", "a\0b"] {
        assert!(matches!(folder.open_file(name), Err(Error::Integrity(_))), "{name:?} was opened");
        assert!(matches!(folder.replace(name, b"x"), Err(Error::Integrity(_))), "{name:?} was written");
        assert!(matches!(folder.enter_or_create(name), Err(Error::Integrity(_))), "{name:?} was made");
    }
    assert_eq!(folder.names().unwrap(), Vec::<String>::new());
}

#[test]
fn c10_links_and_pipes_are_not_followed() {
    let (dir, folder) = folder();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    symlink(outside.path().join("secret"), dir.path().join("file")).unwrap();
    symlink(outside.path(), dir.path().join("folder")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("pipe"), rustix::fs::Mode::RUSR).unwrap();
    assert!(matches!(folder.open_file("file"), Err(Error::Integrity(_))));
    assert!(matches!(folder.size_of("file"), Err(Error::Integrity(_))));
    assert!(matches!(folder.open_file("pipe"), Err(Error::Integrity(_))));
    assert!(matches!(folder.enter("folder"), Err(Error::Integrity(_))));
    assert!(matches!(folder.enter_or_create("folder"), Err(Error::Integrity(_))));
    // Writing puts a new file in the link's place.
    folder.replace("file", b"ours").unwrap();
    assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"secret");
    assert_eq!(folder.read("file", 10).unwrap().unwrap(), b"ours"[..]);
}

#[test]
fn files_have_bounds() {
    let (_dir, folder) = folder();
    folder.replace("x", &[0; 100]).unwrap();
    assert!(folder.read("x", 100).is_ok());
    assert!(matches!(folder.read("x", 99), Err(Error::Integrity(_))));
    assert!(folder.read("y", 99).unwrap().is_none());
}

#[test]
fn what_a_killed_process_left_is_swept_and_what_is_being_written_is_not() {
    let (dir, folder) = folder();
    std::fs::write(dir.path().join(".berth-0123456789abcdef"), "left").unwrap();
    std::fs::write(dir.path().join(".berth-notes"), "somebody's").unwrap();
    let live = Scratch::new(&folder).unwrap();
    Scratch::sweep(&folder).unwrap();
    assert_eq!(folder.names().unwrap().len(), 2);
    live.keep(&folder, "kept").unwrap();
    assert_eq!(folder.names().unwrap(), [".berth-notes", "kept"]);
}

#[test]
fn a_lock_excludes_other_handles_of_the_same_folder() {
    let (dir, folder) = folder();
    let counter = dir.path().join("counter");
    std::fs::write(&counter, "0").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (counter, folder) = (&counter, &folder);
            scope.spawn(move || {
                for _ in 0..20 {
                    let _lock = folder.lock().unwrap();
                    let value: u32 = std::fs::read_to_string(counter).unwrap().parse().unwrap();
                    std::fs::write(counter, (value + 1).to_string()).unwrap();
                }
            });
        }
    });
    assert_eq!(std::fs::read_to_string(&counter).unwrap(), "160");
}

#[tokio::test]
async fn content_is_read_from_any_byte_and_its_length_is_checked() {
    let (_dir, folder) = folder();
    let content: Vec<u8> = (0..=250).cycle().take(2_000_000).collect();
    folder.replace("x", &content).unwrap();
    let known = blob(&content).known.unwrap();
    let file = |blob| FileContent { opener: Opener::Named(folder.clone(), "x".to_owned()), blob };
    for from in [0, 1, 524_288, 1_999_999, 2_000_000] {
        let pieces: Vec<Bytes> = file(known.clone()).open(from).await.unwrap().try_collect().await.unwrap();
        assert!(pieces.concat() == content[usize::try_from(from).unwrap()..], "from {from}");
    }
    let longer = Descriptor { size: 2_000_001, ..known.clone() };
    assert!(matches!(file(longer).open(0).await, Err(Error::Verify(VerifyError::TooShort { .. }))));
    let shorter = Descriptor { size: 1, ..known };
    assert!(matches!(file(shorter).open(0).await, Err(Error::Verify(VerifyError::TooLong { .. }))));
}

#[tokio::test]
async fn a_dropped_stream_ends_its_thread() {
    let (_dir, folder) = folder();
    folder.replace("x", &vec![0; 8 * 1024 * 1024]).unwrap();
    let known = blob(&vec![0; 8 * 1024 * 1024]).known.unwrap();
    let content = FileContent { opener: Opener::Named(folder, "x".to_owned()), blob: known };
    for _ in 0..1000 {
        let mut stream = content.open(0).await.unwrap();
        stream.next().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn what_fails_on_the_way_leaves_no_file() {
    let (_dir, folder) = folder();
    let broken = Pieces(vec![Ok(b"some"), Err("cut")]);
    let error = receive(&folder, &blob(b"some bytes"), &broken).await.unwrap_err();
    assert!(error.to_string().contains("cut"));
    let short = Pieces(vec![Ok(b"some")]);
    let error = receive(&folder, &blob(b"some bytes"), &short).await.unwrap_err();
    assert!(matches!(error, Error::Verify(VerifyError::TooShort { .. })));
    let long = Pieces(vec![Ok(b"some bytes"), Ok(b"x")]);
    let error = receive(&folder, &blob(b"some bytes"), &long).await.unwrap_err();
    assert!(matches!(error, Error::Verify(VerifyError::TooLong { .. })));
    assert_eq!(folder.names().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn digests_that_nobody_told_are_found_out() {
    let (_dir, folder) = folder();
    let told = Blob { known: None, ..blob(b"") };
    let (scratch, found) = receive(&folder, &told, &Pieces(vec![Ok(b"so"), Ok(b"me")])).await.unwrap();
    assert_eq!((found.digest.clone(), found.size), (Digest::of(Algorithm::Sha256, b"some"), 4));
    scratch.keep(&folder, found.digest.hex()).unwrap();
    assert_eq!(folder.read(found.digest.hex(), 10).unwrap().unwrap(), b"some"[..]);
}
