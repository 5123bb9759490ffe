//! When a container starts again, and how long that waits. Times are arguments.

use std::time::Duration;

use crate::record::RestartPolicy;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
/// A run that lasted so long was a success: the next failure is the first again.
const SETTLED: Duration = Duration::from_secs(10);

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// Its number.
    pub(crate) code: u8,
    /// How long it ran.
    pub(crate) ran: Duration,
    /// Somebody asked for the end.
    pub(crate) asked: bool,
}

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub(crate) failures: u32,
}

impl Backoff {
    /// How long to wait before the next start; `None`: it stays ended.
    pub(crate) fn after(&mut self, policy: RestartPolicy, ended: Ended) -> Option<Duration> {
        if ended.asked {
            return None;
        }
        if ended.ran >= SETTLED {
            self.failures = 0;
        }
        let again = match policy {
            RestartPolicy::No => false,
            RestartPolicy::OnFailure(most) => {
                ended.code != 0 && most.is_none_or(|most| most == 0 || self.failures < most)
            }
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        };
        if !again {
            return None;
        }
        let wait = FIRST.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: u8, seconds: u64) -> Ended {
        Ended { code, ran: Duration::from_secs(seconds), asked: false }
    }

    #[test]
    fn waits_double_up_to_a_minute_and_begin_anew_after_a_good_run() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> =
            (0..12).map(|_| backoff.after(RestartPolicy::Always, ended(0, 0)).unwrap().as_millis()).collect();
        assert_eq!(waits[..4], [100, 200, 400, 800]);
        assert_eq!(waits[9..], [51_200, 60_000, 60_000]);
        for _ in 0..100 {
            assert!(backoff.after(RestartPolicy::Always, ended(1, 0)).unwrap() <= LONGEST);
        }
        assert_eq!(backoff.after(RestartPolicy::Always, ended(1, 10)), Some(FIRST));
    }

    #[test]
    fn failures_are_counted_where_the_policy_says_how_many() {
        let mut backoff = Backoff::default();
        let policy = RestartPolicy::OnFailure(Some(2));
        assert_eq!(backoff.after(policy, ended(0, 0)), None, "no failure");
        assert!(backoff.after(policy, ended(1, 0)).is_some());
        assert!(backoff.after(policy, ended(1, 0)).is_some());
        assert_eq!(backoff.after(policy, ended(1, 0)), None);
        assert!(Backoff { failures: 99 }.after(RestartPolicy::OnFailure(None), ended(1, 0)).is_some());
    }

    #[test]
    fn what_was_stopped_stays_stopped() {
        let asked = Ended { asked: true, ..ended(1, 0) };
        for policy in [RestartPolicy::Always, RestartPolicy::UnlessStopped, RestartPolicy::OnFailure(None)] {
            assert_eq!(Backoff::default().after(policy, asked), None);
        }
        assert_eq!(Backoff::default().after(RestartPolicy::No, ended(1, 0)), None);
    }
}
