//! Encrypted layers (`+encrypted` media types, as ocicrypt writes and reads them).

/// Whom to encrypt for.
#[derive(Clone, Debug, Default)]
pub struct Encrypt {
    /// Their public keys.
    pub recipients: Vec<Recipient>,
    /// Which layers, by place; negative places count from the top; empty means all.
    pub layers: Vec<i64>,
}

/// A public key to wrap layer keys with.
#[derive(Clone, Debug)]
pub struct Recipient {}

/// A private key to unwrap layer keys with.
#[derive(Clone, Debug)]
pub struct DecryptionKey {}
