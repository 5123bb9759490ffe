//! `attach`.

use clap::Args;

use super::Globals;
use crate::{
    error::{Result, RunnerError},
    record::AttachOptions,
    supervisor::{
        clients::Request,
        events,
        live::{Condition, snapshot},
        order::Attach,
        remote,
        terminal::DetachKeys,
    },
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The container
    #[arg(required_unless_present = "latest")]
    container: Option<String>,

    /// The container that was created last
    #[arg(long, short, conflicts_with = "container")]
    latest: bool,

    /// Send no standard input
    #[arg(long)]
    no_stdin: bool,

    /// Hand signals on
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    sig_proxy: bool,

    /// Keys that detach
    #[arg(long, default_value = DetachKeys::DEFAULT)]
    detach_keys: String,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let selection = super::select::Selection {
        containers: arguments.container.iter().cloned().collect(),
        latest: arguments.latest,
        ..Default::default()
    };
    let desired = selection.one(&context)?;
    let is = snapshot(&context.records, &desired)?.condition;
    if is == Condition::Paused {
        return Err(RunnerError::Conflict(format!("container {} is paused: unpause it first", desired.name)));
    }
    let session = remote::reach(&context.records, &desired)?.ok_or_else(|| {
        RunnerError::Conflict(format!(
            "container {} is {}: only a running one can be attached to",
            desired.name,
            is.name()
        ))
    })?;
    let attach = Attach { input: desired.process.interactive && !arguments.no_stdin, output: true };
    remote::ask(&session, &Request::Attach(attach))?;
    events::note(&context.folders, &desired, "attach");
    let options = AttachOptions {
        sig_proxy: arguments.sig_proxy,
        detach_keys: arguments.detach_keys.clone(),
        ..AttachOptions::default()
    };
    remote::attached(&session, attach, &desired, &options)
}
