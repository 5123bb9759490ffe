//! Whole copies against real registries, with a proxy that counts requests before each.

use std::{path::Path, sync::Mutex};

use berth_conformance::{
    clients::Skopeo,
    harness::{Berth, CountingProxy, DockerRegistry, Scratch, require},
};
use berth_copier::{
    Event, ImageName, Progress, Result, Session, Settings, Side,
    copy::{self, Compression, CompressionFormat, ManifestFormat, Options, Report},
    progress::Silent,
    source::Instances,
};
use berth_oci::{Algorithm, Digest, MediaType};
use serde_json::{Value, json};

use crate::transports_carry::{gzip, layer, session};

/// Writes a layout with an index `multi` of so many platforms, each of a shared layer and two of its own.
fn make_layout(folder: &Path, platforms: usize, size: usize) {
    std::fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
    let put = |content: &[u8], kind: &str| {
        let digest = Digest::of(Algorithm::Sha256, content);
        std::fs::write(folder.join("blobs/sha256").join(digest.hex()), content).unwrap();
        json!({"mediaType": kind, "digest": digest.as_str(), "size": content.len()})
    };
    let mut entries = Vec::new();
    for platform in 0..platforms {
        let names = ["shared".to_owned(), format!("own-{platform}"), format!("more-{platform}")];
        let tars: Vec<Vec<u8>> = names.iter().map(|name| layer(name, size)).collect();
        let diff_ids: Vec<Digest> = tars.iter().map(|tar| Digest::of(Algorithm::Sha256, tar)).collect();
        let architecture = if platform == 0 { "amd64".to_owned() } else { format!("arch{platform}") };
        let config = json!({
            "architecture": architecture, "os": "linux", "config": {"Env": ["A=b"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = put(config.to_string().as_bytes(), MediaType::OCI_CONFIG);
        let layers: Vec<Value> = tars.iter().map(|tar| put(&gzip(tar), MediaType::OCI_LAYER_GZIP)).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": layers,
        });
        let mut entry = put(manifest.to_string().as_bytes(), MediaType::OCI_MANIFEST);
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entries.push(entry);
    }
    let index = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": entries});
    let mut multi = put(index.to_string().as_bytes(), MediaType::OCI_INDEX);
    multi["annotations"] = json!({"org.opencontainers.image.ref.name": "multi"});
    std::fs::write(folder.join("index.json"), json!({"schemaVersion": 2, "manifests": [multi]}).to_string())
        .unwrap();
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

fn plain() -> Side {
    Side { tls_verify: Some(false), anonymous: true, ..Side::default() }
}

async fn copy_in(session: &Session, from: &str, to: &str, options: &Options) -> Result<Report> {
    let (from, to): (ImageName, ImageName) = (from.parse()?, to.parse()?);
    let source = session.source(&from, &plain()).await?;
    let sink = session.sink(&to, &plain()).await?;
    copy::run(session, &*source, &*sink, options, &Silent).await
}

/// Copies as a process of its own would.
async fn copy(from: &str, to: &str, options: &Options) -> Result<Report> {
    let platform = "linux/amd64".parse().unwrap();
    let settings = Settings { insecure_policy: true, platform, ..Settings::default() };
    copy_in(&Session::new(settings).unwrap(), from, to, options).await
}

fn all() -> Options {
    Options { instances: Instances::All, ..Options::default() }
}

async fn whole_journey(upstream: &str) {
    let scratch = Scratch::new("copy").unwrap();
    make_layout(&scratch.join("layout"), 10, 20_000);
    let layout = format!("oci:{}:multi", scratch.join("layout").display());
    let proxy = CountingProxy::start(upstream).unwrap();
    let at = |name: &str| format!("docker://{}/{name}", proxy.host());

    // Cold, from a layout: 31 blobs and 11 manifests.
    let cold = copy(&layout, &at("one/app:1"), &all()).await.unwrap();
    assert_eq!((cold.source_digest, cold.manifests, cold.blobs.len()), (None, 11, 31));
    let counts = proxy.take();
    assert!(counts.total() <= 31 * 3 + 11 + 3, "{counts:?}");

    // What is there already: a HEAD of each side.
    let again = copy(&at("one/app:1"), &at("one/app:1"), &all()).await.unwrap();
    assert!(again.unchanged && again.digest == cold.digest);
    let counts = proxy.take();
    assert!(counts.total() <= 4 && !counts.requests.contains_key("GET blob"), "{counts:?}");

    // Into another repository of the same registry: no byte of a blob moves.
    let mounted = copy(&at("one/app:1"), &at("two/app:1"), &all()).await.unwrap();
    assert_eq!((mounted.digest.clone(), mounted.bytes_copied), (cold.digest.clone(), 0));
    assert!(mounted.blobs.iter().all(|blob| blob.outcome == "mounted"));
    let counts = proxy.take();
    assert!(!counts.requests.contains_key("GET blob") && counts.total() <= 31 + 2 * 11 + 4, "{counts:?}");

    // One platform: the index, its manifest, and a HEAD where it goes.
    let one = copy(&at("one/app:1"), &at("one/amd:1"), &Options::default()).await.unwrap();
    assert_eq!(one.manifests, 1);
    drop(proxy.take());
    assert!(copy(&at("one/app:1"), &at("one/amd:1"), &Options::default()).await.unwrap().unchanged);
    assert!(proxy.take().total() <= 4);

    // And back into a layout, byte for byte.
    let target = format!("oci:{}:multi", scratch.join("back").display());
    assert_eq!(copy(&at("two/app:1"), &target, &all()).await.unwrap().digest, cold.digest);
    for file in std::fs::read_dir(scratch.join("layout/blobs/sha256")).unwrap() {
        let file = file.unwrap();
        let back = scratch.join("back/blobs/sha256").join(file.file_name());
        assert_eq!(std::fs::read(file.path()).unwrap(), std::fs::read(back).unwrap());
    }
}

#[tokio::test]
async fn an_index_goes_to_berth_and_back_with_the_fewest_requests() {
    let berth = Berth::builder().start().unwrap();
    whole_journey(&berth.host()).await;
}

#[tokio::test]
async fn an_index_goes_to_docker_registry_and_back_with_the_fewest_requests() {
    if !require(DockerRegistry::TOOLS) {
        return;
    }
    let registry = DockerRegistry::start().unwrap();
    whole_journey(&registry.host()).await;
}

#[tokio::test]
async fn between_registries_each_byte_goes_once_in_and_once_out() {
    if !require(DockerRegistry::TOOLS) {
        return;
    }
    let (berth, docker) = (Berth::builder().start().unwrap(), DockerRegistry::start().unwrap());
    let (from, to) =
        (CountingProxy::start(&berth.host()).unwrap(), CountingProxy::start(&docker.host()).unwrap());
    let scratch = Scratch::new("copy").unwrap();
    make_layout(&scratch.join("layout"), 3, 500_000);
    let layout = format!("oci:{}:multi", scratch.join("layout").display());
    let (there, here) = (format!("docker://{}/app:1", from.host()), format!("docker://{}/app:1", to.host()));
    let top = copy(&layout, &there, &all()).await.unwrap();
    drop(from.take());
    let report = copy(&there, &here, &all()).await.unwrap();
    assert_eq!((report.digest, report.source_digest), (top.digest, None));
    let blobs = report.blobs.len();
    let (read, written) = (from.take(), to.take());
    assert_eq!(read.requests["GET blob"], blobs);
    assert!(read.total() <= blobs + 4 + 2, "{read:?}");
    assert!(read.received < report.bytes_copied * 11 / 10 + 200_000, "{read:?}");
    assert!(written.total() <= 3 * blobs + 4 + 2, "{written:?}");
}

#[tokio::test]
async fn a_converted_image_has_the_digest_that_skopeo_gives_it() {
    if !require(Skopeo::TOOLS) {
        return;
    }
    let (berth, skopeo) = (Berth::builder().start().unwrap(), Skopeo::new().unwrap());
    let scratch = Scratch::new("copy").unwrap();
    make_layout(&scratch.join("layout"), 2, 10_000);
    let layout = format!("oci:{}:multi", scratch.join("layout").display());
    let at = |name: &str| format!("docker://{}/{name}", berth.host());
    for (name, instances, flags) in [("one", Instances::System, &[][..]), ("all", Instances::All, &["--all"])]
    {
        let options = Options { instances, format: Some(ManifestFormat::V2s2), ..Options::default() };
        let (ours, theirs) = (at(&format!("ours-{name}:1")), at(&format!("theirs-{name}:1")));
        let report = copy(&layout, &ours, &options).await.unwrap();
        skopeo.copy(&[flags, &["--format", "v2s2"]].concat(), &layout, &theirs).unwrap();
        let found = session().source(&theirs.parse().unwrap(), &plain()).await.unwrap();
        let found = found.manifest(None).await.unwrap();
        assert_eq!(std::str::from_utf8(&report.manifest), std::str::from_utf8(&found.raw), "{name}");
        assert!(report.source_digest.is_some());

        // And back: the layers and their types are Skopeo's, the configuration keeps its bytes.
        let options = Options { format: Some(ManifestFormat::Oci), ..options };
        let back = copy(&ours, &at(&format!("back-{name}:1")), &options).await.unwrap();
        let top: Value = serde_json::from_slice(&back.manifest).unwrap();
        assert_eq!(top["mediaType"], back.media_type.as_str());
        assert!(back.blobs.iter().all(|blob| blob.outcome != "copied"));
    }
}

#[tokio::test]
async fn recompressed_images_are_read_by_skopeo() {
    if !require(Skopeo::TOOLS) {
        return;
    }
    let (berth, skopeo) = (Berth::builder().start().unwrap(), Skopeo::new().unwrap());
    let scratch = Scratch::new("copy").unwrap();
    make_layout(&scratch.join("layout"), 1, 100_000);
    let layout = format!("oci:{}:multi", scratch.join("layout").display());
    let plain_dir = |name: &str| format!("dir:{}", scratch.join(name).display());
    for (at, format) in [CompressionFormat::Zstd, CompressionFormat::ZstdChunked, CompressionFormat::Gzip]
        .into_iter()
        .enumerate()
    {
        let compression = Compression { format: Some(format), ..Compression::default() };
        let options = Options { compression, ..Options::default() };
        let there = format!("docker://{}/repacked:{at}", berth.host());
        copy(&layout, &there, &options).await.unwrap();
        // Skopeo unpacks every layer; the plain ones are those of the configuration.
        let target = plain_dir(&format!("plain-{at}"));
        skopeo.copy(&["--dest-decompress"], &there, &target).unwrap();
        let manifest = std::fs::read(scratch.join(format!("plain-{at}/manifest.json"))).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        for (place, name) in ["shared", "own-0", "more-0"].iter().enumerate() {
            let diff_id = Digest::of(Algorithm::Sha256, &layer(name, 100_000));
            assert_eq!(manifest["layers"][place]["digest"], diff_id.as_str(), "{format:?}");
        }
    }
}

#[tokio::test]
async fn an_archive_and_a_folder_are_destinations_too() {
    let scratch = Scratch::new("copy").unwrap();
    make_layout(&scratch.join("layout"), 2, 10_000);
    let layout = format!("oci:{}:multi", scratch.join("layout").display());
    let name = |transport: &str, rest: &str| format!("{transport}:{}", scratch.join(rest).display());
    let whole = copy(&layout, &name("dir", "folder"), &all()).await.unwrap();
    let archive = copy(&layout, &format!("{}:x", name("oci-archive", "x.tar")), &all()).await.unwrap();
    assert_eq!(whole.digest, archive.digest);
    let target = format!("{}:app:1", name("docker-archive", "d.tar"));
    let docker = copy(&layout, &target, &Options::default()).await;
    assert_eq!(docker.unwrap().media_type.as_str(), MediaType::DOCKER_MANIFEST);
    let back =
        copy(&name("docker-archive", "d.tar"), &name("dir", "back"), &Options::default()).await.unwrap();
    assert_eq!(back.blobs.len(), 4);
    let error =
        copy(&layout, &format!("{}:app:1", name("docker-archive", "all.tar")), &all()).await.unwrap_err();
    assert!(error.to_string().contains("does not support copying multiple images"), "{error}");
    assert!(!scratch.join("all.tar").exists());
}

/// Counts the bytes that went by.
#[derive(Default)]
struct Bytes(Mutex<u64>);

impl Progress for Bytes {
    fn event(&self, event: Event) {
        if let Event::BlobBytes { bytes, .. } = event {
            *self.0.lock().unwrap() += bytes;
        }
    }
}

#[tokio::test]
async fn every_byte_that_is_sent_is_told() {
    let berth = Berth::builder().start().unwrap();
    let scratch = Scratch::new("copy").unwrap();
    make_layout(&scratch.join("layout"), 2, 300_000);
    let from = format!("oci:{}:multi", scratch.join("layout").display()).parse().unwrap();
    let to = format!("docker://{}/app:1", berth.host()).parse().unwrap();
    let session = session();
    let source = session.source(&from, &plain()).await.unwrap();
    let sink = session.sink(&to, &plain()).await.unwrap();
    let told = Bytes::default();
    let report = copy::run(&session, &*source, &*sink, &all(), &told).await.unwrap();
    assert_eq!(*told.0.lock().unwrap(), report.bytes_copied);
}

#[tokio::test]
async fn referrers_and_tags_of_digests_go_along() {
    let berth = Berth::builder().start().unwrap();
    let scratch = Scratch::new("copy").unwrap();
    make_layout(&scratch.join("layout"), 2, 10_000);
    let at = |name: &str| format!("docker://{}/{name}", berth.host());
    let layout = format!("oci:{}:multi", scratch.join("layout").display());
    let top = copy(&layout, &at("from:1"), &all()).await.unwrap();
    let session = session();
    let repository = |name: &str| {
        let reference = format!("{}/{name}", berth.host()).parse().unwrap();
        session.remote().repository(&reference, &plain()).unwrap().for_writing()
    };
    let (from, to) = (repository("from"), repository("to"));
    let empty = crate::real::descriptor(b"{}");
    let content = crate::real::Memory(b"{}".as_slice().into());
    from.put_blob(&crate::real::blob(Some(empty.clone())), &content, None).await.unwrap();
    let attached = |subject: bool| {
        let config = json!({"mediaType": MediaType::OCI_EMPTY, "digest": empty.digest, "size": 2});
        let of = json!({"mediaType": MediaType::OCI_INDEX, "digest": top.digest, "size": top.manifest.len()});
        let mut document = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "artifactType": "application/x.test",
            "config": config, "layers": [],
        });
        if subject {
            document["subject"] = of;
        }
        berth_copier::RawManifest::new(document.to_string().into(), None)
    };
    let (referrer, signature) = (attached(true), attached(false));
    let tag = format!("sha256-{}.sig", top.digest.hex()).parse().unwrap();
    from.put_manifest(&referrer, &berth_oci::ManifestReference::Digest(referrer.digest.clone()))
        .await
        .unwrap();
    from.put_manifest(&signature, &berth_oci::ManifestReference::Tag(berth_oci::Tag::clone(&tag)))
        .await
        .unwrap();

    let options = Options { referrers: true, digest_tags: true, ..all() };
    let report = copy(&at("from:1"), &at("to:1"), &options).await.unwrap();
    assert_eq!((report.digest.clone(), report.manifests), (top.digest.clone(), 5));
    let listed = to.referrers(&top.digest, None).await.unwrap();
    assert_eq!(listed.iter().map(|entry| &entry.digest).collect::<Vec<_>>(), [&referrer.digest]);
    let tagged = to.manifest(&berth_oci::ManifestReference::Tag(tag)).await.unwrap();
    assert_eq!(tagged.digest, signature.digest);
}
