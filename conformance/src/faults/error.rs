//! Why a fault test did not pass.

use crate::harness::HarnessError;

/// What every scenario returns.
pub type Result<T, E = FaultError> = std::result::Result<T, E>;

/// A scenario that broke off, or that found something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// The surroundings failed; says nothing of the registry.
    #[error(transparent)]
    Harness(#[from] HarnessError),
    /// A request that had to be answered was not.
    #[error("a request failed: {0:?}")]
    Request(#[from] reqwest::Error),
    /// A file or pipe of the test's own.
    #[error("a file of the test: {0}")]
    File(#[from] std::io::Error),
    /// The registry broke a promise; one sentence each.
    #[error("{when}: {} broken promises\n  {}", findings.len(), findings.join("\n  "))]
    Broken {
        /// In which round, after what.
        when: String,
        /// What was found.
        findings: Vec<String>,
    },
}

impl FaultError {
    /// One broken promise.
    pub fn broken(when: impl Into<String>, finding: impl Into<String>) -> Self {
        Self::Broken { when: when.into(), findings: vec![finding.into()] }
    }

    /// What the registry broke; nothing for other errors.
    #[must_use]
    pub fn findings(&self) -> &[String] {
        match self {
            Self::Broken { findings, .. } => findings,
            Self::Harness(_) | Self::Request(_) | Self::File(_) => &[],
        }
    }
}

/// `Ok` without findings.
pub(super) fn clean(when: impl Into<String>, findings: Vec<String>) -> Result<()> {
    if findings.is_empty() { Ok(()) } else { Err(FaultError::Broken { when: when.into(), findings }) }
}
