//! Keys of an outside issuer, by name.

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse, ThumbprintHash},
};
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer, pem::PemObject};
use x509_parser::{
    prelude::{FromDer, X509Certificate},
    public_key::PublicKey,
    x509::SubjectPublicKeyInfo,
};

use crate::catalog::BoxError;

/// An issuer has this many keys at most.
const MAX_KEYS: usize = 200;
/// A token that names no key is tried with this many at most.
const MAX_TRIES: usize = 16;

/// A key, and what it may be used with.
pub(super) struct OutsideKey {
    names: Vec<String>,
    algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
}

impl std::fmt::Debug for OutsideKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutsideKey").field("names", &self.names).finish_non_exhaustive()
    }
}

/// All that an issuer signs with.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<OutsideKey>);

impl KeySet {
    /// Reads a JSON web key set (RFC 7517). Keys of other kinds than ours are left out: secrets, keys to encrypt
    /// with, curves and algorithms that are not known.
    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, BoxError> {
        #[derive(serde::Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let set: Set =
            serde_json::from_slice(bytes).map_err(|error| format!("no JSON web key set: {error}"))?;
        if set.keys.len() > MAX_KEYS {
            return Err(format!("more than {MAX_KEYS} keys").into());
        }
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        Self(keys.filter_map(|key| from_jwk(&key)).collect()).not_empty()
    }

    /// Reads certificates and public keys. Each has two names: its RFC 7638 thumbprint, and the fingerprint of
    /// libtrust, which older token servers give.
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, BoxError> {
        let mut keys = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let der = certificate.map_err(|error| format!("no PEM: {error}"))?;
            let (_, certificate) = X509Certificate::from_der(&der)?;
            keys.extend(from_spki(certificate.public_key())?);
        }
        for key in SubjectPublicKeyInfoDer::pem_slice_iter(pem) {
            let der = key.map_err(|error| format!("no PEM: {error}"))?;
            let (_, key) = SubjectPublicKeyInfo::from_der(&der)?;
            keys.extend(from_spki(&key)?);
        }
        if keys.len() > MAX_KEYS {
            return Err(format!("more than {MAX_KEYS} keys").into());
        }
        Self(keys).not_empty()
    }

    fn not_empty(self) -> Result<Self, BoxError> {
        if self.0.is_empty() { Err("no key that signs tokens is in it".into()) } else { Ok(self) }
    }

    /// Those that a token of this algorithm can be signed with: the one of that name, or, where it names none,
    /// any.
    pub(super) fn fitting(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<&OutsideKey> {
        let fits = |key: &&OutsideKey| {
            key.algorithms.contains(&algorithm)
                && kid.is_none_or(|kid| key.names.iter().any(|name| name == kid))
        };
        self.0.iter().filter(fits).take(MAX_TRIES).collect()
    }

    /// Whether a key of this name is in it.
    pub(super) fn has(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.names.iter().any(|name| name == kid))
    }
}

const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

fn from_jwk(jwk: &Jwk) -> Option<OutsideKey> {
    if jwk.common.public_key_use.as_ref().is_some_and(|given| *given != PublicKeyUse::Signature) {
        return None;
    }
    let possible: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => RSA,
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(_) => &[Algorithm::EdDSA],
        // A published secret is none.
        _ => return None,
    };
    let algorithms = match jwk.common.key_algorithm {
        None => possible.to_vec(),
        Some(one) => {
            let one = Algorithm::try_from(one).ok()?;
            possible.iter().copied().filter(|possible| *possible == one).collect()
        }
    };
    if algorithms.is_empty() {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    debug_assert_ne!(key.family(), AlgorithmFamily::Hmac);
    Some(OutsideKey { names: jwk.common.key_id.iter().cloned().collect(), algorithms, key })
}

fn from_spki(spki: &SubjectPublicKeyInfo<'_>) -> Result<Option<OutsideKey>, BoxError> {
    let point = &spki.subject_public_key.data;
    let (key, algorithms) = match spki.parsed()? {
        PublicKey::RSA(key) => {
            (DecodingKey::from_rsa_raw_components(strip(key.modulus), strip(key.exponent)), RSA)
        }
        PublicKey::EC(_) if point.len() == 65 => (DecodingKey::from_ec_der(point), &[Algorithm::ES256][..]),
        PublicKey::EC(_) if point.len() == 97 => (DecodingKey::from_ec_der(point), &[Algorithm::ES384][..]),
        _ if spki.algorithm.algorithm.to_id_string() == "1.3.101.112" => {
            (DecodingKey::from_ed_der(point), &[Algorithm::EdDSA][..])
        }
        _ => return Ok(None),
    };
    let jwk = Jwk::from_decoding_key(&key, None)?;
    let names = vec![jwk.thumbprint(ThumbprintHash::SHA256)?, libtrust(spki.raw)];
    Ok(Some(OutsideKey { names, algorithms: algorithms.to_vec(), key }))
}

fn strip(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// The name that libtrust gives a key: the first 240 bits of the SHA-256 of its DER, in base32, in groups of four.
fn libtrust(spki: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let hash = digest(&SHA256, spki);
    let mut name = String::new();
    for (group, bytes) in hash.as_ref()[..30].chunks(5).enumerate() {
        let bits = bytes.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for digit in 0..8 {
            if digit % 4 == 0 && (group, digit) != (0, 0) {
                name.push(':');
            }
            let at = usize::try_from(bits >> (35 - 5 * digit) & 31).unwrap_or_default();
            name.push(char::from(ALPHABET[at]));
        }
    }
    name
}
