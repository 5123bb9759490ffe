//! What the tests of `sync` and of artifacts share: the command, with a home of its own.

use berth_conformance::harness::{Finished, Scratch, Tool};
use berth_copier::{Session, Settings, Side, remote::Repository};
use berth_oci::{ManifestReference, Reference};

/// `berth-copier ARGUMENTS`, kept away from the user's own settings.
pub(crate) fn copier(scratch: &Scratch, arguments: &[&str]) -> Finished {
    let home = scratch.subfolder("home").unwrap();
    Tool::at(env!("CARGO_BIN_EXE_berth-copier"))
        .arg("--insecure-policy")
        .args(arguments)
        .env("HOME", &home)
        .env("XDG_RUNTIME_DIR", &home)
        .env("XDG_CONFIG_HOME", &home)
        .env("REGISTRY_AUTH_FILE", scratch.write("home/auth.json", "{}").unwrap())
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .finish()
        .unwrap()
}

/// As [`copier`], and its standard output.
///
/// # Panics
/// If it fails.
pub(crate) fn done(scratch: &Scratch, arguments: &[&str]) -> String {
    let finished = copier(scratch, arguments);
    assert!(finished.status.success(), "{arguments:?}: {}", finished.stderr);
    finished.stdout
}

/// Exit code, and standard error.
pub(crate) fn failed(scratch: &Scratch, arguments: &[&str]) -> (i32, String) {
    let finished = copier(scratch, arguments);
    assert!(!finished.status.success(), "{arguments:?} did not fail");
    (finished.status.code().unwrap(), finished.stderr)
}

/// Flags of a sync between registries of plain HTTP.
pub(crate) const PLAIN: [&str; 2] = ["--src-tls-verify=false", "--dest-tls-verify=false"];

/// `sync` with these arguments behind the flags of [`PLAIN`].
pub(crate) fn sync<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    ["sync"].into_iter().chain(PLAIN).chain(arguments.iter().copied()).collect()
}

/// A repository of a registry of plain HTTP, through the library.
pub(crate) struct Direct {
    runtime: tokio::runtime::Runtime,
    repository: Repository,
}

impl Direct {
    pub(crate) fn new(name: &str) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let reference: Reference = name.parse().unwrap();
        let side = Side { tls_verify: Some(false), anonymous: true, ..Side::default() };
        let session = Session::new(Settings { insecure_policy: true, ..Settings::default() }).unwrap();
        let repository = session.remote().repository(&reference, &side).unwrap();
        Self { runtime, repository: repository.for_writing() }
    }

    /// Puts more tags on what a tag means.
    pub(crate) fn tag(&self, from: &str, tags: impl IntoIterator<Item = String>) {
        let tag = |text: &str| ManifestReference::Tag(text.parse().unwrap());
        self.runtime.block_on(async {
            let manifest = self.repository.manifest(&tag(from)).await.unwrap();
            for new in tags {
                self.repository.put_manifest(&manifest, &tag(&new)).await.unwrap();
            }
        });
    }

    /// Deletes a tag.
    pub(crate) fn delete(&self, tag: &str) {
        let tag = ManifestReference::Tag(tag.parse().unwrap());
        self.runtime.block_on(self.repository.delete_manifest(&tag)).unwrap();
    }
}
