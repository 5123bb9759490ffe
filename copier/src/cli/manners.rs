//! How Skopeo's flag library reads a command line, where clap does otherwise.
//!
//! - every flag takes a value behind `=`: `--all=false`;
//! - a flag given twice has its last value;
//! - a value may begin with a dash: `--encrypt-layer -1`.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command, CommandFactory, FromArgMatches, builder::ValueParser, error::ErrorKind};

use super::{Cli, Stop, value};

/// Reads the command line.
///
/// # Errors
/// [`Stop`] for what is no command, and for help and version.
pub(crate) fn parse(arguments: Vec<OsString>) -> Result<Cli, Stop> {
    let mut command = mannered(Cli::command());
    match command.try_get_matches_from_mut(&arguments).and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => Ok(cli),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            // The plain command has flags without `[=<BOOL>]` behind each.
            let plain = Cli::command().try_get_matches_from(&arguments).err();
            Err(Stop::Told(plain.filter(|e| e.kind() == ErrorKind::DisplayHelp).unwrap_or(error).render()))
        }
        Err(error) if error.kind() == ErrorKind::DisplayVersion => Err(Stop::Told(error.render())),
        Err(error) => Err(Stop::from_clap(&error, &mut command, &arguments)),
    }
}

fn mannered(command: Command) -> Command {
    command.args_override_self(true).mut_args(mannered_arg).mut_subcommands(mannered)
}

fn mannered_arg(arg: Arg) -> Arg {
    if arg.is_positional() {
        return arg;
    }
    let switch = matches!(arg.get_action(), ArgAction::SetTrue);
    let boolean = switch || arg.get_value_parser().type_id() == ValueParser::bool().type_id();
    match arg.get_action() {
        ArgAction::SetTrue | ArgAction::Set if boolean => {
            let arg = arg
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_parser(value::boolean);
            if switch { arg.default_value("false") } else { arg }
        }
        ArgAction::Set | ArgAction::Append => arg.allow_hyphen_values(true),
        _ => arg,
    }
}
