//! Syncs again and again.

use std::time::Duration;

use async_trait::async_trait;

/// Waits. Tests have one that does not.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Returns after this long.
    async fn sleep(&self, duration: Duration);
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Runs `round` and waits for `interval`, over and over, until `stop` is ready. A stop while a round is under way drops
/// it: images that are not whole by then are not at the destination, and the next sync copies them.
///
/// Answers how many rounds ended.
pub async fn watch(
    clock: &dyn Clock,
    interval: Duration,
    stop: impl Future<Output = ()>,
    mut round: impl AsyncFnMut(),
) -> u64 {
    let mut stop = std::pin::pin!(stop);
    let mut rounds = 0;
    loop {
        tokio::select! {
            biased;
            () = &mut stop => return rounds,
            () = round() => rounds += 1,
        }
        tokio::select! {
            biased;
            () = &mut stop => return rounds,
            () = clock.sleep(interval) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::oneshot;

    use super::*;

    struct Counting(Mutex<Vec<Duration>>);

    #[async_trait]
    impl Clock for Counting {
        async fn sleep(&self, duration: Duration) {
            self.0.lock().unwrap().push(duration);
        }
    }

    #[tokio::test]
    async fn rounds_go_on_with_waits_between_until_the_stop() {
        let clock = Counting(Mutex::default());
        let (sender, receiver) = oneshot::channel();
        let mut sender = Some(sender);
        let mut begun = 0;
        let ended = watch(
            &clock,
            Duration::from_secs(300),
            async {
                receiver.await.unwrap();
            },
            async || {
                begun += 1;
                if begun == 3 {
                    sender.take().unwrap().send(()).unwrap();
                    std::future::pending::<()>().await;
                }
            },
        )
        .await;
        assert_eq!((begun, ended), (3, 2));
        assert_eq!(*clock.0.lock().unwrap(), [Duration::from_secs(300); 2]);
    }
}
