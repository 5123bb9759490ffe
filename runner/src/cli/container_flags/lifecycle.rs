//! Its name, what happens around its life, how one asks whether it is well, and where its output goes.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args};

use super::{Choices, HealthChoice, switch};
use crate::record::{
    AttachOptions, Desired, Health, LogOptions, RestartPolicy,
    parse::{self, Faults, Parsed},
};

/// Flags of name, labels and life.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Life")]
pub(crate) struct LifeFlags {
    /// Its name; one is made up where none is given
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Remove a container of this name first
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "BOOL", action = ArgAction::Set, default_value = "false", hide_default_value = true, hide_possible_values = true)]
    pub(crate) replace: bool,
    /// Remove it when it ends, with its unnamed volumes
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "BOOL", action = ArgAction::Set, default_value = "false", hide_default_value = true, hide_possible_values = true)]
    pub(crate) rm: bool,
    /// Label it
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) label: Vec<String>,
    /// Read labels from a file, a line each
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    pub(crate) label_file: Vec<PathBuf>,
    /// Annotation for the runtime
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',')]
    pub(crate) annotation: Vec<String>,
    /// When it ends: no, on-failure[:TIMES], always or unless-stopped
    #[arg(long, value_name = "POLICY")]
    pub(crate) restart: Option<String>,
    /// Signal of stop
    #[arg(long, value_name = "SIGNAL")]
    pub(crate) stop_signal: Option<String>,
    /// Seconds until stop kills
    #[arg(long, value_name = "SECONDS")]
    pub(crate) stop_timeout: Option<u32>,
    /// Seconds after which it is killed
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u32>,
    /// Write its id to a new file
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Option<PathBuf>,
    /// Write the process id of its first process to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) pidfile: Option<PathBuf>,
    /// Write the process id of its supervisor to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) conmon_pidfile: Option<PathBuf>,
    /// Another runtime's program
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) runtime: Option<String>,
    /// Where output goes: k8s-file (json-file and journald are taken for it) or none
    #[arg(long, value_name = "DRIVER")]
    pub(crate) log_driver: Option<String>,
    /// max-size= and max-file= of the log
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',')]
    pub(crate) log_opt: Vec<String>,
    /// Which of stdin, stdout and stderr are attached
    #[arg(short, long, value_name = "STREAM", value_delimiter = ',')]
    pub(crate) attach: Vec<String>,
    /// Keys that detach
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    pub(crate) detach_keys: String,
    /// Hand signals on to it
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "BOOL", action = ArgAction::Set, default_value = "true", hide_default_value = true, hide_possible_values = true)]
    pub(crate) sig_proxy: bool,
}

/// Flags of health.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Health")]
pub(crate) struct HealthFlags {
    /// Command that asks whether it is well; none takes the image's away
    #[arg(long, value_name = "COMMAND")]
    pub(crate) health_cmd: Option<String>,
    /// Time between checks [default: 30s]; disable: no checks
    #[arg(long, value_name = "TIME")]
    pub(crate) health_interval: Option<String>,
    /// Time that a check may take [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub(crate) health_timeout: Option<String>,
    /// Time in which failures do not count [default: 0s]
    #[arg(long, value_name = "TIME")]
    pub(crate) health_start_period: Option<String>,
    /// Failures in a row that make it unhealthy [default: 3]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) health_retries: Option<u32>,
    /// What then: none, kill, restart or stop
    #[arg(long, value_name = "ACTION")]
    pub(crate) health_on_failure: Option<String>,
    /// No checks, also where the image has one
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "BOOL", action = ArgAction::Set, default_value = "false", hide_default_value = true, hide_possible_values = true)]
    pub(crate) no_healthcheck: bool,
}

