//! Extended attributes in a tar: records `SCHILY.xattr.NAME` before the entry, as GNU tar writes and reads them, and
//! `LIBARCHIVE.xattr.NAME`, in base64, for values that hold the byte at which readers end a record. Those that an image
//! may set (`user.*` but overlay's own, and file capabilities); what else there is belongs to the machine.

use std::{
    ffi::CString,
    io::{Read, Write},
    os::fd::AsFd,
    path::Path,
};

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD_NO_PAD},
};
use rustix::{
    fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr},
    io::Errno,
};

use super::Owners;
use crate::error::{Result, RunnerError, While};

const PLAIN: &str = "SCHILY.xattr.";
const BASE64: &str = "LIBARCHIVE.xattr.";
const CAPABILITY: &str = "security.capability";
/// Some write the signs that fill up a value's end, others do not.
const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// The longest list and value that the kernel has.
const LONGEST: usize = 65_536;

fn is_the_image_s(name: &str) -> bool {
    name == CAPABILITY || name.starts_with("user.") && !name.starts_with("user.overlay.")
}

/// Writes the attributes of a file or folder, before its entry.
///
/// # Errors
/// Where they cannot be read or written.
pub(super) fn pack(tar: &mut tar::Builder<impl Write>, file: impl AsFd, at: &Path) -> Result<()> {
    let mut names = vec![0_u8; LONGEST];
    let length = match flistxattr(&file, names.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error).doing("reading attributes of", at),
    };
    let mut found = Vec::new();
    // A name that is no text cannot be a record's.
    for name in names[..length].split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok()) {
        if !is_the_image_s(name) {
            continue;
        }
        let mut value = vec![0_u8; LONGEST];
        match fgetxattr(&file, name, value.as_mut_slice()) {
            Ok(length) => value.truncate(length),
            // It went meanwhile.
            Err(Errno::NODATA) => continue,
            Err(error) => return Err(error).doing("reading attributes of", at),
        }
        // The name of a record ends at the first of these.
        let name = name.replace('%', "%25").replace('=', "%3D");
        found.push(if value.contains(&b'\n') {
            (format!("{BASE64}{name}"), STANDARD_NO_PAD.encode(&value).into_bytes())
        } else {
            (format!("{PLAIN}{name}"), value)
        });
    }
    found.sort();
    let records = found.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
    tar.append_pax_extensions(records).doing("writing into the tar", at)
}

/// Sets those of an entry on what was made of it, after its owner, which takes capabilities away. What a program may do
/// is a matter of its owner: capabilities are kept with that (`--archive`), and else left out.
///
/// # Errors
/// [`RunnerError::Content`] for records that are none; where the kernel does not take one.
pub(super) fn unpack(
    entry: &mut tar::Entry<'_, impl Read>,
    owners: Owners,
    file: impl AsFd,
    at: &Path,
) -> Result<()> {
    let wrong = |what: &str| RunnerError::Content(format!("reading the tar: {}: {what}", at.display()));
    let records = entry.pax_extensions().map_err(|error| wrong(&error.to_string()))?;
    for record in records.into_iter().flatten() {
        let record = record.map_err(|error| {
            wrong(&format!("{error}: values with a line's end are not read: make the tar without --xattrs"))
        })?;
        let Ok(key) = record.key() else { continue };
        let (name, value) = if let Some(name) = key.strip_prefix(PLAIN) {
            (name, record.value_bytes().to_vec())
        } else if let Some(name) = key.strip_prefix(BASE64) {
            let value = FORGIVING.decode(record.value_bytes());
            (name, value.map_err(|error| wrong(&format!("{key}: {error}")))?)
        } else {
            continue;
        };
        let name = name.replace("%3D", "=").replace("%25", "%");
        if !is_the_image_s(&name) || name == CAPABILITY && owners != Owners::Kept {
            continue;
        }
        let name = CString::new(name).map_err(|error| wrong(&error.to_string()))?;
        match fsetxattr(&file, &name, &value, XattrFlags::empty()) {
            // A filesystem without them.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error).doing("setting attributes of", at),
        }
    }
    Ok(())
}
