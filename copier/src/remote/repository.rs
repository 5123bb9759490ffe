//! One repository of one registry: every request of the distribution specification that a client makes.

use std::{fmt, sync::Arc};

use berth_oci::{
    Digest, Reference, RepoName, Scopes,
    auth::{Action, Resource, Scope},
};
use http::HeaderMap;
use reqwest::Method;

use super::{
    answer::{Answer, Doing},
    auth::{Auth, Claim},
    client::Shared,
    payload::Payload,
    registry::{Ask, Lane, Registry, Target},
};
use crate::{Error, Result, UploadHandle};

/// What an absent manifest and an absent blob are called where the server does not say.
pub(super) const NO_MANIFEST: &str = "manifest unknown";
pub(super) const NO_BLOB: &str = "blob unknown to registry";
pub(super) const NO_NAME: &str = "repository name not known to registry";

/// A repository, with the connection and the access that the session has to it. Cheap to clone.
#[derive(Clone)]
pub struct Repository {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    reference: Reference,
    primary: Place,
    by_tag: Vec<Place>,
    by_digest: Vec<Place>,
    access: Access,
}

/// What tokens are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Pull,
    Push,
    Delete,
}

/// Where a repository really is: itself, or a mirror.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) registry: Arc<Registry>,
    pub(super) auth: Arc<Auth>,
    pub(super) reference: Reference,
    /// Why nothing is asked of it, where registries.conf blocks it.
    pub(super) blocked: Option<Arc<str>>,
}

/// What a registry did of a mount.
#[derive(Debug)]
pub enum Mount {
    /// The blob is there now.
    Done,
    /// It began an upload instead.
    Upload(UploadHandle),
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repository({})", self.inner.reference)
    }
}

impl<'a> Ask<'a> {
    /// A request without a body that may be made again.
    pub(super) fn get(target: Target, what: &'a str, lane: Lane) -> Self {
        Self::bare(Method::GET, target, what, lane)
    }

    /// The same with another method.
    pub(super) fn bare(method: Method, target: Target, what: &'a str, lane: Lane) -> Self {
        let headers = HeaderMap::new();
        Self { method, target, headers, payload: Payload::Empty, repeat: true, lane, what }
    }
}

impl Place {
    /// Makes a request with the access that it needs here; `also` is another repository to be read.
    pub(super) async fn send(
        &self,
        ask: &Ask<'_>,
        access: Access,
        also: Option<&RepoName>,
    ) -> Result<Answer> {
        if let Some(why) = &self.blocked {
            return Err(Error::Refused(why.to_string()));
        }
        let actions: &[Action] = match access {
            Access::Pull => &[Action::Pull],
            Access::Push => &[Action::Pull, Action::Push],
            // Registries disagree on what a deletion needs; this one they all know.
            Access::Delete => &[Action::All],
        };
        let scope = |name: &RepoName, actions: &[Action]| Scope {
            resource: Resource::Repository(name.clone()),
            actions: actions.iter().cloned().collect(),
        };
        let mut scopes = Scopes::default();
        scopes.insert(scope(self.reference.name(), actions));
        if let Some(also) = also {
            scopes.insert(scope(also, &[Action::Pull]));
        }
        let claim = Claim { key: self.place(), scopes };
        self.registry.send(&self.auth, ask, &claim).await
    }

    /// `host/name`, for people and for credentials.
    pub(super) fn place(&self) -> String {
        format!("{}/{}", self.reference.host(), self.reference.name())
    }

    /// A path below this repository's.
    pub(super) fn path(&self, rest: &str) -> Target {
        Target::Path(format!("/v2/{}/{rest}", self.reference.name()))
    }

    /// The answer if it says that all went well.
    pub(super) async fn accept(&self, answer: Answer, what: &str, absent: &str) -> Result<Answer> {
        answer.accept(Doing { what, place: &self.place(), absent }).await
    }
}

