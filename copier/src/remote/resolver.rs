//! Names are resolved here, so that an address is judged after resolution and is the one that is connected to (C2).

use std::{
    collections::HashSet,
    fmt,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::address::is_public;
use crate::{Error, Result};

/// Host names that the user gave, in a reference or in a configuration file. They may be anywhere; every other host
/// that a server names must be on the public internet.
#[derive(Clone, Debug, Default)]
pub(super) struct NamedHosts(Arc<RwLock<HashSet<String>>>);

impl NamedHosts {
    /// Notes a host, with or without a port.
    pub(super) fn insert(&self, host: &str) {
        let host = host_of(host).to_owned();
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(host);
    }

    fn contains(&self, host: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&host_of(host))
    }

    /// Refuses a URL whose host is an address outside the public internet, unless the user named it. Names are judged
    /// when they are resolved.
    pub(super) fn check(&self, url: &Url) -> Result<()> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err(Error::Refused(format!("{url}: a URL without a host"))),
        };
        let host = url.host_str().unwrap_or_default();
        if is_public(address) || self.contains(host) {
            Ok(())
        } else {
            Err(refusal(host, &address.to_string()))
        }
    }
}

/// Lower case, without a port and without the brackets of an IPv6 address.
fn host_of(host: &str) -> String {
    let name = match (host.strip_prefix('['), host.rsplit_once(':')) {
        (Some(rest), _) => rest.split(']').next().unwrap_or(rest),
        (None, Some((name, _port))) if !name.contains(':') => name,
        (None, _) => host,
    };
    name.to_ascii_lowercase()
}

fn refusal(host: &str, address: &str) -> Error {
    let which = if host == address { host.to_owned() } else { format!("{host} ({address})") };
    Error::Refused(format!(
        "a server sent this client on to {which}, an address of a private or local network, which the user did not \
         name; if that is meant, name the host among the trusted ones"
    ))
}

/// The refusal on its way through the HTTP library.
#[derive(Debug)]
pub(super) struct RefusedAddress {
    host: String,
    address: String,
}

impl RefusedAddress {
    /// Finds it among an error's causes.
    pub(super) fn find(error: &(dyn std::error::Error + 'static)) -> Option<Error> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(refused) = error.downcast_ref::<Self>() {
                return Some(refusal(&refused.host, &refused.address));
            }
            cause = error.source();
        }
        None
    }
}

impl fmt::Display for RefusedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is at the private address {}", self.host, self.address)
    }
}

impl std::error::Error for RefusedAddress {}

/// Resolves by the system and refuses what [`NamedHosts`] does not allow.
#[derive(Debug)]
pub(super) struct Resolver(pub(super) NamedHosts);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let named = self.0.contains(name.as_str());
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if !named && let Some(address) = found.iter().find(|address| !is_public(address.ip())) {
                let address = address.ip().to_string();
                return Err(RefusedAddress { host: name.as_str().to_owned(), address }.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_brackets_and_case_do_not_make_another_host() {
        let named = NamedHosts::default();
        named.insert("Registry.Example.org:5000");
        named.insert("[::1]:5000");
        named.insert("10.0.0.1:443");
        assert!(named.contains("registry.example.org"));
        assert!(named.contains("[::1]") && named.contains("::1"));
        for url in ["https://10.0.0.1/token", "http://[::1]:9/x"] {
            assert!(named.check(&url.parse().unwrap()).is_ok(), "{url}");
        }
    }

    #[test]
    fn c2_an_address_that_nobody_named_is_refused() {
        let named = NamedHosts::default();
        named.insert("10.0.0.1");
        for url in [
            "http://169.254.169.254/latest",
            "http://[::ffff:7f00:1]/",
            "http://2130706433/",
            "https://10.0.0.2/",
        ] {
            let refused = named.check(&url.parse().unwrap());
            assert!(matches!(refused, Err(Error::Refused(_))), "{url}");
        }
        assert!(named.check(&"https://1.1.1.1/".parse().unwrap()).is_ok());
    }

    #[tokio::test]
    async fn c2_a_name_that_resolves_to_a_private_address_is_refused_unless_it_was_named() {
        let named = NamedHosts::default();
        let resolver = Resolver(named.clone());
        let refused = resolver.resolve("localhost".parse().unwrap()).await.err().unwrap();
        assert!(RefusedAddress::find(&*refused).is_some_and(|error| error.exit_code() == 5));
        named.insert("localhost:5000");
        assert!(resolver.resolve("localhost".parse().unwrap()).await.is_ok());
    }
}
