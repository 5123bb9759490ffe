//! How many requests one host gets at once: halved when it says that they are too many, and grown back.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::clock::Clock;

/// The limit of one host. Cheap to clone; all clones are one limit.
#[derive(Clone, Debug)]
pub(super) struct Limit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    most: f64,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    /// Requests that may run at once; the fraction is progress towards one more.
    allowed: f64,
    running: usize,
    /// Nobody asks before this.
    not_before: Option<Instant>,
    halved: Option<Instant>,
}

/// The right to one request; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit(Limit);

impl Limit {
    pub(super) fn new(most: usize, clock: Arc<dyn Clock>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a few requests")]
        let most = most.max(1) as f64;
        let state = State { allowed: most, running: 0, not_before: None, halved: None };
        Self(Arc::new(Inner { clock, most, state: Mutex::new(state), changed: Notify::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until one more request may run, and until the host wants any.
    pub(super) async fn permit(&self) -> Permit {
        loop {
            self.pause().await;
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = self.state();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "from 1 to `most`"
                )]
                let allowed = state.allowed as usize;
                if state.running < allowed {
                    state.running += 1;
                    return Permit(self.clone());
                }
            }
            changed.await;
        }
    }

    /// Waits as long as the host wants no request.
    pub(super) async fn pause(&self) {
        loop {
            let until = self.state().not_before;
            let left =
                until.map_or(Duration::ZERO, |until| until.saturating_duration_since(self.0.clock.now()));
            if left.is_zero() {
                return;
            }
            self.0.clock.sleep(left).await;
        }
    }

    /// The host answered as it should: after as many such answers as requests may run, one more may.
    pub(super) fn went_well(&self) {
        let mut state = self.state();
        state.allowed = (state.allowed + 1.0 / state.allowed).min(self.0.most);
        drop(state);
        self.0.changed.notify_waiters();
    }

    /// The host had too many, and wants none for `wait`. Requests that were under way together count as one.
    pub(super) fn too_many(&self, began: Instant, wait: Duration) {
        let now = self.0.clock.now();
        let mut state = self.state();
        if state.halved.is_none_or(|halved| began >= halved) {
            state.allowed = (state.allowed / 2.0).max(1.0);
            state.halved = Some(now);
        }
        state.not_before = state.not_before.max(now.checked_add(wait));
    }

    /// The host says how many requests are left (`RateLimit-Remaining`): no more than these at once.
    pub(super) fn remaining(&self, left: u64) {
        let mut state = self.state();
        #[expect(clippy::cast_precision_loss, reason = "compared with a few requests")]
        let left = left.max(1) as f64;
        state.allowed = state.allowed.min(left);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.state().running -= 1;
        self.0.0.changed.notify_waiters();
    }
}

/// Reads `RateLimit-Remaining`: a number, and parameters that Docker Hub puts behind it (`98;w=21600`).
pub(super) fn remaining(text: &str) -> Option<u64> {
    text.split([';', ',']).next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::clock::SystemClock;

    fn allowed(limit: &Limit) -> f64 {
        limit.state().allowed
    }

    #[test]
    fn too_many_halves_once_for_requests_that_ran_together_and_it_grows_back() {
        let limit = Limit::new(8, Arc::new(SystemClock));
        let began = Instant::now();
        for _ in 0..5 {
            limit.too_many(began, Duration::ZERO);
        }
        assert!((allowed(&limit) - 4.0).abs() < 1e-9);
        limit.too_many(Instant::now(), Duration::ZERO);
        assert!((allowed(&limit) - 2.0).abs() < 1e-9);
        for _ in 0..100 {
            limit.went_well();
        }
        assert!((allowed(&limit) - 8.0).abs() < 1e-9);
        limit.remaining(3);
        assert!((allowed(&limit) - 3.0).abs() < 1e-9);
        limit.remaining(0);
        assert!((allowed(&limit) - 1.0).abs() < 1e-9);
    }

    #[tokio::test]
    async fn a_permit_is_waited_for_and_given_back() {
        let limit = Limit::new(1, Arc::new(SystemClock));
        let first = limit.permit().await;
        let second = tokio::spawn({
            let limit = limit.clone();
            async move { drop(limit.permit().await) }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        second.await.unwrap();
        assert_eq!(limit.state().running, 0);
    }

    #[test]
    fn docker_hubs_remaining_has_a_window_behind_it() {
        assert_eq!(remaining("98;w=21600"), Some(98));
        assert_eq!(remaining(" 5 "), Some(5));
        assert_eq!(remaining("many"), None);
    }
}
