//! `top`: processes of a container, read from `/proc`.

use std::fs;

use clap::Args;

use super::{Globals, output, select::Selection};
use crate::{
    error::{Result, RunnerError, While},
    supervisor::{engine::Engine, live::snapshot},
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The container that was created last; then there are only columns
    #[arg(long, short)]
    latest: bool,

    /// The container, then columns: user pid ppid pcpu etime tty time args comm state rss vsz nice hpid huser group
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CONTAINER COLUMNS")]
    arguments: Vec<String>,
}

const COLUMNS: [(&str, &str); 16] = [
    ("user", "USER"),
    ("pid", "PID"),
    ("ppid", "PPID"),
    ("pcpu", "%CPU"),
    ("etime", "ELAPSED"),
    ("tty", "TTY"),
    ("time", "TIME"),
    ("args", "COMMAND"),
    ("comm", "COMMAND"),
    ("state", "STATE"),
    ("rss", "RSS"),
    ("vsz", "VSZ"),
    ("nice", "NI"),
    ("hpid", "HPID"),
    ("huser", "HUSER"),
    ("group", "GROUP"),
];

const DEFAULT: [&str; 8] = ["user", "pid", "ppid", "pcpu", "etime", "tty", "time", "args"];

/// As `ps aux` has them.
const AUX: [&str; 9] = ["user", "pid", "pcpu", "vsz", "rss", "tty", "state", "time", "args"];

/// Ticks in a second, which is 100 wherever Linux tells times in ticks.
const TICKS: u64 = 100;

/// What `/proc` says about a process.
struct Process {
    pid: i32,
    status: String,
    stat: Vec<String>,
    args: String,
}

impl Process {
    /// `None`: it ended meanwhile.
    fn read(pid: i32) -> Option<Self> {
        let file = |name: &str| fs::read(format!("/proc/{pid}/{name}")).ok();
        let text = |name: &str| Some(String::from_utf8_lossy(&file(name)?).into_owned());
        let stat = text("stat")?;
        let rest = stat.get(stat.rfind(')')? + 2..)?;
        let args = file("cmdline")?;
        let args: Vec<_> = args.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        Some(Self {
            pid,
            status: text("status")?,
            stat: rest.split_ascii_whitespace().map(str::to_owned).collect(),
            args: args.join(" ").trim_end().to_owned(),
        })
    }

    fn line(&self, key: &str) -> &str {
        self.status
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
            .unwrap_or_default()
            .trim()
    }

    /// Field of `stat`, counted as proc(5) counts: from 3 on.
    fn number(&self, field: usize) -> u64 {
        self.stat.get(field - 3).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    fn seconds(&self) -> u64 {
        (self.number(14) + self.number(15)) / TICKS
    }

    fn elapsed(&self, uptime: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "hundredths of seconds are shown")]
        let started = self.number(22) as f64 / TICKS as f64;
        (uptime - started).max(0.0)
    }

    /// Inside the container: the innermost id of `NSpid`.
    fn inner(&self) -> &str {
        self.line("NSpid").split_whitespace().last().unwrap_or_default()
    }

    /// An id as the container has it.
    fn mapped(&self, kind: &str, outside: &str) -> String {
        let map = fs::read_to_string(format!("/proc/{}/{kind}_map", self.pid)).unwrap_or_default();
        inside(&map, outside).unwrap_or_else(|| outside.to_owned())
    }

    fn column(&self, name: &str, uptime: f64, inner_parent: &str) -> String {
        let id = |key: &str| self.line(key).split_whitespace().nth(1).unwrap_or_default().to_owned();
        let elapsed = self.elapsed(uptime);
        match name {
            "pid" => self.inner().to_owned(),
            "hpid" => self.pid.to_string(),
            "ppid" => inner_parent.to_owned(),
            "pcpu" => format!("{:.3}", share(self.seconds(), elapsed)),
            "etime" => format!("{elapsed:.3}s"),
            "time" => format!("{}s", self.seconds()),
            "tty" => match self.number(7) {
                0 => "?".into(),
                number if (136..=143).contains(&(number >> 8)) => format!("pts/{}", number & 0xff),
                _ => "?".into(),
            },
            "args" if !self.args.is_empty() => self.args.clone(),
            "args" | "comm" => self.line("Name").to_owned(),
            "state" => self.line("State").chars().take(1).collect(),
            "rss" => self.line("VmRSS").trim_end_matches(" kB").to_owned(),
            "vsz" => self.line("VmSize").trim_end_matches(" kB").to_owned(),
            "nice" => self.stat.get(16).cloned().unwrap_or_default(),
            "huser" => id("Uid"),
            // By number: names are the container's own and stand in its files, but root is root in all of them.
            "group" => named(self.mapped("gid", &id("Gid"))),
            _ => named(self.mapped("uid", &id("Uid"))),
        }
    }
}

