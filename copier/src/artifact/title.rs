//! A file's name in an artifact. Whoever made the artifact chose it, so it is believed nothing (C10).

use std::fmt;

use crate::{Error, Result};

/// Most bytes of a title.
const MAX_BYTES: usize = 4096;
/// Most folders in it.
const MAX_DEPTH: usize = 64;

/// A relative path without `.`, `..` and control characters, of at least one component.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Title(Vec<String>);

impl Title {
    /// Reads a title.
    ///
    /// # Errors
    /// `Error::Integrity` for a name that leads out of a folder, or is none.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let fault = |rule: &str| {
            let shown: String = text.chars().take(200).collect();
            Error::Integrity(format!("the artifact calls a file \"{}\": {rule}", shown.escape_debug()))
        };
        if text.len() > MAX_BYTES {
            return Err(fault("a name has 4096 bytes at most"));
        }
        if text.starts_with('/') {
            return Err(fault("an absolute path is not written to"));
        }
        if text.chars().any(char::is_control) {
            return Err(fault("control characters are not written into names"));
        }
        let parts: Vec<String> =
            text.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect();
        if parts.iter().any(|part| part == "..") {
            return Err(fault("a path with .. is not written to"));
        }
        if parts.is_empty() {
            return Err(fault("that is no name of a file"));
        }
        if parts.len() > MAX_DEPTH {
            return Err(fault("folders may be 64 deep"));
        }
        Ok(Self(parts))
    }

    /// The folders before the last component.
    pub(super) fn folders(&self) -> &[String] {
        &self.0[..self.0.len() - 1]
    }

    /// The last component.
    pub(super) fn name(&self) -> &str {
        &self.0[self.0.len() - 1]
    }

    /// All components.
    pub(super) fn parts(&self) -> &[String] {
        &self.0
    }
}

/// Whether a symbolic link in the folder `from` (components below a root) leads to a place below that root.
///
/// `..` may only stand at the beginning: behind a name, which may be another link, it is counted from wherever that leads.
pub(super) fn stays_below(from: &[String], target: &str) -> bool {
    let mut depth = from.len();
    let mut named = false;
    if target.is_empty() || target.starts_with('/') || target.contains('\0') {
        return false;
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if named || depth == 0 => return false,
            ".." => depth -= 1,
            _ => named = true,
        }
    }
    true
}

impl fmt::Display for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_relative_paths() {
        for (text, shown) in [("a.txt", "a.txt"), ("./a//b/./c", "a/b/c"), ("ä ö/…", "ä ö/…"), ("a/", "a")]
        {
            assert_eq!(Title::parse(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn links_stay_below_their_root() {
        let from = ["a".to_owned(), "b".to_owned()];
        for target in ["c", "../c", "../../c", ".././../x", "../../a/b"] {
            assert!(stays_below(&from, target), "{target}");
        }
        for target in ["", "/", "/etc", "../../..", "../../../x", "../../a/../../x", "c/../../../../y"] {
            assert!(!stays_below(&from, target), "{target}");
        }
    }

    #[test]
    fn links_do_not_climb_from_where_another_link_leads() {
        let deep: Vec<String> = ["a", "b", "c", "d"].map(str::to_owned).into();
        assert!(stays_below(&deep, "../../../.."));
        for target in ["up/../../victim", "up/..", "../up/../x", "./up/./..", "up//..//x"] {
            assert!(!stays_below(&deep, target), "{target}");
        }
    }

    #[test]
    fn c10_names_that_lead_out_are_refused() {
        let deep = "a/".repeat(65) + "x";
        let long = "a".repeat(5000);
        for text in [
            "",
            ".",
            "/",
            "/etc/passwd",
            "..",
            "../x",
            "a/../../x",
            "a/..",
            "a\0b",
            "a\nb",
            "\u{1b}[2J",
            &deep,
            &long,
        ] {
            assert_eq!(Title::parse(text).unwrap_err().exit_code(), 4, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn c10_no_name_and_no_link_leads_out(text in "(/|\\.|\\.\\.|a|b|\\PC){0,12}", depth in 0_usize..4) {
            if let Ok(title) = Title::parse(&text) {
                let sound = |part: &String| !part.is_empty() && part != "." && part != ".." && !part.contains('/');
                proptest::prop_assert!(title.parts().iter().all(sound));
                proptest::prop_assert_eq!(Title::parse(&title.to_string()).unwrap(), title);
            }
            let from: Vec<String> = (0..depth).map(|at| at.to_string()).collect();
            if stays_below(&from, &text) {
                // Step by step, a folder for each name.
                let mut here = depth;
                for part in text.split('/') {
                    here = match part {
                        "" | "." => here,
                        ".." => here.checked_sub(1).expect("it leads out"),
                        _ => here + 1,
                    };
                }
            }
        }
    }
}
