//! Who may do what: every handler takes an [`Access`], and only [`Caller::admit`] makes one.
//!
//! Whoever may not do something is told so before anything is looked up: the answer for a repository
//! that they may not see is the one for a repository that is not there (R21).

use std::{
    hash::{BuildHasher, RandomState},
    marker::PhantomData,
    sync::Arc,
};

use async_trait::async_trait;
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use berth_oci::{RepoName, Tag};
use futures_util::future::BoxFuture;
use http::{Method, request::Parts};

use super::{
    error::ApiError,
    serve::{Origin, Peer, client_address},
};
use crate::{
    audit::{Act, Entry, Log, Outcome, Scene},
    auth::{AuthError, Authenticate, Authority, Nobody, Principal, Refused, Subject, claimed_name},
    catalog::IsFixed,
    policy::{self, Policy},
    telemetry::RequestId,
};

/// What lists of repositories need, as a token's scope says it.
const CATALOG_SCOPE: &str = "registry:catalog:*";

/// Something that a request may want to do with a repository.
pub trait Verb {
    /// As policies call it.
    const VERB: policy::Verb;
    /// The actions of a token that is good for it: whoever pushes also looks at what is there.
    const ACTIONS: &'static str;
}

macro_rules! verbs {
    ($($(#[$doc:meta])* $verb:ident = $actions:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $verb;
        impl Verb for $verb {
            const VERB: policy::Verb = policy::Verb::$verb;
            const ACTIONS: &'static str = $actions;
        }
    )*};
}
verbs! {
    /// Read.
    Pull = "pull";
    /// Write.
    Push = "pull,push";
    /// Delete.
    Delete = "delete";
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
    /// Where it is recorded what happened, and who is believed about addresses.
    audit: Option<(Log, Arc<Origin>)>,
}

impl Gate {
    /// A gate at which these decide.
    #[must_use]
    pub fn new(authenticate: Arc<dyn Authenticate>, policy: Policy) -> Self {
        Self { authenticate, policy, audit: None }
    }

    /// Records what callers do.
    #[must_use]
    pub fn recorded(mut self, log: Log, origin: Arc<Origin>) -> Self {
        self.audit = Some((log, origin));
        self
    }

    /// Records something that was done or that failed.
    pub(crate) async fn record(
        &self,
        request: &Parts,
        who: &Principal,
        act: Act,
        tell: impl FnOnce(&mut Entry),
    ) {
        let Some((log, origin)) = &self.audit else { return };
        let mut entry = Entry::new(who, act, scene(request, origin));
        tell(&mut entry);
        log.record(entry).await;
    }

    /// Records a refusal.
    fn refused(&self, request: &Parts, who: &Principal, act: Act, tell: impl FnOnce(&mut Entry)) {
        let Some((log, origin)) = &self.audit else { return };
        let mut entry = Entry::new(who, act, scene(request, origin));
        entry.outcome = Outcome::Denied;
        tell(&mut entry);
        log.refused(entry);
    }

    /// Everybody may do everything.
    #[must_use]
    pub fn open() -> Self {
        Self::new(Arc::new(Nobody), Policy::Open)
    }

    /// The rules.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Finds out who a request comes from.
    ///
    /// # Errors
    /// When its credentials are wrong.
    pub async fn identify(&self, request: &Parts) -> Result<Caller, ApiError> {
        match self.authenticate.identify(request).await {
            Ok(principal) => Ok(Caller { principal, gate: self.clone() }),
            Err(AuthError::Invalid(why)) => {
                let challenge = self.authenticate.challenge(request, "", Refused::Invalid);
                Err(ApiError::Unauthorized { challenge, why })
            }
            Err(AuthError::TooMany { retry_after }) => Err(ApiError::Throttled { retry_after }),
            Err(AuthError::Catalog(error)) => Err(ApiError::Catalog(error)),
        }
    }
}

/// Has failed logins written down, wherever somebody is identified: here and at the token server.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Who finds out.
    pub inner: Arc<dyn Authenticate>,
    /// Where it is written.
    pub log: Log,
    /// Which proxies are believed about addresses.
    pub origin: Arc<Origin>,
    /// What names that nobody has are told apart by.
    pub marks: RandomState,
}

