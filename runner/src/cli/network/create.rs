//! `network create`.

use std::{collections::BTreeMap, net::IpAddr};

use clap::Args;

use crate::{
    cli::output,
    error::{Result, RunnerError},
    folders::Folders,
    network::{self, Options, Subnet, Wanted},
};

/// Its arguments.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Its addresses, like 10.90.7.0/24; twice for IPv4 and IPv6. Left out: a range that this machine does not use
    #[arg(long, value_name = "RANGE")]
    subnet: Vec<Subnet>,
    /// The machine's own address on it; left out: the first
    #[arg(long, value_name = "ADDRESS")]
    gateway: Vec<IpAddr>,
    /// Containers get addresses of this part of it
    #[arg(long, value_name = "RANGE")]
    ip_range: Vec<Subnet>,
    /// It has IPv6 as well
    #[arg(long)]
    ipv6: bool,
    /// Nothing leads out of it
    #[arg(long)]
    internal: bool,
    /// Containers do not find each other by name
    #[arg(long)]
    disable_dns: bool,
    /// A label
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// An option: mtu=BYTES, isolate=false (networks reach each other)
    #[arg(long, short, value_name = "NAME=VALUE")]
    opt: Vec<String>,
    /// Name of the bridge on this machine
    #[arg(long, value_name = "NAME")]
    interface_name: Option<String>,
    /// `bridge` is what there is
    #[arg(long, short, value_name = "NAME", default_value = "bridge")]
    driver: String,
    /// There is no error where it exists
    #[arg(long)]
    ignore: bool,
    /// Its name; left out: one that is free
    name: Option<String>,
}

pub(super) fn run(folders: &Folders, arguments: &Arguments) -> Result<()> {
    if arguments.driver != "bridge" {
        return Err(RunnerError::Unsupported(format!(
            "--driver {}: networks are bridges; a container that shall be a machine of the network around takes \
             --network host",
            arguments.driver
        )));
    }
    let wanted = Wanted {
        name: arguments.name.clone().unwrap_or_default(),
        subnets: arguments.subnet.clone(),
        gateways: arguments.gateway.clone(),
        leases: arguments.ip_range.clone(),
        ipv6: arguments.ipv6,
        internal: arguments.internal,
        no_dns: arguments.disable_dns,
        labels: labels(&arguments.label)?,
        options: options(&arguments.opt)?,
        interface: arguments.interface_name.clone(),
    };
    output::line(network::create(folders, wanted, arguments.ignore)?)
}

fn labels(texts: &[String]) -> Result<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for text in texts {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        if name.is_empty() {
            return Err(RunnerError::Usage(format!("--label {text:?}: write NAME=VALUE")));
        }
        labels.insert(name.to_owned(), value.to_owned());
    }
    Ok(labels)
}

fn options(texts: &[String]) -> Result<Options> {
    let mut options = Options::default();
    for text in texts {
        let wrong = || {
            RunnerError::Usage(format!(
                "--opt {text:?}: there are mtu=BYTES (1280 to 65535; 68 where there is no IPv6) and isolate=true or false"
            ))
        };
        match text.split_once('=').ok_or_else(wrong)? {
            ("mtu" | "com.docker.network.driver.mtu", value) => {
                let mtu = value.parse().ok().filter(|mtu| (68..=65535).contains(mtu)).ok_or_else(wrong)?;
                options.mtu = Some(mtu);
            }
            ("isolate", value) => options.isolate = value.parse().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_are_none_are_refused_with_those_that_are() {
        let read = |text: &str| options(&[text.to_owned()]);
        assert_eq!(read("mtu=1400").unwrap().mtu, Some(1400));
        assert!(!read("isolate=false").unwrap().isolate);
        for text in ["mtu", "mtu=67", "mtu=65536", "mtu=x", "isolate=maybe", "vlan=7", ""] {
            assert!(
                matches!(read(text), Err(RunnerError::Usage(ref said)) if said.contains("mtu=BYTES")),
                "{text}"
            );
        }
    }
}
