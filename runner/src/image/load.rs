//! Images out of a file: `docker-archive`, `oci-archive`, or a folder of either transport.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use berth_copier::{
    ImageName,
    compression::{Form, Limits, Unpack, Unpacked, detect},
    name::{ArchiveImage, LayoutImage},
};
use berth_oci::Reference;
use serde::Deserialize;

use super::name;
use crate::error::{Result, RunnerError, While};

/// Most bytes of a list of images in an archive.
const MAX_LIST: u64 = 4 << 20;

/// A file that is loaded from: its own, or a temporary one without a name, of a pipe or of what was packed.
pub(crate) struct Archive {
    path: PathBuf,
    /// Where its bytes came from, if not from there: what errors name, and what the policy judges by.
    origin: Option<PathBuf>,
    /// Keeps a file without a name open.
    _file: Option<File>,
}

/// One image of an archive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Where it is read.
    pub(crate) place: ImageName,
    /// What it is called, where it is read from a copy.
    pub(crate) origin: Option<ImageName>,
    /// The names that it gets.
    pub(crate) names: Vec<String>,
}

#[derive(Deserialize)]
struct DockerItem {
    #[serde(rename = "RepoTags")]
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Layout {
    #[serde(default)]
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

impl Archive {
    /// Opens a file, a folder, or standard input (`-`).
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if path.as_os_str() == "-" {
            // A file behind it has that file's place; a pipe has none that a policy could name.
            return Self::spooled(io::stdin(), Path::new("/dev/stdin"));
        }
        let about = std::fs::metadata(path).doing("opening", path)?;
        if about.is_dir() {
            return Ok(Self { path: path.to_owned(), origin: None, _file: None });
        }
        let mut file = File::open(path).doing("opening", path)?;
        let mut first = Vec::with_capacity(6);
        if about.is_file() {
            file.by_ref().take(6).read_to_end(&mut first).doing("reading", path)?;
            file.rewind().doing("reading", path)?;
        }
        if about.is_file() && detect(&first) == Form::Plain {
            return Ok(Self { path: path.to_owned(), origin: None, _file: None });
        }
        Self::spooled(file, path)
    }

    /// Unpacks it into a file without a name, so that whatever happens nothing stays.
    fn spooled(from: impl Read + 'static, what: &Path) -> Result<Self> {
        let folder = std::env::var_os("TMPDIR").filter(|path| !path.is_empty());
        let folder = folder.map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
        let mut file = tempfile::tempfile_in(&folder).doing("making a file in", &folder)?;
        let from = BufReader::with_capacity(256 << 10, from);
        let mut plain = Unpacked::open(from, Unpack::Detect, Limits::default())?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let bytes = match plain.read(&mut buffer) {
                Ok(0) => break,
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let error = Unpacked::fault(error).context(what.display());
                    return Err(RunnerError::Copier(error));
                }
            };
            io::Write::write_all(&mut file, &buffer[..bytes]).doing("writing into", &folder)?;
        }
        let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
        Ok(Self { path, origin: Some(what.to_owned()), _file: Some(file) })
    }

    /// The images in it.
    ///
    /// # Errors
    /// [`RunnerError::Content`] for what is no archive of images.
    pub(crate) fn items(&self) -> Result<Vec<Item>> {
        let path = &self.path;
        if path.is_dir() {
            if !path.join("oci-layout").exists() {
                let place = ImageName::Dir(path.clone());
                return Ok(vec![Item { place, origin: None, names: Vec::new() }]);
            }
            let index = path.join("index.json");
            let text = std::fs::read(&index).doing("reading", &index)?;
            let place = |image| (ImageName::Oci { path: path.clone(), image }, None);
            return layout_items(&text, place);
        }
        if let Some(text) = self.member("manifest.json")? {
            return self.docker_items(&text);
        }
        if let Some(text) = self.member("index.json")? {
            let at = |path: &PathBuf, image| ImageName::OciArchive { path: path.clone(), image };
            let place = |image: LayoutImage| {
                let origin = self.origin.as_ref().map(|origin| at(origin, image.clone()));
                (at(path, image), origin)
            };
            return layout_items(&text, place);
        }
        Err(RunnerError::Content(format!(
            "{}: neither manifest.json nor index.json is in it: it is no archive of images; `berth-runner import` makes \
             an image of the files in a tar",
            self.called().display()
        )))
    }

    fn called(&self) -> &Path {
        self.origin.as_ref().unwrap_or(&self.path)
    }

    fn docker_items(&self, text: &[u8]) -> Result<Vec<Item>> {
        let items: Vec<DockerItem> =
            serde_json::from_slice(text).map_err(|fault| self.damaged("manifest.json", &fault))?;
        let one = |(at, item): (usize, DockerItem)| {
            let tags = item.tags.unwrap_or_default();
            let names = tags.iter().filter_map(|tag| tag.parse::<Reference>().ok());
            let named = |path: &PathBuf| {
                let image = ArchiveImage::At(at);
                ImageName::DockerArchive { path: path.clone(), image }
            };
            let names = names.map(|name| name::full(&name)).collect();
            Item { place: named(&self.path), origin: self.origin.as_ref().map(named), names }
        };
        Ok(items.into_iter().enumerate().map(one).collect())
    }

    fn damaged(&self, file: &str, fault: &serde_json::Error) -> RunnerError {
        RunnerError::Content(format!("{}: {file}: {fault}", self.called().display()))
    }

    /// A small file of the tar.
    fn member(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = &self.path;
        let file = File::open(path).doing("opening", path)?;
        let mut tar = tar::Archive::new(file);
        let broken = |error: io::Error| {
            let called = self.called().display();
            RunnerError::Content(format!("{called}: it is no archive of images: {error}"))
        };
        for entry in tar.entries_with_seek().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let found = entry.path_bytes();
            if found.strip_prefix(b"./").unwrap_or(&found) != name.as_bytes()
                || !entry.header().entry_type().is_file()
            {
                continue;
            }
            if entry.size() > MAX_LIST {
                return Err(RunnerError::Content(format!(
                    "{}: {name} has {} bytes",
                    self.called().display(),
                    entry.size()
                )));
            }
            let mut text = Vec::new();
            entry.read_to_end(&mut text).map_err(broken)?;
            return Ok(Some(text));
        }
        Ok(None)
    }
}