impl Recorded {
    fn failed(&self, request: &Parts, who: String, why: &str) {
        let mut entry = Entry::new(&Principal::anonymous(), Act::Login, scene(request, &self.origin));
        entry.outcome = Outcome::Failed;
        entry.who = who;
        why.clone_into(&mut entry.detail);
        self.log.refused(entry);
    }
}

#[async_trait]
impl Authenticate for Recorded {
    async fn identify(&self, request: &Parts) -> Result<Principal, AuthError> {
        let found = self.inner.identify(request).await;
        if let Err(AuthError::Invalid(why)) = &found {
            let who = match claimed_name(request) {
                // As the subject they would have been: nobody passes for `local` by trying that name.
                Some(name) if self.inner.knows(&name).await => claimed(name).to_string(),
                // People type passwords where names belong. One and the same is told from others, until the next start.
                Some(name) => format!("unknown:{:016x}", self.marks.hash_one(name)),
                None => String::new(),
            };
            self.failed(request, who, why);
        }
        found
    }

    async fn attempt(
        &self,
        request: &Parts,
        secret: &str,
        look: BoxFuture<'_, Result<Principal, AuthError>>,
    ) -> Result<Principal, AuthError> {
        let found = self.inner.attempt(request, secret, look).await;
        if let Err(AuthError::Invalid(why)) = &found {
            self.failed(request, String::new(), why);
        }
        found
    }

    async fn knows(&self, name: &str) -> bool {
        self.inner.knows(name).await
    }

    fn challenge(&self, request: &Parts, scope: &str, refused: Refused) -> Option<String> {
        self.inner.challenge(request, scope, refused)
    }
}

/// Who a request comes from, and the rules for them.
#[derive(Clone, Debug)]
pub struct Caller {
    principal: Principal,
    gate: Gate,
}