/// A policy as it is typed.
pub(crate) fn restart(text: &str) -> Parsed<RestartPolicy> {
    match text.split_once(':').unwrap_or((text, "")) {
        ("no" | "", "") => Ok(RestartPolicy::No),
        ("always", "") => Ok(RestartPolicy::Always),
        ("unless-stopped", "") => Ok(RestartPolicy::UnlessStopped),
        ("on-failure", "") => Ok(RestartPolicy::OnFailure(None)),
        ("on-failure", times) => {
            let times = times.parse().map_err(|_| format!("{times:?} is no number of times"))?;
            Ok(RestartPolicy::OnFailure(Some(times)))
        }
        _ => Err(format!("{text:?} is none of no, on-failure[:TIMES], always and unless-stopped")),
    }
}

pub(super) fn detach_keys(text: &str) -> Parsed<String> {
    let key = |key: &str| {
        let mut letters = key.strip_prefix("ctrl-").unwrap_or(key).chars();
        let legal = |c: char| c.is_ascii_alphabetic() || key.starts_with("ctrl-") && "@[\\]^_".contains(c);
        letters.next().is_some_and(legal) && letters.next().is_none()
    };
    if text.is_empty() || text.split(',').all(key) {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} are no keys: letters and ctrl-LETTER between commas, or nothing"))
}

/// A path of the machine to be written, from here.
fn file(path: &Path) -> Parsed<PathBuf> {
    std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn log(driver: Option<&str>, options: &[String]) -> Result<LogOptions, Vec<String>> {
    let mut found = LogOptions::default();
    let mut wrong = Vec::new();
    match driver {
        None | Some("k8s-file" | "json-file" | "journald" | "") => {}
        Some("none") => found.none = true,
        Some(other) => wrong.push(format!("{other:?} is not built: k8s-file or none")),
    }
    for text in options {
        match text.split_once('=') {
            Some(("max-size", value)) => match parse::bytes(value) {
                // Less would turn the file over with every line.
                Ok(bytes) if bytes >= 4096 => found.max_size = bytes,
                Ok(_) => wrong.push(format!("max-size={value}: is less than 4k")),
                Err(what) => wrong.push(what),
            },
            Some(("max-file", value)) => match value.parse() {
                Ok(files @ 1..=1000) => found.max_files = files,
                Ok(_) | Err(_) => wrong.push(format!("max-file={value}: is no number from 1 to 1000")),
            },
            _ => wrong.push(format!("{text:?} is not built: max-size= or max-file=")),
        }
    }
    if wrong.is_empty() { Ok(found) } else { Err(wrong) }
}

fn attached(streams: &[String]) -> Parsed<(bool, bool, bool)> {
    if streams.is_empty() {
        return Ok((true, true, true));
    }
    let known = ["stdin", "stdout", "stderr"];
    let lower: Vec<String> = streams.iter().map(|stream| stream.to_ascii_lowercase()).collect();
    if let Some(other) = lower.iter().find(|stream| !known.contains(&stream.as_str())) {
        return Err(format!("{other:?} is none of stdin, stdout and stderr"));
    }
    let has = |name: &str| lower.iter().any(|stream| stream == name);
    Ok((has("stdin"), has("stdout"), has("stderr")))
}

/// A runtime's program by its path, or by its name in PATH.
fn program(text: &str) -> Parsed<PathBuf> {
    let found = if text.contains('/') {
        std::fs::canonicalize(text).ok()
    } else {
        std::env::var_os("PATH").and_then(|path| {
            std::env::split_paths(&path).map(|folder| folder.join(text)).find(|path| path.is_file())
        })
    };
    found.filter(|path| path.is_file()).ok_or_else(|| format!("no program {text}"))
}

fn label_file(path: &Path) -> Parsed<Vec<(String, String)>> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(parse::pair).collect()
}

