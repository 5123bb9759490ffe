//! Ranges of ids for user namespaces: each container of root has one that no other has, and of a user each that asks.
//!
//! The machine's root may hand out any id; those that nobody else uses are the range of `berth-runner` (or
//! `containers`) in `/etc/subuid` and `/etc/subgid` where there is one, else 1879048192 to 2147352575, which systemd's
//! table of ids leaves free. A block of 65,536 ids is a file in `/var/lib/berth-runner/ids`, with the folder of the
//! container that holds it, whichever `--root` that has: two stores on one machine share nobody. An ordinary user hands
//! out what `/etc/subuid` and `/etc/subgid` gave to that user, in blocks of 1,024, noted in the user's own store.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    error::{Result, RunnerError, While},
    folders::Folders,
    record::{IdMap, files},
    rootless,
};

/// Ids in one block: what images expect to exist.
pub(crate) const BLOCK: u32 = 65_536;

/// Ids that no table gives to anybody.
const FREE: Range = Range { start: 1_879_048_192, size: 2_147_352_576 - 1_879_048_192 };

/// Ids in one block of an ordinary user, who has few: as many as most images have names for.
const SMALL_BLOCK: u32 = 1024;

/// Where blocks are noted.
const FOLDER: &str = "/var/lib/berth-runner/ids";

/// Ids that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// The first.
    pub(crate) start: u32,
    /// How many.
    pub(crate) size: u32,
}

/// Ranges of a name (or number) in `/etc/subuid` and `/etc/subgid`.
pub(crate) fn ranges(text: &str, names: &[&str]) -> Vec<Range> {
    let line = |line: &str| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| names.contains(name))?;
        let start: u32 = fields.next().filter(|_| !name.is_empty())?.parse().ok()?;
        let size: u32 = fields.next()?.parse().ok()?;
        // A range that runs over the highest id ends there.
        Some(Range { start, size: size.min(u32::MAX - start) }).filter(|range| range.size > 0)
    };
    text.lines().filter_map(line).collect()
}

/// The range from which blocks are taken: where user and group ids agree, since a block is both.
fn pool(subuid: &str, subgid: &str) -> Range {
    for name in ["berth-runner", "containers"] {
        let (uids, gids) = (ranges(subuid, &[name]), ranges(subgid, &[name]));
        if let Some(range) = uids.into_iter().find(|range| range.size >= BLOCK && gids.contains(range)) {
            return range;
        }
    }
    FREE
}

/// The blocks of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    folder: PathBuf,
    pool: Range,
    /// Ids in one.
    block: u32,
}

