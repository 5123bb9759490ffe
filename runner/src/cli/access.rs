//! Options of commands that speak to registries.

use std::{path::PathBuf, time::Duration};

use berth_oci::Platform;
use clap::Args;

use crate::{
    error::{Result, RunnerError},
    image::Access,
    record::parse::milliseconds,
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

    /// Trust policy that images have to satisfy [default: ~/.config/containers/policy.json, /etc/containers/policy.json]
    #[arg(long, alias = "policy-file", value_name = "PATH")]
    signature_policy: Option<PathBuf>,

    /// Times to try again what failed for a moment [default: 3]
    #[arg(long, value_name = "N")]
    retry: Option<u32>,

    /// Time between two tries, like 5s; without it the time grows from a second
    #[arg(long, value_name = "DURATION")]
    retry_delay: Option<String>,
}

impl AccessOptions {
    /// For the library.
    ///
    /// # Errors
    /// [`RunnerError::Usage`] for credentials without a user, and no duration.
    pub(crate) fn access(&self) -> Result<Access> {
        let none = Access::default();
        let delay = self.retry_delay.as_deref().map(milliseconds).transpose();
        let delay = delay.map_err(|what| RunnerError::Usage(format!("--retry-delay: {what}")))?;
        Ok(Access {
            authfile: self.authfile.clone(),
            credentials: self.creds.as_deref().map(Access::parse_credentials).transpose()?,
            cert_dir: self.cert_dir.clone(),
            tls_verify: self.tls_verify,
            policy: self.signature_policy.clone(),
            retries: self.retry.unwrap_or(none.retries),
            retry_delay: delay.map(Duration::from_millis),
        })
    }
}

/// Which of an image's platforms.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PlatformOptions {
    /// The image for this platform, like linux/arm64 [default: this machine's]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", conflicts_with_all = ["arch", "os", "variant"])]
    platform: Option<Platform>,

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
    pub(crate) fn platform(&self) -> Option<Platform> {
        if let Some(platform) = &self.platform {
            return Some(platform.clone());
        }
        if self.arch.is_none() && self.os.is_none() && self.variant.is_none() {
            return None;
        }
        Some(Platform {
            os: self.os.clone().unwrap_or_default(),
            architecture: self.arch.clone().unwrap_or_default(),
            variant: self.variant.clone(),
            ..Platform::default()
        })
    }
}
