//! `docker-archive`: several images in one tar, as `docker save` and `podman save` write it. Layers are plain tars, each
//! once; the manifests that the images came with are not in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
};

use berth_oci::{Digest, Reference};
use serde_json::json;

use super::source::reading;
use crate::{
    error::{Result, RunnerError, While},
    store::{Image, Store},
};

/// Writes the images, each with the names that it gets there.
///
/// # Errors
/// Where a layer cannot be read, or `out` not be written.
pub(crate) fn docker_archive(store: &Store, images: &[(Image, Vec<String>)], out: impl Write) -> Result<()> {
    let mut tar = tar::Builder::new(out);
    let mut written: BTreeSet<Digest> = BTreeSet::new();
    let mut items = Vec::new();
    let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    // The same image under several names is one item.
    let mut merged: Vec<(&Image, Vec<String>)> = Vec::new();
    for (image, names) in images {
        match merged.iter_mut().find(|(known, _)| known.id == image.id) {
            Some((_, known)) => known.extend(names.iter().cloned()),
            None => merged.push((image, names.clone())),
        }
    }
    for (image, names) in merged {
        for layer in &image.layers {
            if written.insert(layer.clone()) {
                let size = store.layer_tar_size(layer)?;
                let mut content = Faulty { from: store.layer_tar(layer)?, layer, fault: None };
                let added = member(&mut tar, &layer_file(layer), size, &mut content);
                // The read behind the last byte is the one that compares the digest.
                let ended =
                    added.and_then(|()| content.read(&mut [0; 1]).doing("reading", layer_file(layer)));
                if let Some(fault) = content.fault {
                    return Err(fault);
                }
                ended?;
            }
        }
        let config = store.blob(&image.id)?;
        if written.insert(image.id.clone()) {
            member(&mut tar, &config_file(&image.id), config.len() as u64, config.as_slice())?;
        }
        for reference in names.iter().filter_map(|name| name.parse::<Reference>().ok()) {
            if let (Some(tag), Some(top)) = (reference.tag(), image.layers.last()) {
                let repository = format!("{}/{}", reference.host(), reference.name());
                repositories.entry(repository).or_default().insert(tag.to_string(), top.hex().to_owned());
            }
        }
        items.push(json!({
            "Config": config_file(&image.id),
            "RepoTags": names,
            "Layers": image.layers.iter().map(layer_file).collect::<Vec<_>>(),
        }));
    }
    for (name, document) in [("manifest.json", json!(items)), ("repositories", json!(repositories))] {
        let text = document.to_string();
        member(&mut tar, name, text.len() as u64, text.as_bytes())?;
    }
    let mut out = tar.into_inner().doing("writing", "the archive")?;
    out.flush().doing("writing", "the archive")
}

fn layer_file(digest: &Digest) -> String {
    format!("{}.tar", digest.hex())
}

fn config_file(digest: &Digest) -> String {
    format!("{}.json", digest.hex())
}

fn member(tar: &mut tar::Builder<impl Write>, name: &str, size: u64, content: impl Read) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    let mut content = content.take(size);
    tar.append_data(&mut header, name, &mut content).doing("writing", "the archive")?;
    if content.limit() > 0 {
        return Err(RunnerError::Content(format!("{name} ended {} bytes before its end", content.limit())));
    }
    Ok(())
}

/// Keeps the error of a layer's reading apart from those of the archive's writing.
struct Faulty<'a, R> {
    from: R,
    layer: &'a Digest,
    fault: Option<RunnerError>,
}

impl<R: Read> Read for Faulty<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.from.read(into).map_err(|error| {
            let kind = error.kind();
            self.fault = Some(reading(self.layer, error));
            kind.into()
        })
    }
}