impl Repository {
    pub(super) fn new(
        shared: Arc<Shared>,
        reference: Reference,
        primary: Place,
        by_tag: Vec<Place>,
        by_digest: Vec<Place>,
    ) -> Self {
        let inner = Inner { shared, reference, primary, by_tag, by_digest, access: Access::Pull };
        Self { inner: Arc::new(inner) }
    }

    /// The repository itself, without mirrors, and with tokens that allow to write from the beginning.
    #[must_use]
    pub fn for_writing(&self) -> Self {
        self.only(self.inner.reference.clone(), self.inner.primary.clone(), Access::Push)
    }

    fn only(&self, reference: Reference, place: Place, access: Access) -> Self {
        let inner = Inner {
            shared: Arc::clone(&self.inner.shared),
            reference,
            by_tag: vec![place.clone()],
            by_digest: vec![place.clone()],
            primary: place,
            access,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Host and name, without tag and digest.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.inner.reference
    }

    /// Another repository of the same registry with the same access.
    #[must_use]
    pub fn sibling(&self, name: &RepoName) -> Self {
        let renamed = |reference: &Reference| {
            Reference::new(reference.host(), name.clone()).unwrap_or_else(|_| reference.clone())
        };
        let place = Place { reference: renamed(&self.inner.primary.reference), ..self.inner.primary.clone() };
        self.only(renamed(&self.inner.reference), place, self.inner.access)
    }

    /// Whether both are of one registry, so that blobs can be mounted.
    #[must_use]
    pub fn same_registry(&self, other: &Self) -> bool {
        self.inner.reference.host() == other.inner.reference.host()
    }

    pub(super) fn primary(&self) -> &Place {
        &self.inner.primary
    }

    /// Where to read by digest (blobs too), and where by tag, best first; never empty.
    pub(super) fn places(&self, by_digest: bool) -> &[Place] {
        if by_digest { &self.inner.by_digest } else { &self.inner.by_tag }
    }

    pub(super) fn access(&self) -> Access {
        self.inner.access
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// Notes that this repository holds a blob, so that others of its registry may mount it.
    pub(super) fn learn(&self, blob: &Digest) {
        let now = self.shared().tuning.clock.now();
        self.shared().known.learn(self.reference().host(), self.reference().name(), blob, now);
    }

    /// Repositories of this registry that are known to hold a blob.
    pub(super) fn places_of(&self, blob: &Digest) -> Vec<RepoName> {
        self.shared().known.places(self.reference().host(), blob)
    }

    /// Whether this process saw the blob here not long ago.
    pub(super) fn surely_has(&self, blob: &Digest) -> bool {
        let now = self.shared().tuning.clock.now();
        self.shared().known.is_fresh(self.reference().host(), self.reference().name(), blob, now)
    }

    /// Notes that another repository of this registry has not what it was thought to have.
    pub(super) fn unlearn(&self, blob: &Digest, name: &RepoName) {
        self.shared().known.forget(self.reference().host(), name, blob);
    }

    /// Reads from the first place that has it. A place that fails or has it not is followed by the next; if all do, the
    /// error is that of the last, which is the repository itself.
    ///
    /// # Errors
    /// A refusal (a rule of safety, of a policy) ends it at once: a mirror must not be able to hide it.
    pub(super) async fn anywhere<'s, T, F>(
        &'s self,
        by_digest: bool,
        read: impl Fn(&'s Place) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let places = self.places(by_digest);
        for (nth, place) in places.iter().enumerate() {
            match read(place).await {
                Ok(found) => return Ok(found),
                Err(error) if nth + 1 == places.len() || is_final(&error) => return Err(error),
                Err(error) => tracing::debug!("{} is passed over: {error}", place.place()),
            }
        }
        Err(Error::Usage(format!("{}: nowhere to read from", self.inner.reference)))
    }
}

/// Whether an error is not to be covered up by another place's answer.
pub(super) fn is_final(error: &Error) -> bool {
    matches!(error.root(), Error::Refused(_) | Error::RefusingCredentials { .. } | Error::Usage(_))
}
