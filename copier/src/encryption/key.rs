//! Public keys, whom layers are encrypted for.

use std::{fs::File, io::Read, path::Path, sync::Arc};

use aws_lc_rs::{
    agreement::{Algorithm as Agreement, ECDH_P256, ECDH_P384, ECDH_P521},
    rsa::{OaepPublicEncryptingKey, PublicEncryptingKey},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use x509_parser::{pem::Pem, prelude::FromDer, x509::SubjectPublicKeyInfo};

use super::der;
use crate::{Error, Result, Secret};

/// Key files are at most this long.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A public key to wrap layer keys with. Cheap to clone.
#[derive(Clone)]
pub struct Recipient {
    pub(super) key: Arc<PublicKey>,
    pub(super) key_id: Option<String>,
}

pub(super) enum PublicKey {
    Rsa { key: OaepPublicEncryptingKey, sha256: bool },
    Ec { curve: &'static Curve, point: Vec<u8> },
}

impl std::fmt::Debug for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &*self.key {
            PublicKey::Rsa { key, .. } => format!("RSA, {} bits", key.key_size_bits()),
            PublicKey::Ec { curve, .. } => format!("EC, {}", curve.name),
        };
        f.debug_struct("Recipient").field("key", &kind).field("key_id", &self.key_id).finish()
    }
}

/// An elliptic curve that JWE has (RFC 7518, 6.2.1.1).
pub(super) struct Curve {
    pub(super) name: &'static str,
    oid: &'static str,
    pub(super) bytes: usize,
    pub(super) agreement: &'static Agreement,
}

pub(super) static CURVES: [Curve; 3] = [
    Curve { name: "P-256", oid: "1.2.840.10045.3.1.7", bytes: 32, agreement: &ECDH_P256 },
    Curve { name: "P-384", oid: "1.3.132.0.34", bytes: 48, agreement: &ECDH_P384 },
    Curve { name: "P-521", oid: "1.3.132.0.35", bytes: 66, agreement: &ECDH_P521 },
];

impl Recipient {
    /// Takes `--encryption-key`'s value, `jwe:PATH`, and reads the public key in that file.
    ///
    /// # Errors
    /// `Error::Usage` for another form, `Error::Unsupported` for ocicrypt's other protocols, `Error::File` for a file that
    /// cannot be read, and as [`Self::from_bytes`].
    pub fn parse(text: &str) -> Result<Self> {
        let Some((protocol, value)) = text.split_once(':') else {
            return Err(Error::Usage(format!("--encryption-key {text}: it has the form jwe:PATH")));
        };
        match protocol {
            "jwe" => Self::from_bytes(read(Path::new(value))?.expose().as_bytes())
                .map_err(|error| error.context(format_args!("--encryption-key {text}"))),
            "pgp" | "pkcs7" | "pkcs11" | "provider" => Err(Error::Unsupported(format!(
                "--encryption-key {protocol}:…: only jwe: is supported; wrap layer keys for an RSA or EC public key"
            ))),
            _ => Err(Error::Usage(format!(
                "--encryption-key {text}: unknown protocol {protocol:?}; use jwe:PATH"
            ))),
        }
    }

    /// Takes a public key: PEM (`PUBLIC KEY`, `RSA PUBLIC KEY`, `CERTIFICATE`) or a JWK.
    ///
    /// # Errors
    /// `Error::Usage` for what is none, `Error::Unsupported` for keys of other kinds than RSA and EC.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if let Some(jwk) = Jwk::read(bytes)? {
            return jwk.recipient();
        }
        for pem in Pem::iter_from_buffer(bytes) {
            let pem = pem.map_err(|_| no_key())?;
            match pem.label.as_str() {
                "PUBLIC KEY" => return Self::from_info(&pem.contents),
                "RSA PUBLIC KEY" => return Self::rsa(&der::rsa_public_key_info(&pem.contents), false),
                "CERTIFICATE" => {
                    let certificate = pem.parse_x509().map_err(|_| no_key())?;
                    return Self::from_info(certificate.public_key().raw);
                }
                _ => {}
            }
        }
        Err(no_key())
    }

    fn from_info(info: &[u8]) -> Result<Self> {
        let (_, parsed) = SubjectPublicKeyInfo::from_der(info).map_err(|_| no_key())?;
        match parsed.algorithm.algorithm.to_id_string().as_str() {
            "1.2.840.113549.1.1.1" => Self::rsa(info, false),
            "1.2.840.10045.2.1" => {
                let oid = parsed.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
                let oid = oid.map(|oid| oid.to_id_string()).unwrap_or_default();
                let curve =
                    CURVES.iter().find(|curve| curve.oid == oid).ok_or_else(|| unknown_curve(&oid))?;
                Self::ec(curve, parsed.subject_public_key.data.to_vec())
            }
            other => Err(Error::Unsupported(format!(
                "a public key of the kind {other}: layer keys are wrapped for RSA and EC keys only"
            ))),
        }
    }

    fn rsa(info: &[u8], sha256: bool) -> Result<Self> {
        let key = PublicEncryptingKey::from_der(info)
            .and_then(|key| OaepPublicEncryptingKey::new(key).map_err(Into::into))
            .map_err(|_| {
                Error::Usage("the RSA public key is malformed, or has not 2048 to 8192 bits".to_owned())
            })?;
        Ok(Self { key: Arc::new(PublicKey::Rsa { key, sha256 }), key_id: None })
    }

    fn ec(curve: &'static Curve, point: Vec<u8>) -> Result<Self> {
        let recipient = Self { key: Arc::new(PublicKey::Ec { curve, point }), key_id: None };
        // A point that is not on the curve shows when it is used: here, and not at the end of the first layer.
        super::jwe::encrypt(b"", std::slice::from_ref(&recipient))
            .map_err(|_| Error::Usage(format!("the public key is no point of {}", curve.name)))?;
        Ok(recipient)
    }
}

