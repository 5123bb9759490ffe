//! One file per command: its arguments, one call of the library, its words.

pub(crate) mod completion;
pub(crate) mod copy;
pub(crate) mod delete;
pub(crate) mod generate_sigstore_key;
pub(crate) mod inspect;
pub(crate) mod list_tags;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod man;
pub(crate) mod manifest_digest;
pub(crate) mod proxy;
pub(crate) mod signature_dump;
pub(crate) mod standalone_sign;
pub(crate) mod standalone_verify;

use berth_copier::{Result, Session};

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
}

impl Process {
    /// A session with the global settings.
    ///
    /// # Errors
    /// As [`Globals::settings`] and [`Session::new`].
    pub(crate) fn session(&self, retry: &RetryOptions) -> Result<Session> {
        Session::new(self.globals.settings(retry.retry())?)
    }
}

/// Runs one command to its end.
///
/// # Errors
/// As the command.
pub(crate) async fn run(command: Command, process: &Process) -> Result<()> {
    match command {
        Command::Copy(command) => command.run(process).await,
        Command::Delete(command) => command.run(process).await,
        Command::GenerateSigstoreKey(command) => command.run(process),
        Command::Inspect(command) => command.run(process).await,
        Command::ListTags(command) => command.run(process).await,
        Command::Login(command) => command.run(process).await,
        Command::Logout(command) => command.run(process).await,
        Command::ManifestDigest(command) => command.run(process),
        Command::StandaloneSign(command) => command.run(process),
        Command::StandaloneVerify(command) => command.run(process),
        Command::UntrustedSignatureDumpWithoutVerification(command) => command.run(process),
        Command::ExperimentalImageProxy(command) => command.run(),
        Command::Completion(command) => command.run(process),
        Command::Man(command) => command.run(process),
    }
}
