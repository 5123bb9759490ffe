//! Stopping in order: no new requests, then no waiting for the old ones, then no more.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The two moments of a shutdown.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// No new connections, no new requests on old ones.
    pub stop: CancellationToken,
    /// The drain is over: what is still being received is cut, and saved where it can be.
    pub cut: CancellationToken,
}

impl Shutdown {
    /// Stops at the first SIGTERM or SIGINT; the second ends the process at once, with status 1.
    /// SIGHUP, which elsewhere asks to read something again, ends nothing from here on.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::default();
        let stop = shutdown.stop.clone();
        // A handler once installed stays: what would kill is ignored, also where no certificate waits for it.
        drop(signal(SignalKind::hangup())?);
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                if stop.is_cancelled() {
                    tracing::warn!("A second signal ({name}): the process ends at once");
                    std::process::exit(1);
                }
                tracing::info!("{name}: no new requests; those under way are finished");
                notify("STOPPING=1");
                stop.cancel();
            }
        });
        Ok(shutdown)
    }
}

/// Tells the service manager (sd_notify) where one listens; else nothing happens.
pub fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let sent = (|| {
        let address = match path.to_str().and_then(|path| path.strip_prefix('@')) {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&path)?,
        };
        UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)
    })();
    if let Err(error) = sent {
        tracing::warn!("The service manager was not told {state}: {error}");
    }
}