/// Reads bytes as both lists, for the fuzz target.
pub(crate) fn fuzzed(bytes: &[u8]) {
    let archive = Archive { path: "/x".into(), origin: None, _file: None };
    let _items = archive.docker_items(bytes);
    let _items = layout_items(bytes, |image| (ImageName::Oci { path: "/x".into(), image }, None));
}

/// Where a layout has one image, that; else those with names.
fn layout_items(
    index: &[u8],
    place: impl Fn(LayoutImage) -> (ImageName, Option<ImageName>),
) -> Result<Vec<Item>> {
    let layout: Layout = serde_json::from_slice(index)
        .map_err(|fault| RunnerError::Content(format!("index.json: {fault}")))?;
    let names = |entry: &Entry| {
        let annotation = |key: &str| entry.annotations.as_ref()?.get(key).filter(|name| !name.is_empty());
        let name =
            annotation("io.containerd.image.name").or(annotation("org.opencontainers.image.ref.name"))?;
        // What a registry is named in stands for itself; a bare name or tag was made somewhere.
        name::own(name).ok()
    };
    let item = |image, names| {
        let (place, origin) = place(image);
        Item { place, origin, names }
    };
    if let [only] = layout.manifests.as_slice() {
        return Ok(vec![item(LayoutImage::Only, names(only).into_iter().collect())]);
    }
    let entries = layout.manifests.iter().enumerate();
    let named: Vec<Item> =
        entries.filter_map(|(at, entry)| Some(item(LayoutImage::At(at), vec![names(entry)?]))).collect();
    if named.is_empty() {
        return Err(RunnerError::Content(format!(
            "index.json lists {} images and names none: pull one with `berth-runner pull oci:PATH:@N`",
            layout.manifests.len()
        )));
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layouts_images_are_those_with_names() {
        let place = |image| (ImageName::Oci { path: "/x".into(), image }, None);
        let item = |image, names: &[&str]| Item {
            place: place(image).0,
            origin: None,
            names: names.iter().map(ToString::to_string).collect(),
        };
        let index = br#"{"manifests":[
            {"annotations":{"org.opencontainers.image.ref.name":"x.org/a:1"}}, {},
            {"annotations":{"io.containerd.image.name":"docker.io/library/b:2","org.opencontainers.image.ref.name":"2"}}]}"#;
        let items = layout_items(index, place).unwrap();
        assert_eq!(items[0], item(LayoutImage::At(0), &["x.org/a:1"]));
        assert_eq!(items[1], item(LayoutImage::At(2), &["docker.io/library/b:2"]));
        assert_eq!(items.len(), 2);
        let one = layout_items(br#"{"manifests":[{}]}"#, place).unwrap();
        assert_eq!(one, vec![item(LayoutImage::Only, &[])]);
        assert!(layout_items(br#"{"manifests":[{},{}]}"#, place).is_err());
    }
}
