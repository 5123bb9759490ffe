//! One connection from its handshake to its end.

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::pin,
    task::Poll,
    time::Duration,
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    Limits, Server,
    gate::Ticket,
    origin::Peer,
    service::Service,
    socket::Socket,
    state::{Expired, State},
    tls::name_of,
};
use crate::auth::ClientCertificate;

/// Interval of HTTP/2 pings, and how long an answer may take.
const PING: Duration = Duration::from_secs(30);
/// How long a connection that is told to go has to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// What one connection can be asked to be, from the limits. Time-outs are the watchdog's (below),
/// since hyper-util's detection of the version knows none and hyper's own makes no difference
/// between an idle connection and half a head.
pub(super) fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let head_size = usize::try_from(limits.head_size.0).unwrap_or(usize::MAX);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(head_size.max(8 << 10));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(256)
        .max_header_list_size(u32::try_from(head_size).unwrap_or(u32::MAX))
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}

/// Serves `stream` until its client leaves, a limit is hit, or the server stops.
pub(super) async fn run(server: &Server, stream: TcpStream, peer: SocketAddr, ticket: &Ticket) {
    let Server { options, shutdown, .. } = server;
    // Small answers must not wait for the acknowledgement of the one before; without the option they still arrive.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, "TCP_NODELAY: {error}");
    }
    let mut certificate = None;
    let socket = match &options.tls {
        None => Socket::plain(stream, ticket.state.clone()),
        Some(tls) => {
            let handshake = TlsAcceptor::from(tls.config()).accept(stream);
            let handshake = tokio::select! {
                done = timeout(options.limits.head_timeout, handshake) => done,
                () = ticket.state.close.notified() => return,
                () = shutdown.stop.cancelled() => return,
            };
            match handshake {
                Ok(Ok(stream)) => {
                    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                    certificate = shown.and_then(name_of).map(ClientCertificate);
                    Socket::tls(stream, ticket.state.clone())
                }
                Ok(Err(error)) => return tracing::debug!(%peer, "No TLS handshake: {error}"),
                Err(_elapsed) => return tracing::debug!(%peer, "No TLS handshake in time"),
            }
        }
    };
    let service = Service {
        router: server.router.clone(),
        state: ticket.state.clone(),
        peer: Peer { addr: peer, tls: options.tls.is_some() },
        certificate,
        outlet: socket.outlet(),
        body_window: options.limits.body_window,
        body_rate: options.limits.body_rate.0,
        cut: shutdown.cut.clone(),
        handlers: server.handlers.clone(),
    };
    let mut connection = pin!(server.builder.serve_connection(TokioIo::new(socket), service));
    let mut stop = pin!(shutdown.stop.cancelled());
    let mut watchdog = pin!(watch(&ticket.state, &options.limits));
    let mut goodbye = pin!(sleep_until(Instant::now()));
    let mut leaving = false;
    let mut expired = None;
    poll_fn(|cx| {
        if !leaving && stop.as_mut().poll(cx).is_ready() {
            leaving = true;
            connection.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(result) = connection.as_mut().poll(cx) {
            if let Err(error) = result {
                tracing::debug!(%peer, "A connection ended: {error}");
            }
            return Poll::Ready(());
        }
        if expired.is_none()
            && let Poll::Ready(why) = watchdog.as_mut().poll(cx)
        {
            tracing::debug!(%peer, ?why, "A connection is closed");
            expired = Some(why);
            match why {
                Expired::Head | Expired::Write => return Poll::Ready(()),
                Expired::Idle | Expired::Reset => {
                    leaving = true;
                    connection.as_mut().graceful_shutdown();
                    goodbye.as_mut().reset(Instant::now() + GOODBYE);
                    cx.waker().wake_by_ref();
                }
            }
        }
        let Some(why) = expired else { return Poll::Pending };
        // A request may have come just as the connection was told to go: it has its answer.
        while goodbye.as_mut().poll(cx).is_ready() {
            if why != Expired::Idle || ticket.state.may_end(&options.limits) {
                return Poll::Ready(());
            }
            goodbye.as_mut().reset(Instant::now() + GOODBYE);
        }
        Poll::Pending
    })
    .await;
}

/// Ends when the connection has to, and says why. Looks at the state each time the connection was polled: that
/// is when it can have changed.
fn watch<'a>(state: &'a State, limits: &'a Limits) -> impl Future<Output = Expired> + 'a {
    let mut close = Box::pin(state.close.notified());
    let mut alarm = Box::pin(sleep_until(Instant::now()));
    poll_fn(move |cx| {
        if close.as_mut().poll(cx).is_ready() {
            return Poll::Ready(state.closed_for());
        }
        let Some((at, why)) = state.deadline(limits) else { return Poll::Pending };
        // An alarm set too early is left: it rings, and the deadline is looked at again.
        if alarm.is_elapsed() || at < alarm.deadline() {
            alarm.as_mut().reset(at);
        }
        while alarm.as_mut().poll(cx).is_ready() {
            if Instant::now() >= at {
                return Poll::Ready(why);
            }
            alarm.as_mut().reset(at);
        }
        Poll::Pending
    })
}
