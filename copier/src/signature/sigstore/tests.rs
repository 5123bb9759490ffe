//! Certificates and bundles of an authority and a log that each test makes for itself.

use aws_lc_rs::{
    digest::{SHA256, digest},
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::json;

use super::*;

const ISSUER_V1: &[u64] = &[1, 3, 6, 1, 4, 1, 57264, 1, 1];
const ISSUER_V2: &[u64] = &[1, 3, 6, 1, 4, 1, 57264, 1, 8];

/// An authority such as Fulcio, and what it certified last.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// What a leaf certificate should say.
pub(crate) struct Leaf<'a> {
    pub(crate) email: &'a str,
    pub(crate) host: Option<&'a str>,
    pub(crate) issuers: &'a [(&'a [u64], &'a str)],
    pub(crate) usage: ExtendedKeyUsagePurpose,
}

pub(crate) const LEAF: Leaf<'static> = Leaf {
    email: "signer@example.org",
    host: None,
    issuers: &[(ISSUER_V1, "https://oidc.example.org"), (ISSUER_V2, "https://oidc.example.org")],
    usage: ExtendedKeyUsagePurpose::CodeSigning,
};

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = ca_params();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// An authority under this one.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = ca_params();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for ten minutes around `at`, and its key.
    pub(crate) fn certify(&self, leaf: &Leaf<'_>, at: Timestamp) -> (String, EcdsaKeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names.push(SanType::Rfc822Name(leaf.email.try_into().unwrap()));
        if let Some(host) = leaf.host {
            params.subject_alt_names.push(SanType::DnsName(host.try_into().unwrap()));
        }
        params.extended_key_usages = vec![leaf.usage.clone()];
        for (oid, issuer) in leaf.issuers {
            let mut content = issuer.as_bytes().to_vec();
            if *oid == ISSUER_V2 {
                content.splice(0..0, [0x0c, u8::try_from(issuer.len()).unwrap()]);
            }
            params.custom_extensions.push(CustomExtension::from_oid_content(oid, content));
        }
        let time = |at: Timestamp| std::time::SystemTime::from(at).into();
        params.not_before = time(at - 300.seconds());
        params.not_after = time(at + 300.seconds());
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key.serialize_der()).unwrap();
        (pem, pair)
    }
}

pub(crate) fn sign(pair: &EcdsaKeyPair, message: &[u8]) -> String {
    STANDARD.encode(pair.sign(&SystemRandom::new(), message).unwrap())
}

pub(crate) fn public_pem(pair: &EcdsaKeyPair) -> String {
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    pem::write("PUBLIC KEY", der.as_ref())
}

/// A log such as Rekor.
pub(crate) struct Log(EcdsaKeyPair);

impl Log {
    pub(crate) fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    pub(crate) fn public_pem(&self) -> String {
        public_pem(&self.0)
    }

    pub(crate) fn key(&self) -> PublicKey {
        PublicKey::from_pem(self.public_pem().as_bytes()).unwrap()
    }

    pub(crate) fn bundle(&self, entry: &rekor::Entry<'_>, at: Timestamp) -> String {
        let hash: String =
            digest(&SHA256, entry.payload).as_ref().iter().map(|b| format!("{b:02x}")).collect();
        let body = json!({
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": { "hash": { "algorithm": "sha256", "value": hash } },
                "signature": {
                    "content": entry.signature,
                    "publicKey": { "content": STANDARD.encode(entry.key_or_certificate) },
                },
            },
        });
        self.promise(&body.to_string(), at)
    }

    fn promise(&self, body: &str, at: Timestamp) -> String {
        let payload = format!(
            r#"{{"body":"{}","integratedTime":{},"logID":"c0d2","logIndex":7}}"#,
            STANDARD.encode(body),
            at.as_second()
        );
        let signature = sign(&self.0, payload.as_bytes());
        format!(r#"{{ "Payload": {payload}, "SignedEntryTimestamp": "{signature}" }}"#)
    }
}