impl Blocks {
    /// As `/etc/subuid` and `/etc/subgid` say.
    pub(crate) fn of_machine() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let pool = pool(&read("/etc/subuid"), &read("/etc/subgid"));
        Self { folder: FOLDER.into(), pool, block: BLOCK }
    }

    /// Those of whoever asks: the machine's, or the subordinate ids of an ordinary user, as that user's namespace has
    /// them: 0 is the user there, all others may be handed out.
    pub(crate) fn of(folders: &Folders) -> Self {
        if !rootless::is_inside() {
            return Self::of_machine();
        }
        let (uids, gids) = rootless::counts();
        // One place for all stores of the user.
        let own = Folders::of(rootless::real_uid(), None, None)
            .map_or_else(|_| folders.store.clone(), |own| own.store);
        let pool = Range { start: 1, size: uids.min(gids).saturating_sub(1) };
        Self { folder: own.join("ids"), pool, block: SMALL_BLOCK }
    }

    /// How many ids a container of this image gets that does not say: a whole block of the machine's; of a user's so
    /// many as its users and groups ask for. `named` are the texts of its `/etc/passwd` and `/etc/group`.
    pub(crate) fn usual(&self, named: impl FnOnce() -> Result<[String; 2]>, user: &str) -> Result<u32> {
        if self.block == BLOCK {
            return Ok(BLOCK);
        }
        let [passwd, group] = named()?;
        let highest = highest(&passwd, &group, user);
        Ok(highest.saturating_add(1).clamp(SMALL_BLOCK, BLOCK))
    }

    fn file(&self, block: u32) -> PathBuf {
        self.folder.join(block.to_string())
    }

    /// Whether nobody holds a block: the container's folder that is noted in it is gone.
    fn is_free(&self, block: u32) -> Result<bool> {
        let path = self.file(block);
        match fs::read_to_string(&path) {
            Ok(holder) => Ok(!Path::new(&holder).exists()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error).doing("reading", &path),
        }
    }

    /// Takes as many blocks as `size` ids need, for the container whose folder is `holder`. `make` makes that folder;
    /// only with it the blocks are the container's, so it happens under the same lock.
    ///
    /// # Errors
    /// [`RunnerError::Unsupported`] where all are taken; those of `make`, after which nothing is taken.
    pub(crate) fn take<T>(
        &self,
        size: u32,
        holder: &Path,
        make: impl FnOnce(IdMap) -> Result<T>,
    ) -> Result<T> {
        let _lock = files::lock(&self.folder)?;
        let wanted = size.max(1).div_ceil(self.block);
        let mut run = 0;
        let mut found = None;
        for block in 0..self.pool.size / self.block {
            run = if self.is_free(block)? { run + 1 } else { 0 };
            if run == wanted {
                found = Some(block + 1 - wanted);
                break;
            }
        }
        let first = found.ok_or_else(|| self.used_up(size))?;
        let taken = first..first + wanted;
        for block in taken.clone() {
            files::replace(&self.file(block), holder.as_os_str().as_encoded_bytes(), false)?;
        }
        let map = IdMap { container: 0, host: self.pool.start + first * self.block, size: size.max(1) };
        make(map).inspect_err(|_| self.forget(taken))
    }

    fn used_up(&self, size: u32) -> RunnerError {
        if self.block == BLOCK {
            return RunnerError::Unsupported(format!(
                "no {size} ids are free from {} on: remove containers, or give berth-runner more in /etc/subuid and /etc/subgid",
                self.pool.start
            ));
        }
        RunnerError::Unsupported(format!(
            "--userns auto: of the {} subordinate ids of this user no {size} in a row are free: remove containers that \
             have such, ask for fewer (--userns auto:size={SMALL_BLOCK}), or have root give you more (usermod \
             --add-subuids, --add-subgids)",
            self.pool.size
        ))
    }

    fn forget(&self, blocks: impl Iterator<Item = u32>) {
        for block in blocks {
            // One that stays is free as soon as its holder's folder is not there.
            let _gone = fs::remove_file(self.file(block));
        }
    }

    /// Gives back what a removed container held.
    pub(crate) fn give_back(&self, maps: &[IdMap], holder: &Path) {
        for map in maps.iter().filter(|map| map.host >= self.pool.start) {
            let first = (map.host - self.pool.start) / self.block;
            let held = (first..first + map.size.div_ceil(self.block)).filter(|block| {
                fs::read_to_string(self.file(*block)).is_ok_and(|text| Path::new(&text) == holder)
            });
            self.forget(held);
        }
    }
}

