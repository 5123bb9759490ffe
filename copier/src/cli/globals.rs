//! Options of the whole program: Skopeo's persistent flags.

use std::{path::PathBuf, time::Duration};

use berth_copier::{Error, Result, Settings, session::Retry};
use berth_oci::Platform;
use clap::Args;

use super::value;

const HEADING: &str = "Global options";

/// Options that every command takes, before or behind its name.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Globals {
    /// Give up after this time, like 90s or 1m30s
    #[arg(long, global = true, value_name = "DURATION", value_parser = value::duration, hide_short_help = true, help_heading = HEADING)]
    pub(crate) command_timeout: Option<Duration>,

    /// Log every request and decision
    #[arg(long, global = true, hide_short_help = true, help_heading = HEADING)]
    pub(crate) debug: bool,

    /// Accept every image, whatever the trust policy says
    #[arg(long, global = true, hide_short_help = true, help_heading = HEADING)]
    pub(crate) insecure_policy: bool,

    /// Refuse images that no signature vouches for, whatever the policy's default is
    #[arg(long, global = true, hide_short_help = true, help_heading = HEADING)]
    pub(crate) require_signed: bool,

    /// Choose images for this architecture (amd64, arm64, …) instead of this machine's
    #[arg(long, global = true, value_name = "ARCH", hide_short_help = true, help_heading = HEADING)]
    pub(crate) override_arch: Option<String>,

    /// Choose images for this operating system instead of this machine's
    #[arg(long, global = true, value_name = "OS", hide_short_help = true, help_heading = HEADING)]
    pub(crate) override_os: Option<String>,

    /// Choose images for this variant of the architecture (v7, v8, …)
    #[arg(long, global = true, value_name = "VARIANT", hide_short_help = true, help_heading = HEADING)]
    pub(crate) override_variant: Option<String>,

    /// The trust policy [default: ~/.config/containers/policy.json, /etc/containers/policy.json]
    #[arg(long, global = true, value_name = "PATH", hide_short_help = true, help_heading = HEADING)]
    pub(crate) policy: Option<PathBuf>,

    /// Folder that says where signatures are kept [default: /etc/containers/registries.d]
    #[arg(long = "registries.d", global = true, value_name = "DIR", hide_short_help = true, help_heading = HEADING)]
    pub(crate) registries_d: Option<PathBuf>,

    /// Mirrors, short names and blocked registries [default: /etc/containers/registries.conf]
    #[arg(long, global = true, value_name = "PATH", hide_short_help = true, help_heading = HEADING)]
    pub(crate) registries_conf: Option<PathBuf>,

    /// Folder for temporary files
    #[arg(long, global = true, value_name = "DIR", hide_short_help = true, help_heading = HEADING)]
    pub(crate) tmpdir: Option<PathBuf>,

    /// Send credentials to this token service (HOST or HOST:PORT) too, where a registry names it; by themselves they go to
    /// the registry's own domain alone
    #[arg(long, global = true, value_name = "HOST", hide_short_help = true, help_heading = HEADING)]
    pub(crate) trusted_token_host: Vec<String>,

    /// Put this before the program's name in the User-Agent of requests
    #[arg(long, global = true, value_name = "TEXT", hide_short_help = true, help_heading = HEADING)]
    pub(crate) user_agent_prefix: Option<String>,
}

impl Globals {
    /// The session's settings.
    ///
    /// # Errors
    /// Where two flags contradict each other.
    pub(crate) fn settings(&self, retry: Retry) -> Result<Settings> {
        if self.insecure_policy && self.require_signed {
            return Err(Error::Usage(
                "--insecure-policy and --require-signed are mutually exclusive".to_owned(),
            ));
        }
        Ok(Settings {
            registries_conf: self.registries_conf.clone(),
            registries_d: self.registries_d.clone(),
            policy: self.policy.clone(),
            insecure_policy: self.insecure_policy,
            require_signed: self.require_signed,
            tmpdir: self.tmpdir.clone(),
            user_agent_prefix: self.user_agent_prefix.clone(),
            trusted_token_hosts: self.trusted_token_host.clone(),
            platform: self.platform(),
            retry,
            ..Settings::default()
        })
    }

    /// What was given of the platform, the rest empty.
    fn platform(&self) -> Platform {
        Platform {
            os: self.override_os.clone().unwrap_or_default(),
            architecture: self.override_arch.clone().unwrap_or_default(),
            variant: self.override_variant.clone().filter(|variant| !variant.is_empty()),
            ..Platform::default()
        }
    }
}

/// Options for what fails for a moment.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "When something fails")]
pub(crate) struct RetryOptions {
    /// Times to try the whole operation again; safe requests are tried again on their own besides
    #[arg(long, value_name = "N")]
    pub(crate) retry_times: Option<u32>,

    /// Time between two tries; without it the time grows from a second
    #[arg(long, value_name = "DURATION", value_parser = value::duration)]
    pub(crate) retry_delay: Option<Duration>,
}

impl RetryOptions {
    /// For the session.
    pub(crate) fn retry(&self) -> Retry {
        Retry {
            times: self.retry_times.unwrap_or_default(),
            delay: self.retry_delay.filter(|delay| !delay.is_zero()),
        }
    }
}
