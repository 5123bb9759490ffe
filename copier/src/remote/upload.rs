//! Blobs on their way out (distribution-spec, "Pushing blobs"): in one request where the blob is known, as a chunk of
//! unknown length where it is being made, and on from where the registry stands where a connection broke.

use std::sync::Arc;

use berth_oci::{Descriptor, Digest, VerifyError};
use http::{HeaderValue, header};
use reqwest::{Method, StatusCode};
use url::Url;

use super::{
    Repository,
    answer::{Answer, Doing},
    payload::{Meter, Payload},
    registry::{Ask, Lane, Target},
    repository::Access,
    upload_session::{Session, taken},
    wait,
};
use crate::{Content, Error, Result, UploadHandle, content::Blob};

/// Upload sessions that one blob may use up.
const MAX_SESSIONS: u32 = 3;
const NO_UPLOAD: &str = "blob upload unknown to registry";

impl Repository {
    /// Uploads a blob, on the upload that a mount began or on a new one. Broken uploads go on where the registry stands;
    /// a registry that lost the upload gets the blob anew. Whatever fails leaves no upload behind.
    ///
    /// # Errors
    /// As every request, and the content's own.
    pub async fn put_blob(
        &self,
        blob: &Blob,
        content: &dyn Content,
        upload: Option<UploadHandle>,
    ) -> Result<Descriptor> {
        self.put_on(blob, content, Session { repository: self.clone(), upload, lasting: false }, false).await
    }

    /// Begins an upload for [`Self::put_lasting`].
    ///
    /// # Errors
    /// As every request.
    pub async fn lasting_upload(&self) -> Result<UploadHandle> {
        self.begin_upload(Lane::Brief).await
    }

    /// As [`Self::put_blob`], but the upload stays where this process ends or the connection breaks for good, so that a
    /// later call can go on with it: `begun_before` asks the registry where it stands.
    ///
    /// # Errors
    /// As [`Self::put_blob`].
    pub async fn put_lasting(
        &self,
        blob: &Blob,
        content: &dyn Content,
        upload: UploadHandle,
        begun_before: bool,
    ) -> Result<Descriptor> {
        // Whoever noted it may have meant another registry. Nothing is asked there.
        if begun_before && let Err(error) = self.may_receive(&upload.0).await {
            tracing::debug!("an upload that was begun before is passed over: {error}");
            let session = Session { repository: self.clone(), upload: None, lasting: true };
            return self.put_on(blob, content, session, false).await;
        }
        let session = Session { repository: self.clone(), upload: Some(upload), lasting: true };
        self.put_on(blob, content, session, begun_before).await
    }

    async fn put_on(
        &self,
        blob: &Blob,
        content: &dyn Content,
        mut session: Session,
        begun_before: bool,
    ) -> Result<Descriptor> {
        // Kept while the content is read, which may ask the same host: those requests have a limit of their own.
        let _permit = self.primary().registry.permit().await;
        let meter = Arc::new(if blob.known.is_some() { Meter::default() } else { Meter::hashing() });
        let what = match &blob.known {
            Some(known) => format!("writing blob {}", known.digest),
            None => "writing blob".to_owned(),
        };
        let mut put = Put { repository: self, content, known: blob.known.as_ref(), meter, what, tries: 0 };
        let stored = put.run(&mut session, begun_before).await;
        match stored {
            Ok((digest, size)) => {
                session.upload = None;
                self.learn(&digest);
                Ok(Descriptor::new(blob.media_type.clone(), digest, size))
            }
            Err(error) => {
                if session.lasting && matches!(error.root(), Error::Network { .. } | Error::Timeout) {
                    session.upload = None;
                }
                session.end().await;
                Err(error)
            }
        }
    }
}

/// One blob and what became of it so far.
struct Put<'a> {
    repository: &'a Repository,
    content: &'a dyn Content,
    known: Option<&'a Descriptor>,
    meter: Arc<Meter>,
    what: String,
    /// Failures since the registry last took something.
    tries: u32,
}

/// What to do next in a session.
#[derive(Debug)]
enum Step {
    /// All from the beginning.
    Whole,
    /// The rest, from this byte on.
    Rest(u64),
    /// Nothing is missing but the end.
    Close,
    /// It is stored.
    Done,
    /// The registry knows nothing of the session any more.
    Lost(Error),
}

