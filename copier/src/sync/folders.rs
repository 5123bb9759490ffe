//! Images on a disk: folders with `dir:` images in them, and the names in an OCI layout.

use std::{fs, io::Read, path::Path};

use berth_oci::{
    Manifest, MediaType,
    manifest::{Kind, MAX_MANIFEST_BYTES},
};

use crate::{Error, ImageName, Result, name::LayoutImage};

/// A `dir:` image is a folder with this file.
pub(super) const MANIFEST: &str = "manifest.json";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Deepest nesting of folders that is looked into.
const MAX_DEPTH: usize = 64;

/// Every image in a folder, at any depth, with its path under the folder; in the order of their names. A folder that is
/// an image itself goes by its own name. Symbolic links in it are not followed.
///
/// # Errors
/// If a folder cannot be read.
pub(super) fn images_of_folder(path: &Path) -> Result<Vec<(ImageName, String)>> {
    if !path.is_dir() {
        let fault = fs::metadata(path).err().unwrap_or_else(|| std::io::ErrorKind::NotADirectory.into());
        let fault = Error::named_file("looking for images", path)(fault);
        return Err(fault.context("Invalid source directory specified"));
    }
    if path.join(MANIFEST).is_file() {
        let whole = path.canonicalize().map_err(Error::file(path))?;
        let name = whole.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        return Ok(vec![(ImageName::Dir(path.into()), name)]);
    }
    let mut out = Vec::new();
    walk(path, "", 0, &mut out)?;
    Ok(out)
}

fn walk(folder: &Path, origin: &str, depth: usize, out: &mut Vec<(ImageName, String)>) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Error::Integrity(format!(
            "{}: folders lie more than {MAX_DEPTH} deep",
            folder.display()
        )));
    }
    let mut entries: Vec<_> =
        fs::read_dir(folder).and_then(Iterator::collect).map_err(Error::file(folder))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // Of the entry itself: what a link leads to is not looked at.
        if !entry.file_type().map_err(Error::file(&path))?.is_dir() {
            continue;
        }
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| {
            Error::Usage(format!("{}: the name is no UTF-8, so no image can be called by it", path.display()))
        })?;
        let origin = if origin.is_empty() { name.to_owned() } else { format!("{origin}/{name}") };
        if path.join(MANIFEST).is_file() {
            out.push((ImageName::Dir(path), origin));
        } else {
            walk(&path, &origin, depth + 1, out)?;
        }
    }
    Ok(())
}

/// The images of an OCI layout that have a name, in the order of its index; those without one are warned of.
///
/// # Errors
/// If there is no index, or it is none.
pub(super) fn images_of_layout(path: &Path) -> Result<Vec<(ImageName, String)>> {
    let index = read_index(path)?;
    let mut out: Vec<(ImageName, String)> = Vec::new();
    for entry in &index.manifests {
        match entry.annotations.get(REF_NAME) {
            Some(name) if out.iter().any(|(_, origin)| origin == name) => {
                return Err(Error::Integrity(format!("{}: two images are called {name:?}", path.display())));
            }
            Some(name) => {
                let image = LayoutImage::Named(name.clone());
                out.push((ImageName::Oci { path: path.into(), image }, name.clone()));
            }
            None => tracing::warn!(
                "{}: {} has no name and is left out; give it one, or copy it with oci:PATH:@PLACE",
                path.display(),
                entry.digest
            ),
        }
    }
    Ok(out)
}

fn read_index(path: &Path) -> Result<Manifest> {
    let file = path.join("index.json");
    let mut raw = Vec::new();
    fs::File::open(&file)
        .and_then(|open| open.take(MAX_MANIFEST_BYTES as u64 + 1).read_to_end(&mut raw))
        .map_err(Error::named_file("reading the image layout", &file))?;
    let fault = |fault: String| Error::Integrity(format!("{}: {fault}", file.display()));
    let index = Manifest::parse(raw.into(), Some(&MediaType::OCI_INDEX.into()))
        .map_err(|error| fault(error.to_string()))?;
    if index.kind == Kind::Index { Ok(index) } else { Err(fault("it is no index".to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(images: &[(ImageName, String)]) -> Vec<&str> {
        images.iter().map(|(_, origin)| origin.as_str()).collect()
    }

    #[test]
    fn images_are_folders_with_a_manifest_at_any_depth() {
        let scratch = tempfile::tempdir().unwrap();
        for folder in ["b:2", "a:1", "reg.io/group/c:3", "empty", "a:1/inner:9"] {
            fs::create_dir_all(scratch.path().join(folder)).unwrap();
            if folder != "empty" {
                fs::write(scratch.path().join(folder).join(MANIFEST), "{}").unwrap();
            }
        }
        std::os::unix::fs::symlink(scratch.path().join("a:1"), scratch.path().join("link:1")).unwrap();
        let images = images_of_folder(scratch.path()).unwrap();
        assert_eq!(origins(&images), ["a:1", "b:2", "reg.io/group/c:3"]);
        let one = images_of_folder(&scratch.path().join("b:2")).unwrap();
        assert_eq!(origins(&one), ["b:2"]);
        let error = images_of_folder(&scratch.path().join("none")).unwrap_err().to_string();
        assert!(error.starts_with("Invalid source directory specified"), "{error}");
    }

    #[test]
    fn images_of_a_layout_are_those_with_a_name() {
        let scratch = tempfile::tempdir().unwrap();
        let entry = |name: &str| {
            let digest = format!("sha256:{}", "0".repeat(64));
            let annotations = if name.is_empty() {
                String::new()
            } else {
                format!(r#","annotations":{{"{REF_NAME}":"{name}"}}"#)
            };
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":1{annotations}}}"#
            )
        };
        let write = |names: &[&str]| {
            let entries: Vec<_> = names.iter().map(|name| entry(name)).collect();
            let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
            fs::write(scratch.path().join("index.json"), index).unwrap();
        };
        write(&["app:1", "", "reg.io/x:2"]);
        assert_eq!(origins(&images_of_layout(scratch.path()).unwrap()), ["app:1", "reg.io/x:2"]);
        write(&["app:1", "app:1"]);
        assert_eq!(images_of_layout(scratch.path()).unwrap_err().exit_code(), 4);
        assert!(images_of_layout(&scratch.path().join("none")).is_err());
    }
}
