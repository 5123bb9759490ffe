//! A copier's program, and what one run of it cost.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::SUBJECT;
use crate::harness::{HarnessError, Result, Tool, berth_program};

/// `berth-copier` or Skopeo.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) version: String,
    path: PathBuf,
}

/// What one run cost.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) wall: Duration,
    /// User and system time.
    pub(super) cpu: Duration,
    /// Resident memory at its highest, in bytes.
    pub(super) peak: u64,
}

impl Program {
    pub(super) fn berth() -> Result<Self> {
        Self::new(SUBJECT, berth_program("BERTH_COPIER_BIN", "berth-copier")?)
    }

    pub(super) fn skopeo(path: PathBuf) -> Result<Self> {
        Self::new("skopeo", path)
    }

    fn new(name: &'static str, path: PathBuf) -> Result<Self> {
        let version = Tool::at(&path).arg("--version").run()?.trim().to_owned();
        Ok(Self { name, version, path })
    }

    /// Runs it to its end; a status other than zero is an error.
    pub(super) fn run(&self, args: &[&str], folder: &Path) -> Result<Run> {
        let (figures, policy) = (folder.join("figures"), folder.join("policy.json"));
        if !policy.exists() {
            let text = r#"{"default": [{"type": "insecureAcceptAnything"}]}"#;
            std::fs::write(&policy, text).map_err(HarnessError::file(&policy))?;
        }
        let words = ["-o".into(), figures.clone().into_os_string(), "-f".into(), "%U %S %M".into()];
        let own = [self.path.clone().into_os_string(), "--policy".into(), policy.into_os_string()];
        let tool = Tool::new("time")?.args(words).args(own).args(args.iter().map(OsString::from));
        let begun = Instant::now();
        tool.run()?;
        let wall = begun.elapsed();
        let text = std::fs::read_to_string(&figures).map_err(HarnessError::file(&figures))?;
        let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [user, system, peak] = numbers[..] else {
            return Err(HarnessError::Unexpected(format!("time printed {text:?}")));
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "KiB as a whole number")]
        let peak = peak as u64 * 1024;
        Ok(Run { wall, cpu: Duration::from_secs_f64(user + system), peak })
    }
}
