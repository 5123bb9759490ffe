//! One file per command: its arguments, one call of the library, its words.

pub(crate) mod attach;
pub(crate) mod completion;
pub(crate) mod copy;
pub(crate) mod delete;
pub(crate) mod discover;
pub(crate) mod generate_sigstore_key;
pub(crate) mod inspect;
pub(crate) mod list_tags;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod man;
pub(crate) mod manifest_digest;
pub(crate) mod proxy;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod signature_dump;
pub(crate) mod standalone_sign;
pub(crate) mod standalone_verify;
pub(crate) mod sync;

use std::{fs::File, io::Read, path::Path, sync::OnceLock};

use berth_copier::{Error, Result, Session, error::ResultExt};
use berth_oci::Reference;

use crate::{
    cli::{Command, Globals, RetryOptions},
    output::Output,
};

/// What every command is given besides its own arguments.
pub(crate) struct Process {
    /// The global options.
    pub(crate) globals: Globals,
    /// Where its words go.
    pub(crate) output: Output,
    /// The session, once a command has asked for it.
    opened: OnceLock<Session>,
}

impl Process {
    pub(crate) const fn new(globals: Globals, output: Output) -> Self {
        Self { globals, output, opened: OnceLock::new() }
    }

    /// Waits for what a command that ended before its work did left to be told to registries.
    pub(crate) async fn settled(&self) {
        if let Some(session) = self.opened.get() {
            session.remote().settled().await;
        }
    }

    /// The session, with the global settings.
    ///
    /// # Errors
    /// As [`Globals::settings`] and [`Session::new`].
    pub(crate) fn session(&self, retry: &RetryOptions) -> Result<Session> {
        let session = Session::new(self.globals.settings(retry.retry())?)?;
        Ok(self.opened.get_or_init(|| session).clone())
    }
}

/// Runs one command to its end.
///
/// # Errors
/// As the command.
pub(crate) async fn run(command: Command, process: &Process) -> Result<()> {
    match command {
        Command::Attach(command) => command.run(process).await,
        Command::Copy(command) => command.run(process).await,
        Command::Delete(command) => command.run(process).await,
        Command::Discover(command) => command.run(process).await,
        Command::GenerateSigstoreKey(command) => command.run(process),
        Command::Inspect(command) => command.run(process).await,
        Command::ListTags(command) => command.run(process).await,
        Command::Login(command) => command.run(process).await,
        Command::Logout(command) => command.run(process).await,
        Command::ManifestDigest(command) => command.run(process),
        Command::Pull(command) => command.run(process).await,
        Command::Push(command) => command.run(process).await,
        Command::StandaloneSign(command) => command.run(process).await,
        Command::StandaloneVerify(command) => command.run(process).await,
        Command::Sync(command) => command.run(process).await,
        Command::UntrustedSignatureDumpWithoutVerification(command) => command.run(process),
        Command::ExperimentalImageProxy(command) => command.run(),
        Command::Completion(command) => command.run(process),
        Command::Man(command) => command.run(process),
    }
}

/// The most that a manifest, a signature or a keyring on this machine may be long, in bytes.
const MAX_LOCAL_FILE: u64 = 16 * 1024 * 1024;

/// Reads a file that was named on the command line; `what` says what it should be.
fn local_file(path: &Path, what: &str) -> Result<Vec<u8>> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_LOCAL_FILE + 1).read_to_end(&mut bytes))
            .map_err(Error::file(path))?;
        if bytes.len() as u64 > MAX_LOCAL_FILE {
            return Err(Error::Usage(format!("more than {MAX_LOCAL_FILE} bytes")));
        }
        Ok(bytes)
    };
    read().context(format!("Error reading {what} from {}", path.display()))
}

/// A name that a signature speaks of; without tag and digest `latest` is meant, as everywhere.
fn full_reference(text: &str) -> Result<Reference> {
    let parsed = text.parse().map(Reference::or_latest);
    parsed.map_err(|fault| Error::Usage(format!("docker reference \"{text}\": {fault}")))
}
