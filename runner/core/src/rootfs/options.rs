//! Mount options, as the runtime specification lists them (config.md, "Linux mount options"): one table.

use libc::{
    MOUNT_ATTR__ATIME as ATIME, MOUNT_ATTR_NOATIME as NOATIME, MOUNT_ATTR_NODEV as NODEV,
    MOUNT_ATTR_NODIRATIME as NODIRATIME, MOUNT_ATTR_NOEXEC as NOEXEC, MOUNT_ATTR_NOSUID as NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW as NOSYMFOLLOW, MOUNT_ATTR_RDONLY as RDONLY,
    MOUNT_ATTR_STRICTATIME as STRICTATIME,
};

/// Attributes of a mount to switch on and off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) set: u64,
    pub(super) clear: u64,
}

impl Attributes {
    pub(super) const READ_ONLY: Self = Self { set: RDONLY, clear: 0 };

    /// A later option wins over an earlier one. The kernel wants the whole mask of access times cleared where one
    /// of them is set, so that mask stays in `clear`.
    fn add(&mut self, set: u64, clear: u64) {
        self.clear = (self.clear & !(set & !ATIME)) | clear;
        self.set = (self.set & !clear) | set;
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }

    pub(super) fn is_read_only(self) -> bool {
        self.set & RDONLY != 0
    }

    /// The same without the read-only attribute, for mounts into which something is put first.
    pub(super) fn writable(self) -> Self {
        Self { set: self.set & !RDONLY, ..self }
    }

    /// What is left when a mount keeps the attributes that its owner locked: nothing is switched off, and access
    /// times stay as they are.
    pub(super) fn without_unlocking(self) -> Self {
        Self { set: self.set & !(ATIME | NODIRATIME), clear: 0 }
    }
}

/// How mounts made below a mount spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Propagation {
    /// One of `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE`.
    pub(super) kind: u64,
    pub(super) recursive: bool,
}

impl Propagation {
    /// What comes from outside comes in, nothing goes out.
    pub(super) const SLAVE: Self = Self { kind: libc::MS_SLAVE, recursive: true };

    /// `private`, `rshared` and so on.
    pub(super) fn parse(word: &str) -> Option<Self> {
        let (word, recursive) = match word.strip_prefix('r') {
            Some(rest) => (rest, true),
            None => (word, false),
        };
        let kind = match word {
            "private" => libc::MS_PRIVATE,
            "shared" => libc::MS_SHARED,
            "slave" => libc::MS_SLAVE,
            "unbindable" => libc::MS_UNBINDABLE,
            _ => return None,
        };
        Some(Self { kind, recursive })
    }
}

/// The options of one mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// For the mount itself.
    pub(super) attributes: Attributes,
    /// For it and everything below it.
    pub(super) recursive: Attributes,
    /// In the order in which they were given.
    pub(super) propagation: Vec<Propagation>,
    /// `bind` (`false`) or `rbind` (`true`).
    pub(super) bind: Option<bool>,
    /// `idmap` (`false`) or `ridmap` (`true`).
    pub(super) id_map: Option<bool>,
    /// Change what is mounted there.
    pub(super) remount: bool,
    /// Start a tmpfs with what the image has at its place.
    pub(super) copy_up: bool,
    /// Flags of the filesystem, not of the mount: `sync`, `dirsync`, `mand`, `lazytime`.
    pub(super) flags: Vec<&'static str>,
    /// What is the filesystem's own: `size=64m`, `newinstance`.
    pub(super) data: Vec<(String, Option<String>)>,
}

fn attribute(word: &str) -> Option<(u64, u64)> {
    Some(match word {
        "ro" => (RDONLY, 0),
        "rw" => (0, RDONLY),
        "nosuid" => (NOSUID, 0),
        "suid" => (0, NOSUID),
        "nodev" => (NODEV, 0),
        "dev" => (0, NODEV),
        "noexec" => (NOEXEC, 0),
        "exec" => (0, NOEXEC),
        "noatime" => (NOATIME, ATIME),
        "strictatime" => (STRICTATIME, ATIME),
        // Relative access times are the absence of the other two.
        "relatime" | "atime" | "norelatime" | "nostrictatime" => (0, ATIME),
        "nodiratime" => (NODIRATIME, 0),
        "diratime" => (0, NODIRATIME),
        "nosymfollow" => (NOSYMFOLLOW, 0),
        "symfollow" => (0, NOSYMFOLLOW),
        _ => return None,
    })
}

/// The flag of the filesystem and whether it is switched on.
fn flag(word: &str) -> Option<(&'static str, bool)> {
    Some(match word {
        "sync" => ("sync", true),
        "async" => ("sync", false),
        "dirsync" => ("dirsync", true),
        "mand" => ("mand", true),
        "nomand" => ("mand", false),
        "lazytime" => ("lazytime", true),
        "nolazytime" => ("lazytime", false),
        "iversion" => ("iversion", true),
        "noiversion" => ("iversion", false),
        "silent" => ("silent", true),
        "loud" => ("silent", false),
        _ => return None,
    })
}

impl Options {
    /// Reads them in order; what is no option of a mount is the filesystem's own.
    pub(super) fn parse(words: &[String]) -> Self {
        let mut options = Self::default();
        for word in words {
            options.add(word);
        }
        options
    }

