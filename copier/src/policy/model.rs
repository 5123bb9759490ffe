//! What a policy can ask for (containers-policy.json(5)).

use std::path::PathBuf;

use berth_oci::{Reference, RepoName};

/// One requirement. An image is accepted if it satisfies all of its scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Every image satisfies it, signed or not.
    InsecureAcceptAnything,
    /// No image satisfies it.
    Reject,
    /// A simple signature by one of some OpenPGP keys.
    SignedBy {
        /// Keyrings.
        keys: Material,
        /// What the signature must claim.
        identity: Identity,
    },
    /// A sigstore signature.
    SigstoreSigned {
        /// Whose.
        signer: Signer,
        /// Public keys of transparency logs. Where there are some, the signature must be in one of them.
        rekor: Option<Material>,
        /// What the signature must claim.
        identity: Identity,
    },
    /// In the format's specification, and implemented by nobody.
    SignedBaseLayer,
}

/// Content that a policy names or holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Material {
    /// Files, read when they are needed.
    Files(Vec<PathBuf>),
    /// The contents themselves.
    Data(Vec<Vec<u8>>),
}

/// Whose sigstore signature is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// One of some keys' (each piece one public key in PEM).
    Keys(Material),
    /// Somebody whom Fulcio knew.
    Fulcio {
        /// Certificates of the authority.
        ca: Material,
        /// The issuer of the token by which it knew them.
        oidc_issuer: String,
        /// Their address.
        subject_email: String,
    },
    /// Somebody whom an authority of one's own certified.
    Pki {
        /// Certificates of the authority.
        roots: Material,
        /// Certificates between a root and a signer.
        intermediates: Option<Material>,
        /// An address in the certificate.
        subject_email: Option<String>,
        /// A host that the certificate is good for.
        subject_hostname: Option<String>,
    },
}

/// Which claim of a signature counts for an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// The image's own name.
    MatchExact,
    /// The image's own name; by digest, any tag of its repository.
    #[default]
    MatchRepoDigestOrExact,
    /// Any tag of the image's repository.
    MatchRepository,
    /// This name.
    ExactReference(Reference),
    /// Any tag of this repository.
    ExactRepository(Repository),
    /// As [`Self::MatchRepoDigestOrExact`], after the prefix was replaced.
    RemapIdentity {
        /// A host, a namespace or a repository.
        prefix: String,
        /// What stands in its place.
        signed_prefix: String,
    },
}

/// A repository's full name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// `host[:port]`.
    pub host: String,
    /// The name there.
    pub name: RepoName,
}

impl Repository {
    /// That of a reference.
    #[must_use]
    pub fn of(reference: &Reference) -> Self {
        Self { host: reference.host().to_owned(), name: reference.name().clone() }
    }
}
