//! The first process: its command, variables, user.

use std::{env, fs};

use clap::{ArgAction, Args};

use super::{Choices, switch};
use crate::record::{
    Desired,
    parse::{self, Faults, Parsed},
};

/// Flags of the first process.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Process")]
pub(crate) struct ProcessFlags {
    /// Set a variable: NAME=value, or NAME as it is here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Read variables from a file, a line each
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    pub(crate) env_file: Vec<String>,
    /// Set every variable as it is here
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "BOOL", action = ArgAction::Set, default_value = "false", hide_default_value = true, hide_possible_values = true)]
    pub(crate) env_host: bool,
    /// Set http_proxy, https_proxy, ftp_proxy and no_proxy as they are here, unless the image says others
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "BOOL", action = ArgAction::Set, default_value = "true", hide_possible_values = true)]
    pub(crate) http_proxy: bool,
    /// Directory in which the program begins
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// Program in place of the image's; a JSON array for one with arguments
    #[arg(long, value_name = "COMMAND")]
    pub(crate) entrypoint: Option<String>,
    /// User, by name or number
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// A further group of the user
    #[arg(long, value_name = "GROUP", value_delimiter = ',')]
    pub(crate) group_add: Vec<String>,
    /// Keep standard input open
    #[arg(short = 'i', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "BOOL", action = ArgAction::Set, default_value = "false", hide_default_value = true, hide_possible_values = true)]
    pub(crate) interactive: bool,
    /// Give it a terminal
    #[arg(short = 't', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "BOOL", action = ArgAction::Set, default_value = "false", hide_default_value = true, hide_possible_values = true)]
    pub(crate) tty: bool,
    /// Run a small init as process 1, which reaps and hands signals on
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "BOOL", action = ArgAction::Set, default_value = "false", hide_default_value = true, hide_possible_values = true)]
    pub(crate) init: bool,
    /// Umask, octal
    #[arg(long, value_name = "MASK")]
    pub(crate) umask: Option<String>,
    /// Host name in the container
    #[arg(short = 'h', long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Time zone, as in Europe/Oslo, or local
    #[arg(long, value_name = "ZONE")]
    pub(crate) tz: Option<String>,
    /// Treat the program as an init system: true (where it is one), always or false
    #[arg(long, value_name = "MODE", default_value = "true", hide_default_value = true)]
    pub(crate) systemd: String,
    /// Who says that the service is ready: container, conmon (its supervisor) or ignore (nobody)
    #[arg(long, value_name = "WHO", default_value = "container")]
    pub(crate) sdnotify: String,
}

/// Variables of a file: `NAME=value` or `NAME`, a line each, `#` begins a comment.
fn env_file(path: &str) -> Parsed<Vec<String>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let lines = text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| pair_or_own(line).map_err(|what| format!("{path}: {what}"))).flat_map(unpack).collect()
}

fn unpack(found: Parsed<Vec<String>>) -> Vec<Parsed<String>> {
    match found {
        Ok(found) => found.into_iter().map(Ok).collect(),
        Err(what) => vec![Err(what)],
    }
}

/// `NAME=value`; `NAME` has the value that it has here, or is not set; `NAME*` are all that begin so.
fn pair_or_own(text: &str) -> Parsed<Vec<String>> {
    if text.contains('\0') {
        return Err(format!("{text:?} has a zero byte"));
    }
    if text.contains('=') {
        parse::pair(text)?;
        return Ok(vec![text.to_owned()]);
    }
    let wanted = |name: &str| text.strip_suffix('*').map_or(name == text, |stem| name.starts_with(stem));
    let own = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Ok(own.filter(|(name, _)| wanted(name)).map(|(name, value)| format!("{name}={value}")).collect())
}

/// Where the way out is, for programs that look for it in variables.
const PROXIES: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
];

/// `NAME=value`, as it is set here.
fn own(name: &str) -> Option<String> {
    env::var(name).ok().map(|value| format!("{name}={value}"))
}

/// Later variables replace earlier ones of the same name, at the earlier one's place.
pub(super) fn merge_env(into: &mut Vec<String>, more: impl IntoIterator<Item = String>) {
    for variable in more {
        let name = variable.split('=').next().unwrap_or_default();
        let same = |known: &&mut String| known.split('=').next() == Some(name);
        match into.iter_mut().find(same) {
            Some(known) => *known = variable,
            None => into.push(variable),
        }
    }
}

