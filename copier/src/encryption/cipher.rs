//! `AES_256_CTR_HMAC_SHA256`: a key stream, and an HMAC over the encrypted bytes.

use aws_lc_rs::{
    cipher::{AES_256, EncryptionContext, StreamingEncryptingKey, UnboundCipherKey},
    constant_time, hmac,
    iv::FixedLength,
};

use crate::{Error, Result};

/// Bytes that go through the cipher at once.
pub(super) const PIECE_BYTES: usize = 64 << 10;

/// Key and nonce of one layer.
pub(super) struct LayerKey {
    pub(super) key: [u8; 32],
    pub(super) nonce: [u8; 16],
}

impl LayerKey {
    /// A new one.
    pub(super) fn generate() -> Result<Self> {
        let (mut key, mut nonce) = ([0; 32], [0; 16]);
        aws_lc_rs::rand::fill(&mut key)
            .and_then(|()| aws_lc_rs::rand::fill(&mut nonce))
            .map_err(|_| failed())?;
        Ok(Self { key, nonce })
    }

    pub(super) fn cipher(&self) -> Result<Cipher> {
        let key = UnboundCipherKey::new(&AES_256, &self.key).map_err(|_| failed())?;
        let context = EncryptionContext::Iv128(FixedLength::from(self.nonce));
        // In counter mode the same key stream encrypts and decrypts.
        let stream = StreamingEncryptingKey::less_safe_ctr(key, context).map_err(|_| failed())?;
        Ok(Cipher { stream, mac: hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.key)) })
    }
}

/// The cipher in the middle of a layer.
pub(super) struct Cipher {
    stream: StreamingEncryptingKey,
    mac: hmac::Context,
}

impl Cipher {
    /// Encrypts a piece.
    pub(super) fn encrypt(&mut self, plain: &[u8]) -> Result<Vec<u8>> {
        let encrypted = self.apply(plain)?;
        self.mac.update(&encrypted);
        Ok(encrypted)
    }

    /// Decrypts a piece. Nobody may have the last one before [`Self::verify`].
    pub(super) fn decrypt(&mut self, encrypted: &[u8]) -> Result<Vec<u8>> {
        self.mac.update(encrypted);
        self.apply(encrypted)
    }

    fn apply(&mut self, from: &[u8]) -> Result<Vec<u8>> {
        let mut to = vec![0; from.len() + AES_256.block_len()];
        let written = self.stream.update(from, &mut to).map_err(|_| failed())?.written().len();
        to.truncate(written);
        Ok(to)
    }

    /// The HMAC of everything that was encrypted.
    pub(super) fn tag(self) -> Vec<u8> {
        self.mac.sign().as_ref().to_vec()
    }

    /// Whether the HMAC of everything that was decrypted is this.
    pub(super) fn verify(self, tag: &[u8]) -> Result<()> {
        constant_time::verify_slices_are_equal(self.mac.sign().as_ref(), tag).map_err(|_| {
            Error::Integrity(
                "the encrypted layer's HMAC does not match: its bytes are not those that were encrypted"
                    .to_owned(),
            )
        })
    }
}

fn failed() -> Error {
    Error::Other { what: "encryption".to_owned(), source: "AES-256-CTR could not be set up".into() }
}
