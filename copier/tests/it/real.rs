//! The registry client against real registries.

use async_trait::async_trait;
use berth_conformance::harness::{
    Berth, DaemonSpec, DockerRegistry, Scratch, Tool, find_tool, free_port, get_status, require,
};
use berth_copier::{
    ByteStream, Content, Result, Secret, Session, Settings, Side,
    content::{Blob, Part},
    remote::{Mount, Repository},
};
use berth_oci::{Algorithm, Descriptor, Digest, ManifestReference, MediaType, Reference};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

/// Content in memory, in pieces of 64 KiB.
pub(crate) struct Memory(pub(crate) Bytes);

#[async_trait]
impl Content for Memory {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        let mut rest = self.0.slice(usize::try_from(from).unwrap()..);
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            pieces.push(Ok(rest.split_to(rest.len().min(64 * 1024))));
        }
        Ok(stream::iter(pieces).boxed())
    }
}

pub(crate) fn descriptor(content: &[u8]) -> Descriptor {
    let digest = Digest::of(Algorithm::Sha256, content);
    Descriptor::new(MediaType::new(MediaType::OCI_LAYER_GZIP), digest, content.len() as u64)
}

pub(crate) fn blob(known: Option<Descriptor>) -> Blob {
    Blob { known, media_type: MediaType::new(MediaType::OCI_LAYER_GZIP), part: Part::Layer(0) }
}

pub(crate) async fn read(repository: &Repository, blob: &Descriptor) -> Result<Vec<u8>> {
    let pieces = repository.blob(blob).open(0).await?;
    pieces
        .try_fold(Vec::new(), |mut whole, piece| async move {
            whole.extend_from_slice(&piece);
            Ok(whole)
        })
        .await
}

fn plain() -> Side {
    Side { tls_verify: Some(false), anonymous: true, ..Side::default() }
}

async fn round_trip(host: &str) {
    let session = Session::new(Settings::default()).unwrap();
    let open = |name: &str| {
        let reference: Reference = format!("{host}/{name}").parse().unwrap();
        session.remote().repository(&reference, &plain()).unwrap()
    };
    let (reader, writer) = (open("team/app"), open("team/app").for_writing());

    // Blobs: known, and made on the way; large enough for many pieces.
    let layer: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let known = descriptor(&layer);
    assert_eq!(writer.has_blob(&known.digest).await.unwrap(), None);
    let stored =
        writer.put_blob(&blob(Some(known.clone())), &Memory(layer.clone().into()), None).await.unwrap();
    assert_eq!(stored.digest, known.digest);
    assert_eq!(writer.has_blob(&known.digest).await.unwrap(), Some(known.size));
    assert_eq!(read(&reader, &known).await.unwrap(), layer);
    let tail: Vec<Bytes> =
        reader.blob(&known).open(known.size - 3).await.unwrap().try_collect().await.unwrap();
    assert_eq!(tail.concat(), layer[layer.len() - 3..]);

    let config =
        br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#.to_vec();
    let made = writer.put_blob(&blob(None), &Memory(config.clone().into()), None).await.unwrap();
    assert_eq!(made.digest, descriptor(&config).digest);
    assert_eq!(made.size, config.len() as u64);
    assert_eq!(read(&reader, &made).await.unwrap(), config);
    let empty = descriptor(b"");
    writer.put_blob(&blob(Some(empty.clone())), &Memory(Bytes::new()), None).await.unwrap();
    assert_eq!(read(&reader, &empty).await.unwrap(), b"");

    // Mounts, and what the process knows.
    assert!(session.remote().known_at(host, &known.digest).contains(writer.reference().name()));
    let other = open("team/other").for_writing();
    let mount = other.mount(&known.digest, Some(writer.reference().name())).await.unwrap();
    assert!(matches!(mount, Mount::Done));
    assert_eq!(other.has_blob(&known.digest).await.unwrap(), Some(known.size));
    let nowhere = descriptor(b"nowhere").digest;
    let Mount::Upload(upload) = other.mount(&nowhere, Some(writer.reference().name())).await.unwrap() else {
        panic!("a blob that nobody has was mounted")
    };
    other
        .put_blob(&blob(Some(descriptor(b"nowhere"))), &Memory(Bytes::from_static(b"nowhere")), Some(upload))
        .await
        .unwrap();

    // Manifests and tags.
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"{}","size":{}}},"layers":[{{"mediaType":"{}","digest":"{}","size":{}}}]}}"#,
        MediaType::OCI_MANIFEST,
        MediaType::OCI_CONFIG,
        made.digest,
        made.size,
        MediaType::OCI_LAYER_GZIP,
        known.digest,
        known.size
    );
    let manifest = berth_copier::RawManifest::new(manifest.into(), None);
    let tag: ManifestReference = "1.0".parse().unwrap();
    assert!(reader.head_manifest(&tag).await.unwrap().is_none());
    let missing = reader.manifest(&tag).await.unwrap_err();
    assert_eq!(missing.exit_code(), 2);
    assert!(
        missing.to_string().starts_with(&format!("reading manifest 1.0 in {host}/team/app: ")),
        "{missing}"
    );
    writer.put_manifest(&manifest, &tag).await.unwrap();
    assert_eq!(reader.head_manifest(&tag).await.unwrap().unwrap().digest, manifest.digest);
    assert_eq!(reader.manifest(&tag).await.unwrap().raw, manifest.raw);
    let by_digest = ManifestReference::Digest(manifest.digest.clone());
    assert_eq!(reader.manifest(&by_digest).await.unwrap().raw, manifest.raw);
    for n in 0..5 {
        writer.put_manifest(&manifest, &format!("t{n}").parse().unwrap()).await.unwrap();
    }
    let mut tags: Vec<String> = reader.tags().await.unwrap().iter().map(ToString::to_string).collect();
    // docker-registry lists them in no order.
    tags.sort();
    assert_eq!(tags, ["1.0", "t0", "t1", "t2", "t3", "t4"]);

    // Referrers, by the interface or by the tag.
    let referrer = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","artifactType":"application/x.test","config":{{"mediaType":"{}","digest":"{}","size":{}}},"layers":[],"subject":{{"mediaType":"{}","digest":"{}","size":{}}}}}"#,
        MediaType::OCI_MANIFEST,
        MediaType::OCI_CONFIG,
        made.digest,
        made.size,
        MediaType::OCI_MANIFEST,
        manifest.digest,
        manifest.raw.len()
    );
    let referrer = berth_copier::RawManifest::new(referrer.into(), None);
    assert_eq!(reader.referrers(&manifest.digest, None).await.unwrap().len(), 0);
    let under = ManifestReference::Digest(referrer.digest.clone());
    for _ in 0..2 {
        writer.put_manifest(&referrer, &under).await.unwrap();
    }
    let listed = reader.referrers(&manifest.digest, None).await.unwrap();
    assert_eq!(listed.iter().map(|entry| &entry.digest).collect::<Vec<_>>(), [&referrer.digest]);
    let of = |kind: &str| MediaType::new(kind);
    let filtered = reader.referrers(&manifest.digest, Some(&of("application/x.test"))).await.unwrap();
    assert_eq!(filtered.len(), 1);
    assert_eq!(reader.referrers(&manifest.digest, Some(&of("application/x.other"))).await.unwrap().len(), 0);

    // Deletion.
    match writer.delete_manifest(&"t0".parse().unwrap()).await {
        Ok(()) => assert!(reader.head_manifest(&"t0".parse().unwrap()).await.unwrap().is_none()),
        Err(error) => {
            assert!(matches!(error, berth_copier::Error::Unsupported(_)), "{error}");
            assert!(reader.head_manifest(&"t0".parse().unwrap()).await.unwrap().is_some());
        }
    }
    writer.delete_manifest(&by_digest).await.unwrap();
    assert!(reader.head_manifest(&by_digest).await.unwrap().is_none());
    assert!(reader.head_manifest(&tag).await.unwrap().is_none());
}

