//! `ps`.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use clap::Args;
use jiff::Timestamp;

use super::{
    Context, Globals,
    output::{self, Columns, Field, Filters, Listing, Row, Value},
    port, select,
};
use crate::{
    error::{Result, RunnerError, While},
    record::Desired,
    supervisor::{
        health,
        live::{Condition, Snapshot, snapshot},
    },
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    listing: Listing,

    /// Those too that do not run
    #[arg(long, short)]
    all: bool,

    /// So many that were created last, of all states
    #[arg(long, short = 'n', value_name = "NUMBER")]
    last: Option<usize>,

    /// The one that was created last, of all states
    #[arg(long, short)]
    latest: bool,

    /// Sizes of what they changed
    #[arg(long, short)]
    size: bool,

    /// By command, created, id, image, names, runningfor, size or status
    #[arg(long, default_value = "created")]
    sort: String,

    /// Show process ids
    #[arg(long)]
    ns: bool,

    /// Show it again every so many seconds
    #[arg(long, short, value_name = "SECONDS")]
    watch: Option<u32>,

    /// Taken for podman's sake: states are always asked from the kernel
    #[arg(long, hide = true)]
    sync: bool,
}

const HEADINGS: &[(&str, &str)] =
    &[("ID", "CONTAINER ID"), ("CreatedHuman", "CREATED"), ("RunningFor", "CREATED")];

struct One {
    desired: Desired,
    seen: Snapshot,
    health: Option<String>,
    size: Option<u64>,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let _always = arguments.sync;
    let Some(seconds) = arguments.watch else {
        show(&context, arguments)?;
        return Ok(0);
    };
    loop {
        if std::io::stdout().is_terminal() {
            std::io::stdout().write_all(b"\x1b[2J\x1b[H").doing("writing", "standard output")?;
        }
        show(&context, arguments)?;
        std::thread::sleep(Duration::from_secs(u64::from(seconds.max(1))));
    }
}

fn show(context: &Context, arguments: &Arguments) -> Result<()> {
    let filters = Filters::parse(&arguments.listing.filter, select::FILTERS)?;
    let (found, damaged) = context.records.all()?;
    for folder in damaged {
        let _told = writeln!(
            std::io::stderr(),
            "berth-runner: {} has no readable record: restore desired.json, or remove the folder",
            folder.display()
        );
    }
    let every = arguments.all
        || arguments.last.is_some()
        || arguments.latest
        || !filters.values("status").is_empty()
        || !filters.values("exited").is_empty();
    let last = if arguments.latest { Some(1) } else { arguments.last };
    let skip = last.map_or(0, |last| found.len().saturating_sub(last));
    let mut ones = Vec::new();
    for desired in found.into_iter().skip(skip) {
        let seen = snapshot(&context.records, &desired)?;
        let shown = every || seen.condition.is_up() || seen.condition == Condition::Restarting;
        if !shown || !select::matches(context, &filters, &desired, &seen)? {
            continue;
        }
        let health = match seen.condition.is_up() {
            true => health::found(&context.folders, &desired)?.map(|found| found.status),
            false => None,
        };
        let size = arguments.size.then(|| changed(context, &desired));
        ones.push(One { desired, seen, health, size });
    }
    sort(&mut ones, &arguments.sort)?;
    let rows: Result<Vec<Row>> =
        ones.iter().map(|one| row(context, one, arguments.listing.no_trunc)).collect();
    let template = match (arguments.size, arguments.ns) {
        (false, false) => {
            "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.CreatedHuman}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
        }
        (true, false) => {
            "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.CreatedHuman}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}\t{{.Size}}"
        }
        (_, true) => "{{.ID}}\t{{.Names}}\t{{.Pid}}\t{{.Status}}",
    };
    output::list(&arguments.listing, Columns { template, headings: HEADINGS }, &rows?)
}

