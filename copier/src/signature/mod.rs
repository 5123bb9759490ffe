//! Signatures of images: their formats, how they are made, and the policy that asks for them.

use std::collections::BTreeMap;

use bytes::Bytes;

/// A signature of one manifest, as a transport keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// "Simple signing": an OpenPGP message (lookaside storage, `dir:`).
    Simple(Bytes),
    /// Sigstore's: a payload with annotations (an attachment in a registry, `dir:`).
    Sigstore {
        /// `application/vnd.dev.cosign.simplesigning.v1+json`.
        media_type: String,
        /// The signed payload.
        payload: Bytes,
        /// Signature, certificate, chain, bundle.
        annotations: BTreeMap<String, String>,
    },
}

/// Makes signatures.
#[async_trait::async_trait]
pub trait Sign: Send + Sync {
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
