//! Options of commands that speak to registries: the same of `pull`, of `push`, and of the pull that `run` and `create`
//! do by themselves.

use std::{path::PathBuf, time::Duration};

use berth_oci::Platform;
use clap::{ArgAction, Args};

use super::Context;
use crate::{
    error::Result,
    image::Access,
    record::parse::{self, Faults, Parsed, milliseconds},
};

/// How registries are spoken to.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Access")]
pub(crate) struct AccessOptions {
    /// File with the registries' credentials [default: $REGISTRY_AUTH_FILE, then $XDG_RUNTIME_DIR/containers/auth.json]
    #[arg(long, value_name = "PATH")]
    authfile: Option<PathBuf>,

    /// Log in with this name and password
    #[arg(long, value_name = "USER[:PASSWORD]")]
    creds: Option<String>,

    /// Folder with certificates (*.crt) and client certificates (*.cert with *.key)
    #[arg(long, value_name = "PATH")]
    cert_dir: Option<PathBuf>,

    /// Ask for HTTPS and a good certificate; =false takes any, and HTTP [default: as registries.conf says, else true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    tls_verify: Option<bool>,

    /// Times to try again what failed for a moment [default: 3]
    #[arg(long, value_name = "N")]
    retry: Option<u32>,

    /// Time between two tries, like 5s; without it the time grows from a second
    #[arg(long, value_name = "DURATION")]
    retry_delay: Option<String>,
}

impl AccessOptions {
    /// For the library, under the policy of the command's.
    ///
    /// # Errors
    /// [`crate::error::RunnerError::Usage`] for credentials without a user, and no duration.
    pub(crate) fn access(&self, context: &Context) -> Result<Access> {
        let mut faults = Faults::default();
        let access = self.read(&mut faults);
        faults.finish()?;
        Ok(Access { policy: context.signature_policy.clone(), ..access })
    }

    /// What the flags alone say; the policy is another's to say.
    pub(crate) fn read(&self, faults: &mut Faults) -> Access {
        let none = Access::default();
        let delay = self.retry_delay.as_deref().map(milliseconds).transpose();
        let credentials = self.creds.as_deref().map(Access::parse_credentials).transpose();
        Access {
            authfile: self.authfile.clone(),
            credentials: faults.take("--creds", credentials).flatten(),
            cert_dir: self.cert_dir.clone(),
            tls_verify: self.tls_verify,
            policy: None,
            retries: self.retry.unwrap_or(none.retries),
            retry_delay: faults.take("--retry-delay", delay).flatten().map(Duration::from_millis),
        }
    }
}

/// Which of an image's platforms.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PlatformOptions {
    /// The image for this platform, like linux/arm64 [default: this machine's]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,

    /// The image for this architecture
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,

    /// The image for this operating system
    #[arg(long, value_name = "OS")]
    os: Option<String>,

    /// The image for this variant of the architecture
    #[arg(long, value_name = "VARIANT")]
    variant: Option<String>,
}

impl PlatformOptions {
    /// What was asked for; `None` for nothing.
    ///
    /// # Errors
    /// [`crate::error::RunnerError::Usage`].
    pub(crate) fn platform(&self) -> Result<Option<Platform>> {
        let mut faults = Faults::default();
        let platform = self.read(&mut faults);
        faults.finish()?;
        Ok(platform)
    }

    /// [`Self::platform`] among other flags.
    pub(crate) fn read(&self, faults: &mut Faults) -> Option<Platform> {
        faults.take("--platform", self.parse()).flatten()
    }

    fn parse(&self) -> Parsed<Option<Platform>> {
        let parts = self.arch.is_some() || self.os.is_some() || self.variant.is_some();
        match &self.platform {
            Some(_) if parts => {
                Err("says the same as --arch, --os and --variant: take one or the others".into())
            }
            Some(text) => text.parse().map(Some).map_err(|error| format!("{text:?}: {error}")),
            None if parts => Ok(Some(Platform {
                os: self.os.clone().unwrap_or_default(),
                architecture: self.arch.clone().unwrap_or_default(),
                variant: self.variant.clone(),
                ..Platform::default()
            })),
            None => Ok(None),
        }
    }
}

/// How an image is pulled, whoever asks for it.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PullOptions {
    #[command(flatten)]
    pub(crate) platform: PlatformOptions,

    /// Say nothing of the pull
    #[arg(short = 'q', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "BOOL", action = ArgAction::Set, default_value = "false", hide_default_value = true, hide_possible_values = true)]
    pub(crate) quiet: bool,

    /// Accepted for docker's users; changes nothing
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "BOOL", action = ArgAction::Set, default_value = "true", hide_default_value = true, hide_possible_values = true, hide_short_help = true)]
    pub(crate) disable_content_trust: bool,

    #[command(flatten)]
    pub(crate) access: AccessOptions,
}

/// A switch that podman's users may also give a value, `--quiet=false`.
fn switch(text: &str) -> Result<bool, String> {
    parse::truth(text)
}
