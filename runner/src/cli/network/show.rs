//! `network ls` and `network inspect`.

use clap::Args;

use crate::{
    cli::output::{self, Columns, Field, Filters, Listing, Row, Value},
    error::Result,
    folders::Folders,
    network::{self, Network, Networks},
};

/// Arguments of `inspect`.
#[derive(Args, Debug)]
pub(super) struct Inspect {
    /// A Go template like '{{.Name}}'
    #[arg(long, short, value_name = "TEMPLATE")]
    format: Option<String>,
    #[arg(required = true)]
    networks: Vec<String>,
}

const COLUMNS: Columns =
    Columns { template: "{{.ID}}\t{{.Name}}\t{{.Driver}}", headings: &[("ID", "NETWORK ID")] };

pub(super) fn list(folders: &Folders, listing: &Listing) -> Result<()> {
    let filters = Filters::parse(&listing.filter, &["name", "id", "driver", "label", "label!"])?;
    let mut rows = Vec::new();
    for network in Networks::new(folders).all()? {
        let wanted = filters.any("name", |name| network.name.contains(name))
            && filters.any("id", |id| network.id.starts_with(id))
            && filters.any("driver", |driver| driver == "bridge")
            && filters.labels(|name| network.labels.get(name).map(String::as_str));
        if wanted {
            let id = if listing.no_trunc { &network.id } else { output::short_id(&network.id) };
            let mut fields = vec![
                Field::new("ID", Value::text(id)),
                Field::new("Name", Value::text(&network.name)),
                Field::new("Driver", Value::text("bridge")),
            ];
            fields.extend(details(&network));
            rows.push(Row {
                quiet: network.name.clone(),
                shown: Value::fields(fields),
                json: Some(shown(&network, &[])),
            });
        }
    }
    output::list(listing, COLUMNS, &rows)
}

/// What a network is.
///
/// # Errors
/// [`crate::error::RunnerError::NotFound`].
pub(in crate::cli) fn found(folders: &Folders, name: &str) -> Result<Value> {
    let network = Networks::new(folders).find(name)?;
    let users = network::users(folders, &network.name)?;
    let containers: Vec<_> = users
        .iter()
        .map(|(id, name, link)| {
            let addresses = link.addresses.iter().map(|(address, prefix)| format!("{address}/{prefix}"));
            let value = Value::fields([
                Field::new("Name", Value::text(name)),
                Field::new("Interface", Value::text(&link.interface)),
                Field::new("Addresses", Value::texts(addresses)),
                Field::new("MacAddress", Value::text(&link.mac)),
            ]);
            (id.as_str().to_owned(), value)
        })
        .collect();
    Ok(shown(&network, &containers))
}

pub(super) fn inspect(folders: &Folders, arguments: &Inspect) -> Result<()> {
    let found: Result<Vec<_>> = arguments.networks.iter().map(|name| found(folders, name)).collect();
    output::inspect(arguments.format.as_deref(), &found?)
}

/// A network with podman's words.
fn shown(network: &Network, containers: &[(String, Value)]) -> Value {
    let mut fields = vec![
        Field { name: "Name", key: "name", omit_empty: false, value: Value::text(&network.name) },
        Field { name: "ID", key: "id", omit_empty: false, value: Value::text(&network.id) },
        Field { name: "Driver", key: "driver", omit_empty: false, value: Value::text("bridge") },
    ];
    fields.extend(details(network));
    let containers = Value::map(containers.iter().cloned());
    fields.push(Field { name: "Containers", key: "containers", omit_empty: true, value: containers });
    Value::fields(fields)
}

fn details(network: &Network) -> Vec<Field> {
    let field = |name, key, value| Field { name, key, omit_empty: false, value };
    let subnets = network.ranges.iter().map(|range| {
        Value::fields([
            field("Subnet", "subnet", Value::text(range.subnet.to_string())),
            field("Gateway", "gateway", Value::text(range.gateway.to_string())),
            Field::optional(
                "LeaseRange",
                "lease_range",
                range.leases.map_or(Value::Nothing, |r| Value::text(r.to_string())),
            ),
        ])
    });
    let mut options = vec![("isolate".to_owned(), Value::text(network.options.isolate.to_string()))];
    options.extend(network.options.mtu.map(|mtu| ("mtu".to_owned(), Value::text(mtu.to_string()))));
    let labels = network.labels.iter().map(|(name, value)| (name.clone(), Value::text(value)));
    vec![
        field("NetworkInterface", "network_interface", Value::text(&network.interface)),
        field("Created", "created", Value::text(network.created.to_string())),
        field("Subnets", "subnets", Value::list(subnets)),
        field("IPv6Enabled", "ipv6_enabled", Value::Bool(network.ranges.iter().any(|r| r.gateway.is_ipv6()))),
        field("Internal", "internal", Value::Bool(network.internal)),
        field("DNSEnabled", "dns_enabled", Value::Bool(network.dns)),
        field("Labels", "labels", Value::map(labels)),
        field("Options", "options", Value::map(options)),
    ]
}
