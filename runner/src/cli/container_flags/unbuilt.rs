//! Flags that podman has and this does not: each says so, and none is silently swallowed.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

/// Those with a value.
const VALUED: [&str; 32] = [
    "blkio-weight-device",
    "cgroups",
    "chrootdirs",
    "cpu-rt-period",
    "cpu-rt-runtime",
    "decryption-key",
    "device-cgroup-rule",
    "device-read-bps",
    "device-read-iops",
    "device-write-bps",
    "device-write-iops",
    "env-merge",
    "gpus",
    "group-entry",
    "hostuser",
    "init-ctr",
    "init-path",
    "intel-rdt-closid",
    "kernel-memory",
    "link",
    "passwd-entry",
    "personality",
    "pod",
    "pod-id-file",
    "preserve-fds",
    "requires",
    "seccomp-policy",
    "subgidname",
    "subuidname",
    "unsetenv",
    "volume-driver",
    "cgroup-manager",
];

/// Those without.
const SWITCHES: [&str; 3] = ["passwd", "rmi", "unsetenv-all"];

/// Names of those that were said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unbuilt(pub(super) Vec<String>);

impl FromArgMatches for Unbuilt {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let said = |name: &&&str| {
            matches.value_source(name).is_some_and(|source| source == clap::parser::ValueSource::CommandLine)
        };
        Ok(Self(VALUED.iter().chain(&SWITCHES).filter(said).map(|name| (*name).to_owned()).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Unbuilt {
    fn augment_args(command: Command) -> Command {
        let valued = VALUED.map(|name| {
            Arg::new(name).long(name).hide(true).action(ArgAction::Append).allow_hyphen_values(true)
        });
        let switch = |name| {
            Arg::new(name)
                .long(name)
                .hide(true)
                .action(ArgAction::Append)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
        };
        command.args(valued).args(SWITCHES.map(switch))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
