//! Private keys, which unwrap layer keys.

use std::{os::fd::RawFd, path::Path, sync::Arc};

use aws_lc_rs::{
    agreement,
    rsa::{OaepPrivateDecryptingKey, PrivateDecryptingKey},
};
use x509_parser::pem::Pem;

use super::{
    der,
    key::{CURVES, Curve, Jwk, decode, read},
    pbes2,
};
use crate::{Error, Result, Secret};

/// A private key to unwrap layer keys with. Cheap to clone; `Debug` shows its kind alone.
#[derive(Clone)]
pub struct DecryptionKey {
    pub(super) key: Arc<PrivateKey>,
}

pub(super) enum PrivateKey {
    Rsa(OaepPrivateDecryptingKey),
    Ec { curve: &'static Curve, key: agreement::PrivateKey },
}

impl std::fmt::Debug for DecryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &*self.key {
            PrivateKey::Rsa(_) => "DecryptionKey(RSA)",
            PrivateKey::Ec { .. } => "DecryptionKey(EC)",
        })
    }
}

impl DecryptionKey {
    /// Takes `--decryption-key`'s value, `PATH[:pass=PASSWORD|:fd=NUMBER|:filepath=PATH]`, and reads that file.
    ///
    /// # Errors
    /// `Error::Unsupported` for what has no JWE key, `Error::File` for a file that cannot be read, and as
    /// [`Self::from_bytes`].
    pub fn parse(text: &str) -> Result<Self> {
        if text.starts_with("provider:") || text.starts_with("pkcs11:") {
            return Err(Error::Unsupported(
                "--decryption-key: key providers and PKCS#11 are not supported; give a private key's file"
                    .to_owned(),
            ));
        }
        let (path, password) = match text.split_once(':') {
            Some((path, password)) => (path, Some(password_of(password)?)),
            None => (text, None),
        };
        Self::from_bytes(read(Path::new(path))?.expose().as_bytes(), password.as_ref())
            .map_err(|error| error.context(format_args!("--decryption-key {path}")))
    }

    /// Takes a private key: PEM (`PRIVATE KEY`, `ENCRYPTED PRIVATE KEY` with its password, `RSA PRIVATE KEY`,
    /// `EC PRIVATE KEY`) or a JWK.
    ///
    /// # Errors
    /// `Error::Usage` for what is none and for a wrong password, `Error::Unsupported` for ways of encryption that are not
    /// read.
    pub fn from_bytes(bytes: &[u8], password: Option<&Secret>) -> Result<Self> {
        if let Some(jwk) = Jwk::read(bytes)? {
            return Self::from_jwk(&jwk);
        }
        if bytes.windows(LEGACY.len()).any(|window| window == LEGACY) {
            return Err(legacy());
        }
        for pem in Pem::iter_from_buffer(bytes) {
            let pem = pem.map_err(|_| no_key())?;
            match pem.label.as_str() {
                "PRIVATE KEY" | "EC PRIVATE KEY" => {
                    return Self::rsa(&pem.contents).or_else(|_| Self::ec(&pem.contents));
                }
                "ENCRYPTED PRIVATE KEY" => {
                    let password = password.ok_or_else(no_password)?;
                    let plain = pbes2::decrypt(&pem.contents, password)?;
                    return Self::rsa(&plain).or_else(|_| Self::ec(&plain));
                }
                "RSA PRIVATE KEY" => return Self::rsa(&der::rsa_private_key_info(&pem.contents)),
                _ => {}
            }
        }
        Err(no_key())
    }

    fn from_jwk(jwk: &Jwk) -> Result<Self> {
        let d =
            jwk.d.as_deref().ok_or_else(|| Error::Usage("the JSON Web Key is a public one".to_owned()))?;
        if jwk.is_rsa()? {
            return Self::rsa(&der::rsa_private_key_info(&jwk.rsa_private_key(d)?));
        }
        let curve = jwk.curve()?;
        let key =
            agreement::PrivateKey::from_private_key(curve.agreement, &decode(d)?).map_err(|_| no_key())?;
        Ok(Self { key: Arc::new(PrivateKey::Ec { curve, key }) })
    }

    fn rsa(pkcs8: &[u8]) -> Result<Self> {
        let key = PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(|_| no_key())?;
        let key = OaepPrivateDecryptingKey::new(key).map_err(|_| no_key())?;
        Ok(Self { key: Arc::new(PrivateKey::Rsa(key)) })
    }

    fn ec(der: &[u8]) -> Result<Self> {
        CURVES
            .iter()
            .find_map(|curve| {
                let key = agreement::PrivateKey::from_private_key_der(curve.agreement, der).ok()?;
                Some(Self { key: Arc::new(PrivateKey::Ec { curve, key }) })
            })
            .ok_or_else(no_key)
    }
}

fn no_key() -> Error {
    Error::Usage(
        "no private key that can unwrap layer keys: PEM or a JSON Web Key of an RSA key (2048 to 8192 bits) or of an EC \
         key (P-256, P-384, P-521) is needed"
            .to_owned(),
    )
}

/// In the header of PEM that is encrypted in the way before PKCS#8.
const LEGACY: &[u8] = b"Proc-Type: 4,ENCRYPTED";

fn legacy() -> Error {
    Error::Unsupported(
        "private keys in encrypted PEM of the old form (Proc-Type: 4,ENCRYPTED) are not read; write it anew: openssl pkcs8 \
         -topk8 -in KEY -out NEW"
            .to_owned(),
    )
}

fn no_password() -> Error {
    Error::Usage(
        "the private key is encrypted: give its password with PATH:filepath=FILE, :fd=NUMBER or :pass=…"
            .to_owned(),
    )
}

fn password_of(text: &str) -> Result<Secret> {
    let file = text.strip_prefix("file=").or_else(|| text.strip_prefix("filepath="));
    if let Some(path) = file {
        return read(Path::new(path));
    }
    if let Some(number) = text.strip_prefix("fd=") {
        let fd: RawFd = number.parse().map_err(|_| {
            Error::Usage("--decryption-key …:fd=NUMBER: it is no file descriptor's number".to_owned())
        })?;
        return read(Path::new(&format!("/proc/self/fd/{fd}")));
    }
    Ok(Secret::new(text.strip_prefix("pass=").unwrap_or(text)))
}
