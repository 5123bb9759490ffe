//! What went wrong on the way, in the words that people (and scripts) know from other clients.

use std::{error::Error as StdError, io};

use crate::Error;

use super::{resolver::RefusedAddress, trust};

/// Turns the HTTP library's error into ours. Its own text names the whole URL, which may hold a signature: it is not
/// used.
pub(super) fn network(error: &reqwest::Error, host: &str, what: &str) -> Error {
    if let Some(refused) = RefusedAddress::find(error) {
        return refused;
    }
    let reached = error.url().map(trust::host);
    let what = match reached.as_deref() {
        _ if !error.is_connect() => what.to_owned(),
        // Where a registry sent us: a token service, a storage.
        Some(reached) if !is_of(reached, host) => format!("{what}: connecting to {reached} for {host}"),
        _ => format!("pinging container registry {host}"),
    };
    let host = reached.as_deref().unwrap_or(host);
    let cause = cause(error, host);
    let dialling = error.is_connect() && cause.starts_with("connect: ");
    let cause = match (dialling, error.is_connect()) {
        (true, _) => format!("dial tcp {host}: {cause}"),
        (false, true) => cause,
        // What was being done may concern two registries.
        (false, false) => format!("{host}: {cause}"),
    };
    Error::Network { what, source: cause.into() }
}

/// Whether an address is the registry's own; Docker Hub has another name for people, and a usual port is not written.
fn is_of(reached: &str, host: &str) -> bool {
    let usual = [":443", ":80"].iter().find_map(|port| host.strip_suffix(port)).unwrap_or(host);
    reached == host || reached == usual || host == berth_oci::reference::DEFAULT_HOST
}

/// Whether a connection was not made, and trying again soon will not help.
pub(super) fn is_hopeless(error: &reqwest::Error) -> bool {
    error.is_builder() || (error.is_connect() && !error.is_timeout())
}

/// The deepest cause that says something.
fn cause(error: &reqwest::Error, host: &str) -> String {
    let mut next: Option<&(dyn StdError + 'static)> = error.source();
    let mut last = None;
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            let io = innermost(io);
            if let Some(tls) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                return tls_cause(tls, host);
            }
            if let Some(text) = io_cause(io) {
                return text.to_owned();
            }
        }
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return tls_cause(tls, host);
        }
        last = Some(cause);
        next = cause.source();
    }
    match last {
        Some(last) if last.to_string().contains("lookup address") => {
            format!("dial tcp: lookup {host}: no such host")
        }
        Some(last) => last.to_string(),
        None if error.is_timeout() => "the time limit ran out".to_owned(),
        None => "the connection failed".to_owned(),
    }
}

/// Libraries wrap an I/O error in others, and the wrapping is not among its causes.
fn innermost(mut error: &io::Error) -> &io::Error {
    while let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<io::Error>()) {
        error = inner;
    }
    error
}

fn io_cause(error: &io::Error) -> Option<&'static str> {
    Some(match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused",
        io::ErrorKind::ConnectionReset => "connection reset by peer",
        io::ErrorKind::ConnectionAborted => "connection aborted",
        io::ErrorKind::BrokenPipe => "broken pipe",
        io::ErrorKind::TimedOut => "i/o timeout",
        io::ErrorKind::UnexpectedEof => "unexpected EOF",
        io::ErrorKind::HostUnreachable => "connect: no route to host",
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable",
        _ => return None,
    })
}

fn tls_cause(error: &rustls::Error, host: &str) -> String {
    use rustls::{CertificateError, InvalidMessage};
    match error {
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "http: server gave HTTP response to HTTPS client (--tls-verify=false, or `insecure = true` in \
             registries.conf, allows plain HTTP)"
                .to_owned()
        }
        rustls::Error::InvalidCertificate(fault) => match fault {
            CertificateError::UnknownIssuer => {
                format!(
                    "tls: failed to verify certificate: x509: certificate signed by unknown authority (put the \
                     authority's certificate into /etc/containers/certs.d/{host} as ca.crt)"
                )
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "x509: certificate has expired or is not yet valid".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("x509: certificate is not valid for {host}")
            }
            other => format!("x509: {other}"),
        },
        other => format!("tls: {other}"),
    }
}
