//! A file of names and hashes, as `htpasswd -B` makes it, read again when it changes.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;

use super::hash::{Cost, StoredHash};
use crate::clock::Timestamp;

/// How old what was read may be before the file is looked at again.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes of a file at most.
const LARGEST: u64 = 16 << 20;

/// Why a password file cannot be used: each line that is wrong, with its number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", path.display(), faults.join("; "))]
pub struct HtpasswdError {
    path: PathBuf,
    faults: Vec<String>,
}

/// What a file held when it was read.
#[derive(Debug)]
struct Read {
    users: HashMap<String, StoredHash>,
    costs: BTreeSet<Cost>,
    stamp: Option<Stamp>,
}

/// What changes with a file: whose it is, when it was written, how long it is.
type Stamp = (u64, i64, i64, u64);

/// The file in force.
#[derive(Debug)]
pub(super) struct Htpasswd {
    path: PathBuf,
    read: ArcSwap<Read>,
    looked_at: AtomicI64,
}

impl Htpasswd {
    /// Reads the file, which blocks.
    pub(super) fn load(path: PathBuf) -> Result<Self, HtpasswdError> {
        let read = read(&path)?;
        Ok(Self { path, read: ArcSwap::from_pointee(read), looked_at: AtomicI64::new(0) })
    }

    /// The hash of a user, as the file has it now or had it a second ago.
    pub(super) async fn hash(self: &Arc<Self>, name: &str, now: Timestamp) -> Option<StoredHash> {
        self.refresh(now).await;
        self.read.load().users.get(name).cloned()
    }

    /// The costs of all its hashes.
    pub(super) fn costs(&self) -> BTreeSet<Cost> {
        self.read.load().costs.clone()
    }

    /// Whether the file knows somebody.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.read.load().users.contains_key(name)
    }

    /// Whether the file knows anybody.
    pub(super) fn is_empty(&self) -> bool {
        self.read.load().users.is_empty()
    }

    async fn refresh(self: &Arc<Self>, now: Timestamp) {
        let looked_at = Timestamp(self.looked_at.load(Ordering::Relaxed));
        // A clock that was set back makes it look too.
        if looked_at <= now && now < looked_at + LOOK {
            return;
        }
        self.looked_at.store(now.0, Ordering::Relaxed);
        let file = self.clone();
        // The task is only lost when the process ends.
        if let Err(error) = tokio::task::spawn_blocking(move || file.read_if_changed()).await {
            tracing::error!("The password file could not be looked at: {error}");
        }
    }

    fn read_if_changed(&self) {
        let before = self.read.load();
        if before.stamp.is_some() && stamp(&self.path) == before.stamp {
            return;
        }
        match read(&self.path) {
            Ok(read) => {
                tracing::info!(users = read.users.len(), "The password file was read again");
                self.read.store(Arc::new(read));
            }
            Err(error) => {
                tracing::error!("What the password file held before stays in force: {error}");
                // Not said again until it changes again.
                let stamp = stamp(&self.path);
                let (users, costs) = (before.users.clone(), before.costs.clone());
                self.read.store(Arc::new(Read { users, costs, stamp }));
            }
        }
    }
}

fn stamp(path: &PathBuf) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len()))
}

fn read(path: &PathBuf) -> Result<Read, HtpasswdError> {
    let fault = |sentence: String| HtpasswdError { path: path.clone(), faults: vec![sentence] };
    // Before it is read: a change in between is seen next time.
    let stamp = stamp(path);
    if stamp.is_some_and(|(.., bytes)| bytes > LARGEST) {
        return Err(fault(format!("has more than {} MiB", LARGEST >> 20)));
    }
    let text = fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    let (users, faults) = parse(&text);
    if !faults.is_empty() {
        return Err(HtpasswdError { path: path.clone(), faults });
    }
    let costs = users.values().map(StoredHash::cost).collect();
    Ok(Read { users, costs, stamp })
}

