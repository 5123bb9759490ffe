//! Signatures of images: their formats, where they are kept, how they are made and verified. Which of them an image needs
//! is said by [`crate::policy`].
//!
//! There are two formats. *Simple signing* is an OpenPGP message around a JSON payload (containers-signature(5)), kept
//! beside a registry on a lookaside server. *Sigstore* (cosign) is such a payload with a detached signature, kept in the
//! registry as an image under the tag `sha256-….sig`.

mod format;
pub(crate) mod json;
#[cfg(feature = "openpgp")]
pub mod openpgp;
#[cfg(not(feature = "openpgp"))]
#[path = "openpgp/absent.rs"]
pub mod openpgp;
pub mod payload;
mod sign;
pub mod sigstore;
pub mod standalone;
pub mod storage;

use std::collections::BTreeMap;

use bytes::Bytes;

pub use sign::{GpgSigner, SigstoreSigner, read_passphrase};

/// Most bytes of one signature with all that belongs to it.
pub const MAX_SIGNATURE_BYTES: usize = 4 * 1024 * 1024;
/// Most signatures of one manifest that are read (C9).
pub const MAX_SIGNATURES: usize = 128;
/// Media type of a sigstore payload.
pub const SIGSTORE_PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// Annotations of a sigstore signature (cosign's signature specification).
pub mod annotation {
    /// Base64 of the signature of the payload.
    pub const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
    /// PEM of the signer's certificate.
    pub const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
    /// PEM of the certificates between the signer's and the root.
    pub const CHAIN: &str = "dev.sigstore.cosign/chain";
    /// The transparency log's entry, signed by the log.
    pub const BUNDLE: &str = "dev.sigstore.cosign/bundle";
}

/// Why a signature does not count, in a sentence for people. Nothing of it is a fault of the program or the network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejection(pub String);

/// A signature of one manifest, as a transport keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// "Simple signing": an OpenPGP message (lookaside storage, `dir:`).
    Simple(Bytes),
    /// Sigstore's: a payload with annotations (an attachment in a registry, `dir:`).
    Sigstore {
        /// [`SIGSTORE_PAYLOAD`], and nothing else so far.
        media_type: String,
        /// The signed payload.
        payload: Bytes,
        /// Signature, certificate, chain, bundle; see [`annotation`].
        annotations: BTreeMap<String, String>,
    },
}

/// Makes signatures.
#[async_trait::async_trait]
pub trait Sign: Send + Sync {
    /// Whether what it makes is a sigstore signature, and not a simple one: they have places of their own.
    fn is_sigstore(&self) -> bool;

    /// Signs a manifest under the name that it will have.
    ///
    /// # Errors
    /// If the key cannot be used.
    async fn sign(
        &self,
        manifest: &crate::RawManifest,
        identity: &berth_oci::Reference,
    ) -> crate::Result<Signature>;
}
