//! Whether a key of a keyring made a signature, and may sign at all.

use jiff::Timestamp;
use pgp::{
    composed::{SignedPublicKey, SignedPublicSubKey},
    crypto::hash::HashAlgorithm,
    packet::{Signature, SignatureType, SubpacketData},
    types::{Fingerprint, KeyDetails, KeyVersion, Tag},
};

/// Answers the fingerprint of the key or subkey that made the signature, and `None` where none of them did.
///
/// # Errors
/// If one of them made it and may not: why.
pub(super) fn verify(
    key: &SignedPublicKey,
    signature: &Signature,
    content: &[u8],
    now: Timestamp,
) -> Result<Option<Fingerprint>, String> {
    if signature.verify(&key.primary_key, content).is_ok() {
        let own = check_primary(key, now)?;
        may_sign(&own)?;
        made_after(key, signature)?;
        return Ok(Some(key.fingerprint()));
    }
    for subkey in &key.public_subkeys {
        if signature.verify(&subkey.key, content).is_ok() {
            check_primary(key, now)?;
            let binding = check_subkey(key, subkey, now)?;
            may_sign(&binding)?;
            made_after(&subkey.key, signature)?;
            return Ok(Some(subkey.key.fingerprint()));
        }
    }
    Ok(None)
}

/// Checks that the key is neither revoked nor expired, and gives the self-signature that speaks for it.
fn check_primary(key: &SignedPublicKey, now: Timestamp) -> Result<Signature, String> {
    let name = format!("key {:X}", key.fingerprint());
    let primary = &key.primary_key;
    if matches!(primary.version(), KeyVersion::V2 | KeyVersion::V3) {
        return Err(format!("{name} is of an old version whose fingerprints can be forged"));
    }
    if key.details.revocation_signatures.iter().any(|revocation| revocation.verify_key(primary).is_ok()) {
        return Err(format!("{name} is revoked"));
    }
    let direct =
        key.details.direct_signatures.iter().filter(|signature| signature.verify_key(primary).is_ok());
    let by_user = key.details.users.iter().filter_map(|user| {
        let mut own = user
            .signatures
            .iter()
            .filter(|signature| signature.verify_certification(primary, Tag::UserId, &user.id).is_ok());
        // What the key's owner said last of this name: a revocation takes the name away.
        own.by_ref()
            .max_by_key(|signature| signature.created())
            .filter(|newest| newest.typ() != Some(SignatureType::CertRevocation))
    });
    let newest =
        newest(direct.chain(by_user)).ok_or_else(|| format!("{name} has no valid self-signature"))?;
    expired(&name, primary.created_at().as_secs(), newest, now)?;
    Ok(newest.clone())
}

/// Checks that the subkey belongs to the key, agreed to that, and is neither revoked nor expired.
fn check_subkey(
    key: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    now: Timestamp,
) -> Result<Signature, String> {
    let name = format!("subkey {:X}", subkey.key.fingerprint());
    let primary = &key.primary_key;
    let own = || {
        subkey
            .signatures
            .iter()
            .filter(|signature| signature.verify_subkey_binding(primary, &subkey.key).is_ok())
    };
    if own().any(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation)) {
        return Err(format!("{name} is revoked"));
    }
    let newest = newest(own()).ok_or_else(|| format!("{name} is not bound to its key"))?;
    // Without the subkey's own word anybody could adopt another's signing key, and its signatures with it.
    let agreed = newest
        .embedded_signature()
        .is_some_and(|back| !weak(back) && back.verify_primary_key_binding(&subkey.key, primary).is_ok());
    if !agreed {
        return Err(format!("{name} did not agree to sign for its key"));
    }
    expired(&name, subkey.key.created_at().as_secs(), newest, now)?;
    Ok(newest.clone())
}

/// The newest that counts. SHA-1 is still taken here: keys of long ago carry it, and the keyring is the reader's own.
fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures.filter(|signature| !weak(signature)).max_by_key(|signature| signature.created())
}

fn weak(signature: &Signature) -> bool {
    matches!(signature.hash_alg(), None | Some(HashAlgorithm::Md5))
}

fn expired(name: &str, created: u32, own: &Signature, now: Timestamp) -> Result<(), String> {
    let age = now.as_second() - i64::from(created);
    match own.key_expiration_time() {
        Some(lasts) if lasts.as_secs() != 0 && age >= i64::from(lasts.as_secs()) => {
            Err(format!("{name} has expired"))
        }
        _ => Ok(()),
    }
}

/// A key whose owner said what it is for is for nothing else.
fn may_sign(own: &Signature) -> Result<(), String> {
    let says = own.config().is_some_and(|config| {
        config.hashed_subpackets().any(|subpacket| matches!(subpacket.data, SubpacketData::KeyFlags(_)))
    });
    if says && !own.key_flags().sign() { Err("the key is not for signing".to_owned()) } else { Ok(()) }
}

fn made_after(key: &impl KeyDetails, signature: &Signature) -> Result<(), String> {
    match signature.created() {
        Some(created) if created >= key.created_at() => Ok(()),
        _ => Err("the signature is older than the key".to_owned()),
    }
}
