//! Where the database is: one server, or several of which one takes writes at a time.
//!
//! As the database's own library writes it: `postgres://user@one,two:5433/berth?target_session_attrs=read-write`,
//! or `host=one,two` among the parameters. sqlx knows one host, so that the list is taken apart here.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

use super::pool::CONNECT;
use crate::catalog::{
    BoxError, CatalogError, OpenError, Result,
    database::{Columns, Statements},
};

/// One of several that does not answer for so long is passed over.
const PASS: Duration = Duration::from_millis(1500);
const READ_ONLY: &str = "SELECT current_setting('transaction_read_only')";

/// A server that takes no writes.
#[derive(Debug, thiserror::Error)]
#[error("the server takes no writes: it is a standby, or set to be read only")]
struct ReadOnly;

/// All servers, and which answered last.
#[derive(Clone)]
pub(super) struct Address {
    servers: Arc<[PgConnectOptions]>,
    last: Arc<AtomicUsize>,
    must_write: bool,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the servers: what is known of them holds a password.
        f.debug_struct("Address").field("servers", &self.servers.len()).finish_non_exhaustive()
    }
}

impl Address {
    /// Reads an address.
    pub(super) fn parse(url: &str) -> Result<Self, OpenError> {
        let refused = |why: BoxError| OpenError::Address(why);
        let (urls, must_write) = each(url).map_err(refused)?;
        let mut servers = Vec::new();
        for url in &urls {
            let server: PgConnectOptions = url.parse().map_err(|error: sqlx::Error| refused(error.into()))?;
            servers.push(server.application_name("berth-registry").disable_statement_logging());
        }
        let must_write = must_write.unwrap_or(servers.len() > 1);
        Ok(Self { servers: servers.into(), last: Arc::default(), must_write })
    }

    /// Connects under another name.
    pub(super) fn named(&self, application: &str) -> Self {
        let servers = self.servers.iter().map(|server| server.clone().application_name(application));
        Self { servers: servers.collect(), ..self.clone() }
    }

    /// Connects to the first that will do, beginning with the one that did last.
    pub(super) async fn connect(&self) -> Result<PgConnection> {
        let (first, count) = (self.last.load(Ordering::Relaxed), self.servers.len());
        let patience = if count > 1 { PASS } else { CONNECT };
        let mut failed = None;
        for at in (first..first + count).map(|at| at % count) {
            let Some(server) = self.servers.get(at) else { continue };
            let connected = match timeout(patience, self.usable(server)).await {
                Ok(connected) => connected,
                Err(late) => Err(CatalogError::Unavailable(late.into())),
            };
            match connected {
                Ok(connection) => {
                    self.last.store(at, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| CatalogError::Unavailable("no server is named".into())))
    }

    async fn usable(&self, server: &PgConnectOptions) -> Result<PgConnection> {
        let mut connection = server.connect().await?;
        if self.must_write {
            let row = connection.row(READ_ONLY, &[]).await?;
            if row.map(|row| row.text(0)).transpose()?.as_deref() != Some("off") {
                return Err(CatalogError::Unavailable(ReadOnly.into()));
            }
        }
        Ok(connection)
    }
}

/// An address for each server, and whether it is said that it must take writes.
fn each(url: &str) -> Result<(Vec<String>, Option<bool>), BoxError> {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut must_write, mut hosts, mut ports, mut others) = (None, Vec::new(), Vec::new(), Vec::new());
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("target_session_attrs", "any")) => must_write = Some(false),
            Some(("target_session_attrs", "read-write" | "primary")) => must_write = Some(true),
            Some(("target_session_attrs", other)) => {
                return Err(format!(
                    "target_session_attrs={other} is not for a registry, which writes: take read-write"
                )
                .into());
            }
            Some(("host", list)) => hosts = list.split(',').collect(),
            Some(("port", list)) => ports = list.split(',').collect(),
            _ => others.push(parameter.to_owned()),
        }
    }
    if !hosts.is_empty() && ports.len() > 1 && ports.len() != hosts.len() {
        return Err(format!("{} hosts are named, and {} ports", hosts.len(), ports.len()).into());
    }
    let (scheme, rest) = place.split_once("://").ok_or("it does not begin with postgres://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user, authority) =
        authority.rsplit_once('@').map_or((String::new(), authority), |(user, at)| (format!("{user}@"), at));
    let urls = if hosts.is_empty() {
        let ports = ports.first().map(|port| format!("port={port}"));
        others.extend(ports);
        authority.split(',').map(|host| joined(scheme, &user, host, path, &others)).collect()
    } else {
        let one = |(at, host): (usize, &&str)| {
            let mut parameters = others.clone();
            parameters.push(format!("host={host}"));
            parameters.extend(ports.get(at).or(ports.first()).map(|port| format!("port={port}")));
            joined(scheme, &user, authority, path, &parameters)
        };
        hosts.iter().enumerate().map(one).collect()
    };
    Ok((urls, must_write))
}

fn joined(scheme: &str, user: &str, host: &str, path: &str, parameters: &[String]) -> String {
    format!("{scheme}://{user}{host}{path}?{}", parameters.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_servers_is_taken_apart() {
        for (url, expected, must_write) in [
            ("postgres://a/db", &["postgres://a/db?"][..], None),
            (
                "postgres://u:p@a:1,b:2/db?sslmode=disable",
                &["postgres://u:p@a:1/db?sslmode=disable", "postgres://u:p@b:2/db?sslmode=disable"],
                None,
            ),
            (
                "postgres://u:p,@a,b/db?target_session_attrs=read-write",
                &["postgres://u:p,@a/db?", "postgres://u:p,@b/db?"],
                Some(true),
            ),
            (
                "postgres:///db?host=a,b&port=1,2&target_session_attrs=any",
                &["postgres:///db?host=a&port=1", "postgres:///db?host=b&port=2"],
                Some(false),
            ),
            ("postgres:///db?host=/run/x&user=u", &["postgres:///db?user=u&host=/run/x"], None),
        ] {
            assert_eq!(
                each(url).unwrap(),
                (expected.iter().map(|&url| url.to_owned()).collect(), must_write),
                "{url}"
            );
        }
        for url in ["a,b", "postgres://a,b/?target_session_attrs=standby", "postgres:///?host=a,b,c&port=1,2"]
        {
            assert!(Address::parse(url).is_err(), "{url}");
        }
    }
}