/// All users, and all that is wrong, by line.
fn parse(text: &str) -> (HashMap<String, StoredHash>, Vec<String>) {
    let (mut users, mut lines, mut faults) = (HashMap::new(), HashMap::new(), Vec::new());
    for (at, line) in text.lines().enumerate() {
        let (number, line) = (at + 1, line.trim());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match user(line) {
            Ok((name, hash)) => match lines.insert(name.clone(), number) {
                None => {
                    users.insert(name, hash);
                }
                Some(before) => faults.push(format!("line {number}: its name is on line {before} too")),
            },
            Err(sentence) => faults.push(format!("line {number}: {sentence}")),
        }
    }
    (users, faults)
}

fn user(line: &str) -> Result<(String, StoredHash), String> {
    let (name, hash) = line.split_once(':').ok_or("has no colon; a line is NAME:HASH")?;
    if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
        return Err("the name is empty, too long, or has control characters".to_owned());
    }
    if name.contains('/') {
        return Err("the name has a / in it, which names of robots alone have".to_owned());
    }
    Ok((name.to_owned(), StoredHash::parse(hash)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLMINE: &str = "$2y$05$p3QTGTnIrSKQZsCHUoDz2uiXVAZdkcSLsIiPssddCYCm/BQtTa/3C";
    const NOW: Timestamp = Timestamp(1_750_000_000_000_000);

    #[test]
    fn every_line_that_is_wrong_is_named_and_none_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("htpasswd");
        let text = format!(
            "# people\n\nalice:{ALLMINE}\nbob:$apr1$hunter2$\ncarol:hunter2\nhunter2\nalice:{ALLMINE}\na/b:{ALLMINE}\n:{ALLMINE}\n"
        );
        fs::write(&path, text).unwrap();
        let error = Htpasswd::load(path.clone()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: line 4: an MD5 hash", path.display())), "{error}");
        for sentence in [
            "line 5: neither a bcrypt",
            "line 6: has no colon",
            "line 7: its name is on line 3 too",
            "line 8: the name has a /",
            "line 9: the name is empty",
        ] {
            assert!(error.contains(sentence), "{error}");
        }
        assert!(!error.contains("hunter2") && !error.contains("line 3:"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Htpasswd::load("/nowhere/htpasswd".into()).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/htpasswd: No such file"), "{error}");
    }

    #[tokio::test]
    async fn a_change_counts_from_the_next_look_on_and_a_broken_file_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("htpasswd");
        fs::write(&path, format!("alice:{ALLMINE}\n")).unwrap();
        let file = Arc::new(Htpasswd::load(path.clone()).unwrap());
        assert_eq!(file.costs(), BTreeSet::from([Cost::Bcrypt(5)]));
        assert!(file.hash("alice", NOW).await.is_some());
        fs::write(&path, format!("bobby:{ALLMINE}\n\n")).unwrap();
        assert!(file.hash("alice", NOW + LOOK / 2).await.is_some(), "it was looked at half a second ago");
        assert!(file.hash("alice", NOW + LOOK).await.is_none());
        assert!(file.hash("bobby", NOW + LOOK).await.is_some());
        fs::write(&path, "bobby:hunter2\n").unwrap();
        assert!(file.hash("bobby", NOW + LOOK * 2).await.is_some());
        fs::remove_file(&path).unwrap();
        assert!(file.hash("bobby", NOW + LOOK * 3).await.is_some());
        fs::write(&path, format!("carol:{ALLMINE}\n\n\n")).unwrap();
        assert!(file.hash("carol", NOW + LOOK * 4).await.is_some());
        assert!(!file.knows("bobby") && !file.is_empty());
    }

    proptest::proptest! {
        #[test]
        fn every_line_is_a_user_or_a_fault(text in "([a-z:/#$ \n]|\\$2y\\$05\\$|p3QTGTnIrSKQZsCHUoDz2uiXVAZdkcSLsIiPssddCYCm/BQtTa/3C|\\$argon2id\\$v=19\\$m=256,t=2,p=1\\$|\\PC){0,20}") {
            let (users, faults) = parse(&text);
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            proptest::prop_assert_eq!(users.len() + faults.len(), lines.count());
            proptest::prop_assert!(users.keys().all(|name| !name.is_empty() && !name.contains(['/', ':'])));
        }
    }
}
