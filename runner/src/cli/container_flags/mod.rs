//! The flags of `run` and `create`: from what people type to a [`Desired`], with every fault at once.
//!
//! First what the flags alone say ([`ContainerFlags::plan`]), so that a typing error costs no pull; then, with the
//! image's configuration, everything that it decides ([`plan::Plan::finish`]).

pub(crate) mod fuzzing;
mod image;
mod isolation;
mod life_name;
mod lifecycle;
pub(crate) mod limits;
mod mount_key;
mod mounts;
mod network;
mod plan;
mod process;
mod security;
mod unbuilt;
mod users;

use std::path::PathBuf;

use clap::{ArgAction, Args};

pub(crate) use self::{image::ImageConfig, lifecycle::restart as restart_policy, plan::Plan, users::Ids};
use super::PullOptions;
use crate::{
    folders::Folders,
    record::{Desired, IdMap, NetworkMode, Protocol, Records, parse},
};

/// A switch that podman's users may also give a value, `--tty=false`.
fn switch(text: &str) -> Result<bool, String> {
    parse::truth(text)
}

/// All flags of a new container, its image and its command.
#[derive(Args, Clone, Debug)]
pub(crate) struct ContainerFlags {
    #[command(flatten)]
    pub(crate) process: process::ProcessFlags,
    #[command(flatten)]
    pub(crate) life: lifecycle::LifeFlags,
    #[command(flatten)]
    pub(crate) mounts: mounts::MountFlags,
    #[command(flatten)]
    pub(crate) limits: limits::LimitFlags,
    #[command(flatten)]
    pub(crate) security: security::SecurityFlags,
    #[command(flatten)]
    pub(crate) isolation: isolation::IsolationFlags,
    #[command(flatten)]
    pub(crate) network: network::NetworkFlags,
    #[command(flatten)]
    pub(crate) health: lifecycle::HealthFlags,
    #[command(flatten)]
    pub(crate) choice: ImageFlags,
    #[command(flatten)]
    pub(crate) unbuilt: unbuilt::Unbuilt,
    // `-h` is the host name's.
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Image (with --rootfs a folder), and a command in place of the image's
    // One list, since whatever follows its first word is the command's, also what looks like a flag of ours.
    #[arg(value_name = "IMAGE", required = true, trailing_var_arg = true)]
    pub(crate) words: Vec<String>,
}

impl ContainerFlags {
    /// The image, and the words after it.
    fn image_and_command(&self) -> (&str, &[String]) {
        self.words.split_first().map_or(("", &[][..]), |(image, command)| (image.as_str(), command))
    }
}

/// Flags of the image.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Image")]
pub(crate) struct ImageFlags {
    /// When the image is pulled: missing, always, newer or never
    #[arg(long, value_name = "WHEN", default_value = "missing")]
    pub(crate) pull: String,
    /// IMAGE is a folder that holds a root
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "BOOL", action = ArgAction::Set, default_value = "false", hide_default_value = true, hide_possible_values = true)]
    pub(crate) rootfs: bool,
    #[command(flatten)]
    pub(crate) how: PullOptions,
}

/// What the decisions depend on besides the flags.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// The folders.
    pub(crate) folders: &'a Folders,
    /// Other containers.
    pub(crate) records: &'a Records,
    /// An ordinary user, in a namespace of the user's own.
    pub(crate) rootless: bool,
}

impl Surroundings<'_> {
    /// The network of who asks for none in particular.
    fn own_network(&self) -> NetworkMode {
        if !self.rootless {
            return NetworkMode::Bridge(Vec::new());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        if std::env::split_paths(&path).any(|folder| folder.join("pasta").is_file()) {
            return NetworkMode::Pasta(Vec::new());
        }
        NetworkMode::None
    }
}

/// What was said of things that the image decides too.
#[derive(Clone, Debug, Default)]
struct Choices {
    env: Vec<String>,
    entrypoint: Option<Vec<String>>,
    user: Option<String>,
    cwd: Option<PathBuf>,
    labels: Vec<(String, String)>,
    stop_signal: Option<i32>,
    systemd: Option<bool>,
    health: HealthChoice,
    sysctl: Vec<String>,
    exposed: Vec<(u16, Protocol)>,
    publish_all: bool,
    user_namespace: UserChoice,
}

/// What was said of health.
#[derive(Clone, Debug, Default)]
struct HealthChoice {
    off: bool,
    test: Option<Vec<String>>,
    interval: Option<u64>,
    timeout: Option<u64>,
    start_period: Option<u64>,
    retries: Option<u32>,
    on_failure: String,
}

/// What was said of the user namespace.
#[derive(Clone, Debug, Default)]
enum UserChoice {
    /// Nothing.
    #[default]
    Usual,
    Host,
    /// Its own range, of so many ids where that is said.
    Auto(Option<u32>),
    KeepId {
        uid: Option<u32>,
        gid: Option<u32>,
    },
    NoMap,
    Maps(Vec<IdMap>, Vec<IdMap>),
    Container(Box<Desired>),
    Path(PathBuf),
}

#[cfg(test)]
mod tests;
