//! Images and their names.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use berth_oci::{Algorithm, Digest, Manifest, Reference, manifest::Kind};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Image, Store, lower::Lower};
use crate::{
    error::{Result, RunnerError, While},
    record::files,
};

/// An image as it is written down; its names are files of their own, so that each moves by one rename.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) manifest: Digest,
    pub(super) id: Digest,
    pub(super) layers: Vec<Digest>,
    pub(super) size: u64,
    pub(super) pulled: Timestamp,
}

/// A name as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Name {
    pub(super) name: String,
    pub(super) manifest: Digest,
}

/// What of a configuration matters here.
#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<Digest>,
}

impl Record {
    fn image(self, names: Vec<String>) -> Image {
        let Self { manifest, id, layers, size, pulled } = self;
        Image { manifest, id, names, layers, size, pulled }
    }
}

/// The files of a folder; none where it is not there.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).doing("reading", folder),
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.doing("reading", folder)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Those of a folder that are whole: what is being written has a name that begins with a dot.
fn whole(folder: &Path) -> Result<impl Iterator<Item = PathBuf> + use<>> {
    let json = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with(".json") && !name.starts_with('.')
    };
    Ok(entries(folder)?.into_iter().filter(json))
}

pub(super) fn remove_file(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).doing("removing", path),
    }
}

/// The names that a person may mean: as one that stands for itself, as one built here, as one of Docker Hub.
fn candidates(name: &str) -> Vec<Reference> {
    let Ok(parsed) = name.parse::<Reference>() else { return Vec::new() };
    let full = parsed.clone().or_latest();
    let spelled = name.starts_with(&format!("{}/", parsed.host()));
    let local = format!("localhost/{name}").parse::<Reference>().ok().filter(|_| !spelled);
    local.map(Reference::or_latest).into_iter().chain([full]).collect()
}

