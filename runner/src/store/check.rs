//! Whether everything is what it was: `check`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    io::{self, Read},
    path::PathBuf,
};

use berth_hash::{Hasher, Kind};
use berth_oci::Digest;

use super::{
    Freed, Store,
    gc::{delete_layers, is_held, rename_layer},
    images::{Record, entries, remove_file},
    key::diff_id_of,
    layer_error,
    lock::Sweep,
    read::LayerTar,
};
use crate::{
    error::{Result, While},
    unpack::ObjectKey,
};

/// Something that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// An object whose content is another.
    Object(PathBuf),
    /// A layer whose tar would be another.
    Layer(Digest, String),
    /// A manifest or configuration.
    Blob(PathBuf),
    /// A record or a name that cannot be read.
    Unreadable(PathBuf, String),
    /// An image that lacks a part; its names.
    Image(Digest, Vec<String>, String),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(path) => write!(f, "{}: its content is not what its name says", path.display()),
            Self::Layer(_, why) => f.write_str(why),
            Self::Blob(path) => write!(f, "{}: its content is not what its name says", path.display()),
            Self::Unreadable(path, why) => write!(f, "{}: {why}", path.display()),
            Self::Image(manifest, names, why) if names.is_empty() => write!(f, "image {manifest}: {why}"),
            Self::Image(manifest, names, why) => write!(f, "image {manifest} ({}): {why}", names.join(", ")),
        }
    }
}

/// What `check` found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Layers that were read.
    pub(crate) layers: usize,
    /// Objects that were read.
    pub(crate) objects: usize,
    /// What is not what it was.
    pub(crate) damage: Vec<Damage>,
    /// What a killed process left, or nobody uses: no harm.
    pub(crate) leftovers: Vec<PathBuf>,
}

fn is_sound(path: &PathBuf, key: &ObjectKey) -> Result<bool> {
    let mut hasher = Hasher::new(Kind::Sha256);
    let mut buffer = vec![0; 256 << 10];
    let mut file = fs::File::open(path).doing("opening", path)?;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish() == key.content),
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).doing("reading", path),
        }
    }
}

impl Store {
    /// Reads everything again: each layer's tar is put together and compared with its digest, each object and blob
    /// hashed, each image's parts looked for. Others may add and use meanwhile.
    ///
    /// # Errors
    /// Where something cannot be read at all.
    pub(crate) fn check(&self) -> Result<Report> {
        let hold = self.hold()?;
        let mut report = Report::default();
        for (path, key) in self.all_objects()? {
            let Some(key) = key else { continue };
            report.objects += 1;
            if !is_sound(&path, &key)? {
                report.damage.push(Damage::Object(path));
            }
        }
        for path in entries(&self.folders.layers())? {
            let Some(diff_id) = diff_id_of(&path) else { continue };
            report.layers += 1;
            let read = LayerTar::open(self, &diff_id, None)
                .and_then(|mut tar| {
                    io::copy(&mut tar, &mut io::sink())
                        .map_err(|error| layer_error(error, "reading the layer"))
                })
                .and_then(|_| self.objects_of(&path));
            if let Err(error) = read {
                report.damage.push(Damage::Layer(diff_id, error.to_string()));
            }
        }
        for (path, digest) in self.all_blobs()? {
            let Some(digest) = digest else { continue };
            let content = fs::read(&path).doing("reading", &path)?;
            if Digest::of(digest.algorithm(), &content) != digest {
                report.damage.push(Damage::Blob(path));
            }
        }
        self.check_images(&mut report)?;
        drop(hold);
        report.leftovers = self.leftovers(&Sweep::take(&self.folders.store)?)?;
        Ok(report)
    }

