//! Sigstore's signatures: by a key, or by a certificate that an authority gave the signer for minutes and a log that
//! witnessed when it was used.

mod certificate;
mod pem;
mod private_key;
mod public_key;
pub mod rekor;
#[cfg(test)]
pub(crate) mod tests;

pub use certificate::{Authority, FulcioSubject, PkiSubject, certificates};
pub(crate) use private_key::MAX_BYTES as MAX_KEY_BYTES;
pub use private_key::{NewKeyPair, PrivateKey, generate_key_pair};
pub use public_key::PublicKey;

use super::{Rejection, json::quoted};
