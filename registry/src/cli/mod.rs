//! The command line.

mod ask;
pub mod audit;
pub mod check;
pub mod doctor;
pub mod gc;
pub mod import;
pub mod man;
pub mod migrate;
mod offline;
mod password;
pub mod policy;
pub mod quota;
pub mod recover;
pub mod robot;
pub mod token;
pub mod user;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

pub use ask::ask;
pub use audit::Audit;
pub use policy::Policy;
pub use robot::Robot;
pub use token::Token;
pub use user::User;

use crate::config::Overrides;

/// A registry for OCI images and artifacts, in one binary.
///
/// Without any configuration it listens on 127.0.0.1:5000, keeps everything in one folder, and lets
/// whoever is on this machine push and pull:
///
///     berth-registry serve
///     podman push --tls-verify=false IMAGE 127.0.0.1:5000/NAME
///
/// `berth-registry config print --defaults` shows every setting with what it does.
#[derive(Debug, Parser)]
#[command(name = "berth-registry", version, verbatim_doc_comment, after_help = STATUS)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

const STATUS: &str = "Exit status: 0 done, 1 failed, refused or not there, 2 wrong usage, 75 the data directory is in use by another \
                      process, 78 the configuration has faults.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the registry
    ///
    /// Stops on SIGTERM or SIGINT: new requests are refused, those under way are finished for as long
    /// as server.drain says, uploads still going then are saved and can be resumed. A second signal
    /// ends it at once. On SIGHUP the TLS certificate, if there is one, is read again.
    #[command(verbatim_doc_comment)]
    Serve(Serve),
    /// Check or show the configuration
    Config {
        /// Which of it
        #[command(subcommand)]
        command: Config,
    },
    /// Remove what nothing refers to
    ///
    /// Runs beside pushes and pulls; a registry that serves does so by itself in its time (gc.every).
    /// What is removed, and after how long, is in [gc] and [retention] of the configuration.
    #[command(verbatim_doc_comment)]
    Gc(gc::Gc),
    /// See what retention would let go
    Retention {
        /// What to see
        #[command(subcommand)]
        command: gc::Retention,
    },
    /// Bring deleted tags and manifests back, or list those that can be
    ///
    /// With all they refer to and what refers to them, for as long as gc.undelete says.
    #[command(verbatim_doc_comment)]
    Undelete(gc::Undelete),
    /// Add, change and list users and groups
    User {
        /// Which of it
        #[command(subcommand)]
        command: User,
    },
    /// Add, change and list robots: programs with a secret
    Robot {
        /// Which of it
        #[command(subcommand)]
        command: Robot,
    },
    /// Show who did what: pushes, deletes, moved tags, failed logins, refusals, changes by administrators
    ///
    ///     berth-registry audit --since 1h
    ///     berth-registry audit --repo team/app --verb overwrite --json
    #[command(verbatim_doc_comment)]
    Audit(Audit),
    /// Show, change and explain the rules of who may do what
    Policy {
        /// Which of it
        #[command(subcommand)]
        command: Policy,
    },
    /// Look whether catalog and storage agree, whether or not the registry runs
    ///
    /// Ends with 0 when nothing is wrong, 1 when there are problems, which are named.
    ///
    ///     berth-registry check --read-data 1/7     # each day of the week another seventh
    #[command(verbatim_doc_comment)]
    Check(check::Check),
    /// Make, show and end refresh tokens; show and change the keys that tokens are signed with
    Token {
        /// Which of it
        #[command(subcommand)]
        command: Token,
    },
    /// Rebuild a lost catalog from storage
    ///
    /// Reads the records that lie beside the blobs and puts manifests, tags and blobs back into an
    /// empty catalog. Users, rules and whatever else only the catalog holds is not among it: keep
    /// backups of the database. The registry must be stopped.
    ///
    /// Ends with 1 when something could not be brought back; it is named.
    #[command(verbatim_doc_comment)]
    Recover(recover::Recover),
    /// Look whether the registry can run here as it is configured
    ///
    /// Folder, disk, catalog, storage, clocks, limits, ports, certificate: a line for each. Ends with
    /// 1 when something does not work.
    #[command(verbatim_doc_comment)]
    Doctor(doctor::Doctor),
    /// Take over what another registry (Distribution, docker-registry) has stored
    ///
    /// Its tree is only read, and it may go on serving: a second run picks up what has come since.
    /// On one file system blobs get a second name and no byte is copied; in a bucket they are served
    /// where they are, so that nothing may delete them there any more: stop the other registry's
    /// garbage collection first. Works whether or not the registry runs.
    ///
    ///     berth-registry import --from /var/lib/registry
    ///
    /// Ends with 1 when something was left out; it is named.
    #[command(verbatim_doc_comment)]
    Import(import::Import),
    /// Move the catalog between SQLite and PostgreSQL
    ///
    /// The target must be empty; every row is counted and read back before it is committed. The
    /// source stays as it was. The registry must be stopped.
    ///
    ///     berth-registry migrate --config old.toml --to new.toml
    #[command(verbatim_doc_comment)]
    Migrate(migrate::Migrate),
    /// Write shell completions to standard output
    ///
    ///     berth-registry completion bash > /etc/bash_completion.d/berth-registry
    #[command(verbatim_doc_comment)]
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Say what namespaces may hold, and see what they do
    ///
    /// A namespace is the first part of repositories' names: team of team/app. All that its repositories hold
    /// counts once.
    #[command(verbatim_doc_comment)]
    Quota {
        /// What to do
        #[command(subcommand)]
        command: quota::Quota,
    },
    /// See what the repositories of a namespace hold, and what deleting each would free
    Usage(quota::Usage),
    /// Write manual pages: one to standard output, or all of them into a folder
    ///
    ///     berth-registry man > berth-registry.1
    ///     berth-registry man --output /usr/local/share/man/man1
    #[command(verbatim_doc_comment)]
    Man {
        /// A folder for the pages of all commands
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
    },
}

