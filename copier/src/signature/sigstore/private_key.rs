//! Private keys as cosign keeps them: PKCS #8, encrypted under a passphrase by scrypt and NaCl's secretbox, in JSON, in PEM.

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::{self, SystemRandom},
    rsa,
    signature::{
        self, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P521_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair, RSA_PKCS1_SHA256,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use crypto_secretbox::{KeyInit, XSalsa20Poly1305, aead::Aead};
use serde::{Deserialize, Serialize};

use super::pem;
use crate::Secret;

/// The older name, which Skopeo writes and every reader knows.
const LABEL: &str = "ENCRYPTED COSIGN PRIVATE KEY";
/// What cosign calls the same since its second version.
const NEW_LABEL: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";
const KDF: &str = "scrypt";
const CIPHER: &str = "nacl/secretbox";
/// scrypt's cost for new keys (32 MiB of memory).
const NEW_N: u64 = 1 << 15;
/// The most that is spent on a key that was found (128 MiB).
const MAX_N: u64 = 1 << 17;
/// Most bytes of a key's file.
pub(crate) const MAX_BYTES: u64 = 64 * 1024;

#[derive(Serialize, Deserialize)]
struct Encrypted {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Serialize, Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Serialize, Deserialize)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u64,
    p: u64,
}

#[derive(Serialize, Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// A new pair of keys in the form of files.
#[derive(Debug)]
pub struct NewKeyPair {
    /// The encrypted private key.
    pub private: Secret,
    /// The public key.
    pub public: String,
}

/// Makes a P-256 key pair, the private key encrypted under the passphrase (which may be empty, as with cosign).
///
/// # Errors
/// If the system has no randomness.
pub fn generate_key_pair(passphrase: &Secret) -> Result<NewKeyPair, String> {
    let fault = |_| "no key could be made".to_owned();
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(fault)?;
    let pkcs8 = pair.to_pkcs8v1().map_err(fault)?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(fault)?;
    let encrypted = encrypt(pkcs8.as_ref(), passphrase)?;
    Ok(NewKeyPair {
        private: Secret::new(pem::write(LABEL, &encrypted)),
        public: pem::write("PUBLIC KEY", public.as_ref()),
    })
}

/// Derives the key of the secretbox. Slow by intention.
fn cipher(passphrase: &Secret, salt: &[u8], params: &Params) -> Result<XSalsa20Poly1305, String> {
    let Params { n, r: 8, p: 1 } = *params else {
        return Err(format!("scrypt with r={} and p={}, where 8 and 1 are taken", params.r, params.p));
    };
    if !n.is_power_of_two() || !(2..=MAX_N).contains(&n) {
        return Err(format!("scrypt with N={n}, where powers of two to {MAX_N} are taken"));
    }
    let log_n = u8::try_from(n.ilog2()).map_err(|fault| fault.to_string())?;
    let params = scrypt::Params::new(log_n, 8, 1).map_err(|fault| fault.to_string())?;
    let mut key = [0; 32];
    scrypt::scrypt(passphrase.expose().as_bytes(), salt, &params, &mut key)
        .map_err(|fault| fault.to_string())?;
    Ok(XSalsa20Poly1305::new(&key.into()))
}

fn encrypt(plain: &[u8], passphrase: &Secret) -> Result<Vec<u8>, String> {
    let (mut salt, mut nonce) = ([0; 32], [0; 24]);
    for bytes in [&mut salt[..], &mut nonce[..]] {
        rand::fill(bytes).map_err(|_| "the system has no randomness".to_owned())?;
    }
    let params = Params { n: NEW_N, r: 8, p: 1 };
    let sealed = cipher(passphrase, &salt, &params)?
        .encrypt(&nonce.into(), plain)
        .map_err(|_| "the key could not be encrypted".to_owned())?;
    let file = Encrypted {
        kdf: Kdf { name: KDF.to_owned(), params, salt: STANDARD.encode(salt) },
        cipher: Cipher { name: CIPHER.to_owned(), nonce: STANDARD.encode(nonce) },
        ciphertext: STANDARD.encode(sealed),
    };
    serde_json::to_vec(&file).map_err(|fault| fault.to_string())
}

fn decrypt(bytes: &[u8], passphrase: &Secret) -> Result<Vec<u8>, String> {
    let file: Encrypted = serde_json::from_slice(bytes).map_err(|fault| fault.to_string())?;
    if file.kdf.name != KDF || file.cipher.name != CIPHER {
        return Err(format!("only {KDF} with {CIPHER} is read"));
    }
    let decode = |text: &str| STANDARD.decode(text).map_err(|fault| fault.to_string());
    let nonce: [u8; 24] =
        decode(&file.cipher.nonce)?.try_into().map_err(|_| "a nonce that is not 24 bytes long".to_owned())?;
    cipher(passphrase, &decode(&file.kdf.salt)?, &file.kdf.params)?
        .decrypt(&nonce.into(), decode(&file.ciphertext)?.as_slice())
        .map_err(|_| "the passphrase is wrong, or the file was changed".to_owned())
}

