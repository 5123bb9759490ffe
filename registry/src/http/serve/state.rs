//! What a connection is doing, and until when it may.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    Limits,
    framing::{Framing, Head},
};

/// One connection as its socket, its service and its watchdog see it.
#[derive(Debug)]
pub(super) struct State {
    inner: Mutex<Inner>,
    /// Wakes the connection to be closed.
    pub(super) close: Notify,
    shed: AtomicBool,
    /// Bytes that must go out in a window of waiting.
    least: u64,
}

#[derive(Debug)]
struct Inner {
    framing: Framing,
    /// Heads read that no request was made of yet.
    heads: VecDeque<Head>,
    /// Requests begun so far.
    requests: u64,
    /// Requests whose answer is not over.
    active: u32,
    /// Requests that the client took back before their answer began.
    taken_back: u32,
    /// When `active` last became zero; when the connection began, before that.
    rest_since: Instant,
    head_since: Option<Instant>,
    blocked_since: Option<Instant>,
    /// How long the client was waited for while the last few bytes went out, and how many they were.
    write_waited: Duration,
    wrote: u64,
    /// When the last frame of the oldest unmoving HTTP/2 answer was handed out.
    stalled: Vec<(u64, Instant)>,
}

/// Why a connection is closed before its client wanted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Expired {
    /// No complete head in time.
    Head,
    /// No request in time.
    Idle,
    /// The client takes no bytes.
    Write,
    /// The client takes requests back faster than it awaits answers.
    Reset,
}

/// So many requests may be taken back, over those answered, until the connection is closed.
const TAKEN_BACK: u32 = 256;

/// Bytes of a ping frame, and more than any other of HTTP/2's bookkeeping but settings.
const PING: usize = 17;

impl State {
    pub(super) fn new(limits: &Limits) -> Self {
        let inner = Inner {
            framing: Framing::default(),
            heads: VecDeque::new(),
            requests: 0,
            active: 0,
            taken_back: 0,
            rest_since: Instant::now(),
            head_since: None,
            blocked_since: None,
            write_waited: Duration::ZERO,
            wrote: 0,
            stalled: Vec::new(),
        };
        let least = limits.write_rate.0.saturating_mul(limits.write_window.as_secs().max(1));
        Self { inner: Mutex::new(inner), close: Notify::new(), shed: AtomicBool::new(false), least }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came in.
    pub(super) fn read(&self, bytes: &[u8]) {
        let inner = &mut *self.lock();
        let in_head = inner.framing.in_head();
        inner.framing.read(bytes, |head| inner.heads.push_back(head));
        if !inner.framing.in_head() {
            inner.head_since = None;
        } else if !in_head || inner.head_since.is_none() {
            inner.head_since = Some(Instant::now());
        }
    }

    /// So many bytes went out; `None` when none could.
    pub(super) fn wrote(&self, bytes: Option<usize>) {
        let mut inner = self.lock();
        match bytes {
            None if inner.blocked_since.is_none() => inner.blocked_since = Some(Instant::now()),
            None => {}
            Some(bytes) => {
                if let Some(since) = inner.blocked_since.take() {
                    inner.write_waited += since.elapsed();
                }
                inner.wrote = inner.wrote.saturating_add(bytes as u64);
                if inner.wrote >= self.least {
                    inner.wrote = 0;
                    inner.write_waited = Duration::ZERO;
                }
                // The end of an HTTP/2 answer may leave long after its body was handed over. Pings are smaller.
                if inner.active == 0 && inner.requests > 0 && bytes > PING {
                    inner.rest_since = Instant::now();
                }
            }
        }
    }

    /// Whether the last request came in whole, or bytes of it are yet to come.
    pub(super) fn request_is_whole(&self) -> bool {
        self.lock().framing.at_rest()
    }

    /// A request begins: its number, and for HTTP/1 what its head said.
    pub(super) fn begin(&self) -> (u64, Option<Head>) {
        let mut inner = self.lock();
        inner.requests += 1;
        inner.active += 1;
        (inner.requests, inner.heads.pop_front())
    }

    /// An answer is over, or was given up; `answered` is false when it had not even begun.
    pub(super) fn end(&self, request: u64, answered: bool) {
        let mut inner = self.lock();
        inner.active = inner.active.saturating_sub(1);
        inner.taken_back =
            if answered { inner.taken_back.saturating_sub(1) } else { inner.taken_back.saturating_add(1) };
        inner.stalled.retain(|(other, _)| *other != request);
        if inner.active == 0 {
            inner.rest_since = Instant::now();
            inner.wrote = 0;
            inner.write_waited = Duration::ZERO;
        }
        if inner.taken_back > TAKEN_BACK {
            drop(inner);
            self.close.notify_one();
        }
    }

    /// A frame of an HTTP/2 answer was handed out (`true`), or the next is being asked for.
    pub(super) fn frame(&self, request: u64, out: bool) {
        let mut inner = self.lock();
        inner.stalled.retain(|(other, _)| *other != request);
        if out {
            inner.stalled.push((request, Instant::now()));
        }
    }

    /// Since when no request is being answered; `None` while one is, or while its client has yet to
    /// take the end of the answer (for which the write time-out stands).
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let inner = self.lock();
        let idle = inner.active == 0 && inner.blocked_since.is_none();
        (idle && !self.shed.load(Ordering::Relaxed)).then_some(inner.rest_since)
    }

    /// Whether the connection may be dropped without cutting an answer that its client takes.
    pub(super) fn may_end(&self, limits: &Limits) -> bool {
        let rests = {
            let inner = self.lock();
            inner.active == 0 && inner.blocked_since.is_none()
        };
        rests || self.deadline(limits).is_some_and(|(at, _)| Instant::now() >= at)
    }

    /// Closes the connection to make room for others.
    pub(super) fn shed(&self) {
        self.shed.store(true, Ordering::Relaxed);
        self.close.notify_one();
    }

    /// Why [`Self::close`] was notified.
    pub(super) fn closed_for(&self) -> Expired {
        if self.shed.load(Ordering::Relaxed) { Expired::Idle } else { Expired::Reset }
    }

    /// When the connection is to be closed unless something happens before, and why.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<(Instant, Expired)> {
        let inner = self.lock();
        let blocked =
            inner.blocked_since.into_iter().chain(inner.stalled.iter().map(|(_, since)| *since)).min();
        if let Some(blocked) = blocked {
            // Whoever takes a little now and then is waited for no longer than a window in all.
            let slow = inner
                .blocked_since
                .map(|since| since + limits.write_window.saturating_sub(inner.write_waited));
            let still = blocked + limits.write_timeout;
            return Some((slow.map_or(still, |slow| slow.min(still)), Expired::Write));
        }
        if inner.active > 0 {
            return None;
        }
        match inner.head_since {
            // A head that came in while an answer was being made counts from the answer's end.
            Some(since) => Some((since.max(inner.rest_since) + limits.head_timeout, Expired::Head)),
            None if inner.requests == 0 => Some((inner.rest_since + limits.head_timeout, Expired::Head)),
            None => Some((inner.rest_since + limits.idle_timeout, Expired::Idle)),
        }
    }
}
