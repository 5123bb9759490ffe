//! Images that are accepted, and all the ways in which they are not.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use berth_oci::{Descriptor, Digest, Reference};
use jiff::ToSpan;

use super::super::*;
use crate::{
    Content, Secret,
    signature::{
        Sign, Signature, SigstoreSigner, annotation,
        openpgp::tests::Gnupg,
        payload::{Kind, Payload},
        sigstore::{
            PrivateKey, generate_key_pair, rekor,
            tests::{Ca, LEAF, Leaf, Log, sign},
        },
    },
};

const MANIFEST: &[u8] = br#"{"schemaVersion":2}"#;

/// An image with signatures, which counts how often they are asked for.
pub(super) struct Image {
    name: ImageName,
    manifest: Digest,
    identity: Option<Reference>,
    signatures: Result<Vec<Signature>, ()>,
    asked: Arc<AtomicUsize>,
}

impl Image {
    pub(super) fn of(name: &str, manifest: &RawManifest, signatures: Vec<Signature>) -> Self {
        let name: ImageName = name.parse().unwrap();
        let identity = name.reference().cloned();
        let manifest = manifest.digest.clone();
        Self { name, manifest, identity, signatures: Ok(signatures), asked: Arc::default() }
    }
}

fn image(name: &str, signatures: Vec<Signature>) -> Image {
    Image::of(name, &raw(), signatures)
}

#[async_trait]
impl Source for Image {
    fn name(&self) -> &ImageName {
        &self.name
    }

    fn identity(&self) -> Option<&Reference> {
        self.identity.as_ref()
    }

    async fn manifest(&self, _: Option<&Digest>) -> Result<RawManifest> {
        unreachable!("the policy is given the manifest")
    }

    async fn blob(&self, _: &Descriptor) -> Result<Box<dyn Content>> {
        unreachable!("no blob moves before the policy allows it")
    }

    async fn signatures(&self, manifest: &Digest) -> Result<Vec<Signature>> {
        assert_eq!(*manifest, self.manifest);
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.signatures.clone().map_err(|()| Error::Timeout)
    }
}

fn raw() -> RawManifest {
    RawManifest::new(MANIFEST.into(), None)
}

async fn check(requirements: &str, image: &Image) -> Result<()> {
    check_at(requirements, image, Timestamp::now()).await
}