impl Store {
    /// Keeps a manifest or configuration, under its SHA-256.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn put_blob(&self, content: &[u8]) -> Result<Digest> {
        let digest = Digest::of(Algorithm::Sha256, content);
        self.put_blob_as(&digest, content)?;
        Ok(digest)
    }

    /// As [`Self::put_blob`], for one whose digest is known, of whichever algorithm.
    ///
    /// # Errors
    /// [`RunnerError::Content`] where the digest is another.
    pub(crate) fn put_blob_as(&self, digest: &Digest, content: &[u8]) -> Result<()> {
        if Digest::of(digest.algorithm(), content) != *digest {
            return Err(RunnerError::Content(format!("{digest} is not the digest of what came under it")));
        }
        let path = self.blob_file(digest);
        files::private_folder(path.parent().unwrap_or(&path))?;
        // It is on disk before an image names it.
        files::replace(&path, content, false)
    }

    /// The bytes of a manifest or configuration, checked against their digest.
    ///
    /// # Errors
    /// [`RunnerError::NotFound`], or [`RunnerError::Content`] where they are not what they were.
    pub(crate) fn blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.blob_file(digest);
        let content = match fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(RunnerError::NotFound(format!("{digest} is not here: pull its image again")));
            }
            Err(error) => return Err(error).doing("reading", path),
        };
        if Digest::of(digest.algorithm(), &content) != *digest {
            return Err(RunnerError::Content(format!("{} is damaged: pull its image again", path.display())));
        }
        Ok(content)
    }

    /// Whether a layer is here, whole.
    pub(crate) fn has_layer(&self, diff_id: &Digest) -> bool {
        self.layer_folder(diff_id).exists()
    }

    /// Makes an image of what was put: its manifest, the configuration that this names, and the layers that the
    /// configuration names are all here. The names (in full) leave the images that had them.
    ///
    /// # Errors
    /// [`RunnerError::NotFound`] where a part is missing.
    pub(crate) fn add_image(&self, manifest: &Digest, names: &[String]) -> Result<Image> {
        let _hold = self.hold()?;
        let record = self.record_of(manifest)?;
        // Now and not with the first container.
        self.passed(&Lower::open(self, &record.layers)?)?;
        for folder in [self.records(), self.names()] {
            files::private_folder(&folder)?;
        }
        let blobs = fs::File::open(self.folders.images()).doing("opening", self.folders.images())?;
        rustix::fs::syncfs(&blobs).doing("writing to disk", self.folders.images())?;
        files::replace_json(&self.record_file(manifest), &record, true)?;
        for name in names {
            self.tag(manifest, name)?;
        }
        if names.is_empty() || !self.names_of(manifest)?.is_empty() {
            let names = self.names_of(manifest)?;
            return Ok(record.image(names));
        }
        Ok(record.image(names.to_vec()))
    }

    /// Reads the manifest and the configuration, and looks for all that they name.
    fn record_of(&self, digest: &Digest) -> Result<Record> {
        let unfit = |why: &str| RunnerError::Content(format!("manifest {digest}: {why}"));
        let manifest =
            Manifest::parse(self.blob(digest)?.into(), None).map_err(|error| unfit(&error.to_string()))?;
        let config = match (manifest.kind, manifest.config) {
            (Kind::Image, Some(config)) => config.digest,
            _ => return Err(unfit("it is not an image's")),
        };
        let text = self.blob(&config)?;
        let parsed: Config = serde_json::from_slice(&text)
            .map_err(|error| RunnerError::Content(format!("configuration {config}: {error}")))?;
        let layers = parsed.rootfs.diff_ids;
        let mut size = 0;
        for layer in &layers {
            let facts = self.facts(layer)?;
            let facts = facts.ok_or_else(|| RunnerError::NotFound(format!("layer {layer} is not here")))?;
            size += facts.size;
        }
        Ok(Record { manifest: digest.clone(), id: config, layers, size, pulled: Timestamp::now() })
    }

    /// Gives an image one more name (in full), which leaves the image that had it.
    ///
    /// # Errors
    /// [`RunnerError::Usage`] for what is no name in full.
    pub(crate) fn tag(&self, manifest: &Digest, name: &str) -> Result<()> {
        let full = name.parse::<Reference>().is_ok_and(|parsed| {
            parsed.to_string() == name && (parsed.tag().is_some() || parsed.digest().is_some())
        });
        if !full {
            return Err(RunnerError::Usage(format!(
                "{name} is no name in full, as docker.io/library/x:latest is"
            )));
        }
        let value = Name { name: name.to_owned(), manifest: manifest.clone() };
        files::replace_json(&self.name_file(name), &value, true)
    }

    /// Takes a name (in full) off its image, which stays, without names if this was its last; says whether there was
    /// one.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub(crate) fn untag(&self, name: &str) -> Result<bool> {
        remove_file(&self.name_file(name))
    }

    pub(super) fn all_names(&self) -> Result<Vec<Name>> {
        let mut names = Vec::new();
        for path in whole(&self.names())? {
            names.extend(files::read_json::<Name>(&path)?);
        }
        names.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(names)
    }

    fn names_of(&self, manifest: &Digest) -> Result<Vec<String>> {
        let names = self.all_names()?.into_iter().filter(|name| name.manifest == *manifest);
        Ok(names.map(|name| name.name).collect())
    }

    pub(super) fn all_records(&self) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        for path in whole(&self.records())? {
            records.extend(files::read_json::<Record>(&path)?);
        }
        Ok(records)
    }

    fn record(&self, manifest: &Digest) -> Result<Option<Record>> {
        files::read_json(&self.record_file(manifest))
    }

    /// All, newest first.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub(crate) fn images(&self) -> Result<Vec<Image>> {
        let mut names: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        for Name { name, manifest } in self.all_names()? {
            names.entry(manifest).or_default().push(name);
        }
        let mut images: Vec<Image> = self
            .all_records()?
            .into_iter()
            .map(|record| {
                let names = names.remove(&record.manifest).unwrap_or_default();
                record.image(names)
            })
            .collect();
        images.sort_by(|a, b| (b.pulled, &a.manifest).cmp(&(a.pulled, &b.manifest)));
        Ok(images)
    }

    fn image(&self, manifest: &Digest) -> Result<Option<Image>> {
        let Some(record) = self.record(manifest)? else { return Ok(None) };
        Ok(Some(record.image(self.names_of(manifest)?)))
    }

    /// The image of a name (in full or familiar), of an id or the beginning of one, or of a manifest's digest.
    ///
    /// # Errors
    /// [`RunnerError::Usage`] where several ids begin so.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Image>> {
        for candidate in candidates(name) {
            if let Some(found) = self.named(&candidate)? {
                return Ok(Some(found));
            }
        }
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        let digits = hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !digits || hex.len() < 3 {
            return Ok(None);
        }
        let images = self.images()?;
        // Two manifests may share a configuration: both are this id, and the newest is meant.
        let mut ids: Vec<&Image> = images.iter().filter(|image| image.id.hex().starts_with(hex)).collect();
        ids.dedup_by(|a, b| a.id == b.id);
        if ids.iter().any(|image| image.id != ids[0].id) {
            return Err(RunnerError::Usage(format!("several images have an id that begins with {hex}")));
        }
        let by_manifest = || images.iter().find(|image| image.manifest.hex() == hex);
        Ok(ids.first().copied().or_else(by_manifest).cloned())
    }

    fn named(&self, name: &Reference) -> Result<Option<Image>> {
        let written = |name: &str| files::read_json::<Name>(&self.name_file(name));
        if let Some(found) = written(&name.to_string())? {
            return self.image(&found.manifest);
        }
        // A digest says all: a tag beside it is for people.
        let Some(digest) = name.digest() else { return Ok(None) };
        let Some(image) = self.image(digest)? else { return Ok(None) };
        let same = |known: &String| {
            known
                .parse::<Reference>()
                .is_ok_and(|known| known.host() == name.host() && known.name() == name.name())
        };
        Ok(image.names.iter().any(same).then_some(image))
    }
}

#[cfg(test)]
mod tests {
    use super::candidates;

    #[test]
    fn familiar_names_mean_what_was_built_here_and_then_docker_hub() {
        let names = |name: &str| candidates(name).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names("busybox"), ["localhost/busybox:latest", "docker.io/library/busybox:latest"]);
        assert_eq!(names("team/app:1"), ["localhost/team/app:1", "docker.io/team/app:1"]);
        assert_eq!(names("localhost/app"), ["localhost/app:latest"]);
        assert_eq!(names("docker.io/library/busybox"), ["docker.io/library/busybox:latest"]);
        assert_eq!(names("registry.example:5000/app"), ["registry.example:5000/app:latest"]);
        assert!(names("Bad Name").is_empty());
    }
}
