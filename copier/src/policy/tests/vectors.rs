//! What another implementation made.

use super::{super::*, images::Image};
use crate::{
    Secret,
    signature::{Signature, sigstore::PrivateKey},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

const KEY: &[u8] = include_bytes!("vectors/key.private");
const PUBLIC: &[u8] = include_bytes!("vectors/key.pub");
const MANIFEST: &[u8] = include_bytes!("vectors/manifest.json");
const SIGNATURE: &[u8] = include_bytes!("vectors/signature-1");

#[tokio::test]
async fn a_signature_of_skopeos_library_is_accepted_for_its_own_image_alone() {
    let signature = Signature::from_file_bytes(SIGNATURE).unwrap();
    let requirement = format!(r#"{{"type":"sigstoreSigned","keyData":"{}"}}"#, STANDARD.encode(PUBLIC));
    let policy = Policy::parse(format!(r#"{{"default":[{requirement}]}}"#).as_bytes(), false).unwrap();
    let check = async |name: &str, manifest: &[u8]| {
        let manifest = RawManifest::new(manifest.to_vec().into(), None);
        let image = Image::of(name, &manifest, vec![signature.clone()]);
        policy.check(&image, &manifest).await
    };
    check("docker://127.0.0.1:28999/ns/app:1", MANIFEST).await.unwrap();
    check("docker://127.0.0.1:28999/ns/app:2", MANIFEST).await.unwrap_err();
    check("docker://127.0.0.1:28999/ns/app:1", b"{}").await.unwrap_err();
}

#[test]
fn a_key_of_skopeos_library_is_opened() {
    let key = PrivateKey::from_pem(KEY, &Secret::new("correct horse")).unwrap();
    assert_eq!(key.public_pem().unwrap().as_bytes(), PUBLIC);
    PrivateKey::from_pem(KEY, &Secret::new("correct horses")).unwrap_err();
}
