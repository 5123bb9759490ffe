//! The asynchronous part of a command: begun and ended around one future.

use std::{future::Future, io::ErrorKind, os::fd::AsFd, time::Duration};

use berth_runtime::{Arrived, Signals};
use tokio::{net::unix::pipe::Receiver, runtime::Builder};

use crate::{
    error::{Result, RunnerError, While},
    stop::{ENDING, caught},
};

/// Threads that poll: network, TLS, digests of what comes. Layers unpack on threads of their own.
const WORKERS: usize = 2;
/// How long threads that were told to end may take to clean up behind themselves.
const CLEANING: Duration = Duration::from_secs(10);

/// Runs a future to its end, or to SIGINT or SIGTERM: then it is dropped, and what it began cleans up behind itself.
/// No thread is left when this returns well.
///
/// # Errors
/// The future's; [`RunnerError::Interrupted`].
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    // Not tokio's own handlers: those stay for ever, and what the command does afterwards could not be ended.
    let signals = Signals::collect(&ENDING).doing("collecting", "signals")?;
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let runtime = runtime.doing("starting", "threads")?;
    let done = runtime.block_on(async {
        tokio::select! {
            // Listened for before anything is done.
            biased;
            stopped = stopped(&signals) => Err(stopped.map_or_else(|error| error, RunnerError::Interrupted)),
            done = work => done,
        }
    });
    if done.is_ok() {
        // Waits for every thread.
        drop(runtime);
    } else {
        runtime.shutdown_timeout(CLEANING);
    }
    // One that came after the last look.
    match caught(&signals)? {
        Some(signal) if done.is_ok() => Err(RunnerError::Interrupted(signal)),
        Some(_) | None => done,
    }
}

/// The number of the signal that came.
async fn stopped(signals: &Signals) -> Result<u8> {
    let what = "signals";
    let pipe = signals.as_fd().try_clone_to_owned().doing("listening for", what)?;
    let pipe = Receiver::from_owned_fd(pipe).doing("listening for", what)?;
    loop {
        pipe.readable().await.doing("listening for", what)?;
        let mut bytes = [0; 2];
        match pipe.try_read(&mut bytes) {
            Ok(_) => return Ok(u8::try_from(Arrived::of(bytes).signal).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).doing("listening for", what),
        }
    }
}
