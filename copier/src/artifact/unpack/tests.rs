use std::{fs, io::Seek, path::PathBuf};

use flate2::{Compression, write::GzEncoder};
use tar::{EntryType, Header};

use super::*;

/// A folder to unpack into, beside one that nothing may touch.
struct Place {
    scratch: tempfile::TempDir,
    folder: Folder,
}

impl Place {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path().join("outside")).unwrap();
        fs::write(scratch.path().join("outside/canary"), "alive").unwrap();
        let folder = Folder::create(&scratch.path().join("root/x")).unwrap();
        Self { scratch, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join("root/x").join(name)
    }

    fn canary_lives(&self) {
        let outside = self.scratch.path().join("outside");
        assert_eq!(fs::read_to_string(outside.join("canary")).unwrap(), "alive");
        assert_eq!(fs::read_dir(outside).unwrap().count(), 1);
        assert_eq!(fs::read_dir(self.scratch.path()).unwrap().count(), 2);
        assert_eq!(fs::read_dir(self.scratch.path().join("root")).unwrap().count(), 1);
    }
}

/// A member: type, name, link, content.
type Entry<'a> = (EntryType, &'a str, &'a str, &'a [u8]);

fn packed(entries: &[Entry<'_>]) -> (File, u64) {
    let mut gzip = GzEncoder::new(tempfile::tempfile().unwrap(), Compression::fast());
    for (kind, name, link, content) in entries {
        // The library refuses bad names, so they are written into the field itself.
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644 | if kind.is_dir() { 0o111 } else { 0 });
        header.set_size(content.len() as u64);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        gzip.write_all(header.as_bytes()).unwrap();
        gzip.write_all(content).unwrap();
        gzip.write_all(&vec![0; content.len().next_multiple_of(512) - content.len()]).unwrap();
    }
    gzip.write_all(&[0; 1024]).unwrap();
    let mut file = gzip.finish().unwrap();
    let size = file.stream_position().unwrap();
    file.rewind().unwrap();
    (file, size)
}

fn unpack_all(place: &Place, entries: &[Entry<'_>]) -> Result<()> {
    let (file, size) = packed(entries);
    unpack(file, size, "x", None, &place.folder)
}

const FILE: EntryType = EntryType::Regular;
const FOLDER: EntryType = EntryType::Directory;
const LINK: EntryType = EntryType::Symlink;
const HARD: EntryType = EntryType::Link;

#[test]
fn a_folder_comes_back_as_it_was() {
    let place = Place::new();
    unpack_all(
        &place,
        &[
            (FOLDER, "x/", "", b""),
            (FILE, "x/a", "", b"one"),
            (FOLDER, "x/sub/", "", b""),
            (FILE, "x/sub/b", "", &[7; 1000]),
            (LINK, "x/sub/up", "../a", b""),
            (HARD, "x/again", "x/a", b""),
            (FILE, "x/new/without/entry", "", b""),
        ],
    )
    .unwrap();
    assert_eq!(fs::read_to_string(place.path("sub/up")).unwrap(), "one");
    assert_eq!(fs::read(place.path("sub/b")).unwrap(), [7; 1000]);
    assert_eq!(fs::read_to_string(place.path("again")).unwrap(), "one");
    assert!(place.path("new/without/entry").is_file());
    place.canary_lives();
}

#[test]
fn c10_members_that_lead_out_are_refused() {
    let absolute = "/tmp/berth-never-written";
    for entries in [
        &[(FILE, "../outside/canary", "", &b"dead"[..])][..],
        &[(FILE, "x/../../outside/canary", "", b"dead")],
        &[(FILE, absolute, "", b"dead")],
        &[(FILE, "y/a", "", b"dead")],
        &[(FILE, "x", "", b"dead")],
        &[(LINK, "x/l", "../../outside", b"")],
        &[(LINK, "x/l", "/etc", b"")],
        &[(LINK, "x", "../outside", b"")],
        // A link inside may be followed by people, and never by what comes behind it.
        &[(LINK, "x/l", "sub", b""), (FOLDER, "x/sub/", "", b""), (FILE, "x/l/a", "", b"dead")],
        &[(HARD, "x/h", "../outside/canary", b"")],
        &[(HARD, "x/h", "x/../../outside/canary", b"")],
        &[(LINK, "x/l", "a", b""), (HARD, "x/h", "x/l", b"")],
        &[(HARD, "x/h", "x/none/file", b"")],
        &[(EntryType::Char, "x/null", "", b"")],
        &[(EntryType::Fifo, "x/pipe", "", b"")],
        &[(EntryType::GNUSparse, "x/holes", "", b"")],
    ] {
        let place = Place::new();
        let error = unpack_all(&place, entries).unwrap_err();
        assert_eq!(error.exit_code(), 4, "{entries:?}: {error}");
        place.canary_lives();
    }
    assert!(!Path::new(absolute).exists());
}

#[test]
fn c10_a_link_that_was_there_before_is_not_followed() {
    let place = Place::new();
    std::os::unix::fs::symlink("../../outside", place.path("sub")).unwrap();
    std::os::unix::fs::symlink("../../outside/canary", place.path("file")).unwrap();
    assert_eq!(unpack_all(&place, &[(FILE, "x/sub/canary", "", b"dead")]).unwrap_err().exit_code(), 4);
    unpack_all(&place, &[(FILE, "x/file", "", b"new")]).unwrap();
    assert_eq!(fs::read_to_string(place.path("file")).unwrap(), "new");
    place.canary_lives();
}

#[test]
fn u11_a_bomb_is_stopped_at_its_budget() {
    let place = Place::new();
    let mut gzip = GzEncoder::new(tempfile::tempfile().unwrap(), Compression::fast());
    let mut header = Header::new_gnu();
    header.set_path("x/zeros").unwrap();
    header.set_size(2 << 30);
    header.set_mode(0o644);
    header.set_cksum();
    gzip.write_all(header.as_bytes()).unwrap();
    io::copy(&mut io::repeat(0).take(1 << 27), &mut gzip).unwrap();
    let mut file = gzip.finish().unwrap();
    file.rewind().unwrap();
    // The file is cut before the floor, so that the test need not write so much.
    let plain = Budget { inner: MultiGzDecoder::new(BufReader::new(file)), left: 1 << 20 };
    let mut stream = TarStream::new(plain);
    let member = stream.next().unwrap().unwrap();
    let error = super::place(&mut stream, &member, "x", &place.folder, &mut BTreeMap::new()).unwrap_err();
    assert!(error.to_string().contains("no honest folder"), "{error}");
    assert_eq!(error.exit_code(), 4);
    assert!(!place.path("zeros").exists());
}

#[test]
fn a_tar_file_with_another_digest_is_refused() {
    let place = Place::new();
    let (file, size) = packed(&[(FILE, "x/a", "", b"one")]);
    let told = Digest::of(Algorithm::Sha256, b"other");
    assert_eq!(unpack(file, size, "x", Some(&told), &place.folder).unwrap_err().exit_code(), 4);
}

#[test]
fn a_staging_folder_that_is_not_kept_goes_away() {
    let place = Place::new();
    let staging = Staging::new(&place.folder).unwrap();
    let inner = staging.folder.enter_or_create("a").unwrap();
    inner.replace("b", b"x").unwrap();
    drop(staging);
    assert!(place.folder.names().unwrap().is_empty());
    let staging = Staging::new(&place.folder).unwrap();
    staging.keep("done").unwrap();
    assert_eq!(place.folder.names().unwrap(), ["done"]);
    assert!(Staging::new(&place.folder).unwrap().keep("done").is_err());
}
