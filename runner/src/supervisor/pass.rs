//! The beginning and the end of one run of a container. Whatever a crash leaves between them, [`end`] takes away: it
//! is safe to repeat at any step.

use std::{fs, io, os::fd::AsFd, path::Path, time::SystemTime};

use berth_runtime::{ContainerId, Signals, Started};
use jiff::Timestamp;

use super::{
    engine::{Ends, Engine},
    events,
    live::{Live, remember_begin, start_time},
    streams::Streams,
};
use crate::{
    bundle::{self, own_folder},
    error::{Result, RunnerError, While},
    folders::Folders,
    network::{self, HeldPorts},
    record::{Desired, Exit, Records, files, remove_tree},
    stop,
    store::Store,
    volume::Volumes,
};

/// A run that has begun.
#[derive(Debug)]
pub(crate) struct Begun {
    /// First process, our child.
    pub(crate) pid: i32,
    /// Our ends of its streams.
    pub(crate) streams: Streams,
    /// What keeps other programs from its published ports, until its network is taken back.
    pub(crate) held: HeldPorts,
}

/// How to begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begin<'a> {
    /// The folders.
    pub(crate) folders: &'a Folders,
    /// The container.
    pub(crate) desired: &'a Desired,
    /// Starts by the restart policy before this one.
    pub(crate) restarts: u32,
    /// Descriptors from 3 on that it keeps.
    pub(crate) preserve_fds: u32,
    /// In the foreground: its end reads nobody.
    pub(crate) foreground: bool,
    /// Its terminal's first size, rows and columns.
    pub(crate) size: Option<(u16, u16)>,
    /// In place of pipes, where nothing of the output is kept.
    pub(crate) inherit: bool,
    /// Signals that end the attempt: those of [`stop::ENDING`] also what it waits for.
    pub(crate) stop: Option<&'a Signals>,
}

impl Begin<'_> {
    /// Makes and starts the container, in a mount namespace of this process's own. The running folder is there.
    ///
    /// # Errors
    /// What failed; everything of it was taken away again.
    ///
    /// A signal that ends a command ends this, too, as long as the program has not begun: afterwards it is for the
    /// program.
    pub(crate) fn run(self) -> Result<Begun> {
        let begun = self.make();
        let settled = match self.stop {
            // What is under way now is not to be cut short: neither the container, nor the cleaning up.
            Some(signals) => signals.let_finish().doing("preparing", "signals"),
            None => Ok(()),
        };
        begun.and_then(|begun| settled.map(|()| begun)).map_err(|error| {
            // A call that a signal ended says nothing of why.
            let stopped = self.go_on().err();
            // Who was stopped while it waited for its turn at the networks has nothing there, and does not wait again.
            let waited =
                stopped.is_some() && !self.folders.running(&self.desired.id).join("network.json").exists();
            // The first error is the one that is told.
            let _also_failed = take_away(self.folders, self.desired, false, !waited);
            stopped.unwrap_or(error)
        })
    }

    /// Whether nobody wants this to end.
    fn go_on(&self) -> Result<()> {
        match self.stop.map(stop::caught).transpose()?.flatten() {
            Some(signal) => Err(RunnerError::Interrupted(signal)),
            None => Ok(()),
        }
    }

    fn make(self) -> Result<Begun> {
        let Self { folders, desired, .. } = self;
        let id = &desired.id;
        let running = folders.running(id);
        own_folder::prepare(folders, id)?;
        let attachment = network::prepare(folders, desired)?;
        self.go_on()?;
        let root = Store::open(folders)?.mount_root(desired)?;
        self.go_on()?;
        let mut spec = bundle::build(folders, desired, &root)?;
        self.go_on()?;
        if desired.runtime.is_some() {
            // Some know no later version than this, though every field that is used here.
            spec.set_version("1.0.2".into());
        }
        let bundle = folders.container(id);
        files::replace_json(&bundle.join("config.json"), &spec, false)?;
        let engine = Engine::of(folders, desired);
        let (started, streams) = self.create(&engine, &spec, &bundle, &running)?;
        let ticks = start_time(started.pid)?.unwrap_or_default();
        let mut live =
            Live { pid: started.pid, start_time: ticks, restarts: self.restarts, ..Live::default() };
        live.write(folders, id)?;
        if let Some(path) = &desired.pid_file {
            files::replace(path, started.pid.to_string().as_bytes(), false)?;
        }
        if let Some(path) = &desired.supervisor_pid_file {
            files::replace(path, std::process::id().to_string().as_bytes(), false)?;
        }
        self.go_on()?;
        network::attach(folders, desired, &attachment, started.pid)?;
        if let Some((rows, columns)) = self.size {
            streams.resize(rows, columns).doing("sizing", "the terminal")?;
        }
        let now = Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH);
        self.go_on()?;
        remember_begin(folders, desired, now)?;
        engine.start(id)?;
        live.started = Some(now);
        live.write(folders, id)?;
        events::note(folders, desired, "start");
        Ok(Begun { pid: started.pid, streams, held: attachment.held })
    }

    fn create(
        self,
        engine: &Engine,
        spec: &oci_spec::runtime::Spec,
        bundle: &Path,
        running: &Path,
    ) -> Result<(Started, Streams)> {
        let process = &self.desired.process;
        let id = &self.desired.id;
        if process.tty {
            let mut started = engine.create(id, bundle, spec, Ends::Terminal, self.preserve_fds)?;
            let master = started.terminal.take().ok_or_else(|| {
                RunnerError::Unsupported("the runtime made no terminal for a container with one".into())
            })?;
            return Ok((started, Streams::of_terminal(master)?));
        }
        if self.inherit {
            let (input, out, err) =
                (rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr());
            let null = fs::File::open("/dev/null").doing("opening", "/dev/null")?;
            let input = if process.interactive { input } else { null.as_fd() };
            let ends = Ends::Files([input, out, err]);
            return Ok((engine.create(id, bundle, spec, ends, self.preserve_fds)?, Streams::default()));
        }
        let (ours, theirs) = Streams::make(running, process.interactive, !self.foreground)?;
        let ends = Ends::Files([theirs.input.as_fd(), theirs.out.as_fd(), theirs.err.as_fd()]);
        Ok((engine.create(id, bundle, spec, ends, self.preserve_fds)?, ours))
    }
}

