//! `[server]` and `[server.tls]`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{
    cidr::Cidr,
    faults::Faults,
    section::{Keys, Section},
};

/// Where and how the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Addresses and ports.
    pub listen: Vec<SocketAddr>,
    /// `scheme://host[:port]` under which clients reach the server.
    pub external_url: Option<String>,
    /// Proxies that are believed.
    pub trusted_proxies: Vec<Cidr>,
    /// How long a stop waits for requests.
    pub drain: Duration,
    /// Whether others than this machine may come without saying who they are.
    pub insecure_open: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 5000))],
            external_url: None,
            trusted_proxies: Vec::new(),
            drain: Duration::from_secs(30),
            insecure_open: false,
        }
    }
}

impl Section for Server {
    fn name(&self) -> &'static str {
        "server"
    }

    fn about(&self) -> &'static str {
        "Where and how the registry listens."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key("listen", "Addresses and ports, as \"127.0.0.1:5000\" or \"[::]:5000\".", &mut self.listen);
        keys.key(
            "external_url",
            "The address that clients use, as \"https://registry.example\", where it is not the Host that they send.",
            &mut self.external_url,
        );
        keys.key(
            "trusted_proxies",
            "Networks of proxies whose Forwarded and X-Forwarded-* headers are believed, as \"10.0.0.0/8\".",
            &mut self.trusted_proxies,
        );
        keys.key(
            "drain",
            "How long a stop waits for requests under way. Uploads still going then are saved and can be resumed.",
            &mut self.drain,
        );
        keys.key(
            "insecure_open",
            "Listen on other addresses than loopback though nobody has to say who they are: anyone who can\n\
             reach the port can push and delete.",
            &mut self.insecure_open,
        );
    }

    fn check(&mut self, faults: &mut Faults) {
        if self.listen.is_empty() {
            faults.add("server.listen", "must name at least one address");
        }
        if let Some(url) = &mut self.external_url {
            match origin(url) {
                Ok(origin) => *url = origin,
                Err(sentence) => faults.add("server.external_url", sentence),
            }
        }
        if self.drain > Duration::from_hours(24) {
            faults.add("server.drain", "must be no more than 24h");
        }
    }
}

impl Server {
    /// Others than this machine may come only where callers say who they are, or where that is meant.
    pub(super) fn check_listen(&self, authentication: bool, faults: &mut Faults) {
        if authentication || self.insecure_open {
            return;
        }
        for address in self.listen.iter().filter(|address| !address.ip().to_canonical().is_loopback()) {
            faults.add(
                "server.listen",
                format!(
                    "{address} is not a loopback address and no authentication is configured: anyone who can reach \
                     it could push and delete. Set auth.enabled = true to let in users alone. If everybody is \
                     meant, set server.insecure_open = true or give --insecure-open"
                ),
            );
        }
    }
}

/// `scheme://host[:port]`, in lower case, without a last slash.
fn origin(url: &str) -> Result<String, String> {
    let fault = || format!("{url:?} is not an address like \"https://registry.example\", without a path");
    let uri: http::Uri = url.parse().map_err(|_| fault())?;
    let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme)).ok_or_else(fault)?;
    let authority =
        uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(fault)?;
    if uri.path() != "/" || uri.query().is_some() {
        return Err(fault());
    }
    Ok(format!("{scheme}://{authority}").to_ascii_lowercase())
}

/// The certificate of every listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificate chain, PEM.
    pub cert: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
    /// Authorities of client certificates, PEM.
    pub client_ca: Option<PathBuf>,
}

impl Tls {
    /// Both files, if TLS is on.
    #[must_use]
    pub fn files(&self) -> Option<(PathBuf, PathBuf)> {
        self.cert.clone().zip(self.key.clone())
    }
}

impl Section for Tls {
    fn name(&self) -> &'static str {
        "server.tls"
    }

    fn about(&self) -> &'static str {
        "TLS on every address, when both files are set. They are read again when they change."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key(
            "cert",
            "The certificate and those above it, PEM, as \"/etc/berth/tls.crt\".",
            &mut self.cert,
        );
        keys.key("key", "Its private key, PEM, as \"/etc/berth/tls.key\".", &mut self.key);
        keys.key(
            "client_ca",
            "Certificates of authorities, PEM, as \"/etc/berth/clients.crt\": whoever shows a client certificate that\n\
             one of them signed is cert:NAME, by its common name or else its first alternative name. Others say who\n\
             they are as usual.",
            &mut self.client_ca,
        );
    }

    fn check(&mut self, faults: &mut Faults) {
        match (&self.cert, &self.key) {
            (Some(_), None) => faults.add("server.tls.key", "required when server.tls.cert is set"),
            (None, Some(_)) => faults.add("server.tls.cert", "required when server.tls.key is set"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        if self.client_ca.is_some() && self.cert.is_none() {
            faults.add("server.tls.client_ca", "needs TLS: set server.tls.cert and server.tls.key");
        }
    }
}

impl Tls {
    /// Certificates of clients count for nothing where nobody is asked who they are.
    pub(super) fn check_clients(&self, authentication: bool, faults: &mut Faults) {
        if self.client_ca.is_some() && !authentication {
            faults.add(
                "server.tls.client_ca",
                "is set though nobody is asked who they are; set auth.enabled = true",
            );
        }
    }
}
