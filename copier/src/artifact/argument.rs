//! What the user calls a file: `PATH[:MEDIA-TYPE]`.

use std::path::{Component, Path, PathBuf};

use berth_oci::MediaType;

use super::title::Title;
use crate::{Error, Result};

/// A file or folder, and the type it is pushed as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileArgument {
    /// Where it is.
    pub path: PathBuf,
    /// Its type, where one was given.
    pub media_type: Option<MediaType>,
}

impl FileArgument {
    /// Reads `PATH[:MEDIA-TYPE]`. A path that exists as it stands has no type behind it.
    ///
    /// # Errors
    /// `Error::Usage` for a type that is none.
    pub fn parse(text: &str) -> Result<Self> {
        let whole = Self { path: text.into(), media_type: None };
        if whole.path.exists() {
            return Ok(whole);
        }
        match text.rsplit_once(':') {
            Some((path, media_type)) if media_type.contains('/') => {
                if !is_media_type(media_type) {
                    return Err(Error::Usage(format!(
                        "\"{text}\": \"{media_type}\" is no media type, like application/json"
                    )));
                }
                Ok(Self { path: path.into(), media_type: Some(MediaType::new(media_type)) })
            }
            _ => Ok(whole),
        }
    }

    /// The name that it is given in an artifact: its path where that is relative and stays below the working folder,
    /// else its last component.
    ///
    /// # Errors
    /// `Error::Usage` where there is no name, and `Error::Integrity` for one that could not be pulled.
    pub(super) fn title(&self) -> Result<Title> {
        let below =
            self.path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        let named = self.path.components().any(|part| matches!(part, Component::Normal(_)));
        let resolved;
        let path: &Path = if below && named {
            &self.path
        } else {
            // `..` and `/` have a name only once they are resolved.
            resolved = self.path.canonicalize().map_err(Error::file(&self.path))?;
            Path::new(resolved.file_name().unwrap_or_default())
        };
        let text = path.to_str().ok_or_else(|| {
            Error::Usage(format!("{}: the name is no UTF-8, and titles are", self.path.display()))
        })?;
        Title::parse(text)
    }
}

/// RFC 6838, section 4.2, without parameters.
pub(super) fn is_media_type(text: &str) -> bool {
    let name = |part: &str| {
        !part.is_empty()
            && part.len() <= 127
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    text.split_once('/').is_some_and(|(kind, sub)| name(kind) && name(sub))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_stands_behind_the_last_colon() {
        let parse = |text: &str| FileArgument::parse(text).unwrap();
        let typed = |path: &str, media_type: &str| FileArgument {
            path: path.into(),
            media_type: Some(MediaType::new(media_type)),
        };
        assert_eq!(parse("no-such.txt:text/plain"), typed("no-such.txt", "text/plain"));
        assert_eq!(parse("a:b:application/x"), typed("a:b", "application/x"));
        assert_eq!(parse("no:such").media_type, None);
        assert!(FileArgument::parse("x:text/plain; q").is_err());
    }

    #[test]
    fn a_path_that_exists_keeps_its_colons() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("a:b");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("c"), "").unwrap();
        let text = folder.join("c").display().to_string();
        assert_eq!(FileArgument::parse(&text).unwrap().path, folder.join("c"));
    }

    #[test]
    fn titles_are_the_path_or_its_end() {
        let title =
            |text: &str| FileArgument { path: text.into(), media_type: None }.title().unwrap().to_string();
        assert_eq!(title("./docs/a.txt"), "docs/a.txt");
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("x.bin");
        std::fs::write(&file, "").unwrap();
        assert_eq!(title(file.to_str().unwrap()), "x.bin");
        assert!(!title(".").is_empty());
    }
}