impl Put<'_> {
    async fn run(&mut self, session: &mut Session, begun_before: bool) -> Result<(Digest, u64)> {
        let mut step = if begun_before { self.found(session).await? } else { Step::Whole };
        // What was sent by PATCH stays with every registry; of a PUT that broke some keep nothing.
        if session.lasting && matches!(step, Step::Whole) && self.known.is_some_and(|known| known.size > 0) {
            step = Step::Rest(0);
        }
        let mut sessions = 0;
        loop {
            if session.upload.is_none() {
                session.upload = Some(self.repository.begin_upload(Lane::Held).await?);
            }
            step = match step {
                Step::Done => return self.stored(),
                Step::Lost(error) => {
                    sessions += 1;
                    if sessions >= MAX_SESSIONS {
                        return Err(error);
                    }
                    tracing::debug!("{} begins again: {error}", self.what);
                    session.end().await;
                    self.meter.restart();
                    Step::Whole
                }
                Step::Whole if self.known.is_some() => self.close(session, true).await?,
                Step::Whole => self.append(session, 0).await?,
                Step::Rest(from) => self.append(session, from).await?,
                Step::Close => self.close(session, false).await?,
            };
        }
    }

    fn stored(&self) -> Result<(Digest, u64)> {
        let known = self.known.map(|known| (known.digest.clone(), known.size));
        known
            .or_else(|| self.meter.hashed())
            .ok_or_else(|| Error::Integrity(format!("{}: no digest", self.what)))
    }

    fn url(session: &Session) -> Result<Url> {
        let url = session.upload.as_ref().map(|upload| upload.0.clone());
        url.ok_or_else(|| Error::Integrity("an upload without a session".to_owned()))
    }

    fn ask(&self, method: Method, url: Url) -> Ask<'_> {
        Ask { repeat: false, ..Ask::bare(method, Target::Url(url), &self.what, Lane::Held) }
    }

    async fn send(&self, ask: &Ask<'_>) -> Result<Answer> {
        if let Target::Url(url) = &ask.target {
            self.repository.may_receive(url).await?;
        }
        self.repository.primary().send(ask, Access::Push, None).await
    }

    /// Ends the session with `PUT`: with the whole blob in it, or with nothing.
    async fn close(&mut self, session: &mut Session, whole: bool) -> Result<Step> {
        let (digest, size) = self.stored()?;
        let mut url = Self::url(session)?;
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        let answer = {
            let mut ask = self.ask(Method::PUT, url);
            ask.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            if whole {
                ask.payload =
                    Payload::Content { content: self.content, from: 0, len: Some(size), meter: &self.meter };
            }
            self.send(&ask).await
        };
        let answer = match answer {
            Ok(answer) if answer.status().is_success() => answer,
            other => return self.recover(session, other).await,
        };
        let said = answer.header("docker-content-digest").and_then(|said| said.parse::<Digest>().ok());
        answer.finish().await;
        match said {
            Some(said) if said.algorithm() == digest.algorithm() && said != digest => {
                Err(VerifyError::Digest { expected: digest, found: said }.into())
            }
            _ => Ok(Step::Done),
        }
    }

    /// Sends everything from this byte on with `PATCH`.
    async fn append(&mut self, session: &mut Session, from: u64) -> Result<Step> {
        let url = Self::url(session)?;
        let answer = {
            let mut ask = self.ask(Method::PATCH, url);
            ask.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            let len = self.known.map(|known| known.size.saturating_sub(from));
            if let Some(known) = self.known {
                let range = HeaderValue::from_str(&format!("{from}-{}", known.size.saturating_sub(1)));
                ask.headers.insert(header::CONTENT_RANGE, range.map_err(|f| Error::Usage(f.to_string()))?);
            }
            ask.payload = Payload::Content { content: self.content, from, len, meter: &self.meter };
            self.send(&ask).await
        };
        let answer = match answer {
            Ok(answer) if answer.status().is_success() => answer,
            // What is being made can be made again, but not from the middle.
            Err(error) if from > 0 && matches!(error.root(), Error::NotSeekable) => {
                return Ok(Step::Lost(error));
            }
            other => return self.recover(session, other).await,
        };
        self.tries = 0;
        self.moved(session, answer).await?;
        Ok(Step::Close)
    }

    /// Takes the session's new place from an answer; one without stays where it was.
    async fn moved(&self, session: &mut Session, answer: Answer) -> Result<()> {
        if answer.header("location").is_some() {
            session.upload = Some(self.repository.location(&answer, &self.what).await?);
        }
        answer.finish().await;
        Ok(())
    }

    /// After a request that did not end well: whether and where to go on.
    async fn recover(&mut self, session: &mut Session, answer: Result<Answer>) -> Result<Step> {
        let tuning = &self.repository.shared().tuning;
        let (error, wait) = match answer {
            // The content's own fault is not mended by asking the registry.
            Err(error) if self.meter.has_failed() || !matches!(error.root(), Error::Network { .. }) => {
                return Err(error);
            }
            Err(error) => (error, None),
            Ok(answer) => {
                let (status, wait) = (answer.status(), self.repository.primary().registry.said_wait(&answer));
                let place = self.repository.primary().place();
                let error = answer.fault(Doing { what: &self.what, place: &place, absent: NO_UPLOAD }).await;
                match status {
                    StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(self.perhaps_done(error).await),
                    StatusCode::TOO_MANY_REQUESTS
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::INTERNAL_SERVER_ERROR
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::GATEWAY_TIMEOUT
                    | StatusCode::REQUEST_TIMEOUT
                    | StatusCode::RANGE_NOT_SATISFIABLE => (error, wait),
                    _ => return Err(error),
                }
            }
        };
        self.tries += 1;
        let wait = wait.unwrap_or_else(|| wait::back_off(self.tries - 1, tuning.clock.chance()));
        if self.tries > tuning.retries || wait > tuning.longest_wait {
            return Err(error);
        }
        tracing::debug!("{} goes on after: {error}", self.what);
        tuning.clock.sleep(wait).await;
        self.stand(session, error).await
    }

    /// Where an upload stands that another process may have begun. One that is gone or of no use is left alone.
    async fn found(&mut self, session: &mut Session) -> Result<Step> {
        let gone = Error::NotFound {
            what: self.what.clone(),
            place: self.repository.primary().place(),
            reason: NO_UPLOAD.to_owned(),
        };
        Ok(match self.stand(session, gone).await? {
            Step::Lost(_) => {
                session.upload = None;
                Step::Whole
            }
            step => step,
        })
    }

    /// Asks how far the session came.
    async fn stand(&mut self, session: &mut Session, error: Error) -> Result<Step> {
        let url = Self::url(session)?;
        let answer = {
            let ask = Ask::get(Target::Url(url), &self.what, Lane::Held);
            self.send(&ask).await?
        };
        if !answer.status().is_success() {
            answer.finish().await;
            return Ok(self.perhaps_done(error).await);
        }
        let taken = answer.header("range").and_then(taken);
        self.moved(session, answer).await?;
        Ok(match (taken, self.known) {
            (Some(taken), Some(known)) if taken == known.size => Step::Close,
            (Some(taken), Some(known)) if taken < known.size => Step::Rest(taken),
            (Some(taken), None)
                if self.meter.ended() && self.meter.hashed().is_some_and(|(_, n)| n == taken) =>
            {
                Step::Close
            }
            (Some(taken), None) if self.meter.hashed().is_some_and(|(_, sent)| taken <= sent) => {
                Step::Rest(taken)
            }
            // Nothing of it, perhaps one byte, or more than was sent: a new session says more than this one.
            _ => Step::Lost(error),
        })
    }

    /// The session is gone: because it ended well and the answer got lost, or because it was lost.
    async fn perhaps_done(&self, error: Error) -> Step {
        let digest = match self.known {
            Some(known) => Some(known.digest.clone()),
            None => self.meter.hashed().filter(|_| self.meter.ended()).map(|(digest, _)| digest),
        };
        match digest {
            Some(digest) if matches!(self.repository.has_blob_held(&digest).await, Ok(Some(_))) => Step::Done,
            _ => Step::Lost(error),
        }
    }
}