/// Where the configuration comes from.
#[derive(Args, Clone, Debug, Default)]
pub struct Source {
    /// Configuration file, TOML [or BERTH_CONFIG]. Single settings can be given as variables, like
    /// BERTH_SERVER__DRAIN=10s for drain in [server]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Options of `serve`.
#[derive(Args, Clone, Debug, Default)]
pub struct Serve {
    /// Where settings come from
    #[command(flatten)]
    pub source: Source,
    /// Address and port to listen on; may be repeated [default: 127.0.0.1:5000, or BERTH_LISTEN]
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<SocketAddr>,
    /// Folder for everything that is kept [default: /var/lib/berth for root, else
    /// ~/.local/share/berth, or BERTH_DATA]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Listen on other addresses than loopback though nobody has to say who they are: anyone who can
    /// reach the port can push and delete
    #[arg(long)]
    pub insecure_open: bool,
}

/// Commands about the configuration.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Read the configuration and report everything that is wrong with it
    Check(Source),
    /// Show the configuration in force, each setting with what it does, as a file that can be used
    Print {
        /// Where settings come from
        #[command(flatten)]
        source: Source,
        /// The built-in settings instead of those in force
        #[arg(long)]
        defaults: bool,
    },
}

impl From<Source> for Overrides {
    fn from(source: Source) -> Self {
        Self { file: source.config, ..Self::default() }
    }
}

impl From<Serve> for Overrides {
    fn from(serve: Serve) -> Self {
        Self {
            file: serve.source.config,
            listen: serve.listen,
            data: serve.data,
            insecure_open: serve.insecure_open,
        }
    }
}

/// The whole command line, for completions and the manual page.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        command().debug_assert();
    }

    #[test]
    fn flags_become_overrides() {
        let line =
            "berth-registry serve --config f --listen 127.0.0.1:1 --listen [::1]:2 --data d --insecure-open";
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let Command::Serve(serve) = cli.command else { panic!("not serve") };
        let overrides = Overrides::from(serve);
        assert_eq!(overrides.listen.len(), 2);
        assert_eq!(overrides.data, Some("d".into()));
        assert!(overrides.insecure_open);
        assert!(Cli::try_parse_from(["berth-registry", "serve", "--listen", "5000"]).is_err());
    }
}