fn no_key() -> Error {
    Error::Usage(
        "no public key: PEM (PUBLIC KEY, RSA PUBLIC KEY, CERTIFICATE) or a JSON Web Key is needed".to_owned(),
    )
}

pub(super) fn unknown_curve(name: &str) -> Error {
    Error::Unsupported(format!("the elliptic curve {name:?}: P-256, P-384 and P-521 are supported"))
}

/// The text of a key file; DER is no text.
pub(super) fn read(path: &Path) -> Result<Secret> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(Error::file(path))?;
    Ok(Secret::new(text))
}

/// A JSON Web Key (RFC 7517, RFC 7518 section 6), public or private.
#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: String,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    pub(super) crv: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    #[serde(default)]
    pub(super) d: Option<String>,
    #[serde(default)]
    p: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    dp: String,
    #[serde(default)]
    dq: String,
    #[serde(default)]
    qi: String,
}

pub(super) fn decode(text: &str) -> Result<Vec<u8>> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| Error::Usage("a number of the JSON Web Key is not base64url".to_owned()))
}

impl Jwk {
    /// What is JSON must be a key; what is none may be PEM.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>> {
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Ok(None);
        }
        // The parser's words may hold parts of a private key.
        serde_json::from_slice(bytes)
            .map(Some)
            .map_err(|_| Error::Usage("the JSON is no JSON Web Key of RFC 7517".to_owned()))
    }

    pub(super) fn is_rsa(&self) -> Result<bool> {
        match self.kty.as_str() {
            "RSA" => Ok(true),
            "EC" => Ok(false),
            other => Err(Error::Unsupported(format!(
                "a JSON Web Key of the kind {other:?}: RSA and EC are supported"
            ))),
        }
    }

    pub(super) fn curve(&self) -> Result<&'static Curve> {
        CURVES.iter().find(|curve| curve.name == self.crv).ok_or_else(|| unknown_curve(&self.crv))
    }

    /// The key's point, uncompressed (SEC 1, 2.3.3); coordinates have their full length (RFC 7518, 6.2.1.2).
    pub(super) fn point(&self) -> Result<Vec<u8>> {
        let (x, y, bytes) = (decode(&self.x)?, decode(&self.y)?, self.curve()?.bytes);
        if x.len() != bytes || y.len() != bytes {
            return Err(Error::Usage(format!("the JSON Web Key's coordinates have not {bytes} bytes")));
        }
        Ok([&[4], x.as_slice(), &y].concat())
    }

    pub(super) fn rsa_private_key(&self, d: &str) -> Result<Vec<u8>> {
        let numbers = [&self.n, &self.e, d, &self.p, &self.q, &self.dp, &self.dq, &self.qi]
            .map(|text| decode(text).and_then(|n| if n.is_empty() { Err(incomplete()) } else { Ok(n) }));
        let [n, e, d, p, q, dp, dq, qi] = numbers;
        Ok(der::rsa_private_key([&n?, &e?, &d?, &p?, &q?, &dp?, &dq?, &qi?]))
    }

    fn recipient(self) -> Result<Recipient> {
        let unsupported = |alg: &str| {
            Error::Unsupported(format!(
                "the JSON Web Key's alg {alg:?}: RSA-OAEP, RSA-OAEP-256 and ECDH-ES+A256KW are supported"
            ))
        };
        let recipient = match (self.is_rsa()?, self.alg.as_deref()) {
            (true, None | Some("RSA-OAEP" | "RSA-OAEP-256")) => {
                let key = der::rsa_public_key(&decode(&self.n)?, &decode(&self.e)?);
                Recipient::rsa(&der::rsa_public_key_info(&key), self.alg.as_deref() == Some("RSA-OAEP-256"))?
            }
            (false, None | Some("ECDH-ES+A256KW")) => Recipient::ec(self.curve()?, self.point()?)?,
            (_, Some(alg)) => return Err(unsupported(alg)),
        };
        Ok(Recipient { key_id: self.kid, ..recipient })
    }
}

fn incomplete() -> Error {
    Error::Usage(
        "the JSON Web Key lacks numbers of a private RSA key: n, e, d, p, q, dp, dq and qi".to_owned(),
    )
}
