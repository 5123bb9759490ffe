//! What every source holds to.

use berth_oci::{Algorithm, Descriptor, Digest};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future};

use super::{Fixture, fixture::ARTIFACT};
use crate::{Content, Error, Result, Source};

/// Asserts that a source is the image it was made of.
///
/// Where a transport keeps no manifest (`keeps_manifest`), the one it makes must name the same blobs.
pub(crate) async fn run(source: &dyn Source, given: &Fixture, keeps_manifest: bool) {
    the_top_is_resolved_once(source, given, keeps_manifest).await;
    if keeps_manifest {
        manifests_are_read_by_digest(source, given).await;
        referrers_are_listed(source, given).await;
    }
    what_is_not_there_is_not_found(source).await;
    content_is_read_from_any_byte(source, given).await;
    content_is_read_at_once(source, given).await;
    content_that_is_too_short_does_not_end_well(source, given).await;
}

/// All of a content from a byte on.
pub(crate) async fn read(content: &dyn Content, from: u64) -> Result<Bytes> {
    let pieces: Vec<Bytes> = content.open(from).await?.try_collect().await?;
    Ok(pieces.concat().into())
}

async fn the_top_is_resolved_once(source: &dyn Source, given: &Fixture, keeps_manifest: bool) {
    let top = source.manifest(None).await.unwrap();
    assert_eq!(top.digest, Digest::of(Algorithm::Sha256, &top.raw));
    assert_eq!(source.manifest(None).await.unwrap().raw, top.raw);
    assert_eq!(source.manifest(Some(&top.digest)).await.unwrap().raw, top.raw);
    if let Some(head) = source.head().await.unwrap() {
        assert_eq!(head, top.descriptor().unwrap());
    }
    if keeps_manifest {
        assert_eq!(top.raw, given.top.raw);
        assert_eq!(top.parse().unwrap(), given.top.parse().unwrap());
    } else {
        let (made, given) = (top.parse().unwrap(), given.top.parse().unwrap());
        assert_eq!((made.config, made.layers), (given.config, given.layers));
    }
}

async fn manifests_are_read_by_digest(source: &dyn Source, given: &Fixture) {
    for child in &given.children {
        let read = source.manifest(Some(&child.digest)).await.unwrap();
        assert_eq!((read.raw, read.digest), (child.raw.clone(), child.digest.clone()));
    }
}

async fn referrers_are_listed(source: &dyn Source, given: &Fixture) {
    if let Some(referrer) = given.referrer() {
        let found = source.referrers(&given.top.digest).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].digest, referrer.digest);
        assert_eq!(found[0].size, referrer.raw.len() as u64);
        assert_eq!(found[0].artifact_type, Some(ARTIFACT.into()));
        assert_eq!(found[0].annotations["org.example.key"], "value");
        assert_eq!(source.referrers(&referrer.digest).await.unwrap(), []);
    }
    let absent = Digest::of(Algorithm::Sha256, b"absent");
    assert_eq!(source.referrers(&absent).await.unwrap(), []);
}

async fn what_is_not_there_is_not_found(source: &dyn Source) {
    let digest = Digest::of(Algorithm::Sha256, b"absent");
    let error = source.manifest(Some(&digest)).await.unwrap_err();
    assert!(matches!(error.root(), Error::NotFound { .. }), "{error}");
    let absent = Descriptor::new("application/octet-stream".into(), digest, 6);
    let error = match source.blob(&absent).await {
        Ok(content) => read(&*content, 0).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error.root(), Error::NotFound { .. }), "{error}");
}

async fn content_is_read_from_any_byte(source: &dyn Source, given: &Fixture) {
    for (blob, _, content) in &given.blobs {
        let opened = source.blob(blob).await.unwrap();
        for from in [0, 1, blob.size / 2, blob.size - 1, blob.size] {
            let rest = content.slice(usize::try_from(from).unwrap()..);
            assert!(read(&*opened, from).await.unwrap() == rest, "{} from {from}", blob.digest);
        }
    }
}

async fn content_is_read_at_once(source: &dyn Source, given: &Fixture) {
    let contents = given.blobs.iter().cycle().take(12).map(|(blob, _, content)| async move {
        let opened = source.blob(blob).await.unwrap();
        // One is left in the middle.
        let mut left = opened.open(0).await.unwrap();
        assert!(left.next().await.unwrap().is_ok());
        assert!(read(&*opened, 0).await.unwrap() == content, "{}", blob.digest);
    });
    future::join_all(contents).await;
}

async fn content_that_is_too_short_does_not_end_well(source: &dyn Source, given: &Fixture) {
    let (blob, ..) =
        given.blobs.iter().find(|(_, part, _)| matches!(part, crate::content::Part::Layer(_))).unwrap();
    let longer = Descriptor { size: blob.size + 1, ..blob.clone() };
    let content = source.blob(&longer).await.unwrap();
    assert!(read(&*content, 0).await.is_err(), "{} has {} bytes", blob.digest, blob.size);
}
