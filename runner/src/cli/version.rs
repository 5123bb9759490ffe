//! `version`.

use clap::Args;

use super::output;
use crate::error::Result;

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// `json`, or a Go template like '{{.Client.Version}}'
    #[arg(long, short, value_name = "TEMPLATE")]
    format: Option<String>,
}

/// What is told. There is no server: what other programs call the client is the whole.
#[derive(serde::Serialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    client: Client,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "PascalCase")]
struct Client {
    version: &'static str,
    /// Version of the runtime specification.
    runtime_spec: &'static str,
    os_arch: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let client =
        Client { version: env!("CARGO_PKG_VERSION"), runtime_spec: "1.2.0", os_arch: super::info::os_arch() };
    match arguments.format.as_deref() {
        None => output::raw(
            format!(
                "Version:       {}\nRuntime spec:  {}\nOS/Arch:       {}\n",
                client.version, client.runtime_spec, client.os_arch
            )
            .as_bytes(),
        )?,
        Some(format) if output::is_json(format) => output::json(&Version { client })?,
        Some(format) => {
            output::raw(output::render(format, &output::value(&Version { client })?)?.as_bytes())?;
        }
    }
    Ok(0)
}
