//! The registry client against a registry that lies, cuts, stalls, loops and forgets.

mod access;
mod blobs;
mod certificates;
mod limits;
mod lists;
mod manifests;
mod server;
mod uploads;
mod where_to;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use async_trait::async_trait;
use berth_copier::{
    Secret, Settings, Side,
    remote::{Client, Clock, Repository, Tuning},
};
use berth_oci::Reference;

use self::server::{Body, Hostile, Reply, Seen};

/// A clock whose sleeps take no time and are counted.
#[derive(Debug)]
pub(crate) struct Skipping {
    begun: Instant,
    slept: Mutex<Vec<Duration>>,
}

impl Skipping {
    fn total(&self) -> Duration {
        self.slept.lock().unwrap().iter().sum()
    }
}

#[async_trait]
impl Clock for Skipping {
    fn now(&self) -> Instant {
        self.begun + self.total()
    }

    fn date(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_480) + self.total()
    }

    async fn sleep(&self, span: Duration) {
        self.slept.lock().unwrap().push(span);
        tokio::task::yield_now().await;
    }

    fn chance(&self) -> f64 {
        1.0
    }
}

/// A client with a clock that is not waited for.
pub(crate) struct Lab {
    pub(crate) client: Client,
    pub(crate) clock: Arc<Skipping>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        Self::tuned(settings, |_| {})
    }

    pub(crate) fn tuned(mut settings: Settings, tune: impl FnOnce(&mut Tuning)) -> Self {
        // What this machine's own files say is of no concern here.
        let none = settings.registries_conf.is_none();
        let empty = tempfile::NamedTempFile::new().unwrap();
        if none {
            settings.registries_conf = Some(empty.path().to_owned());
        }
        let clock = Arc::new(Skipping { begun: Instant::now(), slept: Mutex::default() });
        let mut tuning = Tuning { clock: clock.clone(), ..Tuning::default() };
        tune(&mut tuning);
        Self { client: Client::with_tuning(&settings, tuning).unwrap(), clock }
    }

    /// A repository, to read from; plain HTTP is allowed.
    pub(crate) fn open(&self, host: &str, name: &str) -> Repository {
        self.open_as(host, name, &anonymous())
    }

    pub(crate) fn open_as(&self, host: &str, name: &str, side: &Side) -> Repository {
        let reference: Reference = format!("{host}/{name}").parse().unwrap();
        self.client.repository(&reference, side).unwrap()
    }

    pub(crate) fn slept(&self) -> Vec<Duration> {
        self.clock.slept.lock().unwrap().clone()
    }
}

pub(crate) fn anonymous() -> Side {
    Side { tls_verify: Some(false), anonymous: true, ..Side::default() }
}

pub(crate) fn somebody() -> Side {
    let credentials = Some(("user".to_owned(), Secret::new("s3cret")));
    Side { tls_verify: Some(false), credentials, ..Side::default() }
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An address where nothing listens.
pub(crate) fn nobody() -> String {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().to_string()
}