/// The processes in the process namespace of `first`, where that is another than ours; `first` alone otherwise.
fn beside(first: i32) -> Result<Vec<i32>> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let wanted = namespace(&first.to_string());
    if wanted.is_none() || wanted == namespace("self") {
        return Ok(vec![first]);
    }
    let entries = fs::read_dir("/proc").doing("reading", "/proc")?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter_map(|name| name.parse().ok().filter(|_| namespace(&name) == wanted)).collect())
}

/// What an id is on the inner side of a map; `None` where it has no place in it.
pub(super) fn inside(map: &str, outside: &str) -> Option<String> {
    let outside: u32 = outside.parse().ok()?;
    map.lines().find_map(|line| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
        let (inner, first, size) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
        let place = outside.checked_sub(first).filter(|place| *place < size)?;
        Some(inner.checked_add(place)?.to_string())
    })
}

fn named(id: String) -> String {
    if id == "0" { "root".into() } else { id }
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn share(seconds: u64, of: f64) -> f64 {
    seconds as f64 * 100.0 / of.max(1.0)
}

/// The columns that are asked for: by name, as an option of `ps` (`-o pid,args`), or as whole forms of it.
fn columns(words: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for word in words {
        match word.as_str() {
            "-e" | "-o" | "-eo" => {}
            "-f" | "-ef" => found.extend(DEFAULT.map(str::to_owned)),
            "aux" | "-aux" => found.extend(AUX.map(str::to_owned)),
            names => {
                let names = names.trim_start_matches("-eo").trim_start_matches("-o").split([',', ' ']);
                found.extend(names.filter(|name| !name.is_empty()).map(str::to_lowercase));
            }
        }
    }
    if found.is_empty() { DEFAULT.map(str::to_owned).to_vec() } else { found }
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let mut rest = arguments.arguments.clone();
    let containers = match (arguments.latest, rest.is_empty()) {
        (true, _) => Vec::new(),
        (false, false) => vec![rest.remove(0)],
        (false, true) => return Err(RunnerError::Usage("top: name a container, or say --latest".into())),
    };
    let columns = columns(&rest);
    let mut headings = Vec::new();
    for column in &columns {
        let known = COLUMNS.iter().find(|(name, _)| name == column).ok_or_else(|| {
            let known: Vec<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
            RunnerError::Usage(format!("top: there is no column {column}; known are {}", known.join(" ")))
        })?;
        headings.push(known.1.to_owned());
    }
    let selection = Selection { containers, latest: arguments.latest, ..Default::default() };
    let desired = selection.one(&context)?;
    let seen = snapshot(&context.records, &desired)?;
    if !seen.condition.is_up() {
        return Err(RunnerError::Conflict(format!(
            "container {} does not run: it has no processes",
            desired.name
        )));
    }
    let mut pids = Engine::of(&context.folders, &desired).processes(&desired.id)?;
    if pids.is_empty() {
        // An ordinary user's container may have no control group.
        pids = seen.pid.map(beside).transpose()?.unwrap_or_default();
    }
    pids.sort_unstable();
    let uptime = fs::read_to_string("/proc/uptime").doing("reading", "/proc/uptime")?;
    let uptime = uptime.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or_default();
    let processes: Vec<_> = pids.into_iter().filter_map(Process::read).collect();
    let mut table = vec![headings];
    for process in &processes {
        let parent = process.line("PPid");
        let inner =
            processes.iter().find(|other| other.pid.to_string() == parent).map_or("0", Process::inner);
        let column = |name: &String| output::visible(&process.column(name, uptime, inner));
        table.push(columns.iter().map(column).collect());
    }
    output::raw(aligned(&table).as_bytes())?;
    Ok(0)
}

/// Columns with two blanks between.
fn aligned(table: &[Vec<String>]) -> String {
    let columns = table.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|at| table.iter().map(|row| row[at].chars().count()).max().unwrap_or_default())
        .collect();
    let mut text = String::new();
    for row in table {
        for (at, cell) in row.iter().enumerate() {
            // What a process calls itself does not steer the terminal.
            let cell: String = cell.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            if at + 1 == columns {
                text.push_str(&cell);
            } else {
                text.push_str(&format!("{cell:<width$}  ", width = widths[at]));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_or_said_as_ps_takes_them() {
        let asked =
            |words: &[&str]| columns(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        for words in [&["-o", "pid,args"][..], &["-eo", "pid,args"], &["-opid,args"], &["PID", "args"]] {
            assert_eq!(asked(words), ["pid", "args"], "{words:?}");
        }
        assert_eq!(asked(&[]), DEFAULT);
        assert_eq!(asked(&["-ef"]), DEFAULT);
        assert_eq!(asked(&["aux"]), AUX);
    }

    #[test]
    fn ids_are_the_containers_own() {
        let map = "0 1879179264 1000\n1000 5 1\n1001 1879180265 64535\n";
        assert_eq!(inside(map, "1879179264").as_deref(), Some("0"));
        assert_eq!(inside(map, "5").as_deref(), Some("1000"));
        assert_eq!(inside(map, "1879180266").as_deref(), Some("1002"));
        assert_eq!(inside(map, "1879180264"), None);
        assert_eq!(inside(map, "6"), None);
        assert_eq!(named("0".into()), "root");
    }
}
