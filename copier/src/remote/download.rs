//! Blobs on their way in (distribution-spec, "Pulling blobs"): as streams, which go on where a connection broke.

use async_trait::async_trait;
use berth_oci::{Descriptor, VerifyError};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, header};
use reqwest::StatusCode;

use super::{
    Repository,
    answer::Answer,
    registry::{Ask, Lane},
    repository::{NO_BLOB, Place},
    wait,
};
use crate::{ByteStream, Content, Error, Result};

/// Bytes that have to come between two breaks for the second not to count as the first one's repetition.
const PROGRESS: u64 = 1024 * 1024;

/// Times that a server which trickles is asked again without progress: the connection may be to blame once.
const SLOW: u32 = 1;

/// A blob of a repository.
pub(super) struct RemoteBlob {
    repository: Repository,
    blob: Descriptor,
}

impl RemoteBlob {
    pub(super) const fn new(repository: Repository, blob: Descriptor) -> Self {
        Self { repository, blob }
    }
}

#[async_trait]
impl Content for RemoteBlob {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        let size = self.blob.size;
        if from > size {
            return Err(Error::Usage(format!("{} has no byte {from}: it has {size}", self.blob.digest)));
        }
        if from == size && size > 0 {
            return Ok(stream::empty().boxed());
        }
        let mut download = Download {
            repository: self.repository.clone(),
            blob: self.blob.clone(),
            place: 0,
            at: from,
            broke_at: from,
            tries: 0,
            body: None,
        };
        download.begin().await?;
        let pieces = stream::try_unfold(download, |mut download| async move {
            Ok(download.next().await?.map(|piece| (piece, download)))
        });
        Ok(pieces.boxed())
    }
}

/// A blob's stream between two pieces.
struct Download {
    repository: Repository,
    blob: Descriptor,
    /// Which of the repository's places it comes from.
    place: usize,
    /// The next byte.
    at: u64,
    broke_at: u64,
    tries: u32,
    body: Option<Body>,
}

struct Body {
    pieces: ByteStream,
    /// Bytes that came again, because the server sends no ranges.
    skip: u64,
    /// Whether HTTP's framing ends the body where the blob should end.
    framed: bool,
}

impl Download {
    fn what(&self) -> String {
        format!("reading blob {}", self.blob.digest)
    }

    /// Opens it at the first place that has it.
    async fn begin(&mut self) -> Result<()> {
        loop {
            match self.connect(true).await {
                Ok(body) => {
                    self.body = Some(body);
                    return Ok(());
                }
                Err(error) => self.elsewhere(error)?,
            }
        }
    }

    /// Goes to the next place, or gives the error back where there is none, or where it is a refusal.
    fn elsewhere(&mut self, error: Error) -> Result<()> {
        let places = self.repository.places(true);
        if self.place + 1 >= places.len() || super::repository::is_final(&error) {
            return Err(error);
        }
        tracing::debug!("{} is passed over: {error}", places[self.place].place());
        self.place += 1;
        self.tries = 0;
        Ok(())
    }

    async fn connect(&mut self, repeat: bool) -> Result<Body> {
        let place = &self.repository.places(true)[self.place];
        let what = self.what();
        let mut ask = Ask::get(place.path(&format!("blobs/{}", self.blob.digest)), &what, Lane::Read);
        ask.repeat = repeat;
        if self.at > 0 {
            let range = HeaderValue::from_str(&format!("bytes={}-", self.at));
            ask.headers.insert(header::RANGE, range.map_err(|fault| Error::Usage(fault.to_string()))?);
        }
        let answer = place.send(&ask, self.repository.access(), None).await?;
        let answer = place.accept(answer, &what, NO_BLOB).await?;
        let (skip, framed) = self.check(place, &answer)?;
        Ok(Body { pieces: answer.into_stream(&what), skip, framed })
    }

    /// Whether the answer is this blob from the right byte on: how much of it to skip, and whether it ends by itself.
    fn check(&self, place: &Place, answer: &Answer) -> Result<(u64, bool)> {
        let size = self.blob.size;
        let fault = |why: String| Error::Integrity(format!("{} in {}: {why}", self.what(), place.place()));
        let length = answer.number("content-length").filter(|_| answer.header("content-encoding").is_none());
        let (skip, expected) = match answer.status() {
            StatusCode::PARTIAL_CONTENT => {
                let text = answer.header("content-range").unwrap_or_default();
                let right = content_range(text).is_some_and(|(first, last, whole)| {
                    first == self.at && last + 1 == size && whole.is_none_or(|whole| whole == size)
                });
                if !right || self.at == 0 {
                    let shown = super::escape::escaped(text, 256);
                    return Err(fault(format!(
                        "bytes {} to {} were asked for, and \"{shown}\" came",
                        self.at,
                        size.saturating_sub(1)
                    )));
                }
                (0, size - self.at)
            }
            StatusCode::OK => (self.at, size),
            status => return Err(fault(format!("HTTP status {status} comes with no blob"))),
        };
        match length {
            Some(length) if length > expected => Err(self.too_long()),
            Some(length) if length < expected => Err(self.too_short(size - expected + length)),
            found => Ok((skip, found.is_some())),
        }
    }