impl LifeFlags {
    pub(super) fn apply(&self, desired: &mut Desired, choices: &mut Choices, faults: &mut Faults) {
        if let Some(name) = &self.name {
            faults.take("--name", crate::record::check_name(name).map_err(|error| error.to_string()));
            desired.name.clone_from(name);
        }
        if self.replace && self.name.is_none() {
            faults.add("--replace", "needs --name: which one is to be replaced?");
        }
        desired.auto_remove = self.rm;
        for path in &self.label_file {
            choices.labels.extend(faults.take("--label-file", label_file(path)).unwrap_or_default());
        }
        for text in &self.label {
            choices.labels.extend(faults.take("--label", parse::pair(text)));
        }
        for text in &self.annotation {
            desired.annotations.extend(faults.take("--annotation", parse::pair(text)));
        }
        if let Some(text) = &self.restart {
            desired.restart = faults.take("--restart", restart(text)).unwrap_or_default();
            if self.rm && desired.restart != RestartPolicy::No {
                faults.add("--restart", "and --rm contradict each other");
            }
        }
        choices.stop_signal =
            self.stop_signal.as_deref().and_then(|text| faults.take("--stop-signal", parse::signal(text)));
        desired.stop_timeout = self.stop_timeout.unwrap_or(10);
        desired.timeout = self.timeout.filter(|seconds| *seconds > 0);
        for (flag, path, into) in [
            ("--pidfile", &self.pidfile, &mut desired.pid_file),
            ("--conmon-pidfile", &self.conmon_pidfile, &mut desired.supervisor_pid_file),
        ] {
            *into = path.as_deref().and_then(|path| faults.take(flag, file(path)));
        }
        desired.runtime = self.runtime.as_deref().and_then(|text| faults.take("--runtime", program(text)));
        match log(self.log_driver.as_deref(), &self.log_opt) {
            Ok(log) => desired.log = log,
            Err(all) => all.into_iter().for_each(|what| faults.add("--log-driver, --log-opt", what)),
        }
        let (stdin, stdout, stderr) = faults.take("--attach", attached(&self.attach)).unwrap_or_default();
        let detach_keys = faults.take("--detach-keys", detach_keys(&self.detach_keys)).unwrap_or_default();
        desired.attach = AttachOptions { stdin, stdout, stderr, sig_proxy: self.sig_proxy, detach_keys };
    }
}

impl HealthFlags {
    pub(super) fn apply(&self, choices: &mut Choices, faults: &mut Faults) {
        let mut time = |flag: &str, text: &Option<String>| {
            text.as_deref().and_then(|text| faults.take(flag, parse::milliseconds(text)))
        };
        let disabled = self.health_interval.as_deref() == Some("disable");
        let interval = if disabled { None } else { time("--health-interval", &self.health_interval) };
        let timeout = time("--health-timeout", &self.health_timeout);
        let start_period = time("--health-start-period", &self.health_start_period);
        if timeout == Some(0) || interval == Some(0) {
            faults.add("--health-interval, --health-timeout", "are longer than nothing");
        }
        let on_failure = self.health_on_failure.as_deref().unwrap_or("none");
        if !["none", "kill", "restart", "stop"].contains(&on_failure) {
            faults.add(
                "--health-on-failure",
                format!("{on_failure:?} is none of none, kill, restart and stop"),
            );
        }
        if self.health_retries == Some(0) {
            faults.add("--health-retries", "is 1 or more");
        }
        let off = self.no_healthcheck || self.health_cmd.as_deref() == Some("none") || disabled;
        let test = match self.health_cmd.as_deref() {
            _ if off => None,
            None => None,
            Some(text) if text.starts_with('[') => match serde_json::from_str::<Vec<String>>(text) {
                Ok(words) => {
                    // Podman's arrays are commands unless they say CMD or CMD-SHELL themselves.
                    let said = words.first().is_some_and(|word| word == "CMD" || word == "CMD-SHELL");
                    Some(if said { words } else { [vec!["CMD".to_owned()], words].concat() })
                }
                Err(error) => {
                    faults.add("--health-cmd", format!("{text:?} is no JSON array of words: {error}"));
                    None
                }
            },
            Some(text) => Some(vec!["CMD-SHELL".to_owned(), text.to_owned()]),
        };
        if self.no_healthcheck && self.health_cmd.as_deref().is_some_and(|text| text != "none") {
            faults.add("--no-healthcheck", "and --health-cmd contradict each other");
        }
        choices.health = HealthChoice {
            off,
            test,
            interval,
            timeout,
            start_period,
            retries: self.health_retries,
            on_failure: on_failure.to_owned(),
        };
    }
}

