//! How any bucket is reached: time-outs, retries, certificates, and what uploads may keep in memory.

use std::{path::PathBuf, time::Duration};

use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig};

use super::{ObjectBackend, Result, object::object_error, patience::Patience};

/// What all kinds of buckets are told alike.
#[derive(Clone, Debug)]
pub struct Connection {
    /// What all keys begin with; empty for nothing.
    pub prefix: String,
    /// So long a request may take before the client hears that storage does not answer, and a second more for
    /// each 2 MiB that it sends. Bodies that flow have no limit.
    pub timeout: Duration,
    /// Certificates in PEM that are trusted beside the system's.
    pub ca: Option<Vec<u8>>,
    /// Whether requests may go without TLS.
    pub allow_http: bool,
    /// Bytes that all uploads together may keep in memory...
    pub memory: u64,
    /// ...and the folder in whose nameless files they go on beyond that. Made when it is needed.
    pub spill: PathBuf,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            timeout: Duration::from_secs(20),
            ca: None,
            allow_http: false,
            memory: 48 << 20,
            spill: std::env::temp_dir(),
        }
    }
}

/// Waits for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// A part's bytes may be on their way for so long before its answer begins. [`Patience`] ends it earlier, by its size.
const PART: Duration = Duration::from_secs(3600);

impl Connection {
    /// For requests whose answers matter: so long may pass without a byte. The whole has no limit: a big blob that flows
    /// is well.
    pub(super) fn reading(&self) -> Result<ClientOptions> {
        Ok(self.options()?.with_read_timeout(self.timeout / 2))
    }

    /// For requests that send much before there is an answer.
    pub(super) fn sending(&self) -> Result<ClientOptions> {
        Ok(self.options()?.with_read_timeout(PART))
    }

    fn options(&self) -> Result<ClientOptions> {
        let mut options = ClientOptions::new()
            .with_timeout_disabled()
            .with_connect_timeout(CONNECT)
            .with_allow_http(self.allow_http);
        if let Some(pem) = &self.ca {
            for certificate in Certificate::from_pem_bundle(pem).map_err(object_error)? {
                options = options.with_root_certificate(certificate);
            }
        }
        // Tests leave the machine under no name.
        #[cfg(test)]
        let options = options.with_dns_resolver(std::sync::Arc::new(super::testing::Loopback));
        Ok(options)
    }

    /// A few tries; [`Patience`] bounds the time of what must be answered, and a body that broke off may be
    /// gone on with however long it has flowed.
    pub(super) fn retries() -> RetryConfig {
        RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(3),
                base: 2.0,
            },
            max_retries: 6,
            retry_timeout: Duration::from_secs(24 * 3600),
        }
    }

    pub(super) fn patience(&self) -> Patience {
        Patience(self.timeout)
    }

    /// Gives a bucket what it is told here.
    pub(super) fn equip(&self, bucket: ObjectBackend) -> ObjectBackend {
        bucket.with_patience(self.patience()).with_memory(self.memory, self.spill.clone())
    }
}