/// The highest id that an image's accounts name, and `user` (`--user`) by number. Whoever is called nobody has the
/// highest id of all, and is nobody without it too.
fn highest(passwd: &str, group: &str, user: &str) -> u32 {
    let line = |line: &str, places: &[usize]| {
        let fields: Vec<&str> = line.split(':').collect();
        let nobody = matches!(fields.first(), Some(&"nobody" | &"nogroup"));
        let ids = places.iter().filter_map(|at| fields.get(*at)?.parse().ok());
        if nobody { 0 } else { ids.max().unwrap_or(0) }
    };
    let users = passwd.lines().map(|text| line(text, &[2, 3]));
    let groups = group.lines().map(|text| line(text, &[2]));
    let said = user.split(':').filter_map(|id| id.parse().ok());
    users.chain(groups).chain(said).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(folder: &Path, count: u32) -> Blocks {
        let pool = Range { start: 1 << 30, size: count * BLOCK + 7 };
        Blocks { folder: folder.join("ids"), pool, block: BLOCK }
    }

    fn holder(folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn no_two_containers_have_an_id_in_common_and_what_is_gone_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let blocks = blocks(folder.path(), 3);
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| holder(folder.path(), name));
        assert_eq!(blocks.take(BLOCK, &a, Ok).unwrap(), IdMap { container: 0, host: 1 << 30, size: BLOCK });
        assert_eq!(blocks.take(BLOCK, &b, Ok).unwrap().host, (1 << 30) + BLOCK);
        assert_eq!(
            blocks.take(1000, &c, Ok).unwrap(),
            IdMap { container: 0, host: (1 << 30) + 2 * BLOCK, size: 1000 }
        );
        let full = blocks.take(BLOCK, &d, Ok).unwrap_err();
        assert!(matches!(full, RunnerError::Unsupported(_)), "{full}");
        // Removed with its folder alone, as after a crash.
        fs::remove_dir(&b).unwrap();
        assert_eq!(blocks.take(BLOCK, &d, Ok).unwrap().host, (1 << 30) + BLOCK);
        // And given back.
        blocks.give_back(&[IdMap { container: 0, host: 1 << 30, size: BLOCK }], &a);
        assert_eq!(blocks.take(BLOCK, &holder(folder.path(), "e"), Ok).unwrap().host, 1 << 30);
    }

    #[test]
    fn containers_of_a_user_get_as_many_ids_as_their_images_name() {
        let folder = tempfile::tempdir().unwrap();
        let pool = Range { start: 1, size: 4096 };
        let blocks = Blocks { folder: folder.path().join("ids"), pool, block: SMALL_BLOCK };
        let accounts = |passwd: &str, group: &str| Ok([passwd.to_owned(), group.to_owned()]);
        let usual = "root:x:0:0::/:\nweb:x:33:34::/:\nnobody:x:65534:65534::/:\n";
        let nogroup = "root:x:0:\nnogroup:x:65534:\n";
        let asked = |passwd: &str, user: &str| blocks.usual(|| accounts(passwd, nogroup), user).unwrap();
        assert_eq!([asked(usual, ""), asked("", "web"), asked("broken\n:::", "")], [1024; 3]);
        assert_eq!([asked(usual, "1500:7"), asked("app:x:2000:10::/:", "")], [1501, 2001]);
        assert_eq!(
            asked("far:x:4000000000:1::/:", ""),
            BLOCK,
            "what no range holds is no reason for all of it"
        );

        let [a, b, c] = ["a", "b", "c"].map(|name| holder(folder.path(), name));
        assert_eq!(blocks.take(1024, &a, Ok).unwrap(), IdMap { container: 0, host: 1, size: 1024 });
        let two = blocks.take(1501, &b, Ok).unwrap();
        assert_eq!(two, IdMap { container: 0, host: 1025, size: 1501 });
        let error = blocks.take(2000, &c, Ok).unwrap_err().to_string();
        assert!(error.contains("of the 4096 subordinate ids") && error.contains("size=1024"), "{error}");
        blocks.give_back(&[two], &b);
        assert_eq!(blocks.take(3000, &c, Ok).unwrap().host, 1025);
    }

    #[test]
    fn who_comes_while_another_is_being_made_waits_and_gets_other_ids() {
        let folder = tempfile::tempdir().unwrap();
        let blocks = blocks(folder.path(), 2);
        let second = holder(folder.path(), "b");
        let late = folder.path().join("a");
        std::thread::scope(|scope| {
            let (sent, told) = std::sync::mpsc::channel();
            let blocks = &blocks;
            let first = blocks.take(BLOCK, &late, |map| {
                scope.spawn(move || sent.send(blocks.take(BLOCK, &second, Ok).unwrap().host).unwrap());
                // Its folder is there at the end only: until then nothing but the lock says whose the block is.
                let came = told.recv_timeout(std::time::Duration::from_millis(300));
                assert!(came.is_err(), "it does not wait: {came:?}");
                fs::create_dir(&late).unwrap();
                Ok(map)
            });
            assert_eq!((first.unwrap().host, told.recv().unwrap()), (1 << 30, (1 << 30) + BLOCK));
        });
    }

    #[test]
    fn several_blocks_follow_each_other_and_somebody_elses_stay() {
        let folder = tempfile::tempdir().unwrap();
        let blocks = blocks(folder.path(), 4);
        let [a, b, c] = ["a", "b", "c"].map(|name| holder(folder.path(), name));
        blocks.take(BLOCK, &a, Ok).unwrap();
        let two = blocks.take(BLOCK + 1, &b, Ok).unwrap();
        assert_eq!((two.host, two.size), ((1 << 30) + BLOCK, BLOCK + 1));
        assert!(blocks.take(2 * BLOCK, &c, Ok).is_err());
        blocks.give_back(&[two], &a);
        assert!(!blocks.is_free(1).unwrap() && !blocks.is_free(2).unwrap());
        blocks.give_back(&[two], &b);
        assert!(blocks.is_free(1).unwrap() && blocks.is_free(2).unwrap());
    }

    #[test]
    fn a_container_that_could_not_be_made_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let blocks = blocks(folder.path(), 1);
        let a = holder(folder.path(), "a");
        let failed: Result<()> =
            blocks.take(BLOCK, &a, |_| Err(RunnerError::Conflict("the name is taken".into())));
        assert!(failed.is_err());
        blocks.take(BLOCK, &a, Ok).unwrap();
    }

    #[test]
    fn the_pool_is_the_runners_own_then_that_of_containers_then_what_is_free() {
        let both = "root:1:65536\ncontainers:2147483647:2147483648\nberth-runner:600000:65536\n";
        assert_eq!(pool(both, both), Range { start: 600_000, size: 65_536 });
        let only = "containers:2147483647:2147483648\n";
        assert_eq!(pool(only, only), Range { start: 2_147_483_647, size: 2_147_483_648 });
        assert_eq!(pool(only, "containers:7:65536\n"), FREE, "groups elsewhere are no pool");
        assert_eq!(pool("berth-runner:1:5\n:1:65536\n#\nberth-runner:x:y\n", ""), FREE);
        assert_eq!(FREE.size / BLOCK, 4094);
    }
}
