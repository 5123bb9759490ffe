//! Resource limits of a container's first process.
//!
//! Defaults give way to what this caller may set: a service manager or a container around the runner may have a lower
//! hard limit and no right to exceed it, and may have another one at the next start. What a person asked for does not
//! give way: it is set or refused.

use berth_runtime::hard_limit;
use oci_spec::runtime::{PosixRlimit, PosixRlimitBuilder, PosixRlimitType};

use super::limits::{PIDS, Starter};
use crate::{
    error::{Result, RunnerError},
    record::{Desired, Ulimit},
};

/// Open files of a process, as docker's containers have them: databases and web servers count on it.
const OPEN_FILES: u64 = 1_048_576;

fn rlimit(kind: PosixRlimitType, soft: u64, hard: u64) -> PosixRlimit {
    // Every field is said, so nothing is missing that the builder could complain of.
    PosixRlimitBuilder::default().typ(kind).soft(soft).hard(hard).build().unwrap_or_default()
}

/// What the kernel lets nobody exceed, root neither.
fn most_open_files() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/fs/nr_open").unwrap_or_default();
    text.trim().parse().unwrap_or(u64::MAX)
}

/// What may be set: the caller's hard limits, where it cannot exceed them, and the kernel's.
#[derive(Clone, Copy, Debug)]
struct Most {
    raises: bool,
    own: fn(PosixRlimitType) -> Option<u64>,
    open_files: u64,
}

impl Most {
    fn of(self, kind: PosixRlimitType) -> u64 {
        let own = if self.raises { None } else { (self.own)(kind) };
        let kernel = if kind == PosixRlimitType::RlimitNofile { self.open_files } else { u64::MAX };
        own.unwrap_or(u64::MAX).min(kernel)
    }

    /// Refuses what a person asked for and nobody here can set.
    fn allows(self, kind: PosixRlimitType, wanted: &Ulimit) -> Result<()> {
        let most = self.of(kind);
        if wanted.hard <= most {
            return Ok(());
        }
        let name = wanted.name.trim_start_matches("RLIMIT_").to_ascii_lowercase();
        let hard = if wanted.hard == u64::MAX { "unlimited".to_owned() } else { wanted.hard.to_string() };
        let (rule, way) = if kind == PosixRlimitType::RlimitNofile && most == self.open_files {
            ("which is all that the kernel allows (fs.nr_open)", "raise that")
        } else {
            (
                "the hard limit of who starts the container, who has no CAP_SYS_RESOURCE to exceed it",
                "raise the limit where the runner is started (ulimit -H, or Limit...= of a service of systemd)",
            )
        };
        Err(RunnerError::Unsupported(format!(
            "--ulimit {name}: the hard limit {hard} is above {most}, {rule}: ask for no more, or {way}"
        )))
    }
}

/// Resource limits of the first process.
///
/// # Errors
/// [`RunnerError::Unsupported`] for one that was asked for and cannot be set.
pub(super) fn of(desired: &Desired, starter: Starter) -> Result<Vec<PosixRlimit>> {
    let most = Most { raises: starter.raises_limits, own: hard_limit, open_files: most_open_files() };
    with(desired, starter, most)
}

fn with(desired: &Desired, starter: Starter, most: Most) -> Result<Vec<PosixRlimit>> {
    let default = |kind, wanted: u64| {
        let limit = wanted.min(most.of(kind));
        rlimit(kind, limit, limit)
    };
    let mut found = vec![default(PosixRlimitType::RlimitNofile, OPEN_FILES)];
    // Where no group counts processes, the kernel counts those of each user id of the namespace.
    if desired.limits.pids.is_none() && !starter.counts_processes {
        found.push(default(PosixRlimitType::RlimitNproc, PIDS.unsigned_abs()));
    }
    for wanted in &desired.limits.ulimits {
        let kind: PosixRlimitType = serde_json::from_value(wanted.name.clone().into())
            .map_err(|_| RunnerError::Usage(format!("--ulimit: {} is no resource", wanted.name)))?;
        most.allows(kind, wanted)?;
        found.retain(|limit| limit.typ() != kind);
        found.push(rlimit(kind, wanted.soft, wanted.hard));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{
        super::limits::tests::{ROOT, USER},
        *,
    };
    use crate::record::tests::desired;

    /// The caller has a hard limit of 20000 for everything, the kernel one of 900000 for files.
    const fn most(raises: bool) -> Most {
        Most { raises, own: |_| Some(20_000), open_files: 900_000 }
    }

    fn asked(name: &str, soft: u64, hard: u64) -> Desired {
        let mut container = desired("web", 1);
        container.limits.ulimits = vec![Ulimit { name: name.into(), soft, hard }];
        container
    }

    #[test]
    fn a_default_gives_way_to_the_hard_limit_of_who_cannot_exceed_it() {
        let files = |raises| {
            let limits = with(&desired("web", 1), ROOT, most(raises)).unwrap();
            assert_eq!((limits.len(), limits[0].typ()), (1, PosixRlimitType::RlimitNofile));
            (limits[0].soft(), limits[0].hard())
        };
        assert_eq!(files(false), (20_000, 20_000));
        assert_eq!(files(true), (900_000, 900_000));
        let free = Most { raises: false, own: |_| None, open_files: u64::MAX };
        assert_eq!(with(&desired("web", 1), ROOT, free).unwrap()[0].hard(), OPEN_FILES);
    }

    #[test]
    fn what_was_asked_for_is_set_or_refused_in_words() {
        for raises in [false, true] {
            let limits = with(&asked("RLIMIT_NOFILE", 7, 9), ROOT, most(raises)).unwrap();
            assert_eq!((limits.len(), limits[0].soft(), limits[0].hard()), (1, 7, 9));
        }
        let error = with(&asked("RLIMIT_NOFILE", 7, 20_001), ROOT, most(false)).unwrap_err().to_string();
        assert!(error.contains("--ulimit nofile: the hard limit 20001 is above 20000"), "{error}");
        assert!(error.contains("CAP_SYS_RESOURCE"), "{error}");
        assert!(with(&asked("RLIMIT_NOFILE", 7, 20_001), ROOT, most(true)).is_ok());
        let error = with(&asked("RLIMIT_NOFILE", 7, u64::MAX), ROOT, most(true)).unwrap_err().to_string();
        assert!(error.contains("the hard limit unlimited is above 900000"), "{error}");
        assert!(error.contains("fs.nr_open"), "{error}");
        assert!(with(&asked("RLIMIT_CORE", 0, u64::MAX), ROOT, most(true)).is_ok());
        assert!(with(&asked("RLIMIT_CORE", 0, u64::MAX), ROOT, most(false)).is_err());
    }

    #[test]
    fn a_users_container_without_groups_is_limited_by_the_kernels_count_of_processes() {
        let processes = |starter, most| {
            let limits = with(&desired("web", 1), starter, most).unwrap();
            limits.iter().find(|limit| limit.typ() == PosixRlimitType::RlimitNproc).map(PosixRlimit::hard)
        };
        assert_eq!(processes(USER, most(false)), Some(512));
        assert_eq!(processes(USER, Most { own: |_| Some(100), ..most(false) }), Some(100));
        assert_eq!(processes(ROOT, most(false)), None);
    }
}