impl Caller {
    /// Who it is.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The rules.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.gate.policy
    }

    /// Gives access to `repo`, or says why not.
    ///
    /// # Errors
    /// When the policy does not let them: 401 for whom credentials, or a token that reaches further, may help, 403
    /// for others.
    pub fn admit<V: Verb>(&self, request: &Parts, repo: RepoName) -> Result<Access<V>, ApiError> {
        if !self.may(V::VERB, Some(&repo)) {
            let why = format!("{} of {repo} is not allowed", V::VERB.as_str());
            self.denied(request, V::VERB, &repo, request.uri.path());
            // Who looks and does not take is mostly about to push, and some clients keep the first token that they get.
            // One who may only pull is granted that alone.
            let actions = if request.method == Method::HEAD { Push::ACTIONS } else { V::ACTIONS };
            return Err(self.refuse(request, &format!("repository:{repo}:{actions}"), why));
        }
        Ok(Access { repo, principal: self.principal.key(), verb: PhantomData })
    }

    /// Lets nobody see `/v2/` itself who has to say first who they are: that is how clients find out that they do.
    ///
    /// # Errors
    /// 401 for anonymous callers, where there are others.
    pub fn enter(&self, request: &Parts) -> Result<(), ApiError> {
        if self.principal.subject != Subject::Anonymous || self.principal.authority != Authority::Policy {
            return Ok(());
        }
        self.challenge(request, "", Refused::Anonymous).map_or(Ok(()), Err)
    }

    /// Lets the caller have lists of repositories.
    ///
    /// # Errors
    /// 401 for anonymous callers, where there are others, and for tokens that do not grant it.
    pub fn admit_list(&self, request: &Parts) -> Result<(), ApiError> {
        if !self.policy().may_list(&self.principal) {
            return Err(self.refuse(
                request,
                CATALOG_SCOPE,
                "the list of repositories is not allowed".to_owned(),
            ));
        }
        if self.principal.subject == Subject::Anonymous
            && let Some(refused) = self.challenge(request, CATALOG_SCOPE, Refused::Anonymous)
        {
            return Err(refused);
        }
        Ok(())
    }

    /// Records that the caller may not do something. Not of anonymous callers that are about to be asked who they
    /// are: every client begins so.
    pub(crate) fn denied(&self, request: &Parts, verb: policy::Verb, repo: &RepoName, reference: &str) {
        if self.principal.subject == Subject::Anonymous
            && self.gate.authenticate.challenge(request, "", Refused::Anonymous).is_some()
        {
            return;
        }
        self.gate.refused(request, &self.principal, act(verb), |entry| {
            entry.repository = repo.as_str().to_owned();
            reference.clone_into(&mut entry.reference);
        });
    }

    /// Records something that the caller has done.
    pub(crate) async fn did(
        &self,
        request: &Parts,
        act: Act,
        repo: &RepoName,
        tell: impl FnOnce(&mut Entry),
    ) {
        let tell = |entry: &mut Entry| {
            entry.repository = repo.as_str().to_owned();
            tell(entry);
        };
        self.gate.record(request, &self.principal, act, tell).await;
    }

    /// The answer for something that the caller may not do.
    pub(crate) fn refuse(&self, request: &Parts, scope: &str, why: String) -> ApiError {
        let refused = match (&self.principal.authority, &self.principal.subject) {
            (Authority::Granted(_), _) => Some(Refused::Insufficient),
            (Authority::Policy, Subject::Anonymous) => Some(Refused::Anonymous),
            (Authority::Policy, _) => None,
        };
        let challenged = refused.and_then(|refused| self.challenge(request, scope, refused));
        challenged.unwrap_or(ApiError::Denied(why))
    }

    fn challenge(&self, request: &Parts, scope: &str, refused: Refused) -> Option<ApiError> {
        let challenge = self.gate.authenticate.challenge(request, scope, refused)?;
        let why = match refused {
            Refused::Insufficient => "the token does not grant this",
            Refused::Anonymous | Refused::Invalid => "authentication is required",
        };
        Some(ApiError::Unauthorized { challenge: Some(challenge), why: why.to_owned() })
    }

    fn may(&self, verb: policy::Verb, repo: Option<&RepoName>) -> bool {
        self.policy().decide(&self.principal, verb, repo).allowed
    }

    /// Which tags of a repository the caller may not move ([`policy::Verb::Overwrite`]) or take away
    /// ([`policy::Verb::Delete`]). The catalog asks inside its transaction, where no other push comes between.
    #[must_use]
    pub fn fixed(&self, verb: policy::Verb, repo: &RepoName) -> IsFixed {
        let (caller, repo) = (self.clone(), repo.clone());
        Arc::new(move |tag: &Tag| {
            !caller.policy().decide_tag(&caller.principal, verb, Some(&repo), Some(tag)).allowed
        })
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

/// Lets those pass who have said who they are, and where nobody is asked, those on this machine: for what tells of the
/// registry as a whole and changes nothing.
pub async fn known_or_near(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let caller = match gate.identify(&parts).await {
        Ok(caller) => caller,
        Err(error) => return error.into_response(),
    };
    if let Err(error) = caller.enter(&parts) {
        return error.into_response();
    }
    if caller.principal.subject == Subject::Anonymous && !is_near(&parts) {
        let why = "no authentication is configured, so this is shown on the registry's own machine alone";
        return ApiError::Denied(why.to_owned()).into_response();
    }
    next.run(Request::from_parts(parts, body)).await
}

/// Whether a request comes from this machine, and through no proxy: one on this machine has its address, and a client
/// that may be anywhere.
#[must_use]
pub fn is_near(request: &Parts) -> bool {
    const SIGNS: [&str; 6] =
        ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"];
    let proxied = || SIGNS.iter().any(|name| request.headers.contains_key(*name));
    let peer = request.extensions.get::<Peer>();
    peer.is_none_or(|peer| peer.addr.ip().to_canonical().is_loopback() && !proxied())
}

fn claimed(name: String) -> Subject {
    if name.contains('/') { Subject::Robot(name) } else { Subject::User(name) }
}

fn act(verb: policy::Verb) -> Act {
    match verb {
        policy::Verb::Pull => Act::Pull,
        policy::Verb::Push => Act::Push,
        policy::Verb::Overwrite => Act::Overwrite,
        policy::Verb::Delete => Act::Delete,
        policy::Verb::Admin => Act::Admin,
    }
}

/// Where a request came from.
fn scene(request: &Parts, origin: &Origin) -> Scene {
    let peer = request.extensions.get::<Peer>();
    let id = request.extensions.get::<RequestId>();
    Scene {
        address: peer.map(|peer| client_address(peer, &request.headers, origin)),
        request_id: id.map(|id| id.0.to_string()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
