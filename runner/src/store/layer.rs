//! A layer on its way into the store.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use berth_oci::{Digest, Hasher};
use rustix::{
    fs::{CWD, RenameFlags, renameat_with, syncfs},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use super::{
    Hold, Store,
    key::{FACTS, KEPT, OBJECTS, RECIPE, TREE},
    staging::{Busy, Staged, Staging},
};
use crate::{
    error::{Result, RunnerError, While},
    record::files,
    unpack::{Fault, Kept, LargeFiles, OverlayNames, Parser, RecipeWriter, Tree},
};

/// What [`super::Store::begin_layer`] found.
#[derive(Debug)]
pub(crate) enum Claim {
    /// The layer is here.
    Present,
    /// It is not: its tar goes in here.
    New(Box<LayerWriter>),
    /// Another process unpacks it at this moment.
    Busy(Busy),
}

/// What is known of a layer (`layer.json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    /// Whose marks its tree has.
    pub(super) overlay: OverlayNames,
    /// Bytes of its files.
    pub(super) size: u64,
    /// Entries of its tar.
    pub(super) entries: u64,
    /// It hides everything under it.
    pub(super) opaque: bool,
    /// Folders on the way to entries that no entry described: theirs is what a lower layer says.
    pub(super) implied: Vec<PathBytes>,
    /// Files that a later entry of the same layer replaced.
    pub(super) kept: Vec<Kept>,
}

/// A path, which need not be text. Written as text where it is, else as the list of its bytes; earlier versions wrote
/// that for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathBytes(pub(super) Vec<u8>);

impl Serialize for PathBytes {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        match str::from_utf8(&self.0) {
            Ok(text) => to.serialize_str(text),
            Err(_) => self.0.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for PathBytes {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Bytes(Vec<u8>),
        }
        Ok(Self(match Written::deserialize(from)? {
            Written::Text(text) => text.into_bytes(),
            Written::Bytes(bytes) => bytes,
        }))
    }
}

impl PathBytes {
    pub(super) fn path(&self) -> &Path {
        Path::new(std::ffi::OsStr::from_bytes(&self.0))
    }
}

/// Takes the bytes of a layer's tar in pieces of any size and unpacks them as they come. Dropped without
/// [`Self::finish`], it leaves nothing.
#[derive(Debug)]
pub(crate) struct LayerWriter {
    parser: Parser,
    hasher: Hasher,
    expected: Option<Digest>,
    /// `None` after an error: nothing more is taken.
    tree: Option<Tree<File>>,
    staging: Staging,
    store: Store,
    _hold: Hold,
}

impl LayerWriter {
    pub(super) fn claim(store: &Store, expected: Option<&Digest>) -> Result<Claim> {
        let hold = store.hold()?;
        let layer = expected.map(|diff_id| store.layer_folder(diff_id));
        let name =
            expected.map_or_else(|| format!("new-{:032x}", rand::random::<u128>()), |d| d.hex().to_owned());
        files::private_folder(&store.folders.layers())?;
        let staging = match Staging::claim(store.staging(&name), layer.as_deref())? {
            Staged::Present => return Ok(Claim::Present),
            Staged::Busy(busy) => return Ok(Claim::Busy(busy)),
            Staged::Ours(staging) => staging,
        };
        let overlay = store.overlay()?;
        for part in [TREE, KEPT, "new"] {
            let path = staging.path.join(part);
            fs::create_dir(&path).doing("making", &path)?;
        }
        files::private_folder(&store.folders.objects())?;
        let large = LargeFiles::new(&store.folders.objects(), &staging.path.join("new"));
        let recipe = staging.path.join(RECIPE);
        let recipe = File::create_new(&recipe).and_then(RecipeWriter::new).doing("making", &recipe)?;
        let tree = Tree::new(&staging.path.join(TREE), &staging.path.join(KEPT), overlay, recipe, large)?;
        let algorithm = expected.map_or(berth_oci::Algorithm::Sha256, Digest::algorithm);
        Ok(Claim::New(Box::new(Self {
            parser: Parser::default(),
            hasher: Hasher::new(algorithm.into()),
            expected: expected.cloned(),
            tree: Some(tree),
            staging,
            store: store.clone(),
            _hold: hold,
        })))
    }

