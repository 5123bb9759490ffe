//! What waits for the writer: what somebody waits for first, the rest in between.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

/// Writes that share one transaction at most.
const BATCH: usize = 64;
/// Writes that wait at most; more make their callers wait.
const QUEUE: usize = 1024;
/// The same of those that nobody waits for.
const BEHIND: usize = 16;
/// Of those, so many have their turn together.
const TOGETHER: usize = 4;
/// However many wait before it, a write that nobody waits for has its turn after so long, and never twice while
/// somebody waits. How often it comes is its sender's to say: collection paces itself.
const LATEST: Duration = Duration::from_millis(10);

/// The ways in.
pub(super) struct Ways<J> {
    /// For what somebody waits for.
    pub(super) ahead: mpsc::Sender<J>,
    /// For what nobody waits for.
    pub(super) behind: mpsc::Sender<J>,
}

impl<J> Clone for Ways<J> {
    fn clone(&self) -> Self {
        Self { ahead: self.ahead.clone(), behind: self.behind.clone() }
    }
}

/// The way out.
pub(super) struct Waiting<J> {
    ahead: mpsc::Receiver<J>,
    behind: mpsc::Receiver<J>,
    /// When those that nobody waits for had their turn.
    turn: Instant,
    /// Whether that was the last turn.
    was_behind: bool,
}

/// What goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Writes that somebody waits for.
    Ahead,
    /// Some that nobody waits for.
    Behind,
    /// Nothing any more.
    Closed,
}

pub(super) fn queue<J>() -> (Ways<J>, Waiting<J>) {
    let (ahead, first) = mpsc::channel(QUEUE);
    let (behind, then) = mpsc::channel(BEHIND);
    let waiting = Waiting { ahead: first, behind: then, turn: Instant::now(), was_behind: false };
    (Ways { ahead, behind }, waiting)
}

impl<J> Waiting<J> {
    /// Waits for what goes next and puts it into `jobs`, which is empty. Nothing is lost when it is dropped.
    pub(super) async fn next(&mut self, jobs: &mut Vec<J>) -> Next {
        if !self.was_behind
            && self.turn.elapsed() >= LATEST
            && let Ok(job) = self.behind.try_recv()
        {
            return self.some(job, jobs);
        }
        tokio::select! {
            biased;
            taken = self.ahead.recv_many(jobs, BATCH) => {
                if taken > 0 {
                    self.was_behind = false;
                    return Next::Ahead;
                }
            }
            Some(job) = self.behind.recv() => return self.some(job, jobs),
        }
        // No more comes; what waits is still written.
        match self.behind.recv().await {
            Some(job) => self.some(job, jobs),
            None => Next::Closed,
        }
    }

    /// As [`Self::next`], only for what somebody waits for; `false` when no more of that comes.
    pub(super) async fn next_ahead(&mut self, jobs: &mut Vec<J>) -> bool {
        let taken = self.ahead.recv_many(jobs, BATCH).await;
        self.was_behind = false;
        taken > 0
    }

    fn some(&mut self, job: J, jobs: &mut Vec<J>) -> Next {
        (self.turn, self.was_behind) = (Instant::now(), true);
        jobs.push(job);
        // What else waits would only cost a turn more.
        while jobs.len() < TOGETHER
            && let Ok(job) = self.behind.try_recv()
        {
            jobs.push(job);
        }
        Next::Behind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_somebody_waits_for_goes_first_but_not_for_ever() {
        let (ways, mut waiting) = queue();
        waiting.turn = Instant::now() + Duration::from_secs(3600);
        ways.behind.send(0).await.unwrap();
        for job in [1, 2] {
            ways.ahead.send(job).await.unwrap();
        }
        let mut jobs = Vec::new();
        assert_eq!((waiting.next(&mut jobs).await, jobs.clone()), (Next::Ahead, vec![1, 2]));
        ways.ahead.send(3).await.unwrap();
        jobs.clear();
        waiting.turn = Instant::now() - LATEST;
        assert_eq!((waiting.next(&mut jobs).await, jobs.clone()), (Next::Behind, vec![0]));
        // However long its turn took: who waited meanwhile is next.
        ways.behind.send(4).await.unwrap();
        jobs.clear();
        waiting.turn = Instant::now() - LATEST;
        assert_eq!((waiting.next(&mut jobs).await, jobs.clone()), (Next::Ahead, vec![3]));
    }

    #[tokio::test]
    async fn what_nobody_waits_for_shares_a_turn() {
        let (ways, mut waiting) = queue();
        for job in 0..6 {
            ways.behind.send(job).await.unwrap();
        }
        let mut jobs = Vec::new();
        assert_eq!((waiting.next(&mut jobs).await, jobs.clone()), (Next::Behind, vec![0, 1, 2, 3]));
        jobs.clear();
        assert_eq!((waiting.next(&mut jobs).await, jobs.clone()), (Next::Behind, vec![4, 5]));
    }

    #[tokio::test]
    async fn what_waits_when_it_is_closed_comes_out() {
        let (ways, mut waiting) = queue();
        ways.behind.send(0).await.unwrap();
        ways.ahead.send(1).await.unwrap();
        drop(ways);
        let (mut all, mut jobs) = (Vec::new(), Vec::new());
        while waiting.next(&mut jobs).await != Next::Closed {
            all.append(&mut jobs);
        }
        all.sort_unstable();
        assert_eq!(all, [0, 1]);
    }
}
