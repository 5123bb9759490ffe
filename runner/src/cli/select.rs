//! Which containers a command means: by name, all, the latest, by filter or by a file with an id.

use std::{fs, io::Write, path::PathBuf};

use clap::Args;

use super::{Context, output::Filters};
use crate::{
    error::{Result, RunnerError, While},
    network,
    record::{Desired, Health, MountKind, NetworkMode, RestartPolicy},
    supervisor::{
        health,
        live::{Snapshot, snapshot},
        remote,
    },
};

/// So many containers are stopped at once: each waits on a thread of its own.
const TOGETHER: usize = 32;

/// Filters of `ps` and of commands that take several containers.
pub(crate) const FILTERS: &[&str] = &[
    "ancestor",
    "before",
    "exited",
    "health",
    "id",
    "label",
    "label!",
    "name",
    "network",
    "restart-policy",
    "since",
    "status",
    "until",
    "volume",
];

/// Arguments that say which containers.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Names or ids
    #[arg(value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,

    /// All containers
    #[arg(long, short)]
    pub(crate) all: bool,

    /// The container that was created last
    #[arg(long, short)]
    pub(crate) latest: bool,

    /// Only those that match, like status=exited
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,

    /// A file with the id of a container in it
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Vec<PathBuf>,
}

/// A container that was meant, and how it was named.
pub(crate) struct Meant {
    /// As it was typed; its id where it was not named.
    pub(crate) typed: String,
    /// It, or why it is not there.
    pub(crate) found: Result<Desired>,
}

impl Selection {
    /// The containers, in the order in which they were named, or by age.
    ///
    /// # Errors
    /// [`RunnerError::Usage`] where nothing or two different things are said.
    pub(crate) fn meant(&self, context: &Context) -> Result<Vec<Meant>> {
        let mut typed = self.containers.clone();
        for file in &self.cidfile {
            typed.push(fs::read_to_string(file).doing("reading", file)?.trim().to_owned());
        }
        let several = usize::from(!typed.is_empty())
            + usize::from(self.all || !self.filter.is_empty())
            + usize::from(self.latest);
        if several != 1 {
            return Err(RunnerError::Usage(
                "name containers, or say --all, --latest, --filter or --cidfile: one of them".into(),
            ));
        }
        if !typed.is_empty() {
            return Ok(typed
                .into_iter()
                .map(|typed| Meant { found: context.records.find(&typed), typed })
                .collect());
        }
        let filters = Filters::parse(&self.filter, FILTERS)?;
        let (mut found, _damaged) = context.records.all()?;
        if self.latest {
            found.drain(..found.len().saturating_sub(1));
        }
        let mut meant = Vec::new();
        for desired in found {
            let seen = snapshot(&context.records, &desired)?;
            if matches(context, &filters, &desired, &seen)? {
                meant.push(Meant { typed: desired.id.to_string(), found: Ok(desired) });
            }
        }
        Ok(meant)
    }

    /// Stops all at once, so that ten that take ten seconds take ten together. What could not be done is found again, and
    /// told, when each has its turn.
    ///
    /// # Errors
    /// Where it is not said which.
    pub(crate) fn stop_together(&self, context: &Context, time: Option<u32>) -> Result<()> {
        let found: Vec<_> = self.meant(context)?.into_iter().filter_map(|meant| meant.found.ok()).collect();
        if found.len() < 2 {
            return Ok(());
        }
        for some in found.chunks(TOGETHER) {
            std::thread::scope(|scope| {
                for desired in some {
                    scope.spawn(|| {
                        let seconds = time.unwrap_or(desired.stop_timeout);
                        let _told_in_its_turn = remote::stop(&context.records, desired, seconds, false);
                    });
                }
            });
        }
        Ok(())
    }

    /// The one container that is meant.
    ///
    /// # Errors
    /// Where it is none, or several.
    pub(crate) fn one(&self, context: &Context) -> Result<Desired> {
        let mut meant = self.meant(context)?;
        match (meant.pop(), meant.is_empty()) {
            (Some(one), true) => one.found,
            (Some(_), false) => Err(RunnerError::Usage("this takes one container".into())),
            (None, _) => Err(RunnerError::NotFound("there is no container".into())),
        }
    }