    fn check_images(&self, report: &mut Report) -> Result<()> {
        for folder in [self.records(), self.names()] {
            for path in entries(&folder)? {
                let text = fs::read(&path).doing("reading", &path)?;
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if name.starts_with('.') {
                    continue;
                }
                let parsed = if folder == self.records() {
                    serde_json::from_slice::<Record>(&text).map(drop)
                } else {
                    serde_json::from_slice::<super::images::Name>(&text).map(drop)
                };
                if let Err(error) = parsed {
                    report.damage.push(Damage::Unreadable(path, error.to_string()));
                }
            }
        }
        if report.damage.iter().any(|damage| matches!(damage, Damage::Unreadable(..))) {
            return Ok(());
        }
        for image in self.images()? {
            let mut missing: Vec<String> = Vec::new();
            missing.extend(
                image.layers.iter().filter(|layer| !self.has_layer(layer)).map(|l| format!("layer {l}")),
            );
            let blobs = [&image.manifest, &image.id];
            missing
                .extend(blobs.into_iter().filter(|blob| self.blob(blob).is_err()).map(ToString::to_string));
            if !missing.is_empty() {
                let why = format!("{} is not here whole: pull it again", missing.join(", "));
                report.damage.push(Damage::Image(image.manifest, image.names, why));
            }
        }
        Ok(())
    }

    /// What nobody uses and nobody is making.
    fn leftovers(&self, _sweep: &Sweep) -> Result<Vec<PathBuf>> {
        let marked = self.mark()?;
        let mut found = Vec::new();
        for path in entries(&self.folders.layers())? {
            let used = diff_id_of(&path).is_some_and(|diff_id| marked.layers.contains(&diff_id));
            if !used && !is_held(&path)? {
                found.push(path);
            }
        }
        let unused = |key: Option<ObjectKey>| !key.is_some_and(|key| marked.objects.contains(&key));
        found.extend(self.all_objects()?.into_iter().filter(|(_, key)| unused(*key)).map(|(path, _)| path));
        let unnamed =
            |digest: &Option<Digest>| !digest.as_ref().is_some_and(|digest| marked.blobs.contains(digest));
        found.extend(
            self.all_blobs()?.into_iter().filter(|(_, digest)| unnamed(digest)).map(|(path, _)| path),
        );
        found.extend(self.leftover_names()?);
        Ok(found)
    }

    /// Removes what [`Self::check`] found damaged, with the layers and images that cannot be without it, and what
    /// nobody uses. Images that containers use stay; they are the answer's first part.
    ///
    /// # Errors
    /// Where something cannot be removed.
    pub(crate) fn repair(&self, report: &Report) -> Result<(Vec<Digest>, Freed)> {
        let sweep = Sweep::take(&self.folders.store)?;
        let mut objects: BTreeSet<ObjectKey> = BTreeSet::new();
        let mut gone = Vec::new();
        let known: BTreeMap<PathBuf, Option<ObjectKey>> = self.all_objects()?.into_iter().collect();
        for damage in &report.damage {
            match damage {
                Damage::Object(path) => {
                    objects.extend(known.get(path).copied().flatten());
                    remove_file(path)?;
                }
                Damage::Layer(diff_id, _) if self.has_layer(diff_id) => {
                    gone.extend(rename_layer(&self.layer_folder(diff_id))?);
                }
                Damage::Blob(path) | Damage::Unreadable(path, _) => drop(remove_file(path)?),
                Damage::Layer(..) | Damage::Image(..) => {}
            }
        }
        for path in entries(&self.folders.layers())? {
            if diff_id_of(&path).is_some() && self.objects_of(&path)?.iter().any(|key| objects.contains(key))
            {
                gone.extend(rename_layer(&path)?);
            }
        }
        let (mut kept, mut removed) = (Vec::new(), 0);
        for image in self.images()? {
            let whole = image.layers.iter().all(|layer| self.has_layer(layer))
                && [&image.manifest, &image.id].into_iter().all(|blob| self.blob(blob).is_ok());
            if whole {
                continue;
            }
            if self.users(&image.manifest)?.is_empty() {
                self.forget(&image.manifest)?;
                removed += 1;
            } else {
                kept.push(image.manifest);
            }
        }
        let mut freed = self.sweep(sweep)?;
        delete_layers(gone, &mut freed)?;
        Ok((kept, Freed { images: removed, ..freed }))
    }
}