    fn too_long(&self) -> Error {
        VerifyError::TooLong { digest: self.blob.digest.clone(), expected: self.blob.size }.into()
    }

    fn too_short(&self, found: u64) -> Error {
        VerifyError::TooShort { digest: self.blob.digest.clone(), expected: self.blob.size, found }.into()
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.at == self.blob.size && self.body.as_ref().is_none_or(|body| body.framed) {
                return Ok(None);
            }
            let Some(body) = &mut self.body else {
                self.resume().await?;
                continue;
            };
            match body.pieces.next().await {
                Some(Ok(mut piece)) => {
                    if body.skip > 0 {
                        let known = usize::try_from(body.skip).unwrap_or(usize::MAX).min(piece.len());
                        body.skip -= known as u64;
                        piece = piece.split_off(known);
                    }
                    if piece.is_empty() {
                        continue;
                    }
                    self.at += piece.len() as u64;
                    if self.at > self.blob.size {
                        return Err(self.too_long());
                    }
                    if self.at == self.blob.size {
                        self.confirm_end().await?;
                    }
                    return Ok(Some(piece));
                }
                Some(Err(error @ (Error::Network { .. } | Error::TooSlow { .. }))) => self.broke(error)?,
                Some(Err(error)) => return Err(error),
                None if self.at == self.blob.size => return Ok(None),
                None => self.broke(self.too_short(self.at))?,
            }
        }
    }

    /// Before the last piece goes on: nothing may follow it. What HTTP framed needs no look.
    async fn confirm_end(&mut self) -> Result<()> {
        let Some(mut body) = self.body.take().filter(|body| !body.framed) else { return Ok(()) };
        while let Some(piece) = body.pieces.next().await {
            match piece {
                Ok(piece) if piece.is_empty() => {}
                Ok(_) => return Err(self.too_long()),
                // All of it came before the connection broke.
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Counts a break. One that comes too often without progress is an error.
    fn broke(&mut self, error: Error) -> Result<()> {
        self.body = None;
        if self.at >= self.broke_at.saturating_add(PROGRESS) {
            self.tries = 0;
        }
        self.broke_at = self.at;
        self.tries += 1;
        let retries = self.repository.shared().tuning.retries;
        let most = if matches!(error, Error::TooSlow { .. }) { retries.min(SLOW) } else { retries };
        if self.tries > most { self.elsewhere(error) } else { Ok(()) }
    }

    async fn resume(&mut self) -> Result<()> {
        let clock = self.repository.shared().tuning.clock.clone();
        clock.sleep(wait::back_off(self.tries.saturating_sub(1), clock.chance())).await;
        tracing::debug!("{} goes on at byte {}", self.blob.digest, self.at);
        match self.connect(false).await {
            Ok(body) => self.body = Some(body),
            Err(error @ Error::Network { .. }) => self.broke(error)?,
            Err(error) => self.elsewhere(error)?,
        }
        Ok(())
    }
}

/// `bytes FIRST-LAST/WHOLE` (RFC 9110, section 14.4); the whole may be unknown.
pub(super) fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let (range, whole) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.trim().split_once('-')?;
    let whole = if whole == "*" { None } else { Some(number(whole)?) };
    let (first, last): (u64, u64) = (number(first)?, number(last)?);
    (first <= last && last < u64::MAX).then_some((first, last, whole))
}

#[cfg(test)]
mod tests {
    use super::content_range;

    #[test]
    fn content_ranges_are_read_strictly() {
        for (text, found) in [
            ("bytes 5-9/10", Some((5, 9, Some(10)))),
            ("bytes 5-9/*", Some((5, 9, None))),
            ("bytes 9-5/10", None),
            ("bytes 5-18446744073709551615/*", None),
            ("bytes 5-/10", None),
            ("bytes */10", None),
            ("bytes +5-9/10", None),
            ("items 5-9/10", None),
            ("", None),
        ] {
            assert_eq!(content_range(text), found, "{text}");
        }
    }
}