fn sort(ones: &mut [One], by: &str) -> Result<()> {
    let command = |one: &One| one.desired.process.args.join(" ");
    let image = |one: &One| one.desired.image.as_ref().map(|image| image.name.clone());
    match by {
        // Newest first, as podman.
        "created" | "runningfor" => ones.reverse(),
        "command" => ones.sort_by_key(command),
        "id" => ones.sort_by(|a, b| a.desired.id.cmp(&b.desired.id)),
        "image" => ones.sort_by_key(image),
        "names" => ones.sort_by(|a, b| a.desired.name.cmp(&b.desired.name)),
        "size" => ones.sort_by_key(|one| one.size),
        "status" => ones.sort_by_key(|one| one.seen.condition.name()),
        _ => {
            return Err(RunnerError::Usage(format!(
                "--sort {by}: it is command, created, id, image, names, runningfor, size or status"
            )));
        }
    }
    Ok(())
}

/// Bytes that a container wrote over its image; what cannot be read counts nothing.
pub(super) fn changed(context: &Context, desired: &Desired) -> u64 {
    fn below(folder: &std::path::Path) -> u64 {
        let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
        entries
            .flatten()
            .map(|entry| match entry.metadata() {
                Ok(data) if data.is_dir() => below(&entry.path()),
                Ok(data) => data.len(),
                Err(_) => 0,
            })
            .sum()
    }
    below(&context.folders.container(&desired.id).join("upper"))
}

/// `Up 3 minutes (healthy)`, `Exited (0) 2 hours ago`.
fn status(one: &One, now: Timestamp) -> String {
    let seen = &one.seen;
    let since = |then: Option<Timestamp>| {
        let seconds = then.map_or(0, |then| now.as_second() - then.as_second());
        output::duration(u64::try_from(seconds).unwrap_or_default())
    };
    match seen.condition {
        Condition::Running | Condition::Stopping | Condition::Paused => {
            let mut text = format!("Up {}", since(seen.started));
            if let Some(health) = &one.health {
                text.push_str(&format!(" ({health})"));
            }
            if seen.condition == Condition::Paused {
                text.push_str(" (Paused)");
            }
            text
        }
        Condition::Restarting => "Restarting".into(),
        Condition::Created => "Created".into(),
        Condition::Stopped => "Stopped".into(),
        Condition::Exited => {
            let code = seen.exit.as_ref().map_or_else(|| "unknown".to_owned(), |exit| exit.code.to_string());
            format!("Exited ({code}) {} ago", since(seen.exit.as_ref().map(|exit| exit.finished)))
        }
    }
}