    /// Does something to each and prints how each was named; one that fails holds no other up. The number is the first
    /// failure's.
    ///
    /// # Errors
    /// Where it is not said which.
    pub(crate) fn each(
        &self,
        context: &Context,
        ignore: bool,
        mut act: impl FnMut(&Desired) -> Result<()>,
    ) -> Result<u8> {
        let mut code = 0;
        for meant in self.meant(context)? {
            let done = match &meant.found {
                Err(RunnerError::NotFound(_)) if ignore => continue,
                Err(_) => meant.found.map(drop),
                Ok(desired) => act(desired),
            };
            match done {
                Ok(()) => super::output::line(&meant.typed)?,
                Err(error) => code = failed(&error, code),
            }
        }
        Ok(code)
    }
}

/// Tells an error of one of several; the number of the first is kept.
pub(crate) fn failed(error: &RunnerError, code: u8) -> u8 {
    let _told = writeln!(std::io::stderr(), "berth-runner: {error}");
    if code == 0 { error.exit_code() } else { code }
}

/// The policy as it is typed.
pub(crate) fn policy(policy: RestartPolicy) -> String {
    match policy {
        RestartPolicy::No => "no".into(),
        RestartPolicy::OnFailure(None) => "on-failure".into(),
        RestartPolicy::OnFailure(Some(most)) => format!("on-failure:{most}"),
        RestartPolicy::Always => "always".into(),
        RestartPolicy::UnlessStopped => "unless-stopped".into(),
    }
}

/// The networks of a container, by name.
pub(crate) fn networks(desired: &Desired) -> Vec<String> {
    match &desired.network.mode {
        NetworkMode::Bridge(attached) if attached.is_empty() => vec![network::DEFAULT.into()],
        NetworkMode::Bridge(attached) => attached.iter().map(|one| one.network.clone()).collect(),
        NetworkMode::Pasta(_) => vec!["pasta".into()],
        NetworkMode::Host => vec!["host".into()],
        NetworkMode::None => vec!["none".into()],
        NetworkMode::Container(id) => vec![format!("container:{id}")],
        NetworkMode::Path(path) => vec![format!("ns:{}", path.display())],
    }
}

/// Whether a container satisfies filters of [`FILTERS`].
pub(crate) fn matches(
    context: &Context,
    filters: &Filters,
    desired: &Desired,
    seen: &Snapshot,
) -> Result<bool> {
    let ages = |key: &str| -> Result<Vec<jiff::Timestamp>> {
        filters.values(key).iter().map(|name| Ok(context.records.find(name)?.created)).collect()
    };
    let (before, since) = (ages("before")?, ages("since")?);
    let until: Result<Vec<_>> =
        filters.values("until").iter().map(|text| super::events::time(text)).collect();
    let image = desired.image.as_ref();
    let ancestor = |value: &str| {
        image.is_some_and(|image| {
            let id = image.id.to_string();
            let hex = id.split_once(':').map_or(id.as_str(), |(_, hex)| hex);
            let name = image.name.as_str();
            let short = name.rsplit_once('/').map_or(name, |(_, short)| short);
            hex.starts_with(value)
                || [name, short].iter().any(|name| {
                    *name == value || name.rsplit_once(':').is_some_and(|(name, _)| name == value)
                })
        })
    };
    let volume = |value: &str| {
        desired.mounts.iter().any(|mount| {
            mount.destination.to_str() == Some(value)
                || matches!(&mount.kind, MountKind::Volume { name, .. } if name == value)
                || matches!(&mount.kind, MountKind::Bind { source, .. } if source.to_str() == Some(value))
        })
    };
    let well = |value: &str| -> bool {
        let Some(_health): Option<&Health> = desired.health.as_ref() else { return value == "none" };
        health::found(&context.folders, desired).ok().flatten().is_some_and(|found| found.status == value)
    };
    let status = |value: &str| {
        let value = if value == "stopped" { "exited" } else { value };
        seen.condition.name() == value
    };
    let code = |value: &str| {
        seen.condition.name() == "exited"
            && seen.exit.as_ref().is_some_and(|exit| value.parse() == Ok(exit.code))
    };
    Ok(filters.any("id", |value| desired.id.as_str().starts_with(value))
        && filters
            .any("name", |value| desired.name.contains(value.trim_start_matches('^').trim_end_matches('$')))
        && filters.any("status", status)
        && filters.any("exited", code)
        && filters.any("ancestor", ancestor)
        && filters.any("volume", volume)
        && filters.any("network", |value| networks(desired).iter().any(|network| network == value))
        && filters.any("health", well)
        && filters.any("restart-policy", |value| policy(desired.restart).split(':').next() == Some(value))
        && filters.labels(|name| desired.labels.get(name).map(String::as_str))
        && before.iter().all(|than| desired.created < *than)
        && since.iter().all(|than| desired.created > *than)
        && until?.iter().all(|than| desired.created < *than))
}
