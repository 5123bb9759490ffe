//! What signals, clients, health and the clock ask of a running container.

use std::time::{Duration, Instant};

use super::{First, Watch};
use crate::{
    error::Result,
    supervisor::{
        clients::{Request, say},
        events::{self, Event},
        health::{Checks, OnFailure, Outcome},
        live::remember_stop,
        signal, terminal,
    },
};

/// A stop that is under way.
#[derive(Debug)]
pub(super) struct Stopping {
    /// When it is killed; `None` once it was.
    pub(super) kill_at: Option<Instant>,
}

impl Watch {
    pub(super) fn signalled(&mut self, signal: i32, first: &First) -> Result<()> {
        match signal {
            signal::CHLD => self.reap(first)?,
            signal::WINCH => {
                if let Some((rows, columns)) =
                    self.front.as_ref().and_then(|_| terminal::size(rustix::stdio::stdin()))
                {
                    let _without_terminal = self.streams.resize(rows, columns);
                }
            }
            _ if self.front.as_ref().is_some_and(|front| front.sig_proxy) => {
                let _ended_meanwhile = self.engine.kill(&self.desired.id, signal, false);
                // A service is told to end by a signal: it is not to start again.
                self.asked |= matches!(signal, signal::TERM | signal::INT | signal::QUIT | signal::HUP);
            }
            signal::TERM | signal::INT if self.front.is_some() => {
                self.asked = true;
                self.stop(self.desired.stop_timeout, first);
            }
            // The machine goes down: the container ends in order, and what is wanted stays as it is.
            signal::TERM => {
                self.asked = true;
                self.stop(self.desired.stop_timeout, first);
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn answer(&mut self, number: u64, request: Request, first: &First) {
        match request {
            Request::Attach(_) | Request::Wait => {}
            Request::Stop { seconds, person } => {
                self.asked = true;
                if self.stopping.is_none() {
                    events::note(self.records.folders(), &self.desired, "stop");
                }
                if person {
                    // Told with the end; where it cannot be kept, the stop itself still holds.
                    let _kept = remember_stop(self.records.folders(), &self.desired.id, true);
                }
                self.stop(seconds, first);
            }
            Request::Kill { signal, person } => {
                let ends = matches!(signal, signal::KILL | signal::TERM | signal::INT | signal::QUIT)
                    || signal == self.desired.stop_signal;
                let done = self.engine.kill(&self.desired.id, signal, false);
                if done.is_ok() && person {
                    events::note(self.records.folders(), &self.desired, "kill");
                }
                if done.is_ok() && person && ends {
                    self.asked = true;
                    let _kept = remember_stop(self.records.folders(), &self.desired.id, true);
                }
                if let Some(client) = self.clients.get(number) {
                    match done {
                        Ok(()) => client.say(say::DONE, &[]),
                        Err(error) => client.say(say::FAILED, error.to_string().as_bytes()),
                    }
                }
            }
            Request::Input(data) => {
                self.input.extend(data);
                self.write_input();
            }
            Request::InputEnds => {
                self.input_ends = true;
                self.write_input();
            }
            Request::Resize(rows, columns) => {
                let _without_terminal = self.streams.resize(rows, columns);
            }
            Request::Check => {
                let started = match &mut self.checks {
                    Some(checks) => checks.start(&self.records, &self.desired, Some(number)),
                    None => false,
                };
                if !started && let Some(client) = self.clients.get(number) {
                    client.say(say::FAILED, b"no check of health could be started");
                }
            }
        }
    }

    /// Asks it to end, and kills it when the time is over.
    pub(super) fn stop(&mut self, seconds: u32, first: &First) {
        let now = Instant::now();
        let kill_at = now + Duration::from_secs(u64::from(seconds));
        match &mut self.stopping {
            // A second stop may only be more urgent.
            Some(stopping) => {
                stopping.kill_at = stopping.kill_at.map(|before| before.min(kill_at));
                if seconds == 0 {
                    self.kill_now(first);
                }
            }
            None => {
                self.stopping = Some(Stopping { kill_at: Some(kill_at) });
                self.live.stopping = true;
                let _shown_only = self.live.write(self.records.folders(), &self.desired.id);
                if self.engine.is_paused(&self.desired.id) {
                    let _killed_later = self.engine.freeze(&self.desired.id, false);
                }
                if seconds == 0 {
                    self.kill_now(first);
                } else {
                    let _killed_later = self.engine.kill(&self.desired.id, self.desired.stop_signal, false);
                }
            }
        }
    }

    pub(super) fn kill_now(&mut self, first: &First) {
        if let Some(stopping) = &mut self.stopping {
            stopping.kill_at = None;
        }
        let _first_at_least = self.engine.kill(&self.desired.id, signal::KILL, true);
        // An ordinary user's container may have no control group, which then holds nobody to be killed: its first
        // process takes its namespace along.
        let _gone = rustix::process::pidfd_send_signal(&first.pidfd, rustix::process::Signal::KILL);
    }

    pub(super) fn on_time(&mut self, first: &First) {
        let now = Instant::now();
        if self.stopping.as_ref().and_then(|stopping| stopping.kill_at).is_some_and(|at| now >= at) {
            self.kill_now(first);
        }
        if self.over_at.is_some_and(|at| now >= at) {
            self.over_at = None;
            self.kill_now(first);
        }
        if self.checks.as_ref().and_then(Checks::due).is_some_and(|due| now >= due)
            && let Some(checks) = &mut self.checks
        {
            checks.on_time(&self.records, &self.desired, now);
        }
    }

    pub(super) fn checked(&mut self, outcome: Outcome, first: &First) {
        for number in &outcome.asked_by {
            if let Some(client) = self.clients.get(*number) {
                client.say(say::DONE, &[outcome.code]);
            }
        }
        let mut event = Event::of(&self.desired, "health_status");
        event.health_status = Some(outcome.state.to_owned());
        let _not_its_fault = event.note(self.records.folders());
        match outcome.action {
            OnFailure::None => {}
            OnFailure::Kill => self.kill_now(first),
            OnFailure::Stop => {
                self.asked = true;
                self.stop(self.desired.stop_timeout, first);
            }
            OnFailure::Restart => {
                self.restart_anyway = true;
                self.stop(self.desired.stop_timeout, first);
            }
        }
    }
}
