//! Signatures on a web server or in a folder, beside the registry: `BASE/REPOSITORY@ALGORITHM=HEX/signature-1`, `-2` and so
//! on. The first number that is missing ends them.

use std::{io::ErrorKind, path::PathBuf};

use berth_oci::{Digest, RepoName};
use tokio::{
    fs,
    io::{AsyncReadExt, AsyncWriteExt},
};
use url::Url;

use super::{Budget, MAX_SIGNATURE_BYTES, MAX_SIGNATURES, Signature};
use crate::{Error, Result, error::ResultExt, remote::Repository};

/// The address of a manifest's signature, by its number from 1.
fn address(base: &Url, name: &RepoName, manifest: &Digest, number: usize) -> Url {
    let mut url = base.clone();
    let (folder, hex) = (base.path().trim_end_matches('/'), manifest.hex());
    url.set_path(&format!("{folder}/{name}@{}={hex}/signature-{number}", manifest.algorithm()));
    url
}

fn file(url: &Url) -> Result<PathBuf> {
    url.to_file_path().map_err(|()| Error::Usage(format!("{url}: no path of this machine")))
}

fn unsupported(base: &Url) -> Error {
    Error::Unsupported(format!(
        "{base}: signatures are read by https:, http: and file:, and written by file: alone; set lookaside-staging to a \
         folder that the server serves"
    ))
}

pub(super) async fn read(repository: &Repository, base: &Url, manifest: &Digest) -> Result<Vec<Signature>> {
    let (mut budget, mut found) = (Budget::default(), Vec::new());
    for number in 1.. {
        let url = address(base, repository.reference().name(), manifest, number);
        let bytes = match url.scheme() {
            "http" | "https" => {
                repository.fetch(&url, MAX_SIGNATURE_BYTES).await?.map(|bytes| bytes.to_vec())
            }
            "file" => read_file(&url).await?,
            _ => return Err(unsupported(base)),
        };
        let Some(bytes) = bytes else { break };
        if !budget.admit(bytes.len(), &url) {
            break;
        }
        let signature = Signature::from_file_bytes(&bytes);
        found.push(signature.context(format_args!("parsing signature {url}"))?);
    }
    Ok(found)
}

async fn read_file(url: &Url) -> Result<Option<Vec<u8>>> {
    let path = file(url)?;
    let opened = match fs::File::open(&path).await {
        Err(fault) if matches!(fault.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        opened => opened.map_err(Error::file(&path))?,
    };
    let mut bytes = Vec::new();
    opened.take(MAX_SIGNATURE_BYTES as u64 + 1).read_to_end(&mut bytes).await.map_err(Error::file(&path))?;
    Ok(Some(bytes))
}

/// Writes behind what is there. A file is whole or not there at all, and none is ever replaced.
pub(super) async fn write(
    repository: &Repository,
    base: &Url,
    manifest: &Digest,
    signatures: &[&Signature],
) -> Result<()> {
    if base.scheme() != "file" {
        return Err(unsupported(base));
    }
    let present = read(repository, base, manifest).await?;
    let mut number = present.len();
    for signature in signatures.iter().filter(|signature| !present.contains(signature)) {
        if number >= MAX_SIGNATURES {
            return Err(Error::Refused(format!(
                "{base}: {manifest} has {MAX_SIGNATURES} signatures already, the most that are read"
            )));
        }
        // Another writer may be at work: whoever finds a number taken goes on with the next.
        loop {
            number += 1;
            let path = file(&address(base, repository.reference().name(), manifest, number))?;
            if write_new(&path, &signature.to_file_bytes()).await? {
                break;
            }
            if number >= MAX_SIGNATURES {
                return Err(Error::Refused(format!("{}: too many signatures", path.display())));
            }
        }
    }
    Ok(())
}

/// Answers whether the file could be made, or was there.
async fn write_new(path: &PathBuf, content: &[u8]) -> Result<bool> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).await.map_err(Error::file(folder))?;
    let staged = tempfile::Builder::new()
        .prefix(".signature-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(Error::file(folder))?;
    let mut file = fs::File::from_std(staged.reopen().map_err(Error::file(staged.path()))?);
    file.write_all(content).await.map_err(Error::file(staged.path()))?;
    file.sync_all().await.map_err(Error::file(staged.path()))?;
    match staged.persist_noclobber(path) {
        Ok(_) => Ok(true),
        Err(fault) if fault.error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(fault) => Err(Error::file(path)(fault.error)),
    }
}