fn authority(ca: &Ca) -> Authority {
    Authority { roots: certificates(ca.pem.as_bytes()).unwrap(), intermediates: Vec::new() }
}

fn subject() -> FulcioSubject {
    FulcioSubject {
        oidc_issuer: "https://oidc.example.org".to_owned(),
        email: "signer@example.org".to_owned(),
    }
}

fn now() -> Timestamp {
    Timestamp::now()
}

#[test]
fn a_certificate_of_fulcios_is_good_at_the_time_of_its_use() {
    let ca = Ca::new("root");
    let (certificate, pair) = ca.certify(&LEAF, now());
    let key = authority(&ca).verify_fulcio(&subject(), certificate.as_bytes(), None, now()).unwrap();
    key.verify_base64(b"payload", &sign(&pair, b"payload")).unwrap();
    for (at, why) in [(now() + 3600.seconds(), "after"), (now() - 3600.seconds(), "before")] {
        let error = authority(&ca).verify_fulcio(&subject(), certificate.as_bytes(), None, at).unwrap_err().0;
        assert!(error.contains("verifying the signer's certificate failed"), "{why}: {error}");
    }
}

#[test]
fn a_chain_through_an_intermediate_leads_to_the_root() {
    let root = Ca::new("root");
    let between = root.intermediate("between");
    let (certificate, _) = between.certify(&LEAF, now());
    let verify = |chain: Option<&str>, authority: &Authority| {
        authority.verify_fulcio(&subject(), certificate.as_bytes(), chain.map(str::as_bytes), now()).map(drop)
    };
    verify(Some(&between.pem), &authority(&root)).unwrap();
    // cosign sends the root along.
    verify(Some(&format!("{}{}", between.pem, root.pem)), &authority(&root)).unwrap();
    verify(None, &authority(&root)).unwrap_err();
    let with = Authority { intermediates: certificates(between.pem.as_bytes()).unwrap(), ..authority(&root) };
    verify(None, &with).unwrap();
    let other = Ca::new("root");
    verify(Some(&format!("{}{}", between.pem, root.pem)), &authority(&other)).unwrap_err();
}

#[test]
fn a_certificate_of_somebody_else_is_refused() {
    let ca = Ca::new("root");
    let v1 = |issuer: &'static str| -> Vec<(&[u64], &str)> { vec![(ISSUER_V1, issuer)] };
    for (leaf, reason) in [
        (Leaf { email: "other@example.org", ..LEAF }, "Required email"),
        (Leaf { issuers: &v1("https://evil.example"), ..LEAF }, "Unexpected Fulcio OIDC issuer"),
        (Leaf { issuers: &[], ..LEAF }, "missing the issuer"),
        (
            Leaf {
                issuers: &[(ISSUER_V1, "https://oidc.example.org"), (ISSUER_V2, "https://evil.example")],
                ..LEAF
            },
            "two OIDC issuers",
        ),
        (
            Leaf { usage: ExtendedKeyUsagePurpose::ServerAuth, ..LEAF },
            "verifying the signer's certificate failed",
        ),
    ] {
        let (certificate, _) = ca.certify(&leaf, now());
        let error =
            authority(&ca).verify_fulcio(&subject(), certificate.as_bytes(), None, now()).unwrap_err().0;
        assert!(error.contains(reason), "{reason}: {error}");
    }
    for issuers in [&LEAF.issuers[..1], &LEAF.issuers[1..]] {
        let (certificate, _) = ca.certify(&Leaf { issuers, ..LEAF }, now());
        authority(&ca).verify_fulcio(&subject(), certificate.as_bytes(), None, now()).unwrap();
    }
    let (certificate, _) = Ca::new("root").certify(&LEAF, now());
    authority(&ca).verify_fulcio(&subject(), certificate.as_bytes(), None, now()).unwrap_err();
    let twice = certificate.repeat(2);
    let error = authority(&ca).verify_fulcio(&subject(), twice.as_bytes(), None, now()).unwrap_err().0;
    assert!(error.contains("multiple certificates"), "{error}");
}

