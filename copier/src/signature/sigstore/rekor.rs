//! The transparency log's promise (Rekor's signed entry timestamp): at that time the log took in this signature of this
//! payload by this key or certificate.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::json;

use super::{PublicKey, Rejection, pem};
use crate::signature::json::{self, Json, quoted};

/// The largest integer that all readers of JSON agree on (RFC 8785, 3.2.2.3).
const MAX_INTEGER: i64 = (1 << 53) - 1;

/// What the log must have taken in.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// PEM of the key or certificate.
    pub key_or_certificate: &'a [u8],
    /// Base64 of the signature.
    pub signature: &'a str,
    /// The signed payload.
    pub payload: &'a [u8],
}

/// Verifies a bundle (the annotation's text) by one of the log's keys, and answers when the log took the entry in.
///
/// # Errors
/// If no such key signed it, or it is about another entry.
pub fn verify(log_keys: &[PublicKey], bundle: &[u8], entry: &Entry<'_>) -> Result<Timestamp, Rejection> {
    let read = || {
        let bundle = json::parse(bundle).map_err(|fault| fault.to_string())?;
        let [promise, payload] = bundle.exactly(["SignedEntryTimestamp", "Payload"])?;
        let promise = base64(promise)?;
        let [body, time, index, id] = payload.exactly(["body", "integratedTime", "logIndex", "logID"])?;
        let (body, time, index, id) = (body.text()?, integer(time)?, integer(index)?, id.text()?);
        // The log signs the payload in canonical form (RFC 8785): sorted keys, no blanks. With integers that small and
        // strings that serde_json escapes as the RFC does, this is it.
        let canonical =
            json!({ "body": body, "integratedTime": time, "logID": id, "logIndex": index }).to_string();
        let signed = |key: &PublicKey| key.is_ecdsa() && key.verify(canonical.as_bytes(), &promise).is_ok();
        if !log_keys.iter().any(signed) {
            return Err("cryptographic signature verification of the Rekor SET failed".to_owned());
        }
        let body = STANDARD.decode(body).map_err(|fault| format!("body: {fault}"))?;
        check_body(&body, entry)?;
        Timestamp::from_second(time).map_err(|fault| fault.to_string())
    };
    read().map_err(|fault: String| Rejection(format!("Invalid Rekor bundle: {fault}")))
}

/// The body is an entry of the kind `hashedrekord` 0.0.1, about exactly this signature.
fn check_body(body: &[u8], entry: &Entry<'_>) -> Result<(), String> {
    let body = json::parse(body).map_err(|fault| format!("body: {fault}"))?;
    let [version, kind, spec] = body.exactly(["apiVersion", "kind", "spec"])?;
    if (kind.text()?, version.text()?) != ("hashedrekord", "0.0.1") {
        return Err(format!("an entry of the kind {} {}", quoted(kind.text()?), quoted(version.text()?)));
    }
    let [data, signature] = spec.exactly(["data", "signature"])?;
    let [hash] = data.exactly(["hash"])?;
    let [algorithm, value] = hash.exactly(["algorithm", "value"])?;
    let [content, key] = signature.exactly(["content", "publicKey"])?;
    let [key] = key.exactly(["content"])?;

    if single(&base64(key)?)? != single(entry.key_or_certificate)? {
        return Err("the public key or certificate is another".to_owned());
    }
    let signature = STANDARD.decode(entry.signature).map_err(|fault| format!("signature: {fault}"))?;
    if base64(content)? != signature {
        return Err("the signature is another".to_owned());
    }
    let hex: String =
        digest(&SHA256, entry.payload).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    if algorithm.text()? != "sha256" || !value.text()?.eq_ignore_ascii_case(&hex) {
        return Err("the payload is another".to_owned());
    }
    Ok(())
}

fn single(text: &[u8]) -> Result<Vec<u8>, String> {
    match <[pem::Block; 1]>::try_from(pem::parse(text)?) {
        Ok([block]) => Ok(block.content),
        Err(blocks) => Err(format!("one key or certificate in PEM was expected, there are {}", blocks.len())),
    }
}

fn base64(value: &Json) -> Result<Vec<u8>, String> {
    STANDARD.decode(value.text()?).map_err(|fault| fault.to_string())
}

fn integer(value: &Json) -> Result<i64, String> {
    let whole = match value {
        Json::Number(number) => number.as_i64(),
        _ => None,
    };
    whole
        .filter(|whole| whole.abs() <= MAX_INTEGER)
        .ok_or_else(|| format!("expected a whole number, found {}", value.kind()))
}
