//! One key: made, read, named, and published.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey,
    jwk::{Jwk, KeyAlgorithm, PublicKeyUse, ThumbprintHash},
};

use crate::{
    catalog::{BoxError, SigningKeyRow},
    clock::Timestamp,
};

/// What tokens are signed with here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// ECDSA over P-256, which every client of a JWKS knows.
    #[default]
    Es256,
    /// Ed25519.
    EdDsa,
}

impl SigningAlgorithm {
    /// As JWTs name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Es256, Self::EdDsa].into_iter().find(|algorithm| algorithm.name() == name)
    }

    fn in_jwt(self) -> Algorithm {
        match self {
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

/// A key of ours, ready for use.
pub(super) struct SigningKey {
    pub(super) kid: String,
    pub(super) algorithm: Algorithm,
    pub(super) created_at: Timestamp,
    pub(super) signs_from: Timestamp,
    pub(super) retires_at: Option<Timestamp>,
    pub(super) signs: EncodingKey,
    pub(super) verifies: DecodingKey,
    /// What others are told of it.
    pub(super) published: Jwk,
}

/// Makes a key that signs from a moment on.
pub(super) fn generate(
    algorithm: SigningAlgorithm,
    now: Timestamp,
    signs_from: Timestamp,
) -> Result<SigningKeyRow, BoxError> {
    let made = match algorithm {
        SigningAlgorithm::Es256 => {
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        }
        // The first version of PKCS #8: what signs knows no other for these keys.
        SigningAlgorithm::EdDsa => Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1()),
    };
    let private = made.map_err(|_| "no key could be made")?.as_ref().to_vec();
    let mut row = SigningKeyRow {
        kid: String::new(),
        algorithm: algorithm.name().to_owned(),
        private,
        created_at: now,
        signs_from,
        retires_at: None,
    };
    row.kid = public(algorithm, &row.private)?.thumbprint(ThumbprintHash::SHA256)?;
    Ok(row)
}

fn private(algorithm: SigningAlgorithm, pkcs8: &[u8]) -> EncodingKey {
    match algorithm {
        SigningAlgorithm::Es256 => EncodingKey::from_ec_der(pkcs8),
        SigningAlgorithm::EdDsa => EncodingKey::from_ed_der(pkcs8),
    }
}

fn public(algorithm: SigningAlgorithm, pkcs8: &[u8]) -> Result<Jwk, BoxError> {
    let mut jwk = Jwk::from_encoding_key(&private(algorithm, pkcs8), algorithm.in_jwt())?;
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    jwk.common.key_algorithm = Some(KeyAlgorithm::from(algorithm.in_jwt()));
    Ok(jwk)
}

impl SigningKey {
    /// Reads a key as the catalog keeps it.
    pub(super) fn read(row: SigningKeyRow) -> Result<Self, BoxError> {
        let algorithm = SigningAlgorithm::named(&row.algorithm)
            .ok_or_else(|| format!("the key {} is of an unknown algorithm, {:?}", row.kid, row.algorithm))?;
        let mut published = public(algorithm, &row.private)?;
        published.common.key_id = Some(row.kid.clone());
        Ok(Self {
            algorithm: algorithm.in_jwt(),
            signs: private(algorithm, &row.private),
            verifies: DecodingKey::from_jwk(&published)?,
            published,
            kid: row.kid,
            created_at: row.created_at,
            signs_from: row.signs_from,
            retires_at: row.retires_at,
        })
    }

    /// Whether tokens that it signed are taken.
    pub(super) fn is_active(&self, now: Timestamp) -> bool {
        self.retires_at.is_none_or(|end| now < end)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;
    use crate::auth::tokens::install_jwt_provider;

    #[test]
    fn a_keys_name_is_the_thumbprint_of_its_public_half() {
        install_jwt_provider();
        for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa] {
            let row = generate(algorithm, Timestamp(1), Timestamp(2)).unwrap();
            let key = SigningKey::read(row).unwrap();
            let jwk = serde_json::to_value(&key.published).unwrap();
            let text = |name: &str| jwk[name].as_str().unwrap().to_owned();
            // RFC 7638, 3.1: the required members, in order, without white space.
            let members = match algorithm {
                SigningAlgorithm::Es256 => {
                    let (x, y) = (text("x"), text("y"));
                    format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)
                }
                SigningAlgorithm::EdDsa => {
                    format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, text("x"))
                }
            };
            let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, members.as_bytes());
            assert_eq!(key.kid, URL_SAFE_NO_PAD.encode(hash));
            assert_eq!((text("kid"), text("use")), (key.kid.clone(), "sig".to_owned()));
            assert_eq!(text("alg"), algorithm.name());
            assert!(jwk.get("d").is_none(), "the private half is not published");
        }
    }
}
