//! What a start says to whoever started it.

use std::io::{self, Write};

use tokio::net::TcpListener;

use crate::{
    config::{Backend, Config, Database},
    telemetry,
};

/// Where what is pushed goes, as a sentence's end. Of the database's address nothing is said, since it may hold a password.
fn places(config: &Config) -> String {
    let dir = config.data.dir.display();
    let blobs = match config.storage.backend() {
        Backend::Filesystem => dir.to_string(),
        Backend::S3(bucket, _) | Backend::Gcs(bucket, _) => format!("the bucket {}", bucket.name),
        Backend::Azure(container, _) => format!("the container {}", container.name),
    };
    let catalog = match config.catalog.database() {
        Database::Sqlite => config.catalog.dir.as_ref().unwrap_or(&config.data.dir).display().to_string(),
        Database::Postgres(_) => "PostgreSQL".to_owned(),
    };
    if blobs == catalog { blobs } else { format!("{blobs} and its catalog in {catalog}") }
}

/// Says where the registry is, and on standard output, where no log goes, how to push to it.
pub(super) fn greet(config: &Config, listeners: &[TcpListener]) {
    let scheme = if config.tls.files().is_some() { "https" } else { "http" };
    let addresses: Vec<_> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    for address in &addresses {
        tracing::info!(%address, "Listening on {scheme}://{address}");
    }
    let Some(address) = addresses.first() else { return };
    telemetry::flush();
    let host = config.server.external_url.as_deref().and_then(|url| url.split_once("://"));
    let host = host.map_or_else(|| address.to_string(), |(_, host)| host.to_owned());
    let plain = if scheme == "http" { "--tls-verify=false " } else { "" };
    let data = places(config);
    // Only a courtesy: that it could not be written changes nothing.
    let _courtesy = write!(
        io::stdout(),
        "\nBerth keeps its data in {data}. To push an image to it:\n\n    \
         docker tag IMAGE {host}/NAME && docker push {host}/NAME\n    \
         podman push {plain}IMAGE {host}/NAME\n    \
         skopeo copy {}containers-storage:IMAGE docker://{host}/NAME\n\n",
        plain.replace("--tls", "--dest-tls"),
    );
}
