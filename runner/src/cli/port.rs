//! `port`.

use clap::Args;

use super::{Globals, output};
use crate::{
    error::{Result, RunnerError},
    network::Attachment,
    record::{Desired, Port, Protocol, files},
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The container
    #[arg(required_unless_present_any = ["all", "latest"])]
    container: Option<String>,

    /// One port of it, like 80 or 53/udp
    port: Option<String>,

    /// Those of all containers
    #[arg(long, short, conflicts_with = "container")]
    all: bool,

    /// Those of the container that was created last
    #[arg(long, short, conflicts_with_all = ["container", "all"])]
    latest: bool,
}

/// The published ports of a container: with those that were chosen while it runs, else as they are wanted.
pub(super) fn published(folders: &crate::folders::Folders, desired: &Desired) -> Result<Vec<Port>> {
    let got: Option<Attachment> = files::read_json(&folders.running(&desired.id).join("network.json"))?;
    Ok(got.map_or_else(|| desired.network.ports.clone(), |got| got.ports))
}

/// `tcp` and so on.
pub(super) fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let selection = super::select::Selection {
        containers: arguments.container.iter().cloned().collect(),
        latest: arguments.latest,
        all: arguments.all,
        ..Default::default()
    };
    let asked = arguments.port.as_deref().map(wanted).transpose()?;
    for meant in selection.meant(&context)? {
        let desired = meant.found?;
        let mut any = false;
        for port in published(&context.folders, &desired)? {
            let (number, name) = (port.container, protocol(port.protocol));
            let host = std::net::SocketAddr::new(port.address, port.host);
            match asked {
                None if arguments.all => output::line(format!("{}\t{number}/{name} -> {host}", desired.id))?,
                None => output::line(format!("{number}/{name} -> {host}"))?,
                Some(wanted) if wanted == (number, name) => {
                    any = true;
                    output::line(host.to_string())?;
                }
                Some(_) => {}
            }
        }
        if let (Some((number, name)), false) = (asked, any) {
            return Err(RunnerError::NotFound(format!(
                "container {} publishes no port {number}/{name}: `berth-runner port {}` lists those that it does",
                desired.name, desired.name
            )));
        }
    }
    Ok(0)
}

fn wanted(text: &str) -> Result<(u16, &'static str)> {
    let (number, name) = text.split_once('/').unwrap_or((text, "tcp"));
    let known = ["tcp", "udp", "sctp"].into_iter().find(|known| *known == name);
    match (number.parse(), known) {
        (Ok(number), Some(name)) => Ok((number, name)),
        _ => Err(RunnerError::Usage(format!("{text:?} is no port: write 80, 53/udp or 80/sctp"))),
    }
}
