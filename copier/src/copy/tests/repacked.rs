//! Layers that are packed otherwise on their way.

use std::io::{Read, Write};

use berth_oci::{Digest, MediaType};
use serde_json::Value;

use super::{
    copy,
    fakes::{Call, Heap, Shelf, digest},
};
use crate::{
    copy::{Compression, CompressionFormat, ManifestFormat, Options, Report},
    signature::Signature,
    sink::LayerForm,
};

const PLAIN: &[u8] = b"a plain layer, a plain layer, a plain layer";

fn gzipped(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn unzipped(content: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(content).read_to_end(&mut plain).unwrap();
    plain
}

fn plain_image(shelf: &mut Shelf) -> Digest {
    shelf.image_of(MediaType::OCI_MANIFEST, MediaType::OCI_CONFIG, MediaType::OCI_LAYER, b"{}", &[PLAIN])
}

fn heap(layers: LayerForm) -> Heap {
    let mut heap = Heap::default();
    heap.traits.layers = layers;
    heap
}

/// The only layer at the destination: its descriptor, and its bytes.
fn layer(heap: &Heap, report: &Report) -> (Value, Vec<u8>) {
    let state = heap.state();
    let manifest: Value = serde_json::from_slice(&state.manifests[&report.digest]).unwrap();
    let layer = manifest["layers"][0].clone();
    let digest: Digest = layer["digest"].as_str().unwrap().parse().unwrap();
    (layer, state.blobs[&digest].to_vec())
}

fn asked(format: Option<CompressionFormat>) -> Options {
    Options { compression: Compression { format, ..Compression::default() }, ..Options::default() }
}

#[tokio::test]
async fn plain_layers_are_gzipped_where_the_destination_wants_it_and_it_is_said() {
    let mut shelf = Shelf::default();
    let top = plain_image(&mut shelf);
    for precompute_digests in [false, true] {
        let heap = heap(LayerForm::Compress);
        let options = Options { precompute_digests, ..Options::default() };
        let report = copy(&shelf, &heap, &options).await.unwrap();
        assert_eq!(report.source_digest, Some(top.clone()));
        let (layer, bytes) = layer(&heap, &report);
        assert_eq!(layer["mediaType"], MediaType::OCI_LAYER_GZIP);
        assert_eq!(
            (layer["digest"].as_str().unwrap(), layer["size"].as_u64()),
            (digest(&bytes).as_str(), Some(bytes.len() as u64))
        );
        assert_eq!(unzipped(&bytes), PLAIN);
    }
}

#[tokio::test]
async fn a_plain_layer_that_is_there_stays_plain() {
    let mut shelf = Shelf::default();
    let top = plain_image(&mut shelf);
    let heap = heap(LayerForm::Compress);
    heap.state().blobs.insert(digest(PLAIN), PLAIN.into());
    let report = copy(&shelf, &heap, &Options::default()).await.unwrap();
    assert_eq!((report.digest, report.source_digest), (top, None));
}

#[tokio::test]
async fn what_may_not_change_keeps_its_layers() {
    let mut shelf = Shelf::default();
    let top = plain_image(&mut shelf);
    let preserve = Options { preserve_digests: true, ..Options::default() };
    assert_eq!(copy(&shelf, &heap(LayerForm::Compress), &preserve).await.unwrap().digest, top);
    shelf.signatures.insert(top.clone(), vec![Signature::Simple("sig".into())]);
    let report = copy(&shelf, &heap(LayerForm::Compress), &Options::default()).await.unwrap();
    assert_eq!(report.digest, top);
}

#[tokio::test]
async fn an_archive_gets_plain_layers_and_keeps_no_digest() {
    let mut shelf = Shelf::default();
    shelf.image(b"{}", &[&gzipped(PLAIN)]);
    let mut heap = heap(LayerForm::Decompress);
    heap.traits.keeps_manifest = false;
    heap.traits.manifest_types = Some(&[MediaType::DOCKER_MANIFEST]);
    let report = copy(&shelf, &heap, &Options::default()).await.unwrap();
    let (layer, bytes) = layer(&heap, &report);
    assert_eq!(layer["mediaType"], "application/vnd.docker.image.rootfs.diff.tar");
    assert_eq!(bytes, PLAIN);
    let preserve = Options { preserve_digests: true, ..Options::default() };
    assert_eq!(copy(&shelf, &heap, &preserve).await.unwrap_err().exit_code(), 5);
}

#[tokio::test]
async fn another_format_recompresses_and_takes_dockers_images_to_oci() {
    let mut shelf = Shelf::default();
    shelf.docker_image(b"{}", &[&gzipped(PLAIN)]);
    let heap = heap(LayerForm::Compress);
    let report = copy(&shelf, &heap, &asked(Some(CompressionFormat::Zstd))).await.unwrap();
    assert_eq!(report.media_type.as_str(), MediaType::OCI_MANIFEST);
    let (layer, bytes) = layer(&heap, &report);
    assert_eq!(layer["mediaType"], MediaType::OCI_LAYER_ZSTD);
    assert_eq!(zstd::decode_all(&bytes[..]).unwrap(), PLAIN);

    let docker = Options { format: Some(ManifestFormat::V2s2), ..asked(Some(CompressionFormat::Zstd)) };
    let error = copy(&shelf, &heap, &docker).await.unwrap_err();
    assert!(error.to_string().contains("zstd compression is not supported for docker images"), "{error}");
}

#[tokio::test]
async fn a_layer_that_is_there_is_recompressed_by_force_only() {
    let packed = gzipped(PLAIN);
    let mut shelf = Shelf::default();
    let top = shelf.image(b"{}", &[&packed]);
    let mut options = asked(Some(CompressionFormat::Zstd));
    for force in [false, true] {
        options.compression.force = force;
        let heap = heap(LayerForm::Compress);
        heap.state().blobs.insert(digest(&packed), packed.clone().into());
        let report = copy(&shelf, &heap, &options).await.unwrap();
        assert_eq!(report.digest != top, force);
    }
}

#[tokio::test]
async fn zstd_goes_to_dockers_format_as_gzip_only() {
    let mut shelf = Shelf::default();
    let packed = zstd::encode_all(PLAIN, 3).unwrap();
    shelf.image_of(
        MediaType::OCI_MANIFEST,
        MediaType::OCI_CONFIG,
        MediaType::OCI_LAYER_ZSTD,
        b"{}",
        &[&packed],
    );
    let docker = |format| Options { format: Some(ManifestFormat::V2s2), ..asked(format) };
    let error = copy(&shelf, &heap(LayerForm::Compress), &docker(None)).await.unwrap_err();
    assert!(error.to_string().contains("zstd compression is not supported"), "{error}");
    let heap = heap(LayerForm::Compress);
    let report = copy(&shelf, &heap, &docker(Some(CompressionFormat::Gzip))).await.unwrap();
    assert_eq!(report.media_type.as_str(), MediaType::DOCKER_MANIFEST);
    assert_eq!(unzipped(&layer(&heap, &report).1), PLAIN);
}

#[tokio::test]
async fn a_digest_known_before_saves_the_upload_of_what_is_there() {
    let mut shelf = Shelf::default();
    plain_image(&mut shelf);
    let heap = heap(LayerForm::Compress);
    copy(&shelf, &heap, &Options::default()).await.unwrap();
    heap.state().calls.clear();
    let options = Options { precompute_digests: true, ..Options::default() };
    copy(&shelf, &heap, &options).await.unwrap();
    assert!(!heap.calls().iter().any(|call| matches!(call, Call::Put(_))), "{:?}", heap.calls());
}

#[tokio::test]
async fn c6_a_layer_that_lies_is_not_recompressed() {
    let mut shelf = Shelf::default();
    plain_image(&mut shelf);
    shelf.lies.insert(digest(PLAIN), b"a plain liar,  a plain layer, a plain layer".as_slice().into());
    for precompute_digests in [false, true] {
        let heap = heap(LayerForm::Compress);
        let options = Options { precompute_digests, ..Options::default() };
        let error = copy(&shelf, &heap, &options).await.unwrap_err();
        assert_eq!(error.exit_code(), 4, "{error}");
        assert!(heap.state().top.is_none());
    }
}
