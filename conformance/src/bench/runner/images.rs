//! Images of files that this machine has: sizes as they are in real images, and content that gzip has to work for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use berth_oci::MediaType;
use serde_json::{Value, json};

use super::engine::busybox;
use crate::bench::peer::{Peer, push_blob, push_manifest};
use crate::clients::digest_of;
use crate::harness::{HarnessError, Result, Scratch, Tool};

/// Layers besides the one with busybox.
const LAYERS: usize = 5;
/// Bytes of files in each.
const LAYER: u64 = 24 << 20;

/// Pushes `bench/layers` (6 layers), and `bench/first` and `bench/second`: the tars in `bases`, or else files of this
/// machine, packed twice.
pub(super) async fn push(peer: &Peer, scratch: &Scratch, bases: &[PathBuf]) -> Result<()> {
    let base = scratch.subfolder("image")?;
    busybox(&base)?;
    let everything = BTreeSet::from([PathBuf::from(".")]);
    let parts = parts()?;
    let mut layers = vec![tar(scratch, &base, &everything, Some(1))?];
    for part in &parts {
        layers.push(tar(scratch, Path::new("/"), part, Some(1))?);
    }
    image(peer, "layers", &layers).await?;
    let all: BTreeSet<PathBuf> = parts.iter().flatten().cloned().collect();
    for (at, name) in ["first", "second"].into_iter().enumerate() {
        let layers = match bases.get(at) {
            Some(base) => {
                let copy = scratch.join("base.tar");
                fs::copy(base, &copy).map_err(HarnessError::file(base))?;
                vec![packed(&copy)?]
            }
            // Programs come from packages, which keep their times; what a build writes is new each time.
            None => {
                let built = tar(scratch, &base, &everything, Some(1_000_000_000 + at as u64))?;
                vec![built, tar(scratch, Path::new("/"), &all, None)?]
            }
        };
        image(peer, name, &layers).await?;
    }
    Ok(())
}

/// Files of `/usr`, in the order of their names, divided into so many parts of a size.
fn parts() -> Result<Vec<BTreeSet<PathBuf>>> {
    let mut parts = vec![BTreeSet::new()];
    let mut full = 0;
    let mut folders =
        vec![PathBuf::from("/usr/lib/x86_64-linux-gnu"), "/usr/bin".into(), "/usr/share".into()];
    folders.retain(|folder| folder.exists());
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> =
            fs::read_dir(&folder).map_err(HarnessError::file(&folder))?.flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let about = fs::symlink_metadata(&path).map_err(HarnessError::file(&path))?;
            if about.is_dir() {
                folders.push(path);
            } else if about.is_file() && about.len() < LAYER {
                full += about.len();
                let name = path.strip_prefix("/").unwrap_or(&path);
                // With its folders, as layers that builders make have them.
                let folders = name.ancestors().filter(|path| !path.as_os_str().is_empty());
                parts
                    .last_mut()
                    .into_iter()
                    .for_each(|part| part.extend(folders.clone().map(Path::to_owned)));
                if full >= LAYER {
                    full = 0;
                    parts.push(BTreeSet::new());
                }
            }
            if parts.len() > LAYERS {
                parts.truncate(LAYERS);
                return Ok(parts);
            }
        }
    }
    Ok(parts)
}

/// A layer: its tar's digest, and the bytes of its gzip.
struct Layer {
    diff: String,
    gzip: Vec<u8>,
}

/// Packs files; all with one time where one is given.
fn tar(scratch: &Scratch, folder: &Path, names: &BTreeSet<PathBuf>, second: Option<u64>) -> Result<Layer> {
    let list = names.iter().map(|name| name.display().to_string()).collect::<Vec<_>>().join("\n");
    let list = scratch.write("names", list)?;
    let path = scratch.join("layer.tar");
    let words =
        ["--create", "--numeric-owner", "--owner=0", "--group=0", "--sort=name", "--hard-dereference"];
    Tool::new("tar")?
        .args(words)
        .args(second.map(|second| format!("--mtime=@{second}")))
        .args((names.len() > 1).then_some("--no-recursion"))
        .args(["--file".as_ref(), path.as_os_str(), "--directory".as_ref(), folder.as_os_str()])
        .args(["--files-from".as_ref(), list.as_os_str()])
        .run()?;
    packed(&path)
}

/// Compresses a tar, which is gone then.
fn packed(tar: &Path) -> Result<Layer> {
    let bytes = fs::read(tar).map_err(HarnessError::file(tar))?;
    let diff = digest_of(&bytes).to_string();
    Tool::new("gzip")?.args(["--force", "-6"]).arg(tar.as_os_str()).run()?;
    let packed = tar.with_extension("tar.gz");
    let gzip = fs::read(&packed).map_err(HarnessError::file(&packed))?;
    Ok(Layer { diff, gzip })
}

async fn image(peer: &Peer, name: &str, layers: &[Layer]) -> Result<()> {
    let repository = format!("bench/{name}");
    let mut connection = peer.connect().await?;
    let mut blob = async |bytes: &[u8], media_type: &str| -> Result<Value> {
        let digest = digest_of(bytes).to_string();
        push_blob(&mut connection, &repository, &digest, std::iter::once(bytes)).await?;
        Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
    };
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": {"Env": ["PATH=/bin:/usr/bin"], "Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| &layer.diff).collect::<Vec<_>>()},
    });
    let config = blob(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json").await?;
    let mut entries = Vec::new();
    for layer in layers {
        entries.push(blob(&layer.gzip, "application/vnd.oci.image.layer.v1.tar+gzip").await?);
    }
    let manifest = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": entries});
    push_manifest(&mut connection, &repository, "latest", manifest.to_string().as_bytes()).await
}