#[expect(clippy::too_many_lines, reason = "one line per field that podman has")]
fn row(context: &Context, one: &One, whole: bool) -> Result<Row> {
    let desired = &one.desired;
    let now = Timestamp::now();
    let id = desired.id.as_str();
    let image = desired.image.as_ref();
    let command = desired.process.args.join(" ");
    let short = |text: &str| {
        if whole || text.chars().count() <= 20 {
            return text.to_owned();
        }
        text.chars().take(17).chain("...".chars()).collect()
    };
    let ports = port::published(&context.folders, desired)?;
    let shown_ports: Vec<String> = ports
        .iter()
        .map(|port| {
            let host = std::net::SocketAddr::new(port.address, port.host);
            format!("{host}->{}/{}", port.container, port::protocol(port.protocol))
        })
        .collect();
    let code = one.seen.exit.as_ref().map_or(0, |exit| i64::from(exit.code));
    let up = one.seen.condition.is_up();
    let labels = || Value::map(desired.labels.iter().map(|(key, text)| (key.clone(), Value::text(text))));
    let mounts = || Value::texts(desired.mounts.iter().map(|mount| mount.destination.display().to_string()));
    let pid = i64::from(one.seen.pid.unwrap_or_default());
    let image_name = image
        .map(|image| image.name.clone())
        .or_else(|| desired.rootfs.as_ref().map(|rootfs| rootfs.display().to_string()));
    let image_name = image_name.unwrap_or_default();
    let image_id = image.map(|image| image.id.to_string()).unwrap_or_default();
    let image_id = image_id.split_once(':').map_or(image_id.as_str(), |(_, hex)| hex);
    let started = one.seen.started.map_or(-62_135_596_800, Timestamp::as_second);
    let size = one.size.map_or(Value::Nothing, |size| Value::text(output::size(size)));
    let shown = Value::fields([
        Field::new("ID", Value::text(if whole { id } else { output::short_id(id) })),
        Field::new("Image", Value::text(&image_name)),
        Field::new("ImageID", Value::text(output::short_id(image_id))),
        Field::new("Command", Value::text(short(&command))),
        Field::new("CreatedHuman", Value::text(output::ago(desired.created, now))),
        Field::new("RunningFor", Value::text(output::ago(desired.created, now))),
        Field::new("CreatedAt", Value::text(desired.created.to_string())),
        Field::new("Created", output::time(desired.created)),
        Field::new("Status", Value::text(status(one, now))),
        Field::new("State", Value::text(one.seen.condition.name())),
        Field::new("Health", one.health.as_ref().map_or(Value::text(""), Value::text)),
        Field::new("Ports", Value::text(shown_ports.join(", "))),
        Field::new("Names", Value::text(&desired.name)),
        Field::new("Size", size),
        Field::new("Pid", Value::Int(pid)),
        Field::new("Exited", Value::Bool(one.seen.condition == Condition::Exited)),
        Field::new("ExitCode", Value::Int(code)),
        Field::new("StartedAt", Value::Int(started)),
        Field::new("Restarts", Value::Int(i64::from(one.seen.restarts))),
        Field::new("Labels", labels()),
        Field::new("Mounts", mounts()),
        Field::new("Networks", Value::texts(select::networks(desired))),
    ]);
    let json_ports = ports.iter().map(|port| {
        Value::fields([
            Field::new("host_ip", Value::text(port.address.to_string())),
            Field::new("container_port", Value::Int(port.container.into())),
            Field::new("host_port", Value::Int(port.host.into())),
            Field::new("range", Value::Int(1)),
            Field::new("protocol", Value::text(port::protocol(port.protocol))),
        ])
    });
    let json = Value::fields([
        Field::new("AutoRemove", Value::Bool(desired.auto_remove)),
        Field::new("Command", Value::texts(&desired.process.args)),
        Field::new("CreatedAt", Value::text(output::ago(desired.created, now))),
        Field::new("Exited", Value::Bool(one.seen.condition == Condition::Exited)),
        Field::new(
            "ExitedAt",
            Value::Int(
                one.seen
                    .exit
                    .as_ref()
                    .filter(|_| !up)
                    .map_or(-62_135_596_800, |exit| exit.finished.as_second()),
            ),
        ),
        Field::new("ExitCode", Value::Int(code)),
        Field::new("Id", Value::text(id)),
        Field::new("Image", Value::text(&image_name)),
        Field::new("ImageID", Value::text(image_id)),
        Field::new("IsInfra", Value::Bool(false)),
        Field::new("Labels", labels()),
        Field::new("Mounts", mounts()),
        Field::new("Names", Value::texts([&desired.name])),
        Field::new("Networks", Value::texts(select::networks(desired))),
        Field::new("Pid", Value::Int(pid)),
        Field::new("Pod", Value::text("")),
        Field::new("PodName", Value::text("")),
        Field::new("Ports", Value::list(json_ports)),
        Field::new("Restarts", Value::Int(i64::from(one.seen.restarts))),
        Field::new(
            "Size",
            one.size.map_or(Value::Nothing, |size| Value::Int(i64::try_from(size).unwrap_or(i64::MAX))),
        ),
        Field::new("StartedAt", Value::Int(started)),
        Field::new("State", Value::text(one.seen.condition.name())),
        Field::new("Status", Value::text(status(one, now))),
        Field::new("Created", Value::Int(desired.created.as_second())),
    ]);
    Ok(Row { quiet: (if whole { id } else { output::short_id(id) }).to_owned(), shown, json: Some(json) })
}
