//! Who is let in, put together from the configuration.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use super::{Services, StartError};
use crate::{
    auth::{AddressOf, Authenticate, Callers, Logins, Nobody, Sources},
    catalog::{Catalog, OpenError},
    clock::Clock,
    config::Config,
    http::serve::{Origin, Peer, client_address},
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

/// Everything that may say who a request comes from.
pub(super) fn authenticate(
    config: &Config,
    logins: &Arc<Logins>,
    origin: &Arc<Origin>,
) -> Arc<dyn Authenticate> {
    if !config.auth.enabled {
        return Arc::new(Nobody);
    }
    Arc::new(Callers {
        passwords: logins.clone(),
        bearer: None,
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
