//! Layers that are encrypted and decrypted on their way.

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use berth_oci::MediaType;

use super::{
    copy,
    fakes::{Heap, Shelf},
};
use crate::{
    copy::{ManifestFormat, Options, Report},
    encryption::{DecryptionKey, Encrypt, Recipient},
};

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der)).into_bytes()
}

/// The destination of one copy as the source of the next.
fn shelf_of(heap: &Heap, report: &Report) -> Shelf {
    let mut shelf = Shelf::default();
    let state = heap.state();
    shelf.blobs.extend(state.blobs.clone());
    let raw = state.manifests[&report.digest].clone();
    shelf.manifests.insert(report.digest.clone(), (raw, report.media_type.to_string()));
    shelf.top = Some(report.digest.clone());
    shelf
}

#[tokio::test]
async fn a_layer_goes_encrypted_and_comes_back_as_it_was() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
    let private = pair.to_pkcs8v1().unwrap();
    let encrypt = Encrypt {
        recipients: vec![Recipient::from_bytes(&pem("PUBLIC KEY", public.as_ref())).unwrap()],
        layers: vec![-1],
    };
    let decrypt = vec![DecryptionKey::from_bytes(&pem("PRIVATE KEY", private.as_ref()), None).unwrap()];

    let mut shelf = Shelf::default();
    let top = shelf.docker_image(b"{}", &[b"the base", b"a secret"]);
    let (there, back) = (Heap::default(), Heap::default());
    let options = Options { encrypt: Some(encrypt), ..Options::default() };
    let report = copy(&shelf, &there, &options).await.unwrap();
    assert_eq!((report.source_digest, report.media_type.as_str()), (Some(top), MediaType::OCI_MANIFEST));
    let bytes: Vec<u8> = there.state().blobs.values().flatten().copied().collect();
    assert!(!bytes.windows(8).any(|window| window == b"a secret"));

    // Without a key it goes on as it is; with one it comes back.
    let shelf = shelf_of(&there, &copy(&shelf, &there, &options).await.unwrap());
    let as_is = copy(&shelf, &Heap::default(), &Options::default()).await.unwrap();
    assert_eq!(Some(as_is.digest), shelf.top);
    let options = Options { decrypt, format: Some(ManifestFormat::V2s2), ..Options::default() };
    copy(&shelf, &back, &options).await.unwrap();
    assert!(back.state().blobs.values().any(|blob| &blob[..] == b"a secret"));

    let preserve = Options { preserve_digests: true, format: None, ..options };
    assert_eq!(copy(&shelf, &Heap::default(), &preserve).await.unwrap_err().exit_code(), 5);
}

#[tokio::test]
async fn what_would_go_out_unencrypted_is_refused_before_anything_moves() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
    let recipients = vec![Recipient::from_bytes(&pem("PUBLIC KEY", public.as_ref())).unwrap()];
    let encrypt = Encrypt { recipients, layers: Vec::new() };
    let options = Options { encrypt: Some(encrypt), ..Options::default() };
    for (config, layer) in [
        (MediaType::OCI_EMPTY, MediaType::OCI_LAYER),
        (MediaType::OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+bzip2"),
    ] {
        let (mut shelf, heap) = (Shelf::default(), Heap::default());
        shelf.blob(b"{}");
        shelf.blob(b"a secret");
        shelf.manifest(&serde_json::json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
            "config": super::fakes::described(config, b"{}"),
            "layers": [super::fakes::described(layer, b"a secret")],
        }));
        assert_eq!(copy(&shelf, &heap, &options).await.unwrap_err().exit_code(), 5, "{config} {layer}");
        assert!(heap.state().blobs.is_empty(), "{config} {layer}");
    }
}

#[tokio::test]
async fn layers_that_an_index_lists_itself_are_refused_where_they_would_have_to_be_encrypted() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
    let recipients = vec![Recipient::from_bytes(&pem("PUBLIC KEY", public.as_ref())).unwrap()];
    let encrypt = Encrypt { recipients, layers: Vec::new() };
    let (mut shelf, heap) = (Shelf::default(), Heap::default());
    shelf.blob(b"a secret");
    let layer = super::fakes::described(MediaType::OCI_LAYER_GZIP, b"a secret");
    shelf.manifest(&serde_json::json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [layer],
    }));
    assert_eq!(copy(&shelf, &heap, &super::all()).await.unwrap().blobs.len(), 1);
    let heap = Heap { name: "dir:/other".parse().unwrap(), ..heap };
    heap.state().blobs.clear();
    let error = copy(&shelf, &heap, &Options { encrypt: Some(encrypt), ..super::all() }).await.unwrap_err();
    assert_eq!(error.exit_code(), 5, "{error}");
    assert!(heap.state().blobs.is_empty());
}
