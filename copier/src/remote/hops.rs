//! A request's way to the one who answers it: HTTPS or HTTP, and redirects.

use std::time::Duration;

use http::{HeaderValue, header};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::{
    auth::Authorization,
    network::is_hopeless,
    registry::{Ask, Registry, Target},
    trust,
};
use crate::{Error, Result};

/// Redirects that one request may take.
const MAX_REDIRECTS: usize = 10;

/// One step of a request's way.
struct Hop<'a> {
    url: &'a Url,
    access: Option<&'a Authorization>,
    /// Whether it is still where the request was meant to go, so that its own credentials may be seen there.
    stays: bool,
}

impl<'a> Hop<'a> {
    const fn first(url: &'a Url, access: Option<&'a Authorization>) -> Self {
        Self { url, access, stays: true }
    }
}

/// Why there is no answer.
pub(super) enum Failure {
    /// No connection, or one that broke.
    Http(reqwest::Error),
    /// Nothing came for so long.
    Silent(Duration),
    /// A rule of this client, or the content's own fault.
    Ours(Error),
}

impl Registry {
    /// Makes a request and follows where it is sent on to.
    pub(super) async fn through_redirects(
        &self,
        ask: &Ask<'_>,
        access: Option<&Authorization>,
    ) -> Result<Response, Failure> {
        let (mut response, first) = self.first(ask, access).await?;
        for _ in 0..MAX_REDIRECTS {
            let Some(to) = redirect(ask, &response) else { return Ok(response) };
            let next = trust::follow(response.url(), to, "a redirect").map_err(Failure::Ours)?;
            // What changes something is for the registry alone, with a body or without (C4).
            if !matches!(ask.method, Method::GET | Method::HEAD) {
                trust::body_to(&next, &first, &self.shared.trusted_upload_hosts).map_err(Failure::Ours)?;
            }
            // A credential is for the host that it was made for (C4).
            let stays = trust::same_origin(&next, &first);
            let hop = Hop { url: &next, access: access.filter(|_| stays), stays };
            response = self.once(ask, hop).await?;
        }
        if redirect(ask, &response).is_none() {
            return Ok(response);
        }
        let text = format!("{}: {} redirects more than {MAX_REDIRECTS} times", ask.what, self.host());
        Err(Failure::Ours(Error::Refused(text)))
    }

    /// The first hop. Where nobody knows yet whether the registry speaks HTTPS, and plain HTTP is allowed, one request
    /// finds out and the others wait for it.
    async fn first(&self, ask: &Ask<'_>, access: Option<&Authorization>) -> Result<(Response, Url), Failure> {
        let path = match &ask.target {
            Target::Url(url) => return Ok((self.once(ask, Hop::first(url, access)).await?, url.clone())),
            Target::Path(path) => path,
        };
        let url = |scheme| self.url(scheme, path).map_err(Failure::Ours);
        if !self.insecure {
            let url = url(*self.scheme.get_or_init(|| "https"))?;
            return Ok((self.once(ask, Hop::first(&url, access)).await?, url));
        }
        if let Some(scheme) = self.scheme.get() {
            let url = url(scheme)?;
            return Ok((self.once(ask, Hop::first(&url, access)).await?, url));
        }
        let deciding = self.deciding.lock().await;
        if let Some(scheme) = self.scheme.get() {
            drop(deciding);
            let url = url(scheme)?;
            return Ok((self.once(ask, Hop::first(&url, access)).await?, url));
        }
        let secure = url("https")?;
        let refused = match self.once(ask, Hop::first(&secure, access)).await {
            Ok(response) => {
                self.scheme.get_or_init(|| "https");
                return Ok((response, secure));
            }
            Err(Failure::Http(error)) if error.is_connect() && !error.is_timeout() => Failure::Http(error),
            Err(other) => return Err(other),
        };
        let plain = url("http")?;
        match self.once(ask, Hop::first(&plain, access)).await {
            Ok(response) => {
                self.scheme.get_or_init(|| "http");
                Ok((response, plain))
            }
            // Nothing is there at all: what HTTPS said is what the user asked for.
            Err(Failure::Http(error)) if error.is_connect() => Err(refused),
            Err(other) => Err(other),
        }
    }

    /// One request and its head.
    async fn once(&self, ask: &Ask<'_>, hop: Hop<'_>) -> Result<Response, Failure> {
        let Hop { url, access, stays } = hop;
        self.shared.named.check(url).map_err(Failure::Ours)?;
        // The certificate of this client is for the registry itself.
        let own = url.host_str() == self.url(url.scheme(), "/").map_err(Failure::Ours)?.host_str();
        let http = if own { &self.own } else { &self.elsewhere };
        let mut headers = ask.headers.clone();
        if !stays {
            headers.remove(header::AUTHORIZATION);
        }
        if let Some(access) = access {
            headers.insert(header::AUTHORIZATION, access.header.clone());
        }
        let mut request = http.request(ask.method.clone(), url.clone());
        match ask.payload.open().await.map_err(Failure::Ours)? {
            Some((body, length)) => {
                if let Some(length) = length {
                    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
                }
                request = request.body(body);
            }
            // Some servers want a length of every POST and PUT.
            None if matches!(ask.method, Method::POST | Method::PUT | Method::PATCH) => {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
            }
            None => {}
        }
        let sending = request.headers(headers).send();
        let tuning = &self.shared.tuning;
        let answer = match ask.payload.meter() {
            None => match tokio::time::timeout(tuning.head, sending).await {
                Ok(answer) => answer,
                Err(_) => return Err(Failure::Silent(tuning.head)),
            },
            Some(meter) => {
                tokio::pin!(sending);
                let mut moved = meter.moved();
                loop {
                    let limit = if meter.ended() { tuning.commit } else { tuning.idle };
                    match tokio::time::timeout(limit, &mut sending).await {
                        Ok(answer) => break answer,
                        Err(_) if meter.moved() == moved => return Err(Failure::Silent(limit)),
                        Err(_) => moved = meter.moved(),
                    }
                }
            }
        };
        answer.map_err(|error| match ask.payload.meter().and_then(|meter| meter.take_fault()) {
            Some(fault) => Failure::Ours(fault),
            None => Failure::Http(error),
        })
    }
}

impl Failure {
    /// Whether the next try may fare better.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Http(error) => !is_hopeless(error),
            Self::Silent(_) => true,
            Self::Ours(_) => false,
        }
    }
}

/// Where an answer sends the request, if this request may be sent on.
fn redirect<'r>(ask: &Ask<'_>, response: &'r Response) -> Option<&'r str> {
    let follows = match response.status() {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => {
            matches!(ask.method, Method::GET | Method::HEAD)
        }
        _ => false,
    };
    let location = response.headers().get(header::LOCATION).filter(|_| follows)?;
    location.to_str().ok()
}
