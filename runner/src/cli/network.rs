//! `network`: networks of containers.

mod create;
mod show;

use std::net::IpAddr;

pub(super) use show::found;

use clap::{Args, Subcommand};

use super::{Globals, output};
use crate::{
    error::Result,
    folders::Folders,
    network::{self, Networks},
    record::Attach,
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Connect a container with a network: at once where it runs, and at each start
    Connect(Connect),
    /// Make a network
    Create(create::Arguments),
    /// Take a container off a network
    Disconnect(Disconnect),
    /// Say by the exit code whether there is a network
    Exists {
        /// Its name, or the beginning of its id
        network: String,
    },
    /// Show all of networks as JSON
    Inspect(show::Inspect),
    /// List networks
    #[command(visible_alias = "list")]
    Ls(output::Listing),
    /// Remove networks that no container is on
    Prune(Prune),
    /// Make interfaces and packet filters of running containers anew, and remove what nobody needs
    Reload,
    /// Remove networks
    #[command(visible_alias = "remove")]
    Rm(Rm),
}

#[derive(Args, Debug)]
struct Connect {
    /// A name by which others on the network find the container
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// Its address
    #[arg(long, value_name = "ADDRESS", visible_alias = "ip6")]
    ip: Option<IpAddr>,
    /// Its hardware address
    #[arg(long, value_name = "ADDRESS")]
    mac_address: Option<String>,
    network: String,
    container: String,
}

#[derive(Args, Debug)]
struct Disconnect {
    /// Nothing more than without it: containers are never connected to networks that are not there
    #[arg(long, short, hide = true)]
    force: bool,
    network: String,
    container: String,
}

#[derive(Args, Debug)]
struct Prune {
    /// Do not ask
    #[arg(long, short)]
    force: bool,
}

#[derive(Args, Debug)]
struct Rm {
    /// Take containers off them first
    #[arg(long, short)]
    force: bool,
    #[arg(required = true)]
    networks: Vec<String>,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let folders = globals.paired()?;
    match &arguments.command {
        Command::Connect(connect) => self::connect(&folders, connect)?,
        Command::Create(arguments) => create::run(&folders, arguments)?,
        Command::Disconnect(arguments) => {
            network::disconnect(&folders, &arguments.network, &arguments.container)?;
        }
        Command::Exists { network } => return exists(&folders, network),
        Command::Inspect(arguments) => show::inspect(&folders, arguments)?,
        Command::Ls(listing) => show::list(&folders, listing)?,
        Command::Prune(Prune { force }) => {
            if !force && !super::volume::confirmed("This removes all networks that no container is on.")? {
                return Ok(0);
            }
            network::prune(&folders)?.iter().try_for_each(output::line)?;
        }
        Command::Reload => network::reload(&folders)?,
        Command::Rm(rm) => {
            for name in &rm.networks {
                output::line(network::remove(&folders, name, rm.force)?)?;
            }
        }
    }
    Ok(0)
}

fn connect(folders: &Folders, arguments: &Connect) -> Result<()> {
    let wants = Attach {
        network: arguments.network.clone(),
        aliases: arguments.alias.clone(),
        ip: arguments.ip,
        mac: arguments.mac_address.clone(),
    };
    network::connect(folders, &arguments.container, wants)
}

fn exists(folders: &Folders, name: &str) -> Result<u8> {
    match Networks::new(folders).find(name) {
        Ok(_) => Ok(0),
        Err(crate::error::RunnerError::NotFound(_)) => Ok(1),
        Err(error) => Err(error),
    }
}
