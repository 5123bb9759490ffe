//! Upload sessions: how far they came, and that none is left behind.

use std::time::Duration;

use super::Repository;
use crate::UploadHandle;

/// How long giving up an upload may take.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);

/// An upload session; cancelled when it is dropped while open, unless it is to last.
pub(super) struct Session {
    pub(super) repository: Repository,
    /// Where it goes on; `None` before it began and after it ended.
    pub(super) upload: Option<UploadHandle>,
    /// Whether somebody noted it to go on with it.
    pub(super) lasting: bool,
}

impl Session {
    /// Cancels the upload, if there is one.
    pub(super) async fn end(&mut self) {
        if let Some(upload) = self.upload.take() {
            cancel(self.repository.clone(), upload).await;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Whoever waited for the upload is gone: a deadline, a sibling that failed.
        if self.lasting {
            return;
        }
        if let (Some(upload), Ok(runtime)) = (self.upload.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(cancel(self.repository.clone(), upload));
        }
    }
}

async fn cancel(repository: Repository, upload: UploadHandle) {
    match tokio::time::timeout(CANCEL_LIMIT, repository.cancel(&upload)).await {
        Ok(Ok(())) => {}
        // The registry forgets it by itself, later.
        Ok(Err(error)) => tracing::debug!("an upload stays behind: {error}"),
        Err(_) => tracing::debug!("an upload stays behind: the registry does not answer"),
    }
}

/// How many bytes an upload has by its status: `0-LAST`. `0-0` means none or one, depending on the registry.
pub(super) fn taken(range: &str) -> Option<u64> {
    let range = range.trim();
    let (first, last) = range.strip_prefix("bytes=").unwrap_or(range).split_once('-')?;
    let last: u64 = last.parse().ok()?;
    (first == "0" && last > 0).then(|| last.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::taken;

    #[test]
    fn an_uploads_status_says_how_much_it_has() {
        for (range, found) in [
            ("0-9", Some(10)),
            ("bytes=0-9", Some(10)),
            ("0-0", None),
            ("5-9", None),
            ("0--1", None),
            ("0-", None),
            ("", None),
            ("0-18446744073709551615", Some(u64::MAX)),
        ] {
            assert_eq!(taken(range), found, "{range}");
        }
    }
}
