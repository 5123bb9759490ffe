//! What comes after a run: nothing, or the next one after a while.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{Watch, ready::Ready};
use crate::{
    error::{Result, While},
    record::{Desired, Records, RestartPolicy},
    supervisor::{
        clients::{Request, say},
        events,
        health::Checks,
        live::{self, Live, remember_stop},
        pass,
        restart::Ended,
        signal,
    },
};

/// What comes after a run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing: its number.
    Over(u8),
    /// It starts again.
    Again,
}

impl Watch {
    /// What comes after a run, by its policy: waits for the next one meanwhile answering clients.
    ///
    /// # Errors
    /// Where the kernel refuses to wait.
    pub(crate) fn after(&mut self, code: u8) -> Result<Next> {
        let ran = self.live.started.map_or(Duration::ZERO, |started| {
            Duration::try_from(Timestamp::now().duration_since(started)).unwrap_or_default()
        });
        let policy = if self.restart_anyway { RestartPolicy::Always } else { self.desired.restart };
        self.restart_anyway = false;
        let Some(wait) = self.backoff.after(policy, Ended { code, ran, asked: self.asked }) else {
            return Ok(Next::Over(code));
        };
        self.clients.ended(code);
        self.clients.flush_all();
        let folders = self.records.folders();
        self.live = Live { restarts: self.live.restarts + 1, started: self.live.started, ..Live::default() };
        self.live.write(folders, &self.desired.id)?;
        events::note(folders, &self.desired, "restart");
        let until = Instant::now() + wait;
        while Instant::now() < until {
            for ready in self.wait(None, Some(until), false)? {
                if self.while_waiting(ready)? {
                    return Ok(Next::Over(code));
                }
            }
            self.clients.sweep(Instant::now());
        }
        self.status = None;
        Ok(Next::Again)
    }

    /// Whether it is to stay ended.
    pub(super) fn while_waiting(&mut self, ready: Ready) -> Result<bool> {
        let mut over = false;
        match ready {
            Ready::Signals => {
                while let Some(arrived) = self.signals.next().doing("reading", "signals")? {
                    over |= matches!(arrived.signal, signal::TERM | signal::INT | signal::QUIT);
                }
            }
            Ready::Listener => self.clients.accept(),
            Ready::Client(number) => {
                self.clients.flush(number);
                while let Some(request) = self.clients.read(number) {
                    match request {
                        Request::Stop { person, .. } | Request::Kill { person, .. } => {
                            if person {
                                remember_stop(self.records.folders(), &self.desired.id, true)?;
                            }
                            if let (Request::Kill { .. }, Some(client)) = (&request, self.clients.get(number))
                            {
                                client.say(say::DONE, &[]);
                            }
                            over = true;
                        }
                        _ => {}
                    }
                }
            }
            Ready::First | Ready::Output(..) | Ready::Input | Ready::FrontOut | Ready::FrontErr => {}
            Ready::FrontIn => self.read_front(),
        }
        Ok(over)
    }

    /// Goes on with the next run.
    ///
    /// # Errors
    /// Where what it noted cannot be read.
    pub(crate) fn begin_again(&mut self, begun: pass::Begun) -> Result<()> {
        self.streams = begun.streams;
        self.held = begun.held;
        self.live = Live::read(self.records.folders(), &self.desired.id)?.unwrap_or_default();
        self.checks = Checks::of(&self.desired);
        Ok(())
    }
}

/// Whether a person's stop is remembered (used by the first lines of a start).
pub(crate) fn forget_stop(records: &Records, desired: &Desired) -> Result<()> {
    if live::was_stopped_by_person(records.folders(), &desired.id) {
        remember_stop(records.folders(), &desired.id, false)?;
    }
    Ok(())
}
