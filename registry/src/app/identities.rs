//! Who may come: passwords, tokens, and how they are put together.

use std::{io, net::IpAddr, sync::Arc};

use http::request::Parts;

use super::StartError;
use crate::{
    auth::{
        AddressOf, Authenticate, Bearer, Callers,
        passwords::{Logins, Sources},
        tokens::{self, Parties, RealmOf, Tokens},
    },
    catalog::Catalog,
    clock::Clock,
    config::Config,
    http::serve::{Origin, Peer, client_address, public_base},
    policy::Policy,
};

/// All that knows somebody, where callers have to say who they are.
#[derive(Clone, Debug)]
pub struct Identities {
    /// Names and passwords.
    pub logins: Arc<Logins>,
    /// Tokens.
    pub tokens: Arc<Tokens>,
    /// Both together, as requests meet them.
    pub authenticate: Arc<dyn Authenticate>,
}

/// Builds it; `None` where nobody has to say who they are.
pub(super) async fn open(
    config: &Config,
    catalog: &Arc<dyn Catalog>,
    clock: &Arc<dyn Clock>,
    origin: &Arc<Origin>,
    policy: &Policy,
) -> Result<Option<Identities>, StartError> {
    if !config.auth.enabled {
        return Ok(None);
    }
    // Tokens ask who is still known, and logins take some tokens as passwords: two readers of the same accounts.
    let (known, logins) = (read(config, catalog, clock).await?, read(config, catalog, clock).await?);
    let parties = Parties {
        catalog: catalog.clone(),
        clock: clock.clone(),
        policy: policy.clone(),
        standing: Arc::new(known),
        realm: realm(origin.clone()),
    };
    let settings = settings(config);
    let bearer = settings.enabled || !settings.token_servers.is_empty();
    let tokens = Arc::new(Tokens::open(settings, parties).await?);
    let logins = Arc::new(logins.with_federated(tokens.clone()));
    let bearer = bearer.then(|| tokens.clone() as Arc<dyn Bearer>);
    let authenticate = Arc::new(Callers {
        passwords: logins.clone(),
        bearer,
        address: address(origin.clone()),
        realm: config.auth.service.clone(),
    });
    Ok(Some(Identities { logins, tokens, authenticate }))
}

async fn read(
    config: &Config,
    catalog: &Arc<dyn Catalog>,
    clock: &Arc<dyn Clock>,
) -> Result<Logins, StartError> {
    let sources = Sources { htpasswd: config.auth.htpasswd.clone(), admins: config.auth.admins.clone() };
    let (catalog, clock) = (catalog.clone(), clock.clone());
    // It reads a file, which blocks.
    let logins = tokio::task::spawn_blocking(move || Logins::new(sources, catalog, clock));
    Ok(logins.await.map_err(io::Error::other)??)
}

fn settings(config: &Config) -> tokens::Settings {
    tokens::Settings {
        enabled: config.tokens.enabled,
        service: config.auth.service.clone(),
        life: config.tokens.life,
        leeway: config.tokens.leeway,
        refresh_life: config.tokens.refresh_life,
        algorithm: config.tokens.algorithm.into(),
        rotation: config.tokens.rotation,
        token_servers: config.auth.token_servers(),
        federations: config.auth.federations(),
    }
}

/// Requests that came over no connection are this machine's own.
const HERE: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

fn address(origin: Arc<Origin>) -> AddressOf {
    AddressOf::new(move |request: &Parts| {
        let peer = request.extensions.get::<Peer>();
        peer.map_or(HERE, |peer| client_address(peer, &request.headers, &origin))
    })
}

fn realm(origin: Arc<Origin>) -> RealmOf {
    RealmOf::new(move |request: &Parts| {
        let peer = request.extensions.get::<Peer>()?;
        Some(format!("{}/token", public_base(peer, request, &origin)?))
    })
}