#[tokio::test]
async fn every_request_works_against_berth() {
    let berth = Berth::builder().start().unwrap();
    round_trip(&berth.host()).await;
}

#[tokio::test]
async fn every_request_works_against_docker_registry() {
    if !require(DockerRegistry::TOOLS) {
        return;
    }
    let registry = DockerRegistry::start().unwrap();
    round_trip(&registry.host()).await;
}

#[tokio::test]
async fn docker_registry_with_a_password_lets_in_whom_it_should() {
    if !require(&["docker-registry", "htpasswd", "setpriv"]) {
        return;
    }
    let scratch = Scratch::new("htpasswd").unwrap();
    let entry = Tool::new("htpasswd").unwrap().args(["-Bbn", "user", "s3cret"]).run().unwrap();
    let file = scratch.write("htpasswd", entry).unwrap();
    let port = free_port().unwrap();
    let config = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage:\n  \
         filesystem: {{rootdirectory: {}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n\
         auth: {{htpasswd: {{realm: test, path: {}}}}}\n",
        scratch.subfolder("data").unwrap().display(),
        file.display()
    );
    let config = scratch.write("config.yml", config).unwrap();
    let argv = [find_tool("docker-registry").unwrap().into_os_string(), "serve".into(), config.into()];
    let mut spec = DaemonSpec::new("docker-registry", scratch.join("log"), argv);
    spec.env.push(("OTEL_TRACES_EXPORTER".into(), "none".into()));
    let mut daemon = spec.start().unwrap();
    let ready = || get_status(port, "/v2/").is_ok_and(|status| status == 401);
    daemon.wait_ready(std::time::Duration::from_secs(60), ready).unwrap();

    let host = format!("127.0.0.1:{port}");
    let session = Session::new(Settings::default()).unwrap();
    let reference: Reference = format!("{host}/app").parse().unwrap();
    let as_user = |password: &str| Side {
        tls_verify: Some(false),
        credentials: Some(("user".to_owned(), Secret::new(password))),
        ..Side::default()
    };
    let open = |side: &Side| session.remote().repository(&reference, side).unwrap().for_writing();
    let content = Memory(Bytes::from_static(b"layer"));
    let put = blob(Some(descriptor(b"layer")));
    open(&as_user("s3cret")).put_blob(&put, &content, None).await.unwrap();
    assert_eq!(open(&as_user("s3cret")).has_blob(&descriptor(b"layer").digest).await.unwrap(), Some(5));
    for side in [as_user("wrong"), plain()] {
        let error = open(&side).put_blob(&put, &content, None).await.unwrap_err();
        assert_eq!(error.exit_code(), 3, "{error}");
        assert!(error.to_string().contains("unauthorized: authentication required"), "{error}");
    }
    let check = |password: &'static str| {
        let client = session.remote().clone();
        let host = host.clone();
        async move { client.check_login(&host, "user", &Secret::new(password), &plain()).await }
    };
    check("s3cret").await.unwrap();
    assert_eq!(check("wrong").await.unwrap_err().exit_code(), 3);
}
