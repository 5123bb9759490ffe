//! Which replica does the work that one is enough for.

use std::fmt;

use async_trait::async_trait;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Result;

/// Tasks that are one's alone, by their names. Part of every catalog, since what replicas share is
/// what decides between them.
#[async_trait]
pub trait Leadership: Send + Sync {
    /// Gives `task` to the caller, unless somebody has it, in this replica or another. Asking is
    /// cheap; who wants to be next asks again after a moment.
    ///
    /// At no time do two have one task, given that who loses it stops within [`Lead::STOP`]: a lead
    /// that is taken over is handed out only after whoever had it must have noticed. A replica whose
    /// whole machine was suspended meanwhile notices when it wakes up, so what the work does must
    /// stand being done twice.
    async fn lead(&self, task: &'static str) -> Result<Option<Lead>>;
}

/// A task is the holder's, until this is dropped or [`Lead::lost`] is cancelled.
pub struct Lead {
    lost: CancellationToken,
    _given_up: DropGuard,
}

impl fmt::Debug for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lead").field("lost", &self.lost.is_cancelled()).finish_non_exhaustive()
    }
}

/// The other end of a [`Lead`].
#[derive(Clone, Debug)]
pub(crate) struct Leading {
    /// To be cancelled when the lead is lost.
    pub(crate) lost: CancellationToken,
    /// Cancelled when the lead was dropped.
    pub(crate) given_up: CancellationToken,
}

impl Lead {
    /// So soon after it was lost the work has stopped.
    pub const STOP: std::time::Duration = std::time::Duration::from_secs(1);

    /// A lead and its other end.
    pub(crate) fn new() -> (Self, Leading) {
        let (lost, given_up) = (CancellationToken::new(), CancellationToken::new());
        let lead = Self { lost: lost.clone(), _given_up: given_up.clone().drop_guard() };
        (lead, Leading { lost, given_up })
    }

    /// Cancelled when another may take the task over: its holder stops.
    #[must_use]
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }
}
