//! `start`.

use std::path::PathBuf;

use clap::Args;

use super::{Globals, select::Selection};
use crate::{
    error::{Result, RunnerError},
    record::AttachOptions,
    supervisor::{self, clients::Request, order::Attach, remote, terminal::DetachKeys},
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Names or ids
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,

    /// All containers
    #[arg(long)]
    all: bool,

    /// The container that was created last
    #[arg(long, short)]
    latest: bool,

    /// Only those that match, like status=exited
    #[arg(long, short, value_name = "KEY=VALUE")]
    filter: Vec<String>,

    /// A file with the id of a container in it
    #[arg(long, value_name = "FILE")]
    cidfile: Vec<PathBuf>,

    /// Show output, and end as the container ends
    #[arg(long, short)]
    attach: bool,

    /// Send standard input too
    #[arg(long, short)]
    interactive: bool,

    /// Hand signals on, with --attach
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    sig_proxy: bool,

    /// Keys that detach
    #[arg(long, default_value = DetachKeys::DEFAULT)]
    detach_keys: String,
}

impl Arguments {
    /// As with other commands, but that `-a` is podman's and docker's `--attach` here.
    fn selection(&self) -> Selection {
        Selection {
            containers: self.containers.clone(),
            all: self.all,
            latest: self.latest,
            filter: self.filter.clone(),
            cidfile: self.cidfile.clone(),
        }
    }
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let selection = arguments.selection();
    if !arguments.attach && !arguments.interactive {
        return selection
            .each(&context, false, |desired| supervisor::start_detached(&context.folders, desired));
    }
    let desired = selection.one(&context)?;
    let attach = Attach { input: arguments.interactive && desired.process.interactive, output: true };
    let options = AttachOptions {
        sig_proxy: arguments.sig_proxy,
        detach_keys: arguments.detach_keys.clone(),
        ..AttachOptions::default()
    };
    let session = match remote::start(&context.folders, &desired.id, Some(attach))? {
        (session, true) => session,
        (_, false) => {
            let session = remote::reach(&context.records, &desired)?.ok_or_else(|| {
                RunnerError::Conflict(format!(
                    "container {} ended before it could be attached to",
                    desired.name
                ))
            })?;
            remote::ask(&session, &Request::Attach(attach))?;
            session
        }
    };
    remote::attached(&session, attach, &desired, &options)
}
