use std::{os::unix::fs::symlink, path::Path};

use berth_oci::{Algorithm, Descriptor, Digest, MediaType};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Index, REF_NAME, index::ref_name};
use crate::{Error, RawManifest, Result, Role, Session, Settings, Side, source::Fixture};

fn entry(content: &str, name: Option<&str>) -> Descriptor {
    let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
    let mut entry = Descriptor::new(MediaType::OCI_MANIFEST.into(), digest, content.len() as u64);
    if let Some(name) = name {
        entry.annotations.insert(REF_NAME.to_owned(), name.to_owned());
    }
    entry
}

fn index(entries: &[Descriptor]) -> Index {
    let mut index = Index::empty().unwrap();
    for entry in entries {
        index.put(entry.clone()).unwrap();
    }
    index
}

fn names(index: &Index) -> Vec<(Option<&str>, u64)> {
    index.entries().map(|entry| (ref_name(entry), entry.size)).collect()
}

#[test]
fn an_entry_takes_the_place_of_its_name() {
    let mut index = index(&[entry("a", Some("v1")), entry("bb", Some("v2")), entry("ccc", None)]);
    index.put(entry("dddd", Some("v1"))).unwrap();
    assert_eq!(names(&index), [(Some("v1"), 4), (Some("v2"), 2), (None, 3)]);
    // An image without a name gets one, and keeps it.
    index.put(entry("ccc", Some("v3"))).unwrap();
    index.put(entry("ccc", None)).unwrap();
    assert_eq!(names(&index), [(Some("v1"), 4), (Some("v2"), 2), (Some("v3"), 3)]);
    // One image may have two names.
    index.put(entry("ccc", Some("v4"))).unwrap();
    index.put(entry("eeeee", None)).unwrap();
    let names = names(&index);
    assert_eq!(names[3..], [(Some("v4"), 3), (None, 5)]);
}

#[test]
fn what_others_wrote_into_the_index_stays() {
    let text = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"x-own": 1.50,"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}],"annotations":{"b":"1","a":"2"},"x-more":{"z":1,"y":[ ]}}"#;
    let mut index = Index::parse(Bytes::from_static(text.as_bytes())).unwrap();
    assert_eq!(String::from_utf8(index.to_bytes().unwrap()).unwrap(), text);
    index.put(entry("a", Some("v1"))).unwrap();
    let written = String::from_utf8(index.to_bytes().unwrap()).unwrap();
    assert!(
        written.starts_with(&text[..text.find("}],").unwrap()])
            && written.ends_with(&text[text.find("],\"ann").unwrap()..])
    );
}

#[test]
fn what_is_no_index_is_refused() {
    for text in [
        "",
        "[]",
        "{}",
        r#"{"schemaVersion":2}"#,
        r#"{"schemaVersion":1,"manifests":[]}"#,
        r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#,
        r#"{"schemaVersion":2,"manifests":[{"digest":"sha256:../../etc/passwd","size":1,"mediaType":"a/b"}]}"#,
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[]}"#,
    ] {
        assert!(Index::parse(Bytes::copy_from_slice(text.as_bytes())).is_err(), "{text}");
    }
    let none = Bytes::from_static(br#"{"schemaVersion":2,"manifests":null}"#);
    assert_eq!(Index::parse(none).unwrap().entries().len(), 0);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(text in ".{0,200}") {
        let _index = Index::parse(text.into());
    }

    #[test]
    fn names_stay_unique(puts in proptest::collection::vec(("[a-c]?", "[x-z]{1,2}"), 0..12)) {
        let mut index = Index::empty().unwrap();
        for (name, content) in &puts {
            index.put(entry(content, Some(name.as_str()).filter(|name| !name.is_empty()))).unwrap();
        }
        let read = Index::parse(index.to_bytes().unwrap().into()).unwrap();
        prop_assert!(read.entries().eq(index.entries()));
        let mut last = std::collections::BTreeMap::new();
        for (name, content) in puts.iter().filter(|(name, _)| !name.is_empty()) {
            last.insert(name.as_str(), entry(content, None).digest);
        }
        for (name, digest) in last {
            let named: Vec<_> = index.entries().filter(|entry| ref_name(entry) == Some(name)).collect();
            prop_assert_eq!(named.len(), 1);
            prop_assert_eq!(&named[0].digest, &digest);
        }
    }
}