/// Notes how a run ended and takes away what it had: processes, control group, network, root. The record stays.
/// `foreground`: somebody waits for this process, and not for bridges without containers.
///
/// # Errors
/// Where something stays.
pub(crate) fn end(records: &Records, desired: &Desired, exit: &Exit, foreground: bool) -> Result<()> {
    let folders = records.folders();
    records.ended(&desired.id, exit)?;
    take_away(folders, desired, foreground, true)
}

/// Takes away everything of a run, each step also where another one failed.
fn take_away(folders: &Folders, desired: &Desired, foreground: bool, network: bool) -> Result<()> {
    let killed = Engine::of(folders, desired).delete(&desired.id);
    let detached = if network { network::detach(folders, desired, foreground) } else { Ok(()) };
    let unmounted = Store::open(folders).and_then(|store| store.unmount_root(desired));
    let emptied = own_folder::take_away(folders, &desired.id);
    killed.and(detached).and(unmounted).and(emptied)
}

/// Takes the running folder away: nothing runs, and nobody supervises.
///
/// # Errors
/// Where it stays.
pub(crate) fn leave(folders: &Folders, id: &ContainerId) -> Result<()> {
    let path = folders.running(id);
    match remove_tree(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).doing("removing", &path),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Ends a run whose supervisor died with it, as far as it can be known. The caller has the turn, and nobody supervises.
///
/// # Errors
/// Where something stays.
pub(crate) fn settle(records: &Records, desired: &Desired) -> Result<()> {
    let folders = records.folders();
    let id = &desired.id;
    if !folders.running(id).exists() {
        return Ok(());
    }
    if let Some(live) = Live::read(folders, id)? {
        // Written by a run that waits to start again: how it ended is on record.
        if let Some(started) = live.started.filter(|_| live.pid > 0) {
            let noted = records.exit(id)?.is_some_and(|exit| exit.started == Some(started));
            if !noted {
                records.ended(id, &unseen(started))?;
                events::note(folders, desired, "died");
            }
        }
    }
    take_away(folders, desired, false, true)?;
    leave(folders, id)
}

/// The end of a run that nobody saw.
pub(crate) fn unseen(started: Timestamp) -> Exit {
    Exit {
        started: Some(started),
        finished: Timestamp::now(),
        code: 255,
        oom_killed: false,
        restarts: 0,
        error: Some("how it ended is not known: its supervisor was killed".into()),
    }
}

/// Removes a container that nothing runs in, with its record and its unnamed volumes. The caller has the turn.
///
/// # Errors
/// Where something stays.
pub(crate) fn remove(records: &Records, desired: &Desired) -> Result<()> {
    let folders = records.folders();
    records.remove(&desired.id)?;
    Volumes::new(folders).remove_anonymous(desired)?;
    events::note(folders, desired, "remove");
    Ok(())
}
