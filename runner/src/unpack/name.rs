//! What an entry's name may be, and what whiteouts mean (image-spec, layer.md, "Whiteouts").

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use super::{Fault, MAX_DEPTH, MAX_PATH};

/// Begins the name of a whiteout.
pub(crate) const WHITEOUT: &[u8] = b".wh.";
/// The folder hides what lies under it in lower layers.
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";
/// Begins names that an old union file system kept for itself.
const WHITEOUT_OWN: &[u8] = b".wh..wh.";

/// What a name asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// The root of the layer itself.
    Root,
    /// An entry; relative, of normal components.
    Entry(PathBuf),
    /// Hides the entry of this path in lower layers.
    Whiteout(PathBuf),
    /// Hides everything under this folder in lower layers.
    Opaque(PathBuf),
    /// Nothing.
    Ignored,
}

/// Takes a name apart into normal components.
pub(super) fn normal(name: &[u8]) -> Result<Vec<&OsStr>, Fault> {
    if name.len() > MAX_PATH {
        return Err(Fault::rule(format!("its name has more than {MAX_PATH} bytes")));
    }
    if name.contains(&0) {
        return Err(Fault::rule("its name holds a NUL"));
    }
    let mut components = Vec::new();
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err(Fault::rule("its name holds `..`, which could lead out of the layer")),
            _ if component.len() > 255 => {
                return Err(Fault::rule("a component of its name has more than 255 bytes"));
            }
            _ => components.push(OsStr::from_bytes(component)),
        }
    }
    if components.len() > MAX_DEPTH {
        return Err(Fault::rule(format!("it lies more than {MAX_DEPTH} folders deep")));
    }
    Ok(components)
}

/// Reads an entry's name.
pub(super) fn entry(name: &[u8]) -> Result<Named, Fault> {
    let mut components = normal(name)?;
    let Some(last) = components.pop() else { return Ok(Named::Root) };
    if components.iter().any(|component| component.as_bytes().starts_with(WHITEOUT)) {
        return Err(Fault::rule("a folder in its name begins with `.wh.`, which only a whiteout may"));
    }
    let folder: PathBuf = components.iter().collect();
    let last = last.as_bytes();
    let Some(hidden) = last.strip_prefix(WHITEOUT) else {
        return Ok(Named::Entry(folder.join(OsStr::from_bytes(last))));
    };
    if last == OPAQUE {
        return Ok(Named::Opaque(folder));
    }
    match hidden {
        b"" | b"." | b".." => Err(Fault::rule("a whiteout names no entry of its folder")),
        _ if last.starts_with(WHITEOUT_OWN) => Ok(Named::Ignored),
        _ => Ok(Named::Whiteout(folder.join(OsStr::from_bytes(hidden)))),
    }
}

/// Reads a hard link's target: an entry of the same layer.
pub(super) fn link(target: &[u8]) -> Result<PathBuf, Fault> {
    let rule = |_| Fault::rule("it is a hard link whose target holds `..`, a NUL or is too long");
    let components = normal(target).map_err(rule)?;
    if components.is_empty() {
        return Err(Fault::rule("it is a hard link to nothing"));
    }
    if components.iter().any(|component| component.as_bytes().starts_with(WHITEOUT)) {
        return Err(Fault::rule("it is a hard link to a whiteout"));
    }
    Ok(components.iter().collect())
}

/// Reads a symbolic link's target, which may be anything that the system takes.
pub(super) fn symlink(target: &[u8]) -> Result<OsString, Fault> {
    if target.is_empty() || target.contains(&0) || target.len() >= MAX_PATH {
        return Err(Fault::rule("it is a symbolic link whose target is empty, too long or holds a NUL"));
    }
    Ok(OsStr::from_bytes(target).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_does_not_matter() {
        let named = |path: &str| Named::Entry(path.into());
        assert_eq!(entry(b"./usr//bin/./env").unwrap(), named("usr/bin/env"));
        assert_eq!(entry(b"/etc/passwd").unwrap(), named("etc/passwd"), "u1: absolute is contained");
        assert_eq!(entry(b"a/").unwrap(), named("a"));
        for root in [&b"."[..], b"./", b"/", b"", b"././/"] {
            assert_eq!(entry(root).unwrap(), Named::Root);
        }
    }

    #[test]
    fn u1_names_that_could_lead_out_are_refused() {
        for bad in
            [&b"../x"[..], b"a/../../x", b"a/..", b"..", b"/../x", b"a\0b", &[b'x'; 256], &[b'/'; 4097]]
        {
            assert!(entry(bad).is_err(), "{bad:?}");
            assert!(link(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn u5_whiteouts_name_an_entry_of_their_folder() {
        assert_eq!(entry(b"a/.wh.b").unwrap(), Named::Whiteout("a/b".into()));
        assert_eq!(entry(b"a/.wh..wh..opq").unwrap(), Named::Opaque("a".into()));
        assert_eq!(entry(b".wh..wh..opq").unwrap(), Named::Opaque("".into()));
        assert_eq!(entry(b".wh..wh.plnk").unwrap(), Named::Ignored);
        for bad in [&b".wh."[..], b".wh..", b".wh...", b"a/.wh...", b".wh./x", b".wh.a/x"] {
            assert!(entry(bad).is_err(), "{bad:?}");
        }
        assert!(link(b"a/.wh.b").is_err());
    }
}
