//! Who may do what: every handler takes an [`Access`], and only [`Caller::admit`] makes one.

use std::{marker::PhantomData, sync::Arc};

use berth_oci::RepoName;
use http::request::Parts;

use super::error::ApiError;
use crate::{
    auth::{AuthError, Authenticate, Nobody, Principal, Refused},
    policy::{self, Policy},
};

/// Something that a request may want to do with a repository.
pub trait Verb {
    /// As policies call it.
    const VERB: policy::Verb;
}

macro_rules! verbs {
    ($($(#[$doc:meta])* $verb:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $verb;
        impl Verb for $verb { const VERB: policy::Verb = policy::Verb::$verb; }
    )*};
}
verbs! {
    /// Read.
    Pull;
    /// Write.
    Push;
    /// Delete.
    Delete;
}

/// Proof that the caller may do `V` with a repository.
#[derive(Clone, Debug)]
pub struct Access<V> {
    repo: RepoName,
    principal: String,
    verb: PhantomData<V>,
}

impl<V> Access<V> {
    /// The repository that access was given to.
    #[must_use]
    pub fn repo(&self) -> &RepoName {
        &self.repo
    }

    /// Who it was given to; empty for anonymous.
    #[must_use]
    pub fn principal(&self) -> &str {
        &self.principal
    }
}

/// Where callers are looked at.
#[derive(Clone, Debug)]
pub struct Gate {
    authenticate: Arc<dyn Authenticate>,
    policy: Policy,
}

impl Gate {
    /// A gate at which these decide.
    #[must_use]
    pub fn new(authenticate: Arc<dyn Authenticate>, policy: Policy) -> Self {
        Self { authenticate, policy }
    }

    /// Everybody may do everything.
    #[must_use]
    pub fn open() -> Self {
        Self::new(Arc::new(Nobody), Policy::Open)
    }

    /// Finds out who a request comes from.
    ///
    /// # Errors
    /// When its credentials are wrong.
    pub async fn identify(&self, request: &Parts) -> Result<Caller, ApiError> {
        match self.authenticate.identify(request).await {
            Ok(principal) => Ok(Caller { principal, policy: self.policy.clone() }),
            Err(AuthError::Invalid(why)) => {
                let challenge = self.authenticate.challenge(request, "", Refused::Invalid);
                Err(ApiError::Unauthorized { challenge, why })
            }
            Err(AuthError::TooMany { retry_after }) => Err(ApiError::Throttled { retry_after }),
            Err(AuthError::Catalog(error)) => Err(ApiError::Catalog(error)),
        }
    }
}

/// Who a request comes from, and the rules for them.
#[derive(Clone, Debug)]
pub struct Caller {
    principal: Principal,
    policy: Policy,
}

impl Caller {
    /// Who it is.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Gives access to `repo`, or says why not.
    ///
    /// # Errors
    /// When the policy does not let them.
    pub fn admit<V: Verb>(&self, repo: RepoName) -> Result<Access<V>, ApiError> {
        if !self.may(V::VERB, Some(&repo)) {
            return Err(ApiError::Denied(format!("{} of {repo} is not allowed", V::VERB.as_str())));
        }
        Ok(Access { repo, principal: self.principal.key(), verb: PhantomData })
    }

    fn may(&self, verb: policy::Verb, repo: Option<&RepoName>) -> bool {
        self.policy.decide(&self.principal, verb, repo).allowed
    }

    /// Whether the caller may read another repository, to mount from it (R10: where it may not,
    /// the answer is that of an unknown blob).
    #[must_use]
    pub fn may_read(&self, repo: &RepoName) -> bool {
        self.may(policy::Verb::Pull, Some(repo))
    }

    /// Whether the caller may read whatever repository there is, so that a blob may be mounted
    /// from wherever it is (R10: otherwise a mount would tell that somebody has it).
    #[must_use]
    pub fn may_read_all(&self) -> bool {
        self.may(policy::Verb::Pull, None)
    }
}
