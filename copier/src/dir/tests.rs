use std::{os::unix::fs::symlink, path::Path};

use crate::{
    Error, RawManifest, Result, Role, Session, Settings, Side, Sink, signature::Signature, source::Fixture,
};

async fn sink(folder: &Path) -> Result<Box<dyn Sink>> {
    let session = Session::new(Settings { insecure_policy: true, ..Settings::default() })?;
    session.sink(&format!("dir:{}", folder.display()).parse()?, &Side::default()).await
}

async fn read(folder: &Path) -> Result<RawManifest> {
    let session = Session::new(Settings { insecure_policy: true, ..Settings::default() })?;
    session
        .source(&format!("dir:{}", folder.display()).parse()?, &Side::default())
        .await?
        .manifest(None)
        .await
}

async fn write(folder: &Path, given: &Fixture) -> Result<()> {
    let sink = sink(folder).await?;
    for child in &given.children {
        sink.put_manifest(child, Role::Child).await?;
    }
    sink.put_manifest(&given.top, Role::Top).await?;
    sink.commit().await
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_folder_of_other_things_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis"), "important").unwrap();
    let error = sink(folder.path()).await.map(drop).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("not a containers image directory, don't want to overwrite important data")
    );
    std::fs::write(folder.path().join("version"), "Directory Transport Version: 2.0\n").unwrap();
    assert!(matches!(sink(folder.path()).await, Err(Error::Refused(_))));
    assert_eq!(names(folder.path()), ["thesis", "version"]);
}

#[tokio::test]
async fn c6_a_file_of_the_right_size_and_other_bytes_is_put_again() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &Fixture::index()).await.unwrap();
    let writer = sink(folder.path()).await.unwrap();
    let (blob, _, content) = Fixture::index().blobs.remove(0);
    let file = folder.path().join(blob.digest.hex());
    std::fs::write(&file, &content).unwrap();
    assert!(matches!(writer.reuse(&blob, &[]).await.unwrap(), crate::Reuse::Present));
    let mut other = content.to_vec();
    other[0] ^= 1;
    std::fs::write(&file, other).unwrap();
    assert!(matches!(writer.reuse(&blob, &[]).await.unwrap(), crate::Reuse::Absent(None)));
}

#[tokio::test]
async fn a_folder_that_nothing_was_written_into_is_not_made_and_an_empty_one_stays_empty() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new");
    for there in [false, true] {
        let writer = sink(&path).await.unwrap();
        assert!(writer.current().await.unwrap().is_none());
        let blob = Fixture::index().blobs.remove(0).0;
        assert!(matches!(writer.reuse(&blob, &[]).await.unwrap(), crate::Reuse::Absent(None)));
        drop(writer);
        assert_eq!(path.exists(), there);
        std::fs::create_dir_all(&path).unwrap();
        assert!(names(&path).is_empty());
    }
    let given = Fixture::index();
    write(&path, &given).await.unwrap();
    assert_eq!(read(&path).await.unwrap().raw, given.top.raw);
}

#[tokio::test]
async fn copies_at_once_into_a_new_folder_all_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new");
    let copies = (0..40).map(|_| {
        let path = path.clone();
        tokio::spawn(async move { write(&path, &Fixture::index()).await })
    });
    for copy in copies.collect::<Vec<_>>() {
        copy.await.unwrap().unwrap();
    }
    read(&path).await.unwrap();
}

#[tokio::test]
async fn a_new_image_takes_the_old_ones_files_away_and_folders_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Fixture::index(), Fixture::index());
    write(folder.path(), &old).await.unwrap();
    let writer = sink(folder.path()).await.unwrap();
    writer.put_signatures(&old.top.digest, &[Signature::Simple((&b"\x90"[..]).into())]).await.unwrap();
    writer.commit().await.unwrap();
    assert!(names(folder.path()).contains(&"signature-1".to_owned()));
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    write(folder.path(), &new).await.unwrap();
    let mut expected: Vec<String> =
        new.children.iter().map(|child| super::child_file(&child.digest)).collect();
    expected.extend(["folder", "manifest.json", "version"].map(str::to_owned));
    expected.sort();
    assert_eq!(names(folder.path()), expected);
}

#[tokio::test]
async fn of_two_copies_at_once_the_second_waits_for_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (Fixture::index(), Fixture::index());
    let writer = sink(folder.path()).await.unwrap();
    for child in &first.children {
        writer.put_manifest(child, Role::Child).await.unwrap();
    }
    let locked = || {
        let own = std::fs::File::open(folder.path()).unwrap();
        rustix::fs::flock(&own, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err()
    };
    assert!(locked());
    let (path, image) = (folder.path().to_owned(), second.clone());
    let waiting = tokio::spawn(async move { write(&path, &image).await });
    writer.put_manifest(&first.top, Role::Top).await.unwrap();
    writer.commit().await.unwrap();
    waiting.await.unwrap().unwrap();
    assert!(!locked());
    assert_eq!(read(folder.path()).await.unwrap().raw, second.top.raw);
    assert_eq!(names(folder.path()).len(), second.children.len() + 2);
}

#[tokio::test]
async fn what_somebody_takes_away_while_an_image_is_written_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let given = Fixture::index();
    let writer = sink(folder.path()).await.unwrap();
    for child in &given.children {
        writer.put_manifest(child, Role::Child).await.unwrap();
    }
    std::fs::remove_file(folder.path().join(super::child_file(&given.children[0].digest))).unwrap();
    writer.put_manifest(&given.top, Role::Top).await.unwrap();
    let error = writer.commit().await.unwrap_err();
    assert!(error.to_string().contains("removed by somebody"), "{error}");
}

#[tokio::test]
async fn c10_links_in_a_folder_are_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    let given = Fixture::index();
    for planted in ["manifest.json", "version"] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &given).await.unwrap();
        std::fs::copy(folder.path().join(planted), &secret).unwrap();
        std::fs::remove_file(folder.path().join(planted)).unwrap();
        symlink(&secret, folder.path().join(planted)).unwrap();
        let before = std::fs::read(&secret).unwrap();
        let error = match planted {
            "version" => sink(folder.path()).await.map(drop).unwrap_err(),
            _ => read(folder.path()).await.map(drop).unwrap_err(),
        };
        assert_eq!(error.exit_code(), 4, "{planted}: {error}");
        assert_eq!(std::fs::read(&secret).unwrap(), before);
    }
    // A link where a file will be is taken away, and what it led to stays.
    let folder = tempfile::tempdir().unwrap();
    let writer = sink(folder.path()).await.unwrap();
    std::fs::write(&secret, "secret").unwrap();
    let child = &given.children[0];
    writer.put_manifest(child, Role::Child).await.unwrap();
    let planted = folder.path().join(super::child_file(&child.digest));
    std::fs::remove_file(&planted).unwrap();
    symlink(&secret, planted).unwrap();
    writer.put_manifest(child, Role::Child).await.unwrap();
    writer.put_manifest(&given.top, Role::Top).await.unwrap();
    writer.commit().await.unwrap();
    assert_eq!(std::fs::read(&secret).unwrap(), b"secret");
    assert_eq!(read(folder.path()).await.unwrap().raw, given.top.raw);
}
