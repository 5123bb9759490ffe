//! Clients, each kept away from the user's own images and settings.

use std::path::PathBuf;

use crate::harness::{Result, Scratch, Tool};

/// Every setting that would make a client write into the user's home, or read from it.
fn at_home(tool: Tool, scratch: &Scratch) -> Result<Tool> {
    let home = scratch.subfolder("home")?;
    let temporary = scratch.subfolder("tmp")?;
    let accounts = scratch.write("home/auth.json", "{}")?;
    Ok(tool
        .env("HOME", &home)
        .env("XDG_RUNTIME_DIR", &home)
        .env("XDG_CONFIG_HOME", &home)
        .env("REGISTRY_AUTH_FILE", accounts)
        .env("TMPDIR", &temporary))
}

fn policy(scratch: &Scratch) -> Result<PathBuf> {
    scratch.write("policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#)
}

/// skopeo.
#[derive(Debug)]
pub struct Skopeo {
    scratch: Scratch,
}

impl Skopeo {
    /// The programs it needs.
    pub const TOOLS: &[&str] = &["skopeo", "setpriv"];

    /// One with a home of its own.
    pub fn new() -> Result<Self> {
        Ok(Self { scratch: Scratch::new("skopeo")? })
    }

    /// `skopeo COMMAND`.
    pub fn command(&self, command: &str) -> Result<Tool> {
        let tool = Tool::new("skopeo")?.args(["--insecure-policy", command]);
        at_home(tool, &self.scratch)
    }

    /// `skopeo copy` over plain HTTP with more flags.
    pub fn copy(&self, flags: &[&str], from: &str, to: &str) -> Result<String> {
        let tls = ["--src-tls-verify=false", "--dest-tls-verify=false"];
        self.command("copy")?.args(tls).args(flags).args([from, to]).run()
    }

    /// A folder that vanishes with this client.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }
}

/// podman with a store of its own. Needs root here: without it podman wants user namespaces, which a build machine
/// may not give.
#[derive(Debug)]
pub struct Podman {
    scratch: Scratch,
}

impl Podman {
    /// The programs it needs.
    pub const TOOLS: &[&str] = &["podman", "setpriv"];

    /// One with an empty store of plain copies.
    pub fn new() -> Result<Self> {
        Ok(Self { scratch: Scratch::new("podman")? })
    }

    /// `podman …`.
    pub fn command(&self, words: &[&str]) -> Result<Tool> {
        let tool = Tool::new("podman")?
            .arg("--root")
            .arg(self.scratch.join("root"))
            .arg("--runroot")
            .arg(self.scratch.join("runroot"))
            .arg("--tmpdir")
            .arg(self.scratch.join("libpod"))
            .args(["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=none"])
            .args(words);
        at_home(tool, &self.scratch)
    }

    /// Runs `podman …` and returns what it printed, without the line's end.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        Ok(self.command(words)?.run()?.trim().to_owned())
    }

    /// A folder that vanishes with this client.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }
}

/// buildah with a store of its own. Needs root, as podman does.
#[derive(Debug)]
pub struct Buildah {
    scratch: Scratch,
}

impl Buildah {
    /// The programs it needs.
    pub const TOOLS: &[&str] = &["buildah", "setpriv"];

    /// One with an empty store of plain copies.
    pub fn new() -> Result<Self> {
        Ok(Self { scratch: Scratch::new("buildah")? })
    }

    /// Runs `buildah …` and returns what it printed, without the line's end.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        let tool = Tool::new("buildah")?
            .arg("--root")
            .arg(self.scratch.join("root"))
            .arg("--runroot")
            .arg(self.scratch.join("runroot"))
            .arg("--storage-driver=vfs")
            .args(words)
            .env("BUILDAH_ISOLATION", "chroot");
        Ok(at_home(tool, &self.scratch)?.run()?.trim().to_owned())
    }

    /// A signature policy that accepts every image, for the commands that take one.
    pub fn policy(&self) -> Result<String> {
        Ok(format!("--signature-policy={}", policy(&self.scratch)?.display()))
    }

    /// A folder that vanishes with this client.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }
}