    fn failed(&self, fault: Fault) -> RunnerError {
        let layer = self.expected.as_ref().map_or_else(|| "the layer".to_owned(), |id| format!("layer {id}"));
        match fault {
            Fault::Failed(error) => error,
            Fault::Rule(rule) => {
                let name = self.parser.name();
                let entry = if name.is_empty() { String::new() } else { format!(", entry {name:?}") };
                RunnerError::Content(format!("{layer}{entry}: {rule}"))
            }
        }
    }

    /// As [`io::Write::write_all`], with the error as it is.
    ///
    /// # Errors
    /// [`RunnerError::Content`] for what may not be unpacked: names layer, entry and rule.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(tree) = &mut self.tree else {
            return Err(RunnerError::Content("the layer was refused before".into()));
        };
        self.hasher.update(bytes);
        if let Err(fault) = self.parser.feed(bytes, tree) {
            self.tree = None;
            return Err(self.failed(fault));
        }
        Ok(())
    }

    /// What was left out, a sentence each: device nodes, attributes that this file system does not keep.
    pub(crate) fn warnings(&self) -> &[String] {
        self.tree.as_ref().map_or(&[], Tree::warnings)
    }

    /// Compares the digest and makes the layer visible.
    ///
    /// # Errors
    /// [`RunnerError::Content`] where the digest is another, or the archive ends too soon.
    pub(crate) fn finish(mut self) -> Result<Digest> {
        let Some(tree) = self.tree.take() else {
            return Err(RunnerError::Content("the layer was refused before".into()));
        };
        self.parser.finish().map_err(|fault| self.failed(fault))?;
        let found = Digest::from_hasher(self.hasher.clone());
        if let Some(expected) = self.expected.as_ref().filter(|expected| **expected != found) {
            return Err(RunnerError::Content(format!(
                "layer {expected}: its tar is {found}: what was brought is not what the image's configuration names"
            )));
        }
        let (written, recipe, large) = tree.finish().map_err(|fault| self.failed(fault))?;
        let overlay = self.store.overlay()?;
        let facts = Facts {
            overlay,
            size: written.size,
            entries: written.entries,
            opaque: written.opaque,
            implied: written
                .implied
                .into_iter()
                .map(|path| PathBytes(path.into_os_string().into_encoded_bytes()))
                .collect(),
            kept: written.kept,
        };
        self.publish(&found, &facts, recipe, large)?;
        Ok(found)
    }

    /// Everything on disk, then the objects among the others, then the layer by one rename: whoever sees it has all.
    fn publish(
        &mut self,
        diff_id: &Digest,
        facts: &Facts,
        recipe: RecipeWriter<File>,
        large: LargeFiles,
    ) -> Result<()> {
        let path = &self.staging.path;
        recipe.finish().doing("writing", path.join(RECIPE))?;
        let keys: Vec<u8> = large.keys().flat_map(|key| key.bytes()).collect();
        fs::write(path.join(OBJECTS), keys).doing("writing", path.join(OBJECTS))?;
        let text = serde_json::to_vec(facts).map_err(io::Error::from).doing("writing", path.join(FACTS))?;
        fs::write(path.join(FACTS), text).doing("writing", path.join(FACTS))?;
        if facts.kept.is_empty() {
            fs::remove_dir(path.join(KEPT)).doing("removing", path.join(KEPT))?;
        }
        syncfs(&self.staging.folder).doing("writing to disk", path)?;
        large.publish()?;
        fs::remove_dir(path.join("new")).doing("removing", path.join("new"))?;
        let layer = self.store.layer_folder(diff_id);
        match renameat_with(CWD, path, CWD, &layer, RenameFlags::NOREPLACE) {
            Ok(()) => self.staging.done = true,
            // Of a layer whose digest was not known before, another may have come first.
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error).doing("making", &layer),
        }
        Ok(())
    }
}

impl Write for LayerWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The error that a [`LayerWriter`] gave through [`io::Write`], or a layer's tar through [`io::Read`], out of its
/// wrapping.
pub(crate) fn layer_error(error: io::Error, doing: &str) -> RunnerError {
    match error.downcast::<RunnerError>() {
        Ok(error) => error,
        Err(source) => RunnerError::Io { what: doing.to_owned(), source },
    }
}

impl Store {
    /// What is known of a layer.
    pub(super) fn facts(&self, diff_id: &Digest) -> Result<Option<Facts>> {
        files::read_json(&self.layer_folder(diff_id).join(FACTS))
    }
}
