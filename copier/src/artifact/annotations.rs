//! Annotations from the command line and from a file in oras's form.

use std::{collections::BTreeMap, path::Path};

use crate::{Error, Result};

/// Most bytes of a file of annotations.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
const MANIFEST: &str = "$manifest";
const CONFIG: &str = "$config";

/// Annotations by what they are of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    /// Of the manifest.
    pub manifest: BTreeMap<String, String>,
    /// Of the configuration's descriptor.
    pub config: BTreeMap<String, String>,
    /// Of files' descriptors, by the path or title of each.
    pub files: BTreeMap<String, BTreeMap<String, String>>,
}

impl Annotations {
    /// Reads oras's form: an object with the keys `$manifest`, `$config` and files' names, of objects of texts.
    ///
    /// # Errors
    /// `Error::File` and `Error::Configuration`.
    pub fn read(path: &Path) -> Result<Self> {
        let length = std::fs::metadata(path).map_err(Error::file(path))?.len();
        let fault = |fault: String| Error::Configuration { path: path.into(), fault };
        if length > MAX_BYTES {
            return Err(fault(format!("more than {MAX_BYTES} bytes")));
        }
        let text = std::fs::read(path).map_err(Error::file(path))?;
        let mut files: BTreeMap<String, BTreeMap<String, String>> =
            serde_json::from_slice(&text).map_err(|error| {
                fault(format!(
                    "{error}; write {{\"$manifest\": {{\"key\": \"value\"}}, \"file.txt\": {{…}}}}"
                ))
            })?;
        Ok(Self {
            manifest: files.remove(MANIFEST).unwrap_or_default(),
            config: files.remove(CONFIG).unwrap_or_default(),
            files,
        })
    }

    /// Adds `key=value` for the manifest; it goes before what a file said.
    ///
    /// # Errors
    /// `Error::Usage` for what has no `=` or no key.
    pub fn add(&mut self, text: &str) -> Result<()> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                self.manifest.insert(key.to_owned(), value.to_owned());
                Ok(())
            }
            _ => Err(Error::Usage(format!("--annotation \"{text}\" is not of the form KEY=VALUE"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_orass_form_is_read_and_the_command_line_goes_before() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a.json");
        std::fs::write(
            &path,
            r#"{"$manifest": {"a": "1", "b": "2"}, "$config": {"c": "3"}, "x.txt": {"d": "4"}}"#,
        )
        .unwrap();
        let mut read = Annotations::read(&path).unwrap();
        read.add("a=new=x").unwrap();
        assert_eq!(read.manifest["a"], "new=x");
        assert_eq!((read.manifest["b"].as_str(), read.config["c"].as_str()), ("2", "3"));
        assert_eq!(read.files["x.txt"]["d"], "4");
        assert!(read.add("nothing").is_err() && read.add("=x").is_err());
        std::fs::write(&path, r#"{"x": 1}"#).unwrap();
        assert!(Annotations::read(&path).unwrap_err().to_string().contains("a.json"));
    }
}
