//! Private keys under a password: PBES2 (RFC 8018, 6.2) with PBKDF2 and AES in CBC mode, as OpenSSL writes them.

use std::num::NonZeroU32;

use aws_lc_rs::{
    cipher::{
        AES_128, AES_192, AES_256, Algorithm, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
    },
    iv::FixedLength,
    pbkdf2,
};
use x509_parser::der_parser::{ber::BerObject, parse_der};

use crate::{Error, Result, Secret};

const PBES2: &str = "1.2.840.113549.1.5.13";
const PBKDF2: &str = "1.2.840.113549.1.5.12";
/// A minute of a slow processor's time.
const ITERATIONS_MAX: u32 = 50_000_000;

struct Parameters {
    derivation: pbkdf2::Algorithm,
    iterations: NonZeroU32,
    salt: Vec<u8>,
    cipher: &'static Algorithm,
    key_bytes: usize,
    iv: [u8; 16],
}

/// PrivateKeyInfo out of EncryptedPrivateKeyInfo (RFC 5958).
pub(super) fn decrypt(der: &[u8], password: &Secret) -> Result<Vec<u8>> {
    let (_, info) = parse_der(der).map_err(|_| malformed())?;
    let [algorithm, data] = fields(&info).ok_or_else(malformed)?;
    let parameters = parameters(algorithm).ok_or_else(|| {
        Error::Unsupported(
            "the encrypted private key is not of PBES2 with PBKDF2 and AES-CBC; write it anew: openssl pkcs8 -topk8 -v2 \
             aes-256-cbc -in KEY -out NEW"
                .to_owned(),
        )
    })?;
    let mut key = vec![0; parameters.key_bytes];
    let password = password.expose().trim_end_matches(['\r', '\n']).as_bytes();
    pbkdf2::derive(parameters.derivation, parameters.iterations, &parameters.salt, password, &mut key);
    let mut data = data.as_slice().map_err(|_| malformed())?.to_vec();
    UnboundCipherKey::new(parameters.cipher, &key)
        .and_then(PaddedBlockDecryptingKey::cbc_pkcs7)
        .and_then(|key| {
            let context = DecryptionContext::Iv128(FixedLength::from(parameters.iv));
            key.decrypt(&mut data, context).map(|plain| plain.to_vec())
        })
        .map_err(|_| Error::Usage("the private key's password is wrong".to_owned()))
}

fn malformed() -> Error {
    Error::Usage("the encrypted private key is malformed".to_owned())
}

/// The first fields of a sequence.
fn fields<'a, const N: usize>(object: &'a BerObject<'a>) -> Option<[&'a BerObject<'a>; N]> {
    object.as_sequence().ok()?.iter().take(N).collect::<Vec<_>>().try_into().ok()
}

fn oid(object: &BerObject<'_>) -> Option<String> {
    Some(object.as_oid().ok()?.to_id_string())
}

fn parameters(algorithm: &BerObject<'_>) -> Option<Parameters> {
    let [scheme, chosen] = fields(algorithm)?;
    let [derivation, cipher] = fields(chosen)?;
    let [kdf, settings] = fields(derivation)?;
    let [salt, iterations] = fields(settings)?;
    let [cipher, iv] = fields(cipher)?;
    if oid(scheme)? != PBES2 || oid(kdf)? != PBKDF2 {
        return None;
    }
    let function = settings.as_sequence().ok()?.iter().skip(2).find_map(|field| oid(fields::<1>(field)?[0]));
    let (cipher, key_bytes) = match oid(cipher)?.as_str() {
        "2.16.840.1.101.3.4.1.2" => (&AES_128, 16),
        "2.16.840.1.101.3.4.1.22" => (&AES_192, 24),
        "2.16.840.1.101.3.4.1.42" => (&AES_256, 32),
        _ => return None,
    };
    Some(Parameters {
        derivation: match function.as_deref() {
            None | Some("1.2.840.113549.2.7") => pbkdf2::PBKDF2_HMAC_SHA1,
            Some("1.2.840.113549.2.9") => pbkdf2::PBKDF2_HMAC_SHA256,
            Some("1.2.840.113549.2.10") => pbkdf2::PBKDF2_HMAC_SHA384,
            Some("1.2.840.113549.2.11") => pbkdf2::PBKDF2_HMAC_SHA512,
            Some(_) => return None,
        },
        iterations: NonZeroU32::new(iterations.as_u32().ok()?)
            .filter(|count| count.get() <= ITERATIONS_MAX)?,
        salt: salt.as_slice().ok()?.to_vec(),
        cipher,
        key_bytes,
        iv: iv.as_slice().ok()?.try_into().ok()?,
    })
}
