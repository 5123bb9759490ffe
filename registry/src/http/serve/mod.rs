//! The server: listeners, connections, and the limits that keep one client from another.
//!
//! hyper speaks HTTP; this module decides who may connect, how long each phase of a connection may
//! take, how files get to sockets, and how the server stops. An axum router answers.

use std::{fmt::Debug, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{rt::TokioExecutor, server::conn::auto};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

mod body;
mod connection;
mod control;
mod file;
mod framing;
mod gate;
mod origin;
mod outlet;
mod service;
mod shutdown;
mod socket;
mod state;
mod tls;

pub use crate::config::Limits;
pub use body::{BodyCut, BodyFault, BodyTooSlow, Draining};
pub use control::{Control, Folder};
pub use file::file_body;
pub use gate::raise_descriptor_limit;
pub use origin::{Origin, Peer, client_address, external_base, public_base};
pub use outlet::Outlet;
pub use service::Cut;
pub use shutdown::{Shutdown, notify};
pub use tls::{Tls, TlsError, TlsFiles, install_crypto_provider};

/// How long handlers have after the drain to save what they hold.
const SAVE: Duration = Duration::from_secs(5);

/// What a server is made with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What one client may take.
    pub limits: Limits,
    /// With it, every listener speaks TLS.
    pub tls: Option<Arc<Tls>>,
    /// Which proxies are believed; they are not counted as one client each.
    pub origin: Arc<Origin>,
    /// How long requests may go on after [`Shutdown::stop`].
    pub drain: Duration,
    /// Who is told of connections.
    pub observer: Option<Arc<dyn Observe>>,
}

/// Counts connections.
pub trait Observe: Send + Sync + Debug + 'static {
    /// One was let in.
    fn opened(&self);
    /// One that was let in ended.
    fn closed(&self);
    /// One was refused, since its address has its share.
    fn refused(&self);
}

/// Serves `router` on all of `listeners` until `shutdown.stop`, then drains: connections without a
/// request are closed, requests are finished for `options.drain`; then `shutdown.cut` makes reading
/// of bodies fail with [`Draining`], handlers have five seconds to save, and the rest is dropped.
pub async fn serve(listeners: Vec<TcpListener>, router: Router, options: Options, shutdown: Shutdown) {
    let server = Arc::new(Server {
        gate: Arc::new(gate::Gate::new(&options.limits, options.origin.clone())),
        builder: connection::builder(&options.limits),
        router,
        options,
        shutdown,
        abort: CancellationToken::new(),
        connections: TaskTracker::new(),
        handlers: TaskTracker::new(),
    });
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(server.clone().accept(listener));
    }
    while accepting.join_next().await.is_some() {}
    server.drain().await;
}

/// What its connections share.
#[derive(Debug)]
struct Server {
    gate: Arc<gate::Gate>,
    builder: auto::Builder<TokioExecutor>,
    router: Router,
    options: Options,
    shutdown: Shutdown,
    /// Drops connections where they stand.
    abort: CancellationToken,
    connections: TaskTracker,
    handlers: TaskTracker,
}

impl Server {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let stop = self.shutdown.stop.clone();
        let accept = async {
            loop {
                self.gate.room().await;
                match listener.accept().await {
                    Ok((stream, peer)) => self.admit(stream, peer),
                    Err(error) => self.gate.after(&error).await,
                }
            }
        };
        // The listener is dropped with the future: from then on clients are refused, not kept waiting.
        stop.run_until_cancelled(accept).await;
    }

    fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let observer = self.options.observer.clone();
        let Some(ticket) = self.gate.enter(peer) else {
            tracing::debug!(%peer, "A connection is refused: its address has its share");
            observer.iter().for_each(|observer| observer.refused());
            return;
        };
        let server = self.clone();
        self.connections.spawn(async move {
            let _counted = observer.map(Counted::new);
            server.abort.run_until_cancelled(connection::run(&server, stream, peer, &ticket)).await;
        });
    }

    async fn drain(&self) {
        self.connections.close();
        self.handlers.close();
        let mut ended = std::pin::pin!(async {
            self.connections.wait().await;
            self.handlers.wait().await;
        });
        if timeout(self.options.drain, &mut ended).await.is_ok() {
            return;
        }
        tracing::warn!("The drain is over: {} connections are cut", self.connections.len());
        self.shutdown.cut.cancel();
        if timeout(SAVE, &mut ended).await.is_ok() {
            return;
        }
        self.abort.cancel();
        self.connections.wait().await;
        if !self.handlers.is_empty() {
            tracing::error!("{} requests did not end; what they held is lost", self.handlers.len());
        }
    }
}

/// An open connection as the observer sees it: its end is told even when its task panics.
struct Counted(Arc<dyn Observe>);

impl Counted {
    fn new(observer: Arc<dyn Observe>) -> Self {
        observer.opened();
        Self(observer)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.closed();
    }
}
