//! Archives that somebody made to be misread.

use std::{io::Write, path::Path};

use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

use super::{TarIndex, header};
use crate::{Error, Result};

/// Writes bytes to a file without a name and reads it as an archive.
fn index(content: &[u8]) -> Result<TarIndex> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    TarIndex::read(file, Path::new("x.tar"))
}

fn refusal(content: &[u8]) -> String {
    match index(content) {
        Err(Error::Integrity(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

/// A member as it is told, with no check of any kind.
pub(super) fn member(name: &[u8], kind: EntryType, link: &[u8], content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = [header.as_bytes(), content].concat();
    bytes.resize(bytes.len().div_ceil(512) * 512, 0);
    bytes
}

pub(super) fn file(name: &str, content: &[u8]) -> Vec<u8> {
    member(name.as_bytes(), EntryType::Regular, b"", content)
}

pub(super) fn link(name: &str, kind: EntryType, target: &str) -> Vec<u8> {
    member(name.as_bytes(), kind, target.as_bytes(), b"")
}

fn content(tar: &TarIndex, name: &str) -> Vec<u8> {
    tar.read_file(name, 1000).unwrap().unwrap().to_vec()
}

#[test]
fn every_writers_form_is_read() {
    let long = format!("{}/end", "folder/".repeat(40));
    for header in [Header::new_gnu(), Header::new_ustar(), Header::new_old()] {
        let mut builder = Builder::new(Vec::new());
        let mut put = |name: &str, content: &[u8]| {
            let mut header = header.clone();
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, name, content).unwrap();
        };
        put("a", b"first");
        put("./b/./c", b"second");
        put(&long, b"third");
        let tar = index(&builder.into_inner().unwrap()).unwrap();
        assert_eq!(content(&tar, "a"), b"first");
        assert_eq!(content(&tar, "b/c"), b"second");
        assert_eq!(content(&tar, &long.replace("//", "/")), b"third");
        assert!(tar.read_file("d", 10).unwrap().is_none());
    }
}

#[test]
fn pax_headers_give_names_and_sizes() {
    let mut builder = Builder::new(Vec::new());
    builder.append_pax_extensions([("path", &b"the/name"[..])]).unwrap();
    let archive = builder.into_inner().unwrap();
    // Without its two blocks of zeros.
    let archive = [&archive[..archive.len() - 1024], &file("x", b"content")].concat();
    assert_eq!(content(&index(&archive).unwrap(), "the/name"), b"content");
}

#[test]
fn content_is_read_through_links_within_the_archive() {
    let archive = [
        file("layers/one.tar", b"one"),
        link("old/layer.tar", EntryType::Symlink, "../layers/one.tar"),
        link("older/layer.tar", EntryType::Symlink, "../old/layer.tar"),
        link("hard.tar", EntryType::Link, "layers/one.tar"),
        link("dangling", EntryType::Symlink, "nothing"),
    ]
    .concat();
    let tar = index(&archive).unwrap();
    for name in ["layers/one.tar", "old/layer.tar", "older/layer.tar", "hard.tar"] {
        assert_eq!(content(&tar, name), b"one", "{name}");
    }
    assert!(tar.find("dangling").unwrap().is_none());
}

#[test]
fn c10_names_and_links_that_lead_out_are_refused() {
    for name in ["../x", "a/../../x", "..", "/etc/passwd", "a/.."] {
        let fault = refusal(&file(name, b"x"));
        assert!(fault.contains("leads out") || fault.contains("is absolute"), "{fault}");
    }
    for target in ["../x", "/etc/passwd", "b/../../../x"] {
        assert!(refusal(&link("a", EntryType::Symlink, target)).contains("leads out"));
    }
    for target in ["../x", "/etc/passwd"] {
        let fault = refusal(&link("a", EntryType::Link, target));
        assert!(fault.contains("leads out") || fault.contains("is absolute"), "{fault}");
    }
    assert!(refusal(&member(b"a\xff", EntryType::Regular, b"", b"")).contains("no UTF-8"));
}

#[test]
fn links_in_a_circle_end() {
    let archive = [
        link("a", EntryType::Symlink, "b"),
        link("b", EntryType::Symlink, "a"),
        link("c", EntryType::Link, "c"),
    ];
    let tar = index(&archive.concat()).unwrap();
    for name in ["a", "b", "c"] {
        assert!(matches!(tar.find(name), Err(Error::Integrity(_))), "{name}");
    }
}

#[test]
fn a_name_that_stands_twice_is_not_chosen_from() {
    let tar = index(&[file("a", b"one"), file("./a", b"two"), file("b", b"b")].concat()).unwrap();
    assert!(matches!(tar.find("a"), Err(Error::Integrity(_))));
    assert_eq!(content(&tar, "b"), b"b");
}

#[test]
fn an_archive_that_is_cut_is_refused_wherever_it_is_cut() {
    let whole = [file("a", &[1; 700]), file("b", b"b")].concat();
    let inside = |cut: usize| !cut.is_multiple_of(512) || (512..1536).contains(&cut);
    for cut in (1..whole.len()).filter(|cut| inside(*cut) && *cut < 1536 + 513) {
        let result = index(&whole[..cut]);
        // Behind the last byte of content only padding is missing.
        if (512 + 700..1536).contains(&cut) || cut > 1536 + 512 {
            assert!(result.is_ok(), "{cut}");
        } else {
            assert!(matches!(result, Err(Error::Integrity(_))), "{cut}: {result:?}");
        }
    }
}

#[test]
fn headers_that_lie_are_refused() {
    let mut sum = file("a", b"x");
    sum[0] = b'b';
    assert!(refusal(&sum).contains("checksum"));
    let mut huge = Header::new_gnu();
    huge.set_size(u64::MAX / 2);
    huge.set_cksum();
    assert!(refusal(huge.as_bytes()).contains("ends after"));
    let mut beyond = Header::new_gnu();
    beyond.set_size(u64::MAX);
    beyond.set_cksum();
    assert!(matches!(index(beyond.as_bytes()), Err(Error::Integrity(_))));
    assert!(refusal(b"this is no archive at all").contains("ends after"));
}

#[test]
fn extended_headers_have_bounds() {
    let name = vec![b'a'; 2 * 1024 * 1024];
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader, EntryType::XGlobalHeader]
    {
        let fault = refusal(&[member(b"x", kind, b"", &name), file("a", b"")].concat());
        assert!(fault.contains("is the most"), "{fault}");
    }
    let long = member(b"x", EntryType::GNULongName, b"", &[b'a'; 5000]);
    assert!(refusal(&[long, file("a", b"")].concat()).contains("longer than 4096"));
    let alone = member(b"x", EntryType::GNULongName, b"", b"name");
    assert!(refusal(&alone).contains("without its member"));
}

#[test]
fn a_pax_size_is_what_counts() {
    // The header says 0 and the extension 600: what follows is content and no header.
    let pax = member(b"x", EntryType::XHeader, b"", b"12 size=600\n");
    let mut body = vec![b'c'; 600];
    body.resize(1024, 0);
    let archive = [pax, file("a", b""), body, file("b", b"b")].concat();
    let tar = index(&archive).unwrap();
    assert_eq!(tar.find("a").unwrap().unwrap().1, 600);
    assert_eq!(content(&tar, "b"), b"b");
    // One that is longer than the file is a cut.
    let pax = member(b"x", EntryType::XHeader, b"", b"14 size=60000\n");
    assert!(refusal(&[pax, file("a", b"")].concat()).contains("ends after"));
}

#[test]
fn sparse_members_are_refused_when_they_are_wanted() {
    let pax = member(b"x", EntryType::XHeader, b"", b"22 GNU.sparse.major=1\n");
    let old = member(b"old", EntryType::GNUSparse, b"", b"x");
    let tar = index(&[pax, file("new", b"x"), old].concat()).unwrap();
    for name in ["new", "old"] {
        assert!(tar.find(name).unwrap_err().to_string().contains("sparse"), "{name}");
    }
}

#[test]
fn headers_of_ours_are_read_again() {
    for size in [0, 1, 511, 512, 8 * 1024 * 1024 * 1024, 1 << 50] {
        let header = header::file("blobs/sha256/x", size).unwrap();
        let (_, kind, read) = header::parse(&header[..].try_into().unwrap(), 0).unwrap().unwrap();
        assert_eq!((kind, read), (header::Kind::File, size));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_walk_panic(content in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let _index = index(&content);
    }

    #[test]
    fn no_damaged_archive_makes_the_walk_panic(at in 0..2048_usize, byte in any::<u8>(), fix in any::<bool>()) {
        let mut archive = [file("a", &[1; 700]), link("b", EntryType::Symlink, "a")].concat();
        archive[at] = byte;
        if fix {
            let mut header = Header::from_byte_slice(&archive[..512]).clone();
            header.set_cksum();
            archive[..512].copy_from_slice(header.as_bytes());
        }
        if let Ok(tar) = index(&archive) {
            let _found = (tar.find("a"), tar.find("b"));
        }
    }
}
