//! The asynchronous part of a command: begun and ended around one future.

use std::{future::Future, io, time::Duration};

use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

use crate::error::{Result, RunnerError, While};

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
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let runtime = runtime.doing("starting", "threads")?;
    let done = runtime.block_on(async {
        tokio::select! {
            // Listened for before anything is done.
            biased;
            caught = stopped() => Err(caught.map_or_else(listening, RunnerError::Interrupted)),
            done = work => done,
        }
    });
    if done.is_ok() {
        // Waits for every thread.
        drop(runtime);
    } else {
        runtime.shutdown_timeout(CLEANING);
    }
    done
}

fn listening(source: io::Error) -> RunnerError {
    RunnerError::Io { what: "listening for signals".into(), source }
}

/// The number of the signal that came.
async fn stopped() -> io::Result<u8> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => Ok(2),
        _ = terminate.recv() => Ok(15),
    }
}
