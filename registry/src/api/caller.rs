//! Who calls an endpoint. A handler that takes a [`Caller`] answers whoever is known, one that takes an
//! [`Administrator`] only who may administer; both say no before anything else of the request is read.

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::{Error, Result, recorded::Known};
use crate::{
    app::Services,
    auth::{Principal, Subject},
    http::{access, error::ApiError},
    policy::{Policy, Verb},
};

/// Somebody who said who they are; anybody where no authentication is configured.
#[derive(Clone, Debug)]
pub struct Caller(access::Caller);

/// Somebody who may administer the registry as a whole.
#[derive(Clone, Debug)]
pub struct Administrator(Caller);

impl Caller {
    /// Who it is.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        self.0.principal()
    }

    /// The rules for them.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        self.0.policy()
    }

    /// Whether they may administer the registry as a whole.
    #[must_use]
    pub fn may_administer(&self) -> bool {
        self.policy().decide(self.principal(), Verb::Admin, None).allowed
    }
}

impl Administrator {
    /// Who it is.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        self.0.principal()
    }
}

impl FromRequestParts<Services> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self> {
        let caller = services.gate.identify(parts).await.map_err(refused)?;
        if let Some(Known(known)) = parts.extensions.get() {
            // Whoever it was at the first look it is at the second.
            known.get_or_init(|| caller.principal().clone());
        }
        caller.enter(parts).map_err(refused)?;
        Ok(Self(caller))
    }
}

impl FromRequestParts<Services> for Administrator {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self> {
        let caller = Caller::from_request_parts(parts, services).await?;
        let principal = caller.principal();
        if !caller.may_administer() {
            let why = "only administrators may do this".to_owned();
            return Err(refused(caller.0.refuse(parts, "", why)));
        }
        // Where everybody may push, not everybody who can reach the port shall collect or add users.
        let anonymous = principal.subject == Subject::Anonymous;
        if matches!(caller.policy(), Policy::Open) && anonymous && !access::is_near(parts) {
            return Err(Error::Denied(
                "no authentication is configured, so the registry is administered from its own machine alone"
                    .to_owned(),
            ));
        }
        Ok(Self(caller))
    }
}

fn refused(error: ApiError) -> Error {
    match error {
        ApiError::Unauthorized { challenge, why } => Error::Unauthorized { challenge, why },
        ApiError::Denied(why) => Error::Denied(why),
        ApiError::Throttled { retry_after } => Error::Throttled(retry_after),
        ApiError::Catalog(error) => Error::Catalog(error),
        other => Error::Internal(format!("{other:?}").into()),
    }
}
