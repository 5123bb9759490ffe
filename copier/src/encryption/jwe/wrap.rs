//! Key management (RFC 7518, section 4): the content key for one recipient.

use aws_lc_rs::{
    agreement::{self, PrivateKey as Agreement, UnparsedPublicKey},
    digest,
    key_wrap::{AES_256, AesKek, KeyWrap},
    rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    base64url, failed,
    message::{EphemeralKey, Header, Wrapped},
};
use crate::{
    Result,
    encryption::{
        DecryptionKey, Recipient,
        key::{CURVES, Curve, PublicKey},
        private_key::PrivateKey,
    },
};

const RSA_OAEP: &str = "RSA-OAEP";
const RSA_OAEP_256: &str = "RSA-OAEP-256";
const ECDH: &str = "ECDH-ES+A256KW";
/// Bytes of a 256-bit key that is wrapped (RFC 3394).
const WRAPPED_BYTES: usize = 40;

pub(super) fn wrap(key: &[u8; 32], recipient: &Recipient) -> Result<Wrapped> {
    let mut header = Header { kid: recipient.key_id.clone(), ..Header::default() };
    let key = match &*recipient.key {
        PublicKey::Rsa { key: public, sha256 } => {
            let (name, algorithm) = if *sha256 {
                (RSA_OAEP_256, &OAEP_SHA256_MGF1SHA256)
            } else {
                (RSA_OAEP, &OAEP_SHA1_MGF1SHA1)
            };
            header.alg = Some(name.to_owned());
            let mut wrapped = vec![0; public.ciphertext_size()];
            let size =
                public.encrypt(algorithm, key, &mut wrapped, None).map_err(|_| failed("RSA failed"))?.len();
            wrapped.truncate(size);
            wrapped
        }
        PublicKey::Ec { curve, point } => {
            header.alg = Some(ECDH.to_owned());
            let (ephemeral, wrapped) = agree_and_wrap(key, curve, point)?;
            header.epk = Some(ephemeral);
            wrapped
        }
    };
    Ok(Wrapped { header, key })
}

fn agree_and_wrap(key: &[u8; 32], curve: &'static Curve, point: &[u8]) -> Result<(EphemeralKey, Vec<u8>)> {
    let error = || failed("the agreement with an EC key failed");
    let own = Agreement::generate(curve.agreement).map_err(|_| error())?;
    let public = own.compute_public_key().map_err(|_| error())?;
    let coordinates = public.as_ref().get(1..1 + 2 * curve.bytes).ok_or_else(error)?;
    let (x, y) = coordinates.split_at(curve.bytes);
    let wrapping = agree(&own, curve, point, &[], &[]).ok_or_else(error)?;
    let mut wrapped = [0; WRAPPED_BYTES];
    AesKek::new(&AES_256, &wrapping)
        .and_then(|kek| kek.wrap(key, &mut wrapped).map(|_| ()))
        .map_err(|_| error())?;
    let epk =
        EphemeralKey { kty: "EC".to_owned(), crv: curve.name.to_owned(), x: base64url(x), y: base64url(y) };
    Ok((epk, wrapped.to_vec()))
}

/// The content key, if `key` is the recipient's.
pub(super) fn unwrap(key: &DecryptionKey, header: &Header, wrapped: &[u8]) -> Option<Vec<u8>> {
    match (&*key.key, header.alg.as_deref()?) {
        (PrivateKey::Rsa(key), RSA_OAEP) => rsa(key, &OAEP_SHA1_MGF1SHA1, wrapped),
        (PrivateKey::Rsa(key), RSA_OAEP_256) => rsa(key, &OAEP_SHA256_MGF1SHA256, wrapped),
        (PrivateKey::Ec { curve, key }, ECDH) => {
            let epk = header.epk.as_ref().filter(|epk| epk.kty == "EC" && epk.crv == curve.name)?;
            let (x, y) = (decode(&epk.x)?, decode(&epk.y)?);
            if x.len() != curve.bytes || y.len() != curve.bytes {
                return None;
            }
            let point = [&[4], x.as_slice(), &y].concat();
            let party = |text: &Option<String>| text.as_deref().map_or(Some(Vec::new()), decode);
            let wrapping = agree(key, curve, &point, &party(&header.apu)?, &party(&header.apv)?)?;
            let mut out = [0; WRAPPED_BYTES];
            let kek = AesKek::new(&AES_256, &wrapping).ok()?;
            Some(kek.unwrap(wrapped, &mut out).ok()?.to_vec())
        }
        _ => None,
    }
}

fn rsa(
    key: &OaepPrivateDecryptingKey,
    algorithm: &'static aws_lc_rs::rsa::OaepAlgorithm,
    wrapped: &[u8],
) -> Option<Vec<u8>> {
    let mut out = vec![0; key.min_output_size()];
    Some(key.decrypt(algorithm, wrapped, &mut out, None).ok()?.to_vec())
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn agree(own: &Agreement, curve: &Curve, point: &[u8], apu: &[u8], apv: &[u8]) -> Option<[u8; 32]> {
    debug_assert!(CURVES.iter().any(|known| known.name == curve.name));
    let public = UnparsedPublicKey::new(curve.agreement, point);
    agreement::agree(own, public, (), |secret| Ok(derive(secret, apu, apv))).ok()
}

/// Concat KDF with SHA-256 for one 256-bit key (RFC 7518, 4.6.2; NIST SP 800-56A, 5.8.1).
fn derive(secret: &[u8], apu: &[u8], apv: &[u8]) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(&1_u32.to_be_bytes());
    hash.update(secret);
    for part in [ECDH.as_bytes(), apu, apv] {
        // Headers are bounded far below this.
        hash.update(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.update(&256_u32.to_be_bytes());
    let mut key = [0; 32];
    key.copy_from_slice(hash.finish().as_ref());
    key
}