    fn add(&mut self, word: &str) {
        if let Some((set, clear)) = attribute(word) {
            self.attributes.add(set, clear);
        } else if let Some((set, clear)) = word.strip_prefix('r').and_then(attribute) {
            self.recursive.add(set, clear);
        } else if let Some(propagation) = Propagation::parse(word) {
            self.propagation.push(propagation);
        } else if let Some((name, on)) = flag(word) {
            self.flags.retain(|other| *other != name);
            if on {
                self.flags.push(name);
            }
        } else {
            match word {
                "" | "defaults" => {}
                "bind" => self.bind = Some(self.bind.unwrap_or(false)),
                "rbind" => self.bind = Some(true),
                "idmap" => self.id_map = Some(self.id_map.unwrap_or(false)),
                "ridmap" => self.id_map = Some(true),
                "remount" => self.remount = true,
                "tmpcopyup" => self.copy_up = true,
                _ => self.data.push(match word.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                    None => (word.to_owned(), None),
                }),
            }
        }
    }

    /// Labels all files, unless the options do.
    pub(super) fn label(&mut self, label: Option<&(&'static str, String)>) {
        if let Some((key, value)) = label
            && !self.data.iter().any(|(other, _)| other == key)
        {
            self.data.push(((*key).to_owned(), Some(value.clone())));
        }
    }

    /// The filesystem's own options as `mount(2)` takes them: labels have commas, and so stand in quotes.
    pub(super) fn data_text(&self) -> String {
        let word = |(key, value): &(String, Option<String>)| match value {
            Some(value) if key.ends_with("context") => format!("{key}=\"{value}\""),
            Some(value) => format!("{key}={value}"),
            None => key.clone(),
        };
        self.data.iter().map(word).collect::<Vec<_>>().join(",")
    }
}

/// For the fuzz targets: see [`crate::fuzzing::mount_options`].
pub(crate) fn fuzzed(text: &str) {
    let words: Vec<String> = text.split(',').map(str::to_owned).collect();
    let options = Options::parse(&words);
    for Attributes { set, clear } in [options.attributes, options.recursive] {
        assert_eq!(set & clear & !ATIME, 0, "{options:?}");
        assert!(set & ATIME == 0 || clear & ATIME == ATIME, "{options:?}");
    }
    assert!(options.data.len() <= words.len());
    let _text = options.data_text();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Options {
        Options::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_later_option_wins_over_an_earlier_one() {
        assert_eq!(parse(&["ro", "rw"]).attributes, Attributes { set: 0, clear: RDONLY });
        assert_eq!(parse(&["rw", "ro"]).attributes, Attributes { set: RDONLY, clear: 0 });
        assert_eq!(
            parse(&["nosuid", "noexec", "exec"]).attributes,
            Attributes { set: NOSUID, clear: NOEXEC }
        );
    }

    #[test]
    fn access_times_clear_their_whole_mask() {
        assert_eq!(parse(&["noatime"]).attributes, Attributes { set: NOATIME, clear: ATIME });
        assert_eq!(
            parse(&["noatime", "strictatime"]).attributes,
            Attributes { set: STRICTATIME, clear: ATIME }
        );
        assert_eq!(parse(&["noatime", "relatime"]).attributes, Attributes { set: 0, clear: ATIME });
    }

    #[test]
    fn the_letter_r_makes_an_attribute_recursive_and_relatime_is_not_elatime() {
        let options = parse(&["rro", "rnosuid", "relatime", "rw", "rrelatime"]);
        assert_eq!(options.recursive, Attributes { set: RDONLY | NOSUID, clear: ATIME });
        assert_eq!(options.attributes, Attributes { set: 0, clear: ATIME | RDONLY });
        assert!(options.data.is_empty());
    }

    #[test]
    fn propagation_keeps_its_order() {
        let kinds = parse(&["rslave", "shared"]).propagation;
        assert_eq!(kinds, [Propagation::SLAVE, Propagation { kind: libc::MS_SHARED, recursive: false }]);
    }

    #[test]
    fn binds_and_id_maps_are_recursive_when_one_word_says_so() {
        assert_eq!(parse(&["rbind", "bind"]).bind, Some(true));
        assert_eq!(parse(&["bind"]).bind, Some(false));
        assert_eq!(parse(&["ridmap", "idmap"]).id_map, Some(true));
        assert_eq!(parse(&[]).bind, None);
    }

    #[test]
    fn the_rest_is_the_filesystems() {
        let options = parse(&["mode=755", "size=64k", "newinstance", "sync", "async", "dirsync", "defaults"]);
        assert_eq!(options.flags, ["dirsync"]);
        assert_eq!(options.data_text(), "mode=755,size=64k,newinstance");
    }

    #[test]
    fn a_label_is_added_once_and_quoted_for_the_old_call() {
        let label = ("context", "u:r:t:s0:c1,c2".to_owned());
        let mut options = parse(&["size=4k"]);
        options.label(Some(&label));
        options.label(Some(&label));
        assert_eq!(options.data_text(), "size=4k,context=\"u:r:t:s0:c1,c2\"");
    }
}
