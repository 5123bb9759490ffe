//! Public keys that verify payloads.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use x509_parser::{
    oid_registry::{
        OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
        OID_SIG_ED25519,
    },
    prelude::FromDer,
    x509::SubjectPublicKeyInfo,
};

use super::{Rejection, pem};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    P256,
    P384,
    P521,
    Rsa,
    Ed25519,
}

impl Algorithm {
    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::P256 => &signature::ECDSA_P256_SHA256_ASN1,
            Self::P384 => &signature::ECDSA_P384_SHA256_ASN1,
            Self::P521 => &signature::ECDSA_P521_SHA256_ASN1,
            Self::Rsa => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::Ed25519 => &signature::ED25519,
        }
    }
}

/// A public key, with the algorithm that sigstore uses it for: ECDSA on P-256, P-384 and P-521 with SHA-256, RSA of 2048 to
/// 8192 bits (PKCS #1 v1.5) with SHA-256, and Ed25519.
#[derive(Clone)]
pub struct PublicKey {
    algorithm: Algorithm,
    der: Vec<u8>,
    key: Vec<u8>,
}

impl PublicKey {
    /// Reads the one `PUBLIC KEY` of a PEM text.
    ///
    /// # Errors
    /// If there is none or more than one, or one of another kind.
    pub fn from_pem(text: &[u8]) -> Result<Self, String> {
        Self::from_der(&pem::only(text, "PUBLIC KEY")?)
    }

    /// Reads a SubjectPublicKeyInfo (RFC 5280, 4.1).
    ///
    /// # Errors
    /// If it is none, or one of another kind of key.
    pub fn from_der(der: &[u8]) -> Result<Self, String> {
        match SubjectPublicKeyInfo::from_der(der) {
            Ok(([], info)) => Self::from_info(&info),
            Ok(_) => Err("there are bytes behind the public key".to_owned()),
            Err(fault) => Err(format!("no public key: {fault}")),
        }
    }

    pub(super) fn from_info(info: &SubjectPublicKeyInfo<'_>) -> Result<Self, String> {
        let kind = &info.algorithm.algorithm;
        let curve = info.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
        let algorithm = if *kind == OID_KEY_TYPE_EC_PUBLIC_KEY {
            match curve {
                Some(curve) if curve == OID_EC_P256 => Algorithm::P256,
                Some(curve) if curve == OID_NIST_EC_P384 => Algorithm::P384,
                Some(curve) if curve == OID_NIST_EC_P521 => Algorithm::P521,
                _ => return Err("an elliptic curve other than P-256, P-384 and P-521".to_owned()),
            }
        } else if *kind == OID_PKCS1_RSAENCRYPTION {
            Algorithm::Rsa
        } else if *kind == OID_SIG_ED25519 {
            Algorithm::Ed25519
        } else {
            return Err(format!("a public key of the unknown kind {kind}"));
        };
        let key = info.subject_public_key.data.to_vec();
        UnparsedPublicKey::new(algorithm.verification(), &key)
            .parse()
            .map_err(|fault| format!("no public key: {fault}"))?;
        Ok(Self { algorithm, der: info.raw.to_vec(), key })
    }

    /// The SubjectPublicKeyInfo.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// As PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::write("PUBLIC KEY", &self.der)
    }

    /// Whether it is an ECDSA key; transparency logs have no other.
    pub(super) fn is_ecdsa(&self) -> bool {
        matches!(self.algorithm, Algorithm::P256 | Algorithm::P384 | Algorithm::P521)
    }

    /// Verifies a signature of `message`.
    ///
    /// # Errors
    /// If it is not this key's of this message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Rejection> {
        let key = UnparsedPublicKey::new(self.algorithm.verification(), &self.key);
        key.verify(message, signature).map_err(|_| {
            Rejection("cryptographic signature verification failed: invalid signature".to_owned())
        })
    }

    /// Verifies a signature in base64, as annotations have it.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_base64(&self, message: &[u8], signature: &str) -> Result<(), Rejection> {
        let signature =
            STANDARD.decode(signature).map_err(|fault| Rejection(format!("signature's base64: {fault}")))?;
        self.verify(message, &signature)
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_pem())
    }
}