async fn check_at(requirements: &str, image: &Image, now: Timestamp) -> Result<()> {
    let policy = format!(r#"{{"default":[{requirements}]}}"#);
    Policy::parse(policy.as_bytes(), false).unwrap().check_at(image, &raw(), now).await
}

fn refusal(outcome: Result<()>) -> String {
    match outcome.unwrap_err() {
        Error::Refused(reason) => reason.strip_prefix("Source image rejected: ").unwrap().to_owned(),
        other => panic!("{other}"),
    }
}

/// A sigstore key with everything that a signature by it needs.
struct Key {
    signer: SigstoreSigner,
    requirement: String,
}

fn key() -> Key {
    let pair = generate_key_pair(&Secret::default()).unwrap();
    let private = PrivateKey::from_pem(pair.private.expose().as_bytes(), &Secret::default()).unwrap();
    let data = STANDARD.encode(&pair.public);
    let requirement = format!(r#"{{"type":"sigstoreSigned","keyData":"{data}"}}"#);
    Key { signer: SigstoreSigner::new(private), requirement }
}

impl Key {
    async fn sign(&self, manifest: &[u8], reference: &str) -> Signature {
        let manifest = RawManifest::new(manifest.to_vec().into(), None);
        self.signer.sign(&manifest, &reference.parse().unwrap()).await.unwrap()
    }
}

const NAME: &str = "docker://h.example/ns/app:1";
const REFERENCE: &str = "h.example/ns/app:1";

#[tokio::test]
async fn signatures_are_fetched_only_where_a_requirement_needs_them() {
    let image = image(NAME, Vec::new());
    check(r#"{"type":"insecureAcceptAnything"}"#, &image).await.unwrap();
    let reason = refusal(check(r#"{"type":"reject"}"#, &image).await);
    assert_eq!(reason, "Running image docker://h.example/ns/app:1 is rejected by policy.");
    let layer = r#"{"type":"signedBaseLayer","baseLayerIdentity":{"type":"matchExact"}}"#;
    assert!(refusal(check(layer, &image).await).contains("signedBaseLayer"));
    assert_eq!(image.asked.load(Ordering::Relaxed), 0);
    let (one, two) = (key(), key());
    refusal(check(&format!("{},{}", one.requirement, two.requirement), &image).await);
    assert_eq!(image.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_image_signed_by_the_key_is_accepted() {
    let key = key();
    let signed = image(NAME, vec![key.sign(MANIFEST, REFERENCE).await]);
    check(&key.requirement, &signed).await.unwrap();
}

#[tokio::test]
async fn an_unsigned_image_is_refused() {
    let reason = refusal(check(&key().requirement, &image(NAME, Vec::new())).await);
    assert_eq!(reason, "A signature was required, but no signature exists");
}

#[tokio::test]
async fn a_signature_by_another_key_is_refused() {
    let signed = image(NAME, vec![key().sign(MANIFEST, REFERENCE).await]);
    let reason = refusal(check(&key().requirement, &signed).await);
    assert_eq!(reason, "cryptographic signature verification failed: invalid signature");
}

#[tokio::test]
async fn a_signature_for_another_name_is_refused() {
    let key = key();
    let signed = image(NAME, vec![key.sign(MANIFEST, "h.example/ns/app:2").await]);
    let reason = refusal(check(&key.requirement, &signed).await);
    assert_eq!(reason, "Signature for identity \"h.example/ns/app:2\" is not accepted");
}

#[tokio::test]
async fn a_signature_of_another_manifest_is_refused() {
    let key = key();
    let signed = image(NAME, vec![key.sign(b"{}", REFERENCE).await]);
    let reason = refusal(check(&key.requirement, &signed).await);
    assert!(reason.contains("does not match"), "{reason}");
}

#[tokio::test]
async fn a_tampered_payload_is_refused() {
    let key = key();
    let Signature::Sigstore { media_type, payload, annotations } = key.sign(b"{}", REFERENCE).await else {
        panic!("a sigstore signature")
    };
    let other = Digest::of(berth_oci::Algorithm::Sha256, b"{}").to_string();
    let payload = String::from_utf8(payload.to_vec()).unwrap().replace(&other, raw().digest.as_str());
    let signature = Signature::Sigstore { media_type, payload: payload.into(), annotations };
    let reason = refusal(check(&key.requirement, &image(NAME, vec![signature])).await);
    assert!(reason.contains("cryptographic signature verification failed"), "{reason}");
}

#[tokio::test]
async fn a_stripped_signature_is_refused() {
    let key = key();
    let Signature::Sigstore { media_type, payload, .. } = key.sign(MANIFEST, REFERENCE).await else {
        panic!("a sigstore signature")
    };
    let stripped = Signature::Sigstore { media_type, payload, annotations: BTreeMap::new() };
    let reason = refusal(check(&key.requirement, &image(NAME, vec![stripped])).await);
    assert_eq!(reason, "missing dev.cosignproject.cosign/signature annotation");
}

#[tokio::test]
async fn attachments_of_other_kinds_are_no_signatures() {
    let key = key();
    let Signature::Sigstore { payload, annotations, .. } = key.sign(MANIFEST, REFERENCE).await else {
        panic!("a sigstore signature")
    };
    let other = Signature::Sigstore { media_type: "application/spdx+json".to_owned(), payload, annotations };
    let simple = Signature::Simple((&b"\x90"[..]).into());
    let reason = refusal(check(&key.requirement, &image(NAME, vec![other, simple])).await);
    assert_eq!(reason, "A signature was required, but no signature exists (2 of another format)");
}

#[tokio::test]
async fn one_good_signature_among_bad_ones_is_enough_and_every_requirement_must_have_one() {
    let (one, two) = (key(), key());
    let signatures = vec![
        two.sign(b"{}", REFERENCE).await,
        one.sign(MANIFEST, REFERENCE).await,
        two.sign(MANIFEST, REFERENCE).await,
    ];
    let both = format!("{},{}", one.requirement, two.requirement);
    check(&both, &image(NAME, signatures.clone())).await.unwrap();
    let reason = refusal(check(&both, &image(NAME, signatures[..2].to_vec())).await);
    assert!(reason.starts_with("None of the signatures were accepted, reasons: "), "{reason}");
    let all_and_nobody = format!(r#"{},{{"type":"reject"}}"#, one.requirement);
    refusal(check(&all_and_nobody, &image(NAME, signatures)).await);
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_no_acceptance() {
    let silent = Image { signatures: Err(()), ..image(NAME, Vec::new()) };
    assert!(matches!(check(&key().requirement, &silent).await, Err(Error::Timeout)));
}

#[tokio::test]
async fn keys_that_cannot_be_read_are_no_acceptance() {
    let key = key();
    let signed = image(NAME, vec![key.sign(MANIFEST, REFERENCE).await]);
    let missing = r#"{"type":"sigstoreSigned","keyPath":"/nonexistent/key.pub"}"#;
    assert!(matches!(check(missing, &signed).await, Err(Error::File { .. })));
    for kind in ["sigstoreSigned", r#"signedBy","keyType":"GPGKeys"#] {
        let garbage = format!(r#"{{"type":"{kind}","keyData":"AAAA"}}"#);
        assert!(matches!(check(&garbage, &signed).await, Err(Error::Usage(_))), "{kind}");
    }
}

#[tokio::test]
async fn require_signed_turns_every_acceptance_without_a_signature_off() {
    let key = key();
    let signed = image(NAME, vec![key.sign(MANIFEST, REFERENCE).await]);
    let accepted = |requirements: String| {
        Policy::parse(format!(r#"{{"default":[{requirements}]}}"#).as_bytes(), true).unwrap()
    };
    let anything = r#"{"type":"insecureAcceptAnything"}"#;
    let reason = refusal(accepted(anything.to_owned()).check(&signed, &raw()).await);
    assert!(reason.contains("--require-signed"), "{reason}");
    let settings = Settings { require_signed: true, ..Settings::default() };
    let folder = tempfile::tempdir().unwrap();
    let none = Policy::load_in(&settings, &Environment::under(folder.path())).unwrap();
    refusal(none.check(&signed, &raw()).await);
    accepted(format!("{anything},{}", key.requirement)).check(&signed, &raw()).await.unwrap();
}

#[tokio::test]
async fn an_image_in_a_folder_is_accepted_under_the_name_that_the_policy_gives_it() {
    let key = key();
    let signed = image("dir:/images/app", vec![key.sign(MANIFEST, REFERENCE).await]);
    refusal(check(&key.requirement, &signed).await);
    let named = key.requirement.replace(
        '}',
        r#","signedIdentity":{"type":"exactReference","dockerReference":"h.example/ns/app:1"}}"#,
    );
    check(&named, &signed).await.unwrap();
}

#[tokio::test]
async fn simple_signatures_are_accepted_by_their_key_and_name_alone() {
    let Some(gnupg) = Gnupg::new() else { return };
    let (good, other) = ("good@example.org", "other@example.org");
    gnupg.key(good, "ed25519", "sign", "0");
    gnupg.key(other, "ed25519", "sign", "0");
    let requirement = |user: &str| {
        let data = STANDARD.encode(gnupg.export(false, &[user]));
        format!(r#"{{"type":"signedBy","keyType":"GPGKeys","keyData":"{data}"}}"#)
    };
    let sign = |user: &str, reference: &str, manifest: &[u8]| {
        let digest = Digest::of(berth_oci::Algorithm::Sha256, manifest);
        let payload =
            Payload::new(&reference.parse().unwrap(), &digest, Timestamp::now()).to_bytes(Kind::Simple);
        Signature::Simple(gnupg.run(&["--local-user", user, "--sign"], &payload).into())
    };
    let signed = image(NAME, vec![sign(good, REFERENCE, MANIFEST)]);
    check(&requirement(good), &signed).await.unwrap();
    assert!(refusal(check(&requirement(other), &signed).await).contains("is not in the keyring"));
    let renamed = image(NAME, vec![sign(good, "h.example/ns/other:1", MANIFEST)]);
    assert!(refusal(check(&requirement(good), &renamed).await).contains("is not accepted"));
    let replaced = image(NAME, vec![sign(good, REFERENCE, b"{}")]);
    assert!(refusal(check(&requirement(good), &replaced).await).contains("does not match"));
    let noise = Signature::Simple(gnupg.run(&["--local-user", good, "--sign"], b"no payload").into());
    assert!(
        refusal(check(&requirement(good), &image(NAME, vec![noise])).await)
            .contains("Invalid signature payload")
    );
}

/// A signature by a certificate, in a log.
fn certified(ca: &Ca, log: &Log, leaf: &Leaf<'_>, at: Timestamp) -> Signature {
    let (certificate, pair) = ca.certify(leaf, at);
    let payload = Payload::new(&REFERENCE.parse().unwrap(), &raw().digest, at).to_bytes(Kind::Sigstore);
    let signature = sign(&pair, &payload);
    let entry =
        rekor::Entry { key_or_certificate: certificate.as_bytes(), signature: &signature, payload: &payload };
    let bundle = log.bundle(&entry, at);
    let annotations = BTreeMap::from([
        (annotation::SIGNATURE.to_owned(), signature.clone()),
        (annotation::CERTIFICATE.to_owned(), certificate.clone()),
        (annotation::CHAIN.to_owned(), ca.pem.clone()),
        (annotation::BUNDLE.to_owned(), bundle),
    ]);
    Signature::Sigstore {
        media_type: crate::signature::SIGSTORE_PAYLOAD.to_owned(),
        payload: payload.into(),
        annotations,
    }
}

fn fulcio(ca: &Ca, log: &Log) -> String {
    format!(
        r#"{{"type":"sigstoreSigned","fulcio":{{"caData":"{}","oidcIssuer":"https://oidc.example.org","subjectEmail":"signer@example.org"}},"rekorPublicKeyData":"{}"}}"#,
        STANDARD.encode(&ca.pem),
        STANDARD.encode(log.public_pem())
    )
}

#[tokio::test]
async fn a_certificate_of_an_hour_ago_is_good_by_the_logs_word_alone() {
    let (ca, log) = (Ca::new("ca"), Log::new());
    let at = Timestamp::now() - 3600.seconds();
    let signature = certified(&ca, &log, &LEAF, at);
    check(&fulcio(&ca, &log), &image(NAME, vec![signature.clone()])).await.unwrap();
    let other_log = refusal(check(&fulcio(&ca, &Log::new()), &image(NAME, vec![signature.clone()])).await);
    assert!(other_log.contains("Rekor SET failed"), "{other_log}");
    let other_ca = refusal(check(&fulcio(&Ca::new("ca"), &log), &image(NAME, vec![signature.clone()])).await);
    assert!(other_ca.contains("verifying the signer's certificate failed"), "{other_ca}");
    let other = Leaf { email: "other@example.org", ..LEAF };
    let somebody =
        refusal(check(&fulcio(&ca, &log), &image(NAME, vec![certified(&ca, &log, &other, at)])).await);
    assert!(somebody.contains("Required email"), "{somebody}");

    let Signature::Sigstore { media_type, payload, annotations } = signature else {
        panic!("a sigstore signature")
    };
    for name in [annotation::BUNDLE, annotation::CERTIFICATE] {
        let mut without = annotations.clone();
        without.remove(name);
        let signature = Signature::Sigstore {
            media_type: media_type.clone(),
            payload: payload.clone(),
            annotations: without,
        };
        let reason = refusal(check(&fulcio(&ca, &log), &image(NAME, vec![signature])).await);
        assert_eq!(reason, format!("missing {name} annotation"));
    }
}

#[tokio::test]
async fn a_logs_entry_from_after_the_certificates_life_is_refused() {
    let (ca, log) = (Ca::new("ca"), Log::new());
    let at = Timestamp::now() - 7200.seconds();
    let Signature::Sigstore { media_type, payload, mut annotations } = certified(&ca, &log, &LEAF, at) else {
        panic!("a sigstore signature")
    };
    let entry = rekor::Entry {
        key_or_certificate: annotations[annotation::CERTIFICATE].as_bytes(),
        signature: &annotations[annotation::SIGNATURE],
        payload: &payload,
    };
    let late = log.bundle(&entry, Timestamp::now() - 3600.seconds());
    annotations.insert(annotation::BUNDLE.to_owned(), late);
    let signature = Signature::Sigstore { media_type, payload, annotations };
    let reason = refusal(check(&fulcio(&ca, &log), &image(NAME, vec![signature])).await);
    assert!(reason.contains("verifying the signer's certificate failed"), "{reason}");
}

#[tokio::test]
async fn a_key_with_a_log_asks_for_the_logs_entry_too() {
    let (key, log) = (key(), Log::new());
    let signature = key.sign(MANIFEST, REFERENCE).await;
    let requirement = key
        .requirement
        .replace('}', &format!(r#","rekorPublicKeyData":"{}"}}"#, STANDARD.encode(log.public_pem())));
    let reason = refusal(check(&requirement, &image(NAME, vec![signature.clone()])).await);
    assert_eq!(reason, "missing dev.sigstore.cosign/bundle annotation");
    let Signature::Sigstore { media_type, payload, mut annotations } = signature else {
        panic!("a sigstore signature")
    };
    let public = STANDARD.decode(key.requirement.split('"').nth(7).unwrap()).unwrap();
    let entry = rekor::Entry {
        key_or_certificate: &public,
        signature: &annotations[annotation::SIGNATURE],
        payload: &payload,
    };
    let bundle = log.bundle(&entry, Timestamp::now());
    annotations.insert(annotation::BUNDLE.to_owned(), bundle);
    let logged = Signature::Sigstore { media_type, payload, annotations };
    check(&requirement, &image(NAME, vec![logged])).await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_ones_own_authority_is_good_while_it_lasts() {
    let (ca, log) = (Ca::new("ca"), Log::new());
    let now = Timestamp::now();
    let signed = image(NAME, vec![certified(&ca, &log, &LEAF, now)]);
    let requirement = |email: &str| {
        let roots = STANDARD.encode(&ca.pem);
        format!(r#"{{"type":"sigstoreSigned","pki":{{"caRootsData":"{roots}","subjectEmail":"{email}"}}}}"#)
    };
    check_at(&requirement("signer@example.org"), &signed, now).await.unwrap();
    refusal(check_at(&requirement("other@example.org"), &signed, now).await);
    refusal(check_at(&requirement("signer@example.org"), &signed, now + 3600.seconds()).await);
}
