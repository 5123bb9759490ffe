//! What stands for OpenPGP in a program that was built without it: every keyring is refused with a sentence, so that a
//! policy that asks for `signedBy` refuses its images.

use jiff::Timestamp;

use crate::signature::Rejection;

/// Most bytes of a keyring.
pub const MAX_KEYRING_BYTES: usize = 16 * 1024 * 1024;

const WITHOUT: &str =
    "this program was built without OpenPGP; use sigstoreSigned, or one with the feature openpgp";

/// Public keys that are trusted to sign: there are none.
#[derive(Clone, Debug)]
pub enum Keyring {}

/// What a signature of a trusted key vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Fingerprint of the key, in upper-case hexadecimal.
    pub fingerprint: String,
    /// Fingerprint of the subkey that made the signature, or once more of the key.
    pub signed_by: String,
    /// What was signed.
    pub content: Vec<u8>,
}

impl Keyring {
    /// Reads no keyring.
    ///
    /// # Errors
    /// Always.
    pub fn parse(_bytes: &[u8]) -> Result<Self, String> {
        Err(WITHOUT.to_owned())
    }

    /// All keys of several keyrings; `None` where there is not one.
    #[must_use]
    pub fn join(rings: impl IntoIterator<Item = Self>) -> Option<Self> {
        rings.into_iter().next()
    }

    /// Fingerprints of the keys.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<String> {
        match *self {}
    }

    /// Verifies a message and gives what was signed.
    ///
    /// # Errors
    /// Why nobody vouches for it.
    pub fn verify(&self, _message: &[u8], _now: Timestamp) -> Result<Verified, Rejection> {
        match *self {}
    }
}

/// What a message claims to be signed, and by which keys.
///
/// # Errors
/// Always.
pub fn read_without_verification(_message: &[u8]) -> Result<(Vec<String>, Vec<u8>), Rejection> {
    Err(Rejection(WITHOUT.to_owned()))
}
