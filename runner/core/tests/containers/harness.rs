//! Runs tests one after another and looks for what they left.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// A test and its name.
pub(crate) type Test = (&'static str, fn());

/// Names functions as tests.
macro_rules! tests {
    ($($name:ident),* $(,)?) => { &[$((concat!(module_path!(), "::", stringify!($name)), $name as fn())),*] };
}
pub(crate) use tests;

/// What a test may not leave behind: mounts, control groups, processes. Others on this machine make some too, so only
/// what can be ours counts: by the name of our folders and containers.
fn traces() -> BTreeSet<String> {
    let mut traces = BTreeSet::new();
    let prefix = crate::bundle::prefix();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    traces.extend(mounts.lines().filter(|line| line.contains(&prefix)).map(|line| format!("mount {line}")));
    groups_named(&prefix, Path::new("/sys/fs/cgroup"), 3, &mut traces);
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // Gone between the two, or nothing of this test's.
        let Ok(groups) = fs::read_to_string(entry.path().join("cgroup")) else { continue };
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let own = status.contains(&format!("PPid:\t{}\n", std::process::id()));
        // A dead orphan waits for the machine's first process to take note of it, whenever that does.
        let dead_orphan = status.contains("State:\tZ") && !own;
        if own || groups.contains(&prefix) && !dead_orphan {
            traces.insert(format!("process {pid}"));
        }
    }
    traces
}

fn groups_named(prefix: &str, folder: &Path, depth: u32, traces: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        let path: PathBuf = entry.path();
        if entry.file_name().to_string_lossy().contains(prefix) {
            traces.insert(format!("group {}", path.display()));
        } else if depth > 0 {
            groups_named(prefix, &path, depth - 1, traces);
        }
    }
}

/// Waits for what comes by itself, and not for ever.
pub(crate) fn until(what: &str, mut there: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !there() {
        assert!(std::time::Instant::now() < end, "{what}");
        std::thread::yield_now();
    }
}

fn say(text: &str) {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).unwrap();
}

/// Runs those that the arguments name (parts of names; the whole with `--exact`), as the usual harness does.
pub(crate) fn run(arguments: &[String], groups: &[&[Test]]) -> ExitCode {
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let names = |name: &str| {
        wanted.is_empty()
            || wanted
                .iter()
                .any(|part| if has("--exact") { *part == name } else { name.contains(part.as_str()) })
    };
    let chosen: Vec<&Test> =
        groups.iter().flat_map(|group| group.iter()).filter(|(name, _)| names(name)).collect();
    if has("--list") {
        chosen.iter().for_each(|(name, _)| say(&format!("{name}: test\n")));
        return ExitCode::SUCCESS;
    }
    if !rustix::process::geteuid().is_root() {
        say("tests of containers need root: run them as root (they try ordinary users themselves)\n");
        return if std::env::var_os("CI").is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    say(&format!("\nrunning {} tests\n", chosen.len()));
    let mut failed = Vec::new();
    for (name, test) in &chosen {
        say(&format!("test {name} ... "));
        let before = traces();
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        let left: Vec<String> = traces().difference(&before).cloned().collect();
        if !left.is_empty() {
            say(&format!("left behind: {left:#?}\n"));
        }
        let fine = passed && left.is_empty();
        say(if fine { "ok\n" } else { "FAILED\n" });
        if !fine {
            failed.push(*name);
        }
    }
    let (all, bad) = (chosen.len(), failed.len());
    say(&format!(
        "\ntest result: {}. {} passed; {bad} failed\n",
        if bad == 0 { "ok" } else { "FAILED" },
        all - bad
    ));
    failed.iter().for_each(|name| say(&format!("    {name}\n")));
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
