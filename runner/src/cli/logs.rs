//! `logs`.

mod follow;

use std::io::{BufWriter, Write};

use clap::Args;
use follow::Log;
use jiff::Timestamp;

use super::{Context, Globals, events, select::Selection};
use crate::{
    error::{Result, RunnerError, While},
    record::Desired,
    supervisor::log,
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Containers
    #[arg(required_unless_present = "latest", value_name = "CONTAINER")]
    containers: Vec<String>,

    /// Go on with what is written, until the containers end
    #[arg(long, short)]
    follow: bool,

    /// The container that was created last
    #[arg(long, short, conflicts_with = "containers")]
    latest: bool,

    /// Put the container's name before each line; of several containers it is the id otherwise
    #[arg(long, short)]
    names: bool,

    /// What was written since a time (2026-01-31T12:00:00Z) or duration before now (10m)
    #[arg(long)]
    since: Option<String>,

    /// What was written until a time or duration before now
    #[arg(long)]
    until: Option<String>,

    /// The last lines alone; all with -1
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    tail: i64,

    /// Put the time before each line
    #[arg(long, short)]
    timestamps: bool,

    /// Colours are left out
    #[arg(long, hide = true)]
    color: bool,
}

/// A line of the file.
struct Line<'a> {
    time: &'a str,
    error: bool,
    whole: bool,
    text: &'a [u8],
}

fn parse(line: &[u8]) -> Option<Line<'_>> {
    let line = line.strip_suffix(b"\n")?;
    let mut fields = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(fields.next()?).ok()?;
    let error = fields.next()? == b"stderr";
    let whole = fields.next()? == b"F";
    Some(Line { time, error, whole, text: fields.next().unwrap_or_default() })
}

/// For the fuzz targets: a line is read as the log writes it.
pub(super) fn fuzzed(line: &[u8]) {
    let Some(Line { time, text, .. }) = parse(line) else { return };
    assert!(time.len() + text.len() < line.len());
}

struct Printer<'a> {
    arguments: &'a Arguments,
    /// Written as the log writes them, so that texts can be compared.
    since: Option<String>,
    until: Option<String>,
    /// What stands before each line.
    name: Option<String>,
    /// Whether a line was left open, of output and of errors.
    open: [bool; 2],
}

fn stamp(time: Timestamp) -> String {
    String::from_utf8_lossy(&log::stamp(time.into())).into_owned()
}

impl Printer<'_> {
    fn wanted(&self, line: &Line<'_>) -> bool {
        self.since.as_deref().is_none_or(|since| line.time >= since)
            && self.until.as_deref().is_none_or(|until| line.time <= until)
    }

    fn print(
        &mut self,
        line: &Line<'_>,
        out: &mut (impl Write + ?Sized),
        err: &mut (impl Write + ?Sized),
    ) -> std::io::Result<()> {
        let mut sink: Box<dyn Write + '_> = if line.error { Box::new(err) } else { Box::new(out) };
        let open = &mut self.open[usize::from(line.error)];
        if !*open {
            if let Some(name) = &self.name {
                write!(sink, "{name} ")?;
            }
            if self.arguments.timestamps {
                write!(sink, "{} ", line.time)?;
            }
        }
        sink.write_all(line.text)?;
        if line.whole {
            sink.write_all(b"\n")?;
        }
        *open = !line.whole;
        Ok(())
    }
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let _left_out = arguments.color;
    let selection = Selection {
        containers: arguments.containers.clone(),
        latest: arguments.latest,
        ..Default::default()
    };
    let time = |text: &Option<String>| text.as_deref().map(events::time).transpose();
    let (since, until) = (time(&arguments.since)?.map(stamp), time(&arguments.until)?.map(stamp));
    let meant = selection.meant(&context)?;
    let several = meant.len() > 1;
    let mut logs = Vec::new();
    for meant in meant {
        let desired = meant.found?;
        if desired.log.none {
            return Err(RunnerError::Conflict(format!(
                "container {} keeps no log: it was created with --log-driver none",
                desired.name
            )));
        }
        let name = name(&desired, arguments.names, several);
        let printer =
            Printer { arguments, since: since.clone(), until: until.clone(), name, open: [false; 2] };
        logs.push(Log::open(&context, desired, printer)?);
    }
    match show(&context, &mut logs, arguments.follow) {
        // `logs | head`: whoever reads has what they wanted.
        Err(RunnerError::Io { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => Ok(0),
        done => done.map(|()| 0),
    }
}

/// What stands before each line of a container.
fn name(desired: &Desired, names: bool, several: bool) -> Option<String> {
    match (names, several) {
        (true, _) => Some(desired.name.clone()),
        (false, true) => Some(desired.id.as_str().chars().take(12).collect()),
        (false, false) => None,
    }
}

/// What is there of each, one after another; then what comes, from whichever it comes.
fn show(context: &Context, logs: &mut Vec<Log<'_>>, goes_on: bool) -> Result<()> {
    let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
    let (mut out, mut err) = (BufWriter::with_capacity(64 << 10, stdout.lock()), stderr.lock());
    for log in logs.iter_mut() {
        log.print_so_far(&mut out, &mut err)?;
        out.flush().doing("writing", "standard output")?;
    }
    if !goes_on {
        return Ok(());
    }
    for log in logs.iter_mut() {
        log.listen(context)?;
    }
    loop {
        for log in logs.iter_mut() {
            log.print_new(&mut out, &mut err)?;
        }
        out.flush().doing("writing", "standard output")?;
        // Of one that has ended, all was printed by now.
        logs.retain(|log| !log.has_ended());
        if logs.is_empty() {
            return Ok(());
        }
        follow::wait(logs)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_log_are_read_back() {
        let line = parse(b"2026-11-21T17:54:08.123456789Z stderr P a b \n").unwrap();
        assert_eq!(line.text, b"a b ");
        assert!(line.error && !line.whole);
        assert_eq!(parse(b"T stdout F \n").unwrap().text, b"");
        assert!(parse(b"half a li").is_none());
    }
}
