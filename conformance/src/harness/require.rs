//! Programs that tests need and cargo does not bring.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{HarnessError, Result};

/// Program, and what a user types to have it.
const INSTALL: &[(&str, &str)] = &[
    ("buildah", "apt-get install buildah"),
    ("containerd", "apt-get install containerd"),
    ("ctr", "apt-get install containerd"),
    ("docker", "apt-get install docker.io"),
    ("docker-registry", "apt-get install docker-registry"),
    ("dockerd", "apt-get install docker.io"),
    ("gpg", "apt-get install gnupg"),
    ("htpasswd", "apt-get install apache2-utils"),
    ("initdb", "apt-get install postgresql"),
    ("mkfs.ext4", "apt-get install e2fsprogs"),
    ("nginx", "apt-get install nginx-light"),
    ("openssl", "apt-get install openssl"),
    ("oras-python", ".ci/install"),
    ("podman", "apt-get install podman"),
    ("postgres", "apt-get install postgresql"),
    ("prlimit", "apt-get install util-linux"),
    ("s3s-fs", ".ci/install"),
    ("setpriv", "apt-get install util-linux"),
    ("skopeo", "apt-get install skopeo"),
    ("strace", "apt-get install strace"),
    ("time", "apt-get install time"),
    ("umoci", "apt-get install umoci"),
];

/// Answers whether every tool is there. For the first that is not, says so on standard error, where the test runner
/// does not hide it, and answers false; the test then returns. Where `CI` or `BERTH_REQUIRE_ALL` is set a missing tool
/// is a failure instead: a check that silently did not run is worse than none.
///
/// # Panics
/// When a tool is missing and `CI` or `BERTH_REQUIRE_ALL` is set.
#[must_use]
pub fn require(tools: &[&str]) -> bool {
    match tools.iter().find_map(|tool| find_tool(tool).err()) {
        None => true,
        Some(missing) => skip(&missing.to_string()),
    }
}

/// As [`require`], for what only root may do (a private dockerd, mounts).
///
/// # Panics
/// When this is not root and `CI` or `BERTH_REQUIRE_ALL` is set.
#[must_use]
pub fn require_root() -> bool {
    rustix::process::geteuid().is_root() || skip("this needs root (sudo make test)")
}

fn skip(reason: &str) -> bool {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let strict = ["CI", "BERTH_REQUIRE_ALL"].iter().any(|key| std::env::var_os(key).is_some());
    assert!(!strict, "{test}: {reason}");
    // The macros would be captured by the test runner. A closed standard error leaves nobody to tell.
    drop(writeln!(std::io::stderr(), "SKIP {test}: {reason}"));
    false
}

/// Finds a program: on `PATH`, in the folders that Debian keeps off a user's `PATH`, or among the tools that
/// `.ci/install` puts under `~/.cache/berth`.
pub fn find_tool(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from));
    if let Some(cache) = tool_cache() {
        folders.push(cache.join("tools/bin"));
    }
    folders.extend(postgres_folders());
    folders.iter().map(|folder| folder.join(name)).find(|path| is_program(path)).ok_or_else(|| {
        let known = INSTALL.iter().find(|(tool, _)| *tool == name);
        let install = known.map_or("install it and put it on PATH", |(_, install)| install);
        HarnessError::Missing { tool: name.to_owned(), install: install.to_owned() }
    })
}

/// A program of our own: what the environment variable names, or what was built beside this program.
pub fn berth_program(variable: &str, name: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(PathBuf::from(path));
    }
    let own = std::env::current_exe().map_err(HarnessError::file("/proc/self/exe"))?;
    // Tests run from `debug/deps`, the program itself from `debug`.
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    found.into_iter().find(|path| path.is_file()).ok_or_else(|| HarnessError::Missing {
        tool: name.to_owned(),
        install: format!("cargo build -p {name}, or set {variable}"),
    })
}

/// Where `.ci/install` keeps what Debian does not package: `$BERTH_TOOLS`, else `~/.cache/berth`.
pub(super) fn tool_cache() -> Option<PathBuf> {
    let own = std::env::var_os("BERTH_TOOLS").map(PathBuf::from);
    own.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/berth")))
}

/// Debian's folders of PostgreSQL programs, newest first.
fn postgres_folders() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
    let mut versions: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.iter().map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"))).collect()
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
