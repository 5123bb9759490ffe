//! What every sink holds to.

use async_trait::async_trait;
use berth_oci::{Algorithm, Descriptor, Digest, MediaType};
use bytes::Bytes;
use futures_util::{StreamExt, future, stream};

use crate::{
    ByteStream, Content, Error, RawManifest, Result, Reuse, Role, Sink, Source, UploadHandle,
    content::{Blob, Part},
    signature::Signature,
    source::{Fixture, fixture::unique, suite},
};

/// One name of a transport, to be written and read again.
#[async_trait]
pub(crate) trait Place: Send + Sync {
    /// Opens it to write.
    async fn sink(&self) -> Result<Box<dyn Sink>>;

    /// Opens it to read.
    async fn source(&self) -> Result<Box<dyn Source>>;

    /// Whether a second image takes the place of the first; archives that exist are not written again.
    fn again(&self) -> bool {
        true
    }

    /// Whether what the name means is known before it is written (a file that is always made anew means nothing).
    fn remembers(&self) -> bool {
        true
    }

    /// Whether signatures are kept without a configuration that says where.
    fn signatures(&self) -> bool {
        false
    }
}

/// Asserts the contract of [`Sink`]; each step begins with a sink of its own.
pub(crate) async fn run(place: &dyn Place) {
    a_sink_that_is_dropped_leaves_no_image(place).await;
    what_fails_is_not_there(place).await;
    an_image_is_what_was_put(place, false).await;
    if place.again() {
        an_image_is_what_was_put(place, true).await;
        an_image_that_breaks_off_changes_nothing(place).await;
    }
    if place.signatures() {
        signatures_come_beside_those_that_are_there(place).await;
    }
}

/// What suits a sink.
fn fixture(sink: &dyn Sink) -> Fixture {
    if sink.traits().indexes { Fixture::index() } else { Fixture::docker_image() }
}

/// Content that gives what it is told to, in pieces, and breaks off if it is told to.
struct Pieces {
    content: Bytes,
    broken: bool,
}

#[async_trait]
impl Content for Pieces {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        let rest = self.content.slice(usize::try_from(from).unwrap()..);
        let pieces: Vec<Bytes> = rest.chunks(70_000).map(Bytes::copy_from_slice).collect();
        let fault = self.broken.then(|| Err(Error::Integrity("broken on purpose".to_owned())));
        Ok(stream::iter(pieces.into_iter().map(Ok).chain(fault)).boxed())
    }
}

fn known(blob: &Descriptor, part: Part) -> Blob {
    Blob { known: Some(blob.clone()), media_type: blob.media_type.clone(), part }
}

async fn put(sink: &dyn Sink, blob: &Blob, content: &Bytes) -> Result<Descriptor> {
    let upload: Option<UploadHandle> = match &blob.known {
        Some(known) => match sink.reuse(known, &[]).await? {
            Reuse::Absent(upload) => upload,
            Reuse::Present | Reuse::Mounted(_) => return Ok(known.clone()),
        },
        None => None,
    };
    sink.put(blob, &Pieces { content: content.clone(), broken: false }, upload).await
}

async fn put_all(sink: &dyn Sink, given: &Fixture) {
    let all = given.blobs.iter().enumerate().map(|(place, (blob, part, content))| async move {
        // Every second one as if it were made on the way.
        let told = Blob { known: (place % 2 == 0).then(|| blob.clone()), ..known(blob, *part) };
        let stored = put(sink, &told, content).await.unwrap();
        assert_eq!((stored.digest, stored.size), (blob.digest.clone(), blob.size));
    });
    if sink.traits().concurrent {
        future::join_all(all).await;
    } else {
        for one in all {
            one.await;
        }
    }
    for child in &given.children {
        sink.put_manifest(child, Role::Child).await.unwrap();
    }
}

async fn is_absent(place: &dyn Place) {
    let error = match place.source().await {
        Ok(source) => source.manifest(None).await.map(drop).unwrap_err(),
        Err(error) => error,
    };
    let absent = match error.root() {
        Error::NotFound { .. } => true,
        // What came out of a pipe before it broke off is there, and is no archive.
        Error::Integrity(_) => !place.remembers(),
        _ => false,
    };
    assert!(absent, "{error}");
}

async fn a_sink_that_is_dropped_leaves_no_image(place: &dyn Place) {
    let sink = place.sink().await.unwrap();
    assert!(sink.current().await.unwrap().is_none());
    let given = fixture(&*sink);
    put_all(&*sink, &given).await;
    drop(sink);
    is_absent(place).await;
    let sink = place.sink().await.unwrap();
    assert!(sink.current().await.unwrap().is_none());
}