// Whole layouts, through the session.

fn session() -> Session {
    Session::new(Settings { insecure_policy: true, ..Settings::default() }).unwrap()
}

async fn write(folder: &Path, name: &str, given: &Fixture) -> Result<()> {
    let session = session();
    let name = format!("oci:{}{name}", folder.display()).parse()?;
    let sink = session.sink(&name, &Side::default()).await?;
    for child in &given.children {
        sink.put_manifest(child, Role::Child).await?;
    }
    sink.put_manifest(&given.top, Role::Top).await?;
    sink.commit().await
}

async fn read(folder: &Path, name: &str) -> Result<RawManifest> {
    let name = format!("oci:{}{name}", folder.display()).parse()?;
    session().source(&name, &Side::default()).await?.manifest(None).await
}

fn edit(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join("index.json");
    let mut index: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut index);
    std::fs::write(path, index.to_string()).unwrap();
}

#[tokio::test]
async fn images_are_chosen_by_name_by_place_or_by_being_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (Fixture::index(), Fixture::index());
    write(folder.path(), ":docker.io/library/app:v1", &one).await.unwrap();
    // A referrer stands beside it and is no second image.
    assert_eq!(read(folder.path(), "").await.unwrap().raw, one.top.raw);
    write(folder.path(), ":v2", &two).await.unwrap();
    for (name, expected) in [
        (":docker.io/library/app:v1", &one),
        (":app:v1", &one),
        (":v1", &one),
        (":v2", &two),
        (":@0", &one),
        (":@2", &two),
    ] {
        assert_eq!(read(folder.path(), name).await.unwrap().raw, expected.top.raw, "{name}");
    }
    for (name, words) in [
        ("", "more than one image in oci, choose an image"),
        (":v3", "no descriptor found for reference \"v3\""),
        (":app", "no descriptor found"),
        (":@9", "index 9 is too large, only 4 entries available"),
    ] {
        let error = read(folder.path(), name).await.unwrap_err();
        assert!(matches!(error.root(), Error::NotFound { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn names_that_containerd_keeps_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let given = Fixture::index();
    write(folder.path(), ":v1", &given).await.unwrap();
    edit(folder.path(), |index| {
        index["manifests"][0]["annotations"]["io.containerd.image.name"] = json!("docker.io/library/app:v1");
    });
    for name in [":v1", ":app:v1", ":docker.io/library/app:v1"] {
        assert_eq!(read(folder.path(), name).await.unwrap().raw, given.top.raw, "{name}");
    }
    assert!(read(folder.path(), ":other:v1").await.is_err());
}

#[tokio::test]
async fn writers_of_one_layout_lose_nothing_of_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let writers = (0..16).map(|number| {
        let path = folder.path().to_owned();
        tokio::spawn(async move { write(&path, &format!(":v{number}"), &Fixture::index()).await })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap().unwrap();
    }
    for number in 0..16 {
        read(folder.path(), &format!(":v{number}")).await.unwrap();
    }
}

#[tokio::test]
async fn c10_links_in_a_layout_are_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    let given = Fixture::index();
    for planted in ["index.json", "oci-layout", "blobs", "blobs/sha256"] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), ":v1", &given).await.unwrap();
        let path = folder.path().join(planted);
        let there = outside.path().join(planted);
        std::fs::create_dir_all(there.parent().unwrap()).unwrap();
        std::fs::rename(&path, &there).unwrap();
        symlink(&there, &path).unwrap();
        let error = read(folder.path(), ":v1").await.unwrap_err();
        assert_eq!(error.exit_code(), 4, "{planted}: {error}");
        let error = write(folder.path(), ":v2", &Fixture::index()).await.unwrap_err();
        assert_eq!(error.exit_code(), 4, "{planted}: {error}");
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&there, &path).unwrap();
        assert_eq!(read(folder.path(), ":v1").await.unwrap().raw, given.top.raw);
    }
}

