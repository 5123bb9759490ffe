//! `dir:` images: a folder with `manifest.json`, `version`, and a file per blob that is named by its digest's hexadecimal
//! part. Children of an index are `HEX.manifest.json`, signatures `signature-N` (of a child: `HEX.signature-N`), from 1.

mod sink;
mod source;
#[cfg(test)]
mod tests;

use std::path::Path;

use berth_oci::Digest;

pub(crate) use source::referrer;

use crate::{ImageName, Result, Sink, Source};

/// What the file `version` holds.
const VERSION: &[u8] = b"Directory Transport Version: 1.1\n";
/// The file with that.
const VERSION_FILE: &str = "version";
/// The top manifest's file.
const MANIFEST_FILE: &str = "manifest.json";

/// A child's file.
fn child_file(manifest: &Digest) -> String {
    format!("{}.manifest.json", manifest.hex())
}

/// A signature's file; `number` counts from 1.
fn signature_file(child: Option<&Digest>, number: usize) -> String {
    match child {
        Some(child) => format!("{}.signature-{number}", child.hex()),
        None => format!("signature-{number}"),
    }
}

pub(crate) async fn source(name: &ImageName, path: &Path) -> Result<Box<dyn Source>> {
    Ok(Box::new(source::DirSource::open(name.clone(), path).await?))
}

pub(crate) async fn sink(name: &ImageName, path: &Path) -> Result<Box<dyn Sink>> {
    Ok(Box::new(sink::DirSink::open(name.clone(), path).await?))
}