async fn what_fails_is_not_there(place: &dyn Place) {
    let sink = place.sink().await.unwrap();
    let content = unique(200_000);
    let digest = Digest::of(Algorithm::Sha256, &content);
    let blob = Descriptor::new(MediaType::OCI_LAYER.into(), digest, content.len() as u64);
    assert!(matches!(sink.reuse(&blob, &[]).await.unwrap(), Reuse::Absent(_)));
    let told = known(&blob, Part::Layer(0));
    let broken = Pieces { content: content.slice(..100_000), broken: true };
    let error = sink.put(&told, &broken, None).await.unwrap_err();
    assert!(error.to_string().contains("broken on purpose"), "{error}");
    assert!(matches!(sink.reuse(&blob, &[]).await.unwrap(), Reuse::Absent(_)));
    if sink.traits().concurrent {
        let short = Pieces { content: content.slice(..100_000), broken: false };
        sink.put(&told, &short, None).await.unwrap_err();
        assert!(matches!(sink.reuse(&blob, &[]).await.unwrap(), Reuse::Absent(_)));
        // And then it can be put.
        put(&*sink, &told, &content).await.unwrap();
        assert!(matches!(sink.reuse(&blob, &[]).await.unwrap(), Reuse::Present));
        put(&*sink, &told, &content).await.unwrap();
        sink.put(&told, &Pieces { content, broken: false }, None).await.unwrap();
    }
    drop(sink);
    is_absent(place).await;
}

async fn an_image_is_what_was_put(place: &dyn Place, replaces: bool) {
    let sink = place.sink().await.unwrap();
    assert_eq!(sink.current().await.unwrap().is_some(), replaces && place.remembers());
    let (given, traits) = (fixture(&*sink), sink.traits());
    put_all(&*sink, &given).await;
    sink.put_manifest(&given.top, Role::Top).await.unwrap();
    sink.commit().await.unwrap();
    drop(sink);
    let source = place.source().await.unwrap();
    suite::run(&*source, &given, traits.keeps_manifest).await;
    if place.remembers() {
        let sink = place.sink().await.unwrap();
        assert_eq!(sink.current().await.unwrap(), Some(given.top.descriptor().unwrap()));
    }
}

async fn an_image_that_breaks_off_changes_nothing(place: &dyn Place) {
    let before = place.source().await.unwrap().manifest(None).await.unwrap();
    let sink = place.sink().await.unwrap();
    put_all(&*sink, &fixture(&*sink)).await;
    drop(sink);
    let source = place.source().await.unwrap();
    assert_eq!(source.manifest(None).await.unwrap().raw, before.raw);
    for blob in blobs(&*source, &before).await {
        suite::read(&*source.blob(&blob).await.unwrap(), 0).await.unwrap();
    }
}

/// Every blob of an image or of an index's children.
async fn blobs(source: &dyn Source, top: &RawManifest) -> Vec<Descriptor> {
    let mut found = Vec::new();
    let mut open = vec![top.clone()];
    while let Some(manifest) = open.pop() {
        let parsed = manifest.parse().unwrap();
        for child in &parsed.manifests {
            open.push(source.manifest(Some(&child.digest)).await.unwrap());
        }
        found.extend(parsed.config.into_iter().chain(parsed.layers));
    }
    found
}

async fn signatures_come_beside_those_that_are_there(place: &dyn Place) {
    let sigstore = Signature::Sigstore {
        media_type: "application/vnd.dev.cosign.simplesigning.v1+json".to_owned(),
        payload: unique(100),
        annotations: [("dev.cosignproject.cosign/signature".to_owned(), "c2ln".to_owned())].into(),
    };
    let first = [sigstore.clone(), Signature::Simple(Bytes::from_static(b"\x90 one"))];
    let sink = place.sink().await.unwrap();
    let given = Fixture::index();
    put_all(&*sink, &given).await;
    sink.put_manifest(&given.top, Role::Top).await.unwrap();
    sink.put_signatures(&given.top.digest, &first).await.unwrap();
    sink.put_signatures(&given.children[0].digest, &first[..1]).await.unwrap();
    sink.commit().await.unwrap();
    let source = place.source().await.unwrap();
    assert_eq!(source.signatures(&given.top.digest).await.unwrap(), first);
    assert_eq!(source.signatures(&given.children[0].digest).await.unwrap(), first[..1]);
    assert_eq!(source.signatures(&given.children[1].digest).await.unwrap(), []);

    // The same image again, with one more signature.
    let more = [first[0].clone(), Signature::Simple(Bytes::from_static(b"\x90 two"))];
    let sink = place.sink().await.unwrap();
    sink.put_signatures(&given.top.digest, &more).await.unwrap();
    sink.commit().await.unwrap();
    let all = [first[0].clone(), first[1].clone(), more[1].clone()];
    let source = place.source().await.unwrap();
    assert_eq!(source.signatures(&given.top.digest).await.unwrap(), all);
    assert_eq!(source.manifest(None).await.unwrap().raw, given.top.raw);
}