#[tokio::test]
async fn blobs_that_are_another_size_are_put_again() {
    let folder = tempfile::tempdir().unwrap();
    let blob = Fixture::index().blobs.remove(0).0;
    let path = folder.path().join("blobs/sha256");
    std::fs::create_dir_all(&path).unwrap();
    let name = format!("oci:{}:v1", folder.path().display()).parse().unwrap();
    let sink = session().sink(&name, &Side::default()).await.unwrap();
    std::fs::write(path.join(blob.digest.hex()), "cut").unwrap();
    assert!(matches!(sink.reuse(&blob, &[]).await.unwrap(), crate::Reuse::Absent(None)));
}

#[tokio::test]
async fn c6_a_file_of_the_right_size_and_other_bytes_is_put_again() {
    let folder = tempfile::tempdir().unwrap();
    let (blob, _, content) = Fixture::index().blobs.remove(0);
    let path = folder.path().join("blobs/sha256");
    std::fs::create_dir_all(&path).unwrap();
    let name = format!("oci:{}:v1", folder.path().display()).parse().unwrap();
    let sink = session().sink(&name, &Side::default()).await.unwrap();
    let file = path.join(blob.digest.hex());
    std::fs::write(&file, &content).unwrap();
    assert!(matches!(sink.reuse(&blob, &[]).await.unwrap(), crate::Reuse::Present));
    let mut other = content.to_vec();
    other[0] ^= 1;
    std::fs::write(&file, other).unwrap();
    assert!(matches!(sink.reuse(&blob, &[]).await.unwrap(), crate::Reuse::Absent(None)));
}

#[tokio::test]
async fn a_layout_that_nothing_was_written_into_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new");
    let name = format!("oci:{}:v1", path.display()).parse().unwrap();
    let sink = session().sink(&name, &Side::default()).await.unwrap();
    assert!(sink.current().await.unwrap().is_none());
    let blob = Fixture::index().blobs.remove(0).0;
    assert!(matches!(sink.reuse(&blob, &[]).await.unwrap(), crate::Reuse::Absent(None)));
    drop(sink);
    assert!(!path.exists());
    let given = Fixture::index();
    write(&path, ":v1", &given).await.unwrap();
    assert_eq!(read(&path, ":v1").await.unwrap().raw, given.top.raw);
}

#[tokio::test]
async fn a_manifest_that_was_changed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let given = Fixture::index();
    write(folder.path(), ":v1", &given).await.unwrap();
    let path = folder.path().join("blobs/sha256").join(given.top.digest.hex());
    let changed = String::from_utf8(given.top.raw.to_vec()).unwrap().replace("amd64", "riscv");
    std::fs::write(path, changed).unwrap();
    assert_eq!(read(folder.path(), ":v1").await.unwrap_err().exit_code(), 4);
}

#[tokio::test]
async fn referrers_are_found_in_indexes_of_the_layout_too() {
    let folder = tempfile::tempdir().unwrap();
    let given = Fixture::index();
    write(folder.path(), ":v1", &given).await.unwrap();
    let referrer = given.referrer().unwrap();
    let nested = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX,
        "manifests": [given.top.descriptor().unwrap(), referrer.descriptor().unwrap()],
    });
    let nested = RawManifest::new(nested.to_string().into(), None);
    let path = folder.path().join("blobs/sha256").join(nested.digest.hex());
    std::fs::write(path, &nested.raw).unwrap();
    edit(folder.path(), |index| index["manifests"] = json!([nested.descriptor().unwrap()]));
    let name = format!("oci:{}", folder.path().display()).parse().unwrap();
    let source = session().source(&name, &Side::default()).await.unwrap();
    let found = source.referrers(&given.top.digest).await.unwrap();
    assert_eq!(found.iter().map(|found| &found.digest).collect::<Vec<_>>(), [&referrer.digest]);
}
