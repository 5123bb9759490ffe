//! What the transports' tests are made of: a copy with nothing but the two traits, and images to copy.

use std::path::{Path, PathBuf};

use berth_copier::{
    ByteStream, Content, ImageName, RawManifest, Result, Role, Session, Settings, Side, Sink, Source,
    content::{Blob, Part},
};
use berth_oci::{Algorithm, Descriptor, Digest, MediaType};
use serde_json::{Value, json};

/// A session with no configuration of the machine's.
pub(crate) fn session() -> Session {
    Session::new(Settings { insecure_policy: true, ..Settings::default() }).unwrap()
}

/// Copies everything that a name means, bytes untouched.
pub(crate) async fn carry(from: &str, to: &str) -> Result<()> {
    carry_with(from, to, &Side::default()).await
}

/// As [`carry`], with settings for both sides.
pub(crate) async fn carry_with(from: &str, to: &str, side: &Side) -> Result<()> {
    let session = session();
    let (from, to): (ImageName, ImageName) = (from.parse()?, to.parse()?);
    let source = session.source(&from, side).await?;
    let sink = session.sink(&to, side).await?;
    let top = source.manifest(None).await?;
    put(&*source, &*sink, &top, Role::Top).await?;
    sink.commit().await
}

/// Copies one image as an engine would for a sink of plain layers: unpacked, with a manifest of docker's.
pub(crate) async fn carry_plain(from: &str, to: &str, side: &Side) -> Result<()> {
    let session = session();
    let source = session.source(&from.parse()?, side).await?;
    let sink = session.sink(&to.parse()?, side).await?;
    let image = source.manifest(None).await?.parse()?;
    let config = image.config.as_ref().unwrap();
    let known = Descriptor::new(MediaType::DOCKER_CONFIG.into(), config.digest.clone(), config.size);
    let blob = Blob { media_type: known.media_type.clone(), known: Some(known.clone()), part: Part::Config };
    sink.put(&blob, &*source.blob(config).await?, None).await?;
    let mut layers = Vec::new();
    for (place, layer) in image.layers.iter().enumerate() {
        let bytes = read(&*source.blob(layer).await?).await?;
        let packed = bytes.starts_with(&[0x1f, 0x8b]);
        let known = (!packed).then(|| layer.clone());
        let bytes = if packed { gunzip(&bytes) } else { bytes };
        let kind = MediaType::new("application/vnd.docker.image.rootfs.diff.tar");
        let blob = Blob { known, media_type: kind, part: Part::Layer(place) };
        layers.push(sink.put(&blob, &Bytes(bytes), None).await?);
    }
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MediaType::DOCKER_MANIFEST, "config": known, "layers": layers,
    });
    let manifest = RawManifest::new(manifest.to_string().into(), None);
    sink.put_manifest(&manifest, Role::Top).await?;
    sink.commit().await
}

/// Content in memory.
pub(crate) struct Bytes(pub(crate) Vec<u8>);

#[async_trait::async_trait]
impl Content for Bytes {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        let rest = self.0[usize::try_from(from).unwrap()..].to_vec();
        Ok(Box::pin(futures_util::stream::iter([Ok(rest.into())])))
    }
}

/// All of a content.
pub(crate) async fn read(content: &dyn Content) -> Result<Vec<u8>> {
    use futures_util::TryStreamExt as _;
    let pieces: Vec<bytes::Bytes> = content.open(0).await?.try_collect().await?;
    Ok(pieces.concat())
}

fn gunzip(packed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed), &mut plain).unwrap();
    plain
}

async fn put(source: &dyn Source, sink: &dyn Sink, manifest: &RawManifest, role: Role) -> Result<()> {
    let parsed = manifest.parse()?;
    for child in &parsed.manifests {
        let child = source.manifest(Some(&child.digest)).await?;
        Box::pin(put(source, sink, &child, Role::Child)).await?;
    }
    let parts = parsed.config.iter().map(|config| (config, Part::Config));
    let layers = parsed.layers.iter().enumerate().map(|(place, layer)| (layer, Part::Layer(place)));
    for (known, part) in parts.chain(layers) {
        if !matches!(sink.reuse(known, &[]).await?, berth_copier::Reuse::Present) {
            let blob = Blob { known: Some(known.clone()), media_type: known.media_type.clone(), part };
            sink.put(&blob, &*source.blob(known).await?, None).await?;
        }
    }
    sink.put_manifest(manifest, role).await
}

/// Writes a layout with an image (`one`) and an index of two of them (`multi`).
pub(crate) fn make_layout(folder: &Path) {
    let put = |content: &[u8]| {
        let digest = Digest::of(Algorithm::Sha256, content);
        std::fs::write(folder.join("blobs/sha256").join(digest.hex()), content).unwrap();
        digest
    };
    std::fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
    let mut manifests = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let tar = layer(architecture, 3000);
        let diff_id = Digest::of(Algorithm::Sha256, &tar);
        let packed = gzip(&tar);
        let config = json!({
            "architecture": architecture, "os": "linux", "config": {"Env": ["A=b"]},
            "created": "2024-01-02T03:04:05Z",
            "rootfs": {"type": "layers", "diff_ids": [diff_id.as_str()]},
            "history": [{"created_by": "a test"}],
        })
        .to_string();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
            "config": descriptor(MediaType::OCI_CONFIG, &put(config.as_bytes()), config.len()),
            "layers": [descriptor(MediaType::OCI_LAYER_GZIP, &put(&packed), packed.len())],
        })
        .to_string();
        let mut entry = descriptor(MediaType::OCI_MANIFEST, &put(manifest.as_bytes()), manifest.len());
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        manifests.push(entry);
    }
    let index =
        json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": manifests}).to_string();
    let mut multi = descriptor(MediaType::OCI_INDEX, &put(index.as_bytes()), index.len());
    multi["annotations"] = json!({"org.opencontainers.image.ref.name": "multi"});
    let mut one = manifests[0].clone();
    one["annotations"] = json!({"org.opencontainers.image.ref.name": "one"});
    let list = json!({"schemaVersion": 2, "manifests": [multi, one]});
    std::fs::write(folder.join("index.json"), list.to_string()).unwrap();
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

fn descriptor(kind: &str, digest: &Digest, size: usize) -> Value {
    json!({"mediaType": kind, "digest": digest.as_str(), "size": size})
}

/// A tar file with one file of so many bytes.
pub(crate) fn layer(name: &str, size: usize) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(size as u64);
    header.set_mode(0o644);
    let content: Vec<u8> = (0..=250).cycle().take(size).collect();
    builder.append_data(&mut header, format!("{name}.bin"), &content[..]).unwrap();
    builder.into_inner().unwrap()
}

/// gzip, always the same.
pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, content).unwrap();
    encoder.finish().unwrap()
}

/// Every file below a folder with its content's digest.
pub(crate) fn tree(folder: &Path) -> Vec<(PathBuf, Digest)> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let content = std::fs::read(&path).unwrap();
                let digest = Digest::of(Algorithm::Sha256, &content);
                files.push((path.strip_prefix(folder).unwrap().to_owned(), digest));
            }
        }
    }
    files.sort();
    files
}

/// The descriptor of what a name means, by its bytes.
pub(crate) async fn top(name: &str) -> Result<Descriptor> {
    let session = session();
    let source = session.source(&name.parse()?, &Side::default()).await?;
    source.manifest(None).await?.descriptor()
}
