//! What is wrong with a command line, in Skopeo's words.

use std::ffi::OsString;

use berth_copier::Error;
use clap::{
    Command,
    builder::StyledStr,
    error::{ContextKind, ContextValue, ErrorKind},
};

/// Why no command runs.
pub(crate) enum Stop {
    /// Help or version was asked for: this is it.
    Told(StyledStr),
    /// The command line is wrong: how it goes, and what is wrong.
    Wrong {
        /// The usage line, where it helps.
        usage: Option<String>,
        /// The fault.
        error: Error,
    },
}

impl Stop {
    pub(super) fn from_clap(error: &clap::Error, command: &mut Command, arguments: &[OsString]) -> Self {
        let name = command.get_name().to_owned();
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => text.clone(),
            Some(ContextValue::Strings(texts)) => texts.join(", "),
            _ => String::new(),
        };
        let flag = || {
            let shown = text(ContextKind::InvalidArg);
            shown.split([' ', '=', '[']).next().unwrap_or_default().to_owned()
        };
        let called = called(command, arguments).cloned();
        let wrong = |message: String| Self::Wrong { usage: None, error: Error::Usage(message) };
        match error.kind() {
            ErrorKind::InvalidSubcommand => {
                let word = text(ContextKind::InvalidSubcommand);
                let near = match text(ContextKind::SuggestedSubcommand) {
                    near if near.is_empty() => String::new(),
                    near => format!("\nDid you mean this?\n\t{}\n", near.replace(", ", "\n\t")),
                };
                wrong(format!(
                    "Unrecognized command `{name} {word}`\n{near}Try '{name} --help' for more information"
                ))
            }
            ErrorKind::UnknownArgument => {
                let word = text(ContextKind::InvalidArg);
                let near = match text(ContextKind::SuggestedArg) {
                    near if near.is_empty() => String::new(),
                    near => format!("; did you mean {near}?"),
                };
                match word.strip_prefix('-') {
                    Some(long) if long.starts_with('-') => wrong(format!("unknown flag: {word}{near}")),
                    Some(short) if !short.is_empty() => wrong(format!(
                        "unknown shorthand flag: '{}' in {word}",
                        short.chars().next().unwrap_or_default()
                    )),
                    _ => count(called.as_ref(), &name),
                }
            }
            ErrorKind::MissingRequiredArgument => count(called.as_ref(), &name),
            ErrorKind::InvalidValue | ErrorKind::ValueValidation
                if text(ContextKind::InvalidValue).is_empty() && !flag().is_empty() =>
            {
                wrong(format!("flag needs an argument: {}", flag()))
            }
            ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
                let reason = std::error::Error::source(error)
                    .map_or_else(|| possible(error), |source| source.to_string());
                let value = text(ContextKind::InvalidValue);
                wrong(format!("invalid argument \"{value}\" for \"{}\" flag: {reason}", flag()))
            }
            _ => {
                let rendered = error.render().to_string();
                let first = rendered.lines().next().unwrap_or_default();
                wrong(first.strip_prefix("error: ").unwrap_or(first).to_owned())
            }
        }
    }
}

fn possible(error: &clap::Error) -> String {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) => format!("it is one of {}", values.join(", ")),
        _ => "no such value".to_owned(),
    }
}

/// The subcommand that the arguments name.
fn called<'a>(command: &'a Command, arguments: &[OsString]) -> Option<&'a Command> {
    arguments.iter().skip(1).filter_map(|word| word.to_str()).find_map(|word| command.find_subcommand(word))
}

/// Too many or too few words behind a command.
fn count(called: Option<&Command>, program: &str) -> Stop {
    let Some(called) = called else {
        return Stop::Wrong {
            usage: None,
            error: Error::Usage(format!(
                "Missing command '{program} COMMAND'\nTry '{program} --help' for more information"
            )),
        };
    };
    let positionals: Vec<_> = called.get_positionals().map(|arg| arg.get_id().as_str().to_owned()).collect();
    let message = match called.get_name() {
        "copy" | "sync" => "Exactly two arguments expected".to_owned(),
        "inspect" => "Exactly one argument expected".to_owned(),
        "list-tags" => "Exactly one non-option argument expected".to_owned(),
        "delete" => "Usage: delete imageReference".to_owned(),
        "login" => "login accepts only one registry to login to".to_owned(),
        "logout" => "logout accepts only one registry to logout from".to_owned(),
        name => format!("Usage: {program} {name} {}", positionals.join(" ")),
    };
    let usage = called.clone().bin_name(format!("{program} {}", called.get_name())).render_usage();
    Stop::Wrong { usage: Some(usage.to_string()), error: Error::Usage(message) }
}
