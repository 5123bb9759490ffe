//! A lane: work of one upload that blocks (writing, hashing), done in order beside the socket.
//!
//! A lane holds a thread of the runtime's blocking pool only while it has work, so that many slow
//! uploads cost no threads; and it takes no more work than its bound, so that a fast sender costs
//! no memory.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// Room that a job holds while it waits: in its lane, and in what all lanes share.
type Room = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// What the waiting work of many lanes may weigh together, however many they are. It is held only
/// by work that will be done whatever becomes of other work, so that nobody waits in a circle.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Semaphore>, u32);

impl Budget {
    /// A budget of so many bytes.
    pub(crate) fn new(bytes: u32) -> Self {
        Self(Arc::new(Semaphore::new(usize::try_from(bytes).unwrap_or(usize::MAX))), bytes)
    }
}

struct Inner<S> {
    queue: VecDeque<(Job<S>, Option<Room>)>,
    // Here when nobody works, with the worker otherwise.
    state: Option<S>,
    // A worker died, and the state with it.
    broken: bool,
}

/// An earlier job panicked or the runtime is gone; the lane's state went with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work beside the socket was broken off")]
pub(crate) struct Broken;

/// See the module.
pub(crate) struct Lane<S> {
    inner: Arc<Mutex<Inner<S>>>,
    room: Arc<Semaphore>,
    bound: u32,
    budget: Budget,
}

impl<S> std::fmt::Debug for Lane<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").field("bound", &self.bound).finish_non_exhaustive()
    }
}

fn lock<S>(inner: &Mutex<Inner<S>>) -> MutexGuard<'_, Inner<S>> {
    // Nothing panics while it holds the lock, so what is behind it is whole.
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Send + 'static> Lane<S> {
    /// A lane whose waiting work weighs `bound` bytes at most, and what is left of `budget`.
    pub(crate) fn new(state: S, bound: u32, budget: &Budget) -> Self {
        let inner = Inner { queue: VecDeque::new(), state: Some(state), broken: false };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            room: Arc::new(Semaphore::new(usize::try_from(bound).unwrap_or(usize::MAX))),
            bound: bound.min(budget.1),
            budget: budget.clone(),
        }
    }

    /// Adds work behind what waits; returns as soon as there is room for it.
    ///
    /// # Errors
    /// [`Broken`] when an earlier job panicked.
    pub(crate) async fn push(
        &self,
        weight: usize,
        job: impl FnOnce(&mut S) + Send + 'static,
    ) -> Result<(), Broken> {
        let weight = u32::try_from(weight).unwrap_or(u32::MAX).min(self.bound);
        let here = self.room.clone().acquire_many_owned(weight).await.map_err(|_| Broken)?;
        let everywhere = self.budget.0.clone().acquire_many_owned(weight).await.map_err(|_| Broken)?;
        self.enqueue(Box::new(job), Some((here, everywhere)))
    }

    /// Runs `job` behind all that waits, and returns what it returned.
    ///
    /// # Errors
    /// [`Broken`] when it, or an earlier job, panicked.
    pub(crate) async fn call<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut S) -> R + Send + 'static,
    ) -> Result<R, Broken> {
        let (answer, answered) = oneshot::channel();
        let job = move |state: &mut S| {
            // Nobody waits any more when the request was dropped: the work is done all the same.
            answer.send(job(state)).ok();
        };
        self.enqueue(Box::new(job), None)?;
        answered.await.map_err(|_| Broken)
    }

    fn enqueue(&self, job: Job<S>, room: Option<Room>) -> Result<(), Broken> {
        let mut inner = lock(&self.inner);
        if inner.broken {
            return Err(Broken);
        }
        inner.queue.push_back((job, room));
        let Some(state) = inner.state.take() else { return Ok(()) };
        drop(inner);
        let worker = Worker { inner: self.inner.clone(), room: self.room.clone(), done: false };
        tokio::task::spawn_blocking(move || worker.run(state));
        Ok(())
    }
}

struct Worker<S> {
    inner: Arc<Mutex<Inner<S>>>,
    room: Arc<Semaphore>,
    done: bool,
}

impl<S> Worker<S> {
    fn run(mut self, mut state: S) {
        loop {
            let mut inner = lock(&self.inner);
            let Some((job, room)) = inner.queue.pop_front() else {
                inner.state = Some(state);
                self.done = true;
                return;
            };
            drop(inner);
            job(&mut state);
            drop(room);
        }
    }
}

impl<S> Drop for Worker<S> {
    fn drop(&mut self) {
        if !self.done {
            // A job panicked: whoever waits for the lane, or for room in it, must not wait for ever.
            let waiting = {
                let mut inner = lock(&self.inner);
                inner.broken = true;
                std::mem::take(&mut inner.queue)
            };
            self.room.close();
            drop(waiting);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_in_order_and_within_the_bound() {
        let lane = Lane::new(Vec::new(), 4, &Budget::new(100));
        for i in 0..100_u32 {
            lane.push(2, move |seen: &mut Vec<u32>| seen.push(i)).await.unwrap();
            assert!(lock(&lane.inner).queue.len() <= 2);
        }
        assert_eq!(lane.call(|seen| seen.clone()).await.unwrap(), (0..100).collect::<Vec<_>>());
        // More than the bound at once is taken when the lane is empty.
        lane.push(1000, |seen| seen.clear()).await.unwrap();
        assert_eq!(lane.call(|seen| seen.len()).await, Ok(0));
    }

    #[tokio::test]
    async fn lanes_share_a_budget() {
        let budget = Budget::new(3);
        let (start, started) = std::sync::mpsc::channel::<()>();
        let busy = Lane::new(started, 100, &budget);
        let work = |started: &mut std::sync::mpsc::Receiver<()>| started.recv().unwrap();
        busy.push(2, work).await.unwrap();
        let other = Lane::new((), 100, &budget);
        other.push(1, |()| ()).await.unwrap();
        let mut waiting = Box::pin(other.push(2, |()| ()));
        // What one lane holds, another waits for...
        assert!(futures_util::poll!(&mut waiting).is_pending());
        start.send(()).unwrap();
        // ...and gets when it is done. More than all of it waits for all of it.
        waiting.await.unwrap();
        other.push(1000, |()| ()).await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_breaks_the_lane_and_leaves_nobody_waiting() {
        let lane = Lane::new((), 1, &Budget::new(1));
        assert_eq!(lane.call(|()| panic!("on purpose")).await, Err::<(), _>(Broken));
        // A push may still be taken while the worker falls; what is in it is never called done.
        assert_eq!(lane.call(|()| ()).await, Err(Broken));
        while lane.push(1, |()| ()).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert_eq!(lane.call(|()| ()).await, Err(Broken));
    }
}
