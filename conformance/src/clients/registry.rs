//! The registry that clients push to and pull from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Remote;
use crate::harness::{Berth, Hop, Replicas, Result, Shared, Stack};

/// Berth on a stack of the caller's choice, or what `$BERTH_TEST_REGISTRY` names (`http://127.0.0.1:5000`).
#[derive(Debug)]
pub struct Registry {
    _servers: Servers,
    url: String,
}

/// What has to live as long.
#[derive(Debug)]
enum Servers {
    /// Another's.
    Foreign,
    One {
        _berth: Box<Berth>,
    },
    Several {
        _replicas: Box<Replicas>,
    },
}

impl Registry {
    /// The embedded stack, shared by this process's tests: each uses repositories of its own.
    pub fn shared() -> Result<Arc<Self>> {
        static SHARED: Shared<Registry> = Shared::new();
        SHARED.get(|| Self::start(Stack::Embedded))
    }

    /// PostgreSQL and S3, shared likewise.
    pub fn shared_outside() -> Result<Arc<Self>> {
        static SHARED: Shared<Registry> = Shared::new();
        SHARED.get(|| Self::start(Stack::outside()?))
    }

    /// Three replicas on PostgreSQL and S3, each request to the next one; shared likewise.
    pub fn shared_replicas() -> Result<Arc<Self>> {
        static SHARED: Shared<Registry> = Shared::new();
        SHARED.get(|| {
            let replicas = Replicas::start(3, Hop::Request)?;
            Ok(Self { url: replicas.url(), _servers: Servers::Several { _replicas: Box::new(replicas) } })
        })
    }

    /// A registry of one's own.
    pub fn start(stack: Stack) -> Result<Self> {
        if let Ok(url) = std::env::var("BERTH_TEST_REGISTRY") {
            return Ok(Self { _servers: Servers::Foreign, url });
        }
        let berth = Berth::builder().stack(stack).start()?;
        Ok(Self { url: berth.url(), _servers: Servers::One { _berth: Box::new(berth) } })
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> &str {
        self.url.split_once("://").map_or(&*self.url, |(_, host)| host)
    }

    /// Full name of an image: `127.0.0.1:PORT/repository:tag`.
    pub fn image(&self, repository: &str, tag: &str) -> String {
        format!("{}/{repository}:{tag}", self.host())
    }

    /// A look at what it holds.
    pub fn remote(&self) -> Result<Remote> {
        Remote::new(&self.url)
    }
}

/// A name that no other test of this process uses, nor an earlier run against the same registry.
pub fn new_repository(purpose: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("clients/{purpose}-{}-{number}", std::process::id())
}