#[test]
fn a_certificate_of_ones_own_authority_is_good_for_its_subject() {
    let ca = Ca::new("root");
    let (certificate, _) = ca.certify(&Leaf { host: Some("build.example.org"), issuers: &[], ..LEAF }, now());
    let verify = |email: Option<&str>, hostname: Option<&str>| {
        let subject = PkiSubject { email: email.map(str::to_owned), hostname: hostname.map(str::to_owned) };
        authority(&ca).verify_pki(&subject, certificate.as_bytes(), None, now())
    };
    verify(Some("signer@example.org"), None).unwrap();
    verify(None, Some("build.example.org")).unwrap();
    verify(Some("signer@example.org"), Some("build.example.org")).unwrap();
    verify(Some("signer@example.org"), Some("other.example.org")).unwrap_err();
    verify(Some("other@example.org"), Some("build.example.org")).unwrap_err();
    verify(None, None).unwrap_err();
}

#[test]
fn the_log_vouches_for_its_own_entry_alone() {
    let log = Log::new();
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let (key, signature) = (public_pem(&pair), sign(&pair, b"payload"));
    let entry =
        rekor::Entry { key_or_certificate: key.as_bytes(), signature: &signature, payload: b"payload" };
    let at = Timestamp::from_second(1_700_000_000).unwrap();
    let bundle = log.bundle(&entry, at);
    assert_eq!(rekor::verify(&[log.key()], bundle.as_bytes(), &entry), Ok(at));
    assert_eq!(rekor::verify(&[Log::new().key(), log.key()], bundle.as_bytes(), &entry), Ok(at));
    rekor::verify(&[Log::new().key()], bundle.as_bytes(), &entry).unwrap_err();

    let other = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let (other_key, other_signature) = (public_pem(&other), sign(&pair, b"payload"));
    for (wrong, reason) in [
        (rekor::Entry { payload: b"other", ..entry }, "the payload is another"),
        (rekor::Entry { signature: &other_signature, ..entry }, "the signature is another"),
        (
            rekor::Entry { key_or_certificate: other_key.as_bytes(), ..entry },
            "the public key or certificate is another",
        ),
    ] {
        let error = rekor::verify(&[log.key()], bundle.as_bytes(), &wrong).unwrap_err().0;
        assert!(error.contains(reason), "{error}");
    }
    let moved = bundle.replace("1700000000", "1700000001");
    let error = rekor::verify(&[log.key()], moved.as_bytes(), &entry).unwrap_err().0;
    assert!(error.contains("Rekor SET failed"), "{error}");
    for (body, reason) in [
        (r#"{"apiVersion":"0.0.1","kind":"intoto","spec":{}}"#, "of the kind \"intoto\""),
        (r#"{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{}}"#, "\"0.0.2\""),
        ("[]", "expected an object"),
    ] {
        let error = rekor::verify(&[log.key()], log.promise(body, at).as_bytes(), &entry).unwrap_err().0;
        assert!(error.contains(reason), "{error}");
    }
    proptest!(|(cut in 0..bundle.len(), noise in ".*")| {
        prop_assert!(rekor::verify(&[log.key()], &bundle.as_bytes()[..cut], &entry).is_err());
        prop_assert!(rekor::verify(&[log.key()], noise.as_bytes(), &entry).is_err());
        let _ = certificates(noise.as_bytes());
    });
}

#[test]
fn no_change_of_a_certificate_is_believed() {
    let ca = Ca::new("root");
    let (certificate, _) = ca.certify(&LEAF, now());
    let der = pem::only(certificate.as_bytes(), "CERTIFICATE").unwrap();
    proptest!(|(at in 0..der.len(), bit in 0..8_u8)| {
        let mut changed = der.clone();
        changed[at] ^= 1 << bit;
        let changed = pem::write("CERTIFICATE", &changed);
        prop_assert!(authority(&ca).verify_fulcio(&subject(), changed.as_bytes(), None, now()).is_err());
    });
}
