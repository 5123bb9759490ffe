//! Who is let in, put together from the configuration.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use super::{Services, StartError};
use crate::{
    auth::{
        AddressOf, Authenticate, Bearer, Callers, Logins, Nobody, Sources,
        tokens::{self, Parties, RealmOf, Tokens},
    },
    catalog::{Catalog, OpenError},
    clock::Clock,
    config::Config,
    http::serve::{Origin, Peer, client_address, public_base},
    policy::Policy,
};

/// Names and secrets. They are kept where authentication is off, too, so that they can be there before it is on.
pub(super) async fn logins(
    config: &Config,
    catalog: &Arc<dyn Catalog>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<Logins>, StartError> {
    let sources = Sources { htpasswd: config.auth.htpasswd.clone(), admins: config.auth.admins.clone() };
    let (catalog, clock) = (catalog.clone(), clock.clone());
    // It reads a file.
    let logins = tokio::task::spawn_blocking(move || Logins::new(sources, catalog, clock)).await;
    Ok(Arc::new(logins.map_err(std::io::Error::other)??))
}

/// Tokens, where callers have to say who they are. From here on `logins` take tokens as passwords, too.
pub(super) async fn tokens(
    config: &Config,
    catalog: &Arc<dyn Catalog>,
    clock: &Arc<dyn Clock>,
    origin: &Arc<Origin>,
    policy: &Policy,
    logins: &Arc<Logins>,
) -> Result<Option<Arc<Tokens>>, StartError> {
    if !config.auth.enabled {
        return Ok(None);
    }
    let parties = Parties {
        catalog: catalog.clone(),
        clock: clock.clone(),
        policy: policy.clone(),
        standing: Arc::new(Arc::downgrade(logins)),
        realm: realm(origin.clone()),
    };
    let settings = tokens::Settings {
        enabled: config.tokens.enabled,
        service: config.auth.service.clone(),
        life: config.tokens.life,
        leeway: config.tokens.leeway,
        refresh_life: config.tokens.refresh_life,
        algorithm: config.tokens.algorithm.into(),
        rotation: config.tokens.rotation,
        token_servers: config.auth.token_servers(),
        federations: config.auth.federations(),
    };
    let tokens = Arc::new(Tokens::open(settings, parties).await?);
    logins.federate(tokens.clone());
    Ok(Some(tokens))
}

fn realm(origin: Arc<Origin>) -> RealmOf {
    RealmOf::new(move |request| {
        let peer = request.extensions.get::<Peer>()?;
        Some(format!("{}/token", public_base(peer, request, &origin)?))
    })
}

/// Everything that may say who a request comes from.
pub(super) fn authenticate(
    config: &Config,
    logins: &Arc<Logins>,
    tokens: Option<&Arc<Tokens>>,
    origin: &Arc<Origin>,
) -> Arc<dyn Authenticate> {
    if !config.auth.enabled {
        return Arc::new(Nobody);
    }
    let bearer = tokens.filter(|tokens| tokens.takes_any());
    Arc::new(Callers {
        passwords: logins.clone(),
        bearer: bearer.map(|tokens| tokens.clone() as Arc<dyn Bearer>),
        address: address_of(origin.clone()),
        realm: config.auth.service.clone(),
    })
}

/// Failed logins are counted by the client's own address, through proxies that are believed.
fn address_of(origin: Arc<Origin>) -> AddressOf {
    AddressOf::new(move |request| match request.extensions.get::<Peer>() {
        Some(peer) => client_address(peer, &request.headers, &origin),
        // Every connection has one; without, all would be counted as one.
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    })
}

/// There is no default password: a registry that nobody could administer does not start, and says how somebody
/// can (R37).
pub(super) async fn check_administrators(services: &Services) -> Result<(), StartError> {
    let auth = &services.config.auth;
    let others = services.logins.has_file_users() || services.config.tls.client_ca.is_some();
    if !auth.enabled || services.catalog.count_admins(1).await.map_err(OpenError::from)? > 0 {
        return Ok(());
    }
    if !others {
        return Err(StartError::NobodyToLogIn);
    }
    if auth.admins.is_empty() {
        tracing::warn!(
            "Nobody administers over the network: name somebody in auth.admins, or add one with \
             `berth-registry user add NAME --admin`"
        );
    }
    Ok(())
}
