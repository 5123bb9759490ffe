//! What a pusher was told, in a file that survives everything the test does.
//!
//! One line an event, written by one `write`, so that a killed writer leaves whole lines and one torn end at most.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::Result;

/// The file, open for adding.
#[derive(Debug)]
pub struct Journal {
    file: Mutex<File>,
    path: PathBuf,
}

/// How a thing may look after recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Never sent whole: it must not be there.
    Never,
    /// Sent, not acknowledged: it may be there, and is then right.
    Sent,
    /// Acknowledged: it must be there.
    Acked,
}

/// A blob or a manifest.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Repository.
    pub repo: String,
    /// Digest.
    pub digest: String,
    /// What must be seen of it.
    pub sight: Sight,
    /// Line of its last event.
    pub line: usize,
}

/// A tag and the manifests that it may name.
#[derive(Clone, Debug)]
pub struct TagEntry {
    /// Repository.
    pub repo: String,
    /// Tag.
    pub tag: String,
    /// What must be seen of it.
    pub sight: Sight,
    /// The last acknowledged manifest and those sent after it.
    pub may_name: Vec<String>,
    /// Line of its last event.
    pub line: usize,
}

/// An upload session that was left open.
#[derive(Clone, Debug)]
pub struct SessionEntry {
    /// Path of its location.
    pub location: String,
    /// Bytes that were acknowledged.
    pub offset: u64,
    /// Line of its last event.
    pub line: usize,
}

/// The journal, read: for each thing what must be seen of it.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// By repository and digest.
    pub blobs: BTreeMap<(String, String), Entry>,
    /// By repository and digest.
    pub manifests: BTreeMap<(String, String), Entry>,
    /// By repository and tag.
    pub tags: BTreeMap<(String, String), TagEntry>,
    /// By location; only those at rest, no request under way.
    pub sessions: BTreeMap<String, SessionEntry>,
    /// Answers that were neither 2xx nor expected, in words.
    pub refused: Vec<String>,
    /// Lines in all.
    pub lines: usize,
    /// Acknowledgements in all.
    pub acknowledged: usize,
}

impl Journal {
    /// Opens the file, and makes it where it is not there.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        Ok(Self { file: Mutex::new(file), path })
    }

    /// Writes an event down.
    pub(super) fn note(&self, words: &[&str]) -> Result<()> {
        let line = words.join(" ") + "\n";
        Ok(self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())?)
    }

    /// Writes an event down, and returns when it is durable.
    pub(super) fn record(&self, words: &[&str]) -> Result<()> {
        self.note(words)?;
        // Outside the lock, so that others write meanwhile.
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).try_clone()?;
        Ok(file.sync_data()?)
    }

    /// Refusals before this count no more.
    pub(super) fn forget_refusals(&self) -> Result<()> {
        self.note(&["forget"])
    }

    /// Reads what was written so far.
    pub fn history(&self) -> Result<History> {
        History::read(&self.path)
    }
}

impl History {
    /// Reads a journal as it is now.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path)?;
        let text = String::from_utf8_lossy(&text);
        let mut history = Self::default();
        // What follows the last line break is torn, or about to be written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines() {
            history.lines += 1;
            history.add(line);
        }
        Ok(history)
    }

    fn add(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["sent" | "acked" | "never", "blob", repo, digest] => {
                self.saw(words[0], |history| &mut history.blobs, repo, digest);
            }
            ["sent" | "acked" | "never", "manifest", repo, digest, tag] => {
                self.saw(words[0], |history| &mut history.manifests, repo, digest);
                if tag != "-" {
                    self.tagged(words[0], repo, tag, digest);
                }
            }
            ["at", location, offset] => {
                self.acknowledged += 1;
                let offset = offset.parse().unwrap_or_default();
                let entry = SessionEntry { location: location.to_owned(), offset, line: self.lines };
                self.sessions.insert(location.to_owned(), entry);
            }
            ["over", location] => {
                self.sessions.remove(location);
            }
            ["forget"] => self.refused.clear(),
            _ => self.refused.push(line.to_owned()),
        }
    }

    fn saw(
        &mut self,
        word: &str,
        entries: impl Fn(&mut Self) -> &mut BTreeMap<(String, String), Entry>,
        repo: &str,
        digest: &str,
    ) {
        let (line, sight) = (self.lines, sight(word));
        self.acknowledged += usize::from(sight == Sight::Acked);
        let new = Entry { repo: repo.to_owned(), digest: digest.to_owned(), sight, line };
        let entry = entries(self).entry((repo.to_owned(), digest.to_owned())).or_insert(new);
        entry.line = line;
        // What was once acknowledged stays so, whatever becomes of a second push.
        if sight == Sight::Acked || entry.sight == Sight::Never {
            entry.sight = sight;
        }
    }

    fn tagged(&mut self, word: &str, repo: &str, tag: &str, digest: &str) {
        let (line, sight) = (self.lines, sight(word));
        let new = TagEntry { repo: repo.to_owned(), tag: tag.to_owned(), sight, may_name: Vec::new(), line };
        let entry = self.tags.entry((repo.to_owned(), tag.to_owned())).or_insert(new);
        entry.line = line;
        match sight {
            Sight::Never => {}
            Sight::Sent => entry.may_name.push(digest.to_owned()),
            Sight::Acked => {
                entry.may_name = vec![digest.to_owned()];
                entry.sight = Sight::Acked;
            }
        }
    }
}

fn sight(word: &str) -> Sight {
    match word {
        "acked" => Sight::Acked,
        "sent" => Sight::Sent,
        _ => Sight::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(text: &str) -> History {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        History::read(file.path()).unwrap()
    }

    #[test]
    fn a_tag_may_name_what_was_acknowledged_last_and_what_was_sent_since() {
        let read = history(
            "sent manifest r a t\nacked manifest r a t\nsent manifest r b t\nacked manifest r b t\n\
             sent manifest r c t\n",
        );
        let tag = &read.tags[&("r".to_owned(), "t".to_owned())];
        assert_eq!((tag.sight, &tag.may_name[..]), (Sight::Acked, &["b".to_owned(), "c".to_owned()][..]));
        assert_eq!(read.manifests.values().filter(|entry| entry.sight == Sight::Sent).count(), 1);
    }

    #[test]
    fn a_torn_last_line_is_no_event() {
        let read = history("sent blob r a\nacked blob r a");
        assert_eq!((read.lines, read.acknowledged), (1, 0));
    }

    #[test]
    fn a_session_under_way_is_not_at_rest() {
        let read = history("at /one 5\nat /two 7\nover /one\n");
        assert_eq!(read.sessions.keys().collect::<Vec<_>>(), ["/two"]);
    }
}
