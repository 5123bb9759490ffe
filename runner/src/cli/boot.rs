//! `boot`: starts what is to run after the machine was started.

use clap::Args;

use super::{Context, Globals, output, select};
use crate::{
    error::Result,
    record::{Desired, RestartPolicy},
    supervisor::{
        self,
        live::{Condition, snapshot, was_stopped_by_person},
        remote,
    },
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// `json` for a report that programs read
    #[arg(long)]
    format: Option<String>,

    /// Only say what would be started
    #[arg(long)]
    dry_run: bool,
}

/// What is done with one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    Start,
    Runs,
    /// It lives, but its supervisor does not.
    Adopt,
    Leave(&'static str),
}

fn plan(context: &Context, desired: &Desired) -> Result<Plan> {
    let seen = snapshot(&context.records, desired)?;
    if seen.condition.is_up() || matches!(seen.condition, Condition::Restarting | Condition::Stopped) {
        return Ok(if seen.supervisor.is_some() { Plan::Runs } else { Plan::Adopt });
    }
    Ok(match desired.restart {
        // One that was only created was never asked to run.
        _ if seen.condition == Condition::Created => Plan::Leave("never started"),
        RestartPolicy::Always => Plan::Start,
        RestartPolicy::UnlessStopped if was_stopped_by_person(&context.folders, &desired.id) => {
            Plan::Leave("stopped by a person")
        }
        RestartPolicy::UnlessStopped => Plan::Start,
        RestartPolicy::No | RestartPolicy::OnFailure(_) => {
            Plan::Leave("its restart policy does not ask for it")
        }
    })
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let (found, damaged) = context.records.all()?;
    let (mut report, mut code) = (Vec::new(), 0);
    if !arguments.dry_run
        && let Err(error) = context.records.sweep()
    {
        // What could not be removed keeps nothing from starting.
        code = select::failed(&error, code);
    }
    // By age: what others need was created before them.
    for desired in found {
        let plan = plan(&context, &desired)?;
        let done = match plan {
            _ if arguments.dry_run => Ok(()),
            Plan::Start => supervisor::start_detached(&context.folders, &desired),
            Plan::Adopt => remote::reach(&context.records, &desired).map(drop),
            Plan::Runs | Plan::Leave(_) => Ok(()),
        };
        let (result, detail) = match (&done, plan) {
            (Err(error), _) => ("failed", error.to_string()),
            (Ok(()), Plan::Start) => ("started", String::new()),
            (Ok(()), Plan::Runs) => ("runs", String::new()),
            (Ok(()), Plan::Adopt) => ("adopted", String::new()),
            (Ok(()), Plan::Leave(why)) => ("left", why.to_owned()),
        };
        if let Err(error) = &done {
            code = if code == 0 { error.exit_code() } else { code };
        }
        report.push((desired, result, detail));
    }
    for folder in damaged {
        code = select::failed(
            &crate::error::RunnerError::Content(format!("{} has no readable record", folder.display())),
            code,
        );
    }
    if arguments.format.as_deref().is_some_and(output::is_json) {
        let rows: Vec<_> = report
            .iter()
            .map(|(desired, result, detail)| {
                serde_json::json!({"Id": desired.id, "Name": desired.name, "Result": result, "Detail": detail})
            })
            .collect();
        output::json(&rows)?;
    } else {
        for (desired, result, detail) in &report {
            output::line(format!("{result:<8} {} {detail}", desired.name).trim_end())?;
        }
    }
    Ok(code)
}
