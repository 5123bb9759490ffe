//! Who may hash when: a flood of logins must take neither the processor nor memory from pulls.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Semaphore;

use crate::auth::AuthError;

/// Logins that wait for their turn at most; more are told to come again.
const WAITING: usize = 64;
/// What those are told.
const BUSY: AuthError = AuthError::TooMany { retry_after: 2 };

/// Half of the processors hash, one at least; each hash takes some twenty MiB.
#[derive(Debug)]
pub(super) struct Turns {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// Somebody who waits, until dropped.
struct Waiting<'t>(&'t AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Turns {
    pub(super) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { free: Arc::new(Semaphore::new((processors / 2).clamp(1, 8))), waiting: AtomicUsize::new(0) }
    }

    /// Runs `work`, which takes its time, on a thread that may. `still` is asked when its turn has come: what
    /// others did meanwhile may have made it pointless.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        still: impl FnOnce() -> Result<(), AuthError> + Send,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AuthError> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(BUSY);
        }
        let _waiting = Waiting(&self.waiting);
        // Nobody closes it.
        let turn = self.free.clone().acquire_owned().await.map_err(|_| BUSY)?;
        still()?;
        let job = tokio::task::spawn_blocking(move || {
            // Until the work is over, though its caller may be gone.
            let _turn = turn;
            work()
        });
        match job.await {
            Ok(done) => Ok(done),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The process ends.
            Err(_cancelled) => Err(BUSY),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn r28_so_many_logins_wait_and_the_next_is_told_to_come_again() {
        let turns = Arc::new(Turns::new());
        let (go, wait) = mpsc::channel::<()>();
        let wait = Arc::new(std::sync::Mutex::new(wait));
        let job = |turns: Arc<Turns>, wait: Arc<std::sync::Mutex<mpsc::Receiver<()>>>| async move {
            turns.run(|| Ok(()), move || wait.lock().unwrap().recv().is_ok()).await
        };
        let jobs: Vec<_> = (0..WAITING).map(|_| tokio::spawn(job(turns.clone(), wait.clone()))).collect();
        while turns.waiting.load(Ordering::Relaxed) < WAITING {
            tokio::task::yield_now().await;
        }
        let refused = turns.run(|| Ok(()), || ()).await;
        assert!(matches!(refused, Err(AuthError::TooMany { .. })), "{refused:?}");
        for _ in 0..WAITING {
            go.send(()).unwrap();
        }
        for done in jobs {
            assert!(done.await.unwrap().unwrap());
        }
        assert!(turns.run(|| Ok(()), || true).await.unwrap(), "there is room again");
    }

    #[tokio::test]
    async fn what_became_pointless_is_not_done() {
        let turns = Turns::new();
        let refused = turns.run(|| Err(AuthError::TooMany { retry_after: 1 }), || panic!("done")).await;
        assert!(matches!(refused, Err(AuthError::TooMany { retry_after: 1 })));
    }
}
