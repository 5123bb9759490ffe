//! `events`.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    os::{fd::AsFd, unix::fs::MetadataExt},
    time::{Duration, Instant},
};

use clap::Args;
use jiff::Timestamp;
use rustix::{event::PollFlags, fs::inotify};

use super::{
    Globals,
    output::{self, Field, Filters, Value},
};
use crate::{
    error::{Result, RunnerError, While},
    supervisor::{
        events::{Event, older},
        parcel,
    },
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// What happened since a time (2026-01-31T12:00:00Z) or duration before now (10m)
    #[arg(long)]
    since: Option<String>,

    /// Until a time or duration before now
    #[arg(long)]
    until: Option<String>,

    /// Only those that match: container=web, event=died, image=..., label=a=b, type=container
    #[arg(long, short, value_name = "KEY=VALUE")]
    filter: Vec<String>,

    /// `json`, or a Go template like '{{.Status}}'
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,

    /// Go on with what happens
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    stream: bool,

    /// Shorten ids
    #[arg(long, default_value_t = false)]
    trunc: bool,

    /// Ids are whole anyway
    #[arg(long, hide = true)]
    no_trunc: bool,
}

/// A time, or how long before now: `2026-01-31T12:00:00Z`, `2026-01-31`, `1700000000`, `10m`.
///
/// # Errors
/// [`RunnerError::Usage`] for another text.
pub(super) fn time(text: &str) -> Result<Timestamp> {
    let wrong = || {
        RunnerError::Usage(format!(
            "{text:?} is no time: write 2026-01-31T12:00:00Z, seconds since 1970, or 10m for so long ago"
        ))
    };
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return Timestamp::from_duration(
            jiff::SignedDuration::try_from_secs_f64(seconds).map_err(|_| wrong())?,
        )
        .map_err(|_| wrong());
    }
    if let Ok(time) = text.parse::<jiff::civil::DateTime>() {
        let zoned = time.to_zoned(jiff::tz::TimeZone::system()).map_err(|_| wrong())?;
        return Ok(zoned.timestamp());
    }
    let ago: jiff::SignedDuration = text.trim_start_matches('-').parse().map_err(|_| wrong())?;
    Timestamp::now().checked_sub(ago).map_err(|_| wrong())
}

struct Wanted {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    filters: Filters,
}

impl Wanted {
    fn takes(&self, event: &Event) -> bool {
        let filters = &self.filters;
        self.since.is_none_or(|since| event.time >= since)
            && self.until.is_none_or(|until| event.time <= until)
            && filters.any("container", |value| event.name == value || event.id.starts_with(value))
            && filters.any("event", |value| event.status == value)
            && filters.any("image", |value| event.image.contains(value))
            && filters.any("type", |value| event.kind == value)
            && filters.labels(|name| event.attributes.get(name).map(String::as_str))
    }
}

fn value(event: &Event, trunc: bool) -> Value {
    let id = if trunc { output::short_id(&event.id) } else { &event.id };
    Value::fields([
        Field::new("Time", output::time(event.time)),
        Field::new("Type", Value::text(&event.kind)),
        Field::new("Status", Value::text(&event.status)),
        Field::new("ID", Value::text(id)),
        Field::new("Name", Value::text(&event.name)),
        Field::new("Image", Value::text(&event.image)),
        Field::new(
            "ContainerExitCode",
            event.container_exit_code.map_or(Value::Nothing, |code| Value::Int(code.into())),
        ),
        Field::new("HealthStatus", event.health_status.as_ref().map_or(Value::Nothing, Value::text)),
        Field::new(
            "Attributes",
            Value::map(event.attributes.iter().map(|(key, text)| (key.clone(), Value::text(text)))),
        ),
    ])
}

fn print(event: &Event, arguments: &Arguments) -> Result<()> {
    match arguments.format.as_deref() {
        Some(format) if output::is_json(format) => {
            let line =
                serde_json::to_string(event).map_err(std::io::Error::from).doing("writing", "an event")?;
            output::line(line)
        }
        Some(format) => output::print(&output::render(format, &value(event, arguments.trunc))?),
        None => {
            let id = if arguments.trunc { output::short_id(&event.id) } else { &event.id };
            let mut text = format!(
                "{} {} {} {id} (image={}, name={}",
                event.time, event.kind, event.status, event.image, event.name
            );
            if let Some(state) = &event.health_status {
                text.push_str(&format!(", health_status={state}"));
            }
            for (key, label) in &event.attributes {
                text.push_str(&format!(", {key}={label}"));
            }
            output::line(text + ")")
        }
    }
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let _said_anyway = arguments.no_trunc;
    let known = ["container", "event", "image", "label", "label!", "type"];
    let wanted = Wanted {
        since: arguments.since.as_deref().map(time).transpose()?,
        until: arguments.until.as_deref().map(time).transpose()?,
        filters: Filters::parse(&arguments.filter, &known)?,
    };
    let path = context.folders.events();
    let folder = path.parent().unwrap_or(&path);
    crate::record::files::private_folder(folder)?;
    let queue = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
        .doing("watching", folder)?;
    let flags = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
    inotify::add_watch(&queue, folder, flags).doing("watching", folder)?;
    // Without a beginning a stream begins now.
    let from_now = arguments.stream && arguments.since.is_none() && arguments.until.is_none();
    let over = |now: Timestamp| !arguments.stream || wanted.until.is_some_and(|until| now > until);
    let mut reader: Option<BufReader<File>> = None;
    let mut skip = from_now;
    let mut first = true;
    loop {
        if first && let Ok(file) = File::open(older(&context.folders)) {
            let mut before = BufReader::new(file);
            drain(&mut before, skip, &wanted, arguments)?;
        }
        first = false;
        loop {
            if let Some(reader) = &mut reader {
                drain(reader, skip, &wanted, arguments)?;
            }
            let there = fs::metadata(&path).ok().map(|there| there.ino());
            let have =
                reader.as_ref().and_then(|reader| reader.get_ref().metadata().ok()).map(|have| have.ino());
            if there == have {
                break;
            }
            reader = File::open(&path).ok().map(BufReader::new);
        }
        skip = false;
        if over(Timestamp::now()) {
            return Ok(0);
        }
        let deadline = wanted.until.map(|until| {
            let left = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
            Instant::now() + left + Duration::from_millis(1)
        });
        parcel::ready(queue.as_fd(), PollFlags::IN, deadline).doing("watching", folder)?;
        let mut space = [0; 4096];
        while let Ok(1..) = rustix::io::read(&queue, &mut space) {}
    }
}

fn drain(reader: &mut BufReader<File>, skip: bool, wanted: &Wanted, arguments: &Arguments) -> Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).doing("reading", "events")? == 0 {
            return Ok(());
        }
        // A line that another version wrote is none of ours.
        if let Ok(event) = serde_json::from_str::<Event>(&line)
            && !skip
            && wanted.takes(&event)
        {
            print(&event, arguments)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_given_as_podman_takes_them() {
        assert_eq!(time("1700000000").unwrap().as_second(), 1_700_000_000);
        assert_eq!(time("2026-01-31T12:00:00Z").unwrap().to_string(), "2026-01-31T12:00:00Z");
        assert!(time("2026-01-31T12:00:00").is_ok() && time("2026-01-31").is_ok());
        let ago = Timestamp::now().duration_since(time("10m").unwrap());
        assert!((599..602).contains(&ago.as_secs()), "{ago:?}");
        assert!(time("yesterday").is_err());
    }
}