impl HealthChoice {
    /// With what the image says of what the flags do not.
    pub(super) fn with(self, image: Option<Health>) -> Option<Health> {
        if self.off {
            return None;
        }
        let (image_test, image_times) =
            image.map_or((None, None), |health| (Some(health.test.clone()), Some(health)));
        let times = image_times.as_ref();
        Some(Health {
            test: self.test.or(image_test)?,
            interval_ms: self.interval.or(times.map(|health| health.interval_ms)).unwrap_or(30_000),
            timeout_ms: self.timeout.or(times.map(|health| health.timeout_ms)).unwrap_or(30_000),
            start_period_ms: self.start_period.or(times.map(|health| health.start_period_ms)).unwrap_or(0),
            retries: self.retries.or(times.map(|health| health.retries)).unwrap_or(3),
            on_failure: self.on_failure,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_keys_logs_and_streams_are_read() {
        assert_eq!(restart("on-failure:3"), Ok(RestartPolicy::OnFailure(Some(3))));
        assert_eq!(restart("always"), Ok(RestartPolicy::Always));
        assert!(
            restart("on-failure:x").is_err() && restart("always:1").is_err() && restart("maybe").is_err()
        );
        for good in ["", "a", "ctrl-a", "ctrl-p,ctrl-q", "a,ctrl-]"] {
            assert!(detach_keys(good).is_ok(), "{good}");
        }
        for bad in ["ab", "ctrl-", "ctrl-ab", "1", "a,,b"] {
            assert!(detach_keys(bad).is_err(), "{bad}");
        }
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let found = log(None, &own(&["max-size=1m", "max-file=7"])).unwrap();
        assert_eq!((found.max_size, found.max_files), (1 << 20, 7));
        assert!(log(Some("none"), &[]).unwrap().none);
        assert_eq!(log(Some("syslog"), &own(&["max-size=1", "tag=x"])).unwrap_err().len(), 3);
        assert_eq!(attached(&own(&["stdout"])), Ok((false, true, false)));
        assert!(attached(&own(&["x"])).is_err());
    }

    fn health(flags: &HealthFlags, image: Option<Health>) -> Option<Health> {
        let mut choices = Choices::default();
        let mut faults = Faults::default();
        flags.apply(&mut choices, &mut faults);
        faults.finish().unwrap();
        choices.health.with(image)
    }

    #[test]
    fn flags_of_health_stand_before_the_images() {
        let shell = HealthFlags {
            health_cmd: Some("true".into()),
            health_retries: Some(7),
            ..HealthFlags::default()
        };
        let found = health(&shell, None).unwrap();
        assert_eq!(
            (found.test, found.interval_ms, found.retries),
            (vec!["CMD-SHELL".into(), "true".into()], 30_000, 7)
        );
        let image = health(&shell, None);
        let slower = HealthFlags { health_interval: Some("1m".into()), ..HealthFlags::default() };
        let found = health(&slower, image.clone()).unwrap();
        assert_eq!((found.interval_ms, found.retries), (60_000, 7));
        let none = HealthFlags { no_healthcheck: true, ..HealthFlags::default() };
        assert_eq!(health(&none, image), None);
        assert_eq!(health(&HealthFlags::default(), None), None);
        let array = HealthFlags { health_cmd: Some(r#"["a","b"]"#.into()), ..HealthFlags::default() };
        assert_eq!(health(&array, None).unwrap().test, ["CMD", "a", "b"]);
    }
}