pub(super) fn entrypoint(text: &str) -> Parsed<Vec<String>> {
    if text.starts_with('[') {
        return serde_json::from_str(text)
            .map_err(|error| format!("{text:?} is no JSON array of words: {error}"));
    }
    Ok(if text.is_empty() { Vec::new() } else { vec![text.to_owned()] })
}

fn hostname(text: &str) -> Parsed<String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let good =
        !text.is_empty() && text.len() <= 64 && text.chars().all(legal) && !text.starts_with(['-', '.']);
    good.then(|| text.to_owned())
        .ok_or_else(|| format!("{text:?} is no host name: letters, digits, - and . up to 64"))
}

impl ProcessFlags {
    pub(super) fn apply(&self, desired: &mut Desired, choices: &mut Choices, faults: &mut Faults) {
        let wants = &mut desired.process;
        if self.http_proxy {
            wants.env = PROXIES.into_iter().filter_map(own).collect();
        }
        if self.env_host {
            merge_env(&mut choices.env, pair_or_own("*").unwrap_or_default());
        }
        for path in &self.env_file {
            merge_env(&mut choices.env, faults.take("--env-file", env_file(path)).unwrap_or_default());
        }
        for text in &self.env {
            merge_env(&mut choices.env, faults.take("--env", pair_or_own(text)).unwrap_or_default());
        }
        choices.entrypoint =
            self.entrypoint.as_deref().and_then(|text| faults.take("--entrypoint", entrypoint(text)));
        choices.user.clone_from(&self.user);
        if let Some(path) = &self.workdir {
            if path.starts_with('/') && !path.contains('\0') {
                choices.cwd = Some(path.into());
            } else {
                faults.add("--workdir", format!("{path:?} does not begin with /"));
            }
        }
        if self.group_add.iter().any(|group| group == "keep-groups") {
            faults.add("--group-add", "keep-groups is not built: name the groups");
        }
        wants.groups.clone_from(&self.group_add);
        (wants.interactive, wants.tty, wants.init) = (self.interactive, self.tty, self.init);
        if let Some(text) = &self.umask {
            match u32::from_str_radix(text, 8) {
                Ok(mask) if mask <= 0o777 => wants.umask = Some(mask),
                Ok(_) | Err(_) => faults.add("--umask", format!("{text:?} is no octal mask, as 0027 is one")),
            }
        }
        wants.hostname = self.hostname.as_deref().and_then(|text| faults.take("--hostname", hostname(text)));
        choices.systemd = match self.systemd.as_str() {
            "always" => Some(true),
            other => match parse::truth(other) {
                Ok(true) => None,
                Ok(false) => Some(false),
                Err(_) => {
                    faults.add("--systemd", format!("{other:?} is none of true, always and false"));
                    None
                }
            },
        };
        match self.sdnotify.as_str() {
            // Whether there is anybody to be told is seen at each start.
            "container" => wants.sd_notify = true,
            // The supervisor says it when the program has begun.
            "conmon" => {}
            "ignore" => wants.sd_silent = true,
            other => faults.add("--sdnotify", format!("{other:?} is none of container, conmon and ignore")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_come_from_files_flags_and_from_here() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "# words\nA=1\n\n  B=x=y\nNO_SUCH_VARIABLE_HERE\nC=\n").unwrap();
        let path = file.path().to_str().unwrap();
        let mut env = vec!["B=image".to_owned(), "PATH=/bin".to_owned()];
        merge_env(&mut env, env_file(path).unwrap());
        assert_eq!(env, ["B=x=y", "PATH=/bin", "A=1", "C="]);
        let own = std::env::var("PATH").unwrap();
        assert_eq!(pair_or_own("PATH").unwrap(), [format!("PATH={own}")]);
        assert!(pair_or_own("PAT*").unwrap().contains(&format!("PATH={own}")));
        assert!(pair_or_own("=x").is_err() && env_file("/nowhere").is_err());
    }

    #[test]
    fn entrypoints_are_one_word_or_json() {
        assert_eq!(entrypoint("/bin/sh -c").unwrap(), ["/bin/sh -c"]);
        assert_eq!(entrypoint(r#"["a","b"]"#).unwrap(), ["a", "b"]);
        assert!(entrypoint("").unwrap().is_empty());
        assert!(entrypoint("[a]").is_err());
    }
}