/// A private key that signs payloads.
pub struct PrivateKey(Pair);

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Rsa(rsa::KeyPair),
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
    /// Reads a file of [`generate_key_pair`], of cosign or of Skopeo.
    ///
    /// # Errors
    /// If it is none, the passphrase is not its, or the key is of a kind that does not sign here (P-384 among them, which
    /// sigstore combines with SHA-256).
    pub fn from_pem(text: &[u8], passphrase: &Secret) -> Result<Self, String> {
        if text.len() as u64 > MAX_BYTES {
            return Err(format!("more than {MAX_BYTES} bytes"));
        }
        let content =
            pem::only(text, LABEL).or_else(|fault| pem::only(text, NEW_LABEL).map_err(|_| fault))?;
        let pkcs8 = decrypt(&content, passphrase)?;
        for curve in [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P521_SHA256_ASN1_SIGNING] {
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(curve, &pkcs8) {
                return Ok(Self(Pair::Ecdsa(pair)));
            }
        }
        if let Ok(pair) = rsa::KeyPair::from_pkcs8(&pkcs8) {
            return Ok(Self(Pair::Rsa(pair)));
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8(&pkcs8) {
            return Ok(Self(Pair::Ed25519(pair)));
        }
        Err("no ECDSA key on P-256 or P-521, RSA key or Ed25519 key".to_owned())
    }

    /// Signs a message.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let random = SystemRandom::new();
        let fault = |_| "the key could not sign".to_owned();
        match &self.0 {
            Pair::Ecdsa(pair) => pair
                .sign(&random, message)
                .map(|signature: signature::Signature| signature.as_ref().to_vec())
                .map_err(fault),
            Pair::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut out).map(|()| out).map_err(fault)
            }
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }

    /// The public half, as PEM.
    ///
    /// # Errors
    /// If it cannot be written down.
    pub fn public_pem(&self) -> Result<String, String> {
        let der: Result<PublicKeyX509Der<'_>, _> = match &self.0 {
            Pair::Ecdsa(pair) => pair.public_key().as_der(),
            Pair::Rsa(pair) => pair.public_key().as_der(),
            Pair::Ed25519(pair) => pair.public_key().as_der(),
        };
        der.map(|der| pem::write("PUBLIC KEY", der.as_ref())).map_err(|_| "no public key".to_owned())
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::{super::PublicKey, *};

    #[test]
    fn a_new_key_signs_what_its_public_half_verifies() {
        let passphrase = Secret::new("correct horse");
        let pair = generate_key_pair(&passphrase).unwrap();
        assert!(pair.private.expose().starts_with("-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\n"));
        let key = PrivateKey::from_pem(pair.private.expose().as_bytes(), &passphrase).unwrap();
        assert_eq!(key.public_pem().unwrap(), pair.public);
        let signature = key.sign(b"payload").unwrap();
        let public = PublicKey::from_pem(pair.public.as_bytes()).unwrap();
        public.verify(b"payload", &signature).unwrap();
        assert!(public.verify(b"Payload", &signature).is_err());
        let new = pair.private.expose().replace("COSIGN", "SIGSTORE");
        PrivateKey::from_pem(new.as_bytes(), &passphrase).unwrap();
        let wrong = PrivateKey::from_pem(new.as_bytes(), &Secret::new("")).unwrap_err();
        assert!(wrong.contains("passphrase is wrong"), "{wrong}");
        assert!(!format!("{pair:?} {key:?}").contains("BEGIN ENCRYPTED"));
    }

    #[test]
    fn other_kinds_of_keys_sign_too() {
        let passphrase = Secret::new("");
        let rsa = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let rsa: aws_lc_rs::encoding::Pkcs8V1Der<'_> = rsa.as_der().unwrap();
        let ed = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
        let p521 = EcdsaKeyPair::generate(&ECDSA_P521_SHA256_ASN1_SIGNING).unwrap().to_pkcs8v1().unwrap();
        for pkcs8 in [rsa.as_ref(), ed.as_ref(), p521.as_ref()] {
            let file = pem::write(LABEL, &encrypt(pkcs8, &passphrase).unwrap());
            let key = PrivateKey::from_pem(file.as_bytes(), &passphrase).unwrap();
            let public = PublicKey::from_pem(key.public_pem().unwrap().as_bytes()).unwrap();
            public.verify(b"payload", &key.sign(b"payload").unwrap()).unwrap();
            assert!(public.verify(b"other", &key.sign(b"payload").unwrap()).is_err());
        }
    }

    #[test]
    fn absurd_costs_and_foreign_ciphers_are_refused() {
        let good = r#"{"kdf":{"name":"scrypt","params":{"N":2,"r":8,"p":1},"salt":""},"cipher":{"name":"nacl/secretbox","nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},"ciphertext":""}"#;
        for (from, to, reason) in [
            ("", "", "passphrase is wrong"),
            ("\"N\":2", "\"N\":1073741824", "N=1073741824"),
            ("\"N\":2", "\"N\":3", "N=3"),
            ("\"N\":2", "\"N\":0", "N=0"),
            ("\"r\":8", "\"r\":9999999", "r=9999999"),
            ("scrypt", "pbkdf2", "only scrypt"),
            ("secretbox", "box", "only scrypt"),
            ("AAAA", "", "24 bytes"),
            ("\"salt\":\"\"", "\"salt\":\"!\"", "Invalid"),
            ("{", "[", "expected"),
        ] {
            let file = pem::write(LABEL, good.replacen(from, to, 1).as_bytes());
            let error = PrivateKey::from_pem(file.as_bytes(), &Secret::new("")).unwrap_err();
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }
}
