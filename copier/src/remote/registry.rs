//! One registry: its connections, its limits, and how a request gets to its answer.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use berth_oci::Challenge;
use http::HeaderMap;
use reqwest::{Method, StatusCode};
use url::Url;

use super::{
    answer::{Answer, Pace},
    auth::{Auth, Authorization, Claim},
    client::Shared,
    hops::Failure,
    limit::{self, Limit, Permit},
    network::network,
    payload::Payload,
    tls::Tls,
    trust, wait,
};
use crate::{Error, Result};

/// Times that a request is sent again with other credentials.
const MAX_CHALLENGES: usize = 2;
/// Times that an answer 500 is asked for again: it may be a passing fault, and often is not.
const MAX_FAULTS: u32 = 2;

/// The connections to one host by one set of TLS settings.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) shared: Arc<Shared>,
    host: String,
    /// Where its interface is: for Docker Hub another name.
    address: String,
    pub(super) insecure: bool,
    pub(super) own: reqwest::Client,
    /// Without this client's certificate, for hosts that the registry sends us to.
    pub(super) elsewhere: reqwest::Client,
    pub(super) scheme: OnceLock<&'static str>,
    pub(super) deciding: tokio::sync::Mutex<()>,
    exchanges: Limit,
    reads: Limit,
    tokens: Limit,
}

/// Which limit a request counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// That of short requests and uploads, until the answer was read.
    Brief,
    /// That of blobs being read, until the head of the answer. What reads its body may have to wait for other requests:
    /// one that held on to a limit meanwhile could wait for itself.
    Read,
    /// The caller holds a permit.
    Held,
    /// That of token services.
    Token,
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// A path of the registry, with the query.
    Path(String),
    /// A URL that a server gave.
    Url(Url),
}

/// A request, as often as it has to be made.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) headers: HeaderMap,
    pub(super) payload: Payload<'a>,
    /// Whether it does no harm to make it again when nobody knows what became of it.
    pub(super) repeat: bool,
    pub(super) lane: Lane,
    /// For errors: "reading manifest latest".
    pub(super) what: &'a str,
}

impl Registry {
    pub(super) fn new(shared: Arc<Shared>, host: &str, insecure: bool, tls: &Tls) -> Result<Self> {
        let tuning = &shared.tuning;
        let limit = || Limit::new(tuning.in_flight, tuning.clock.clone());
        let address = if host == berth_oci::reference::DEFAULT_HOST { "registry-1.docker.io" } else { host };
        shared.named.insert(address);
        let (exchanges, reads, tokens) = (limit(), limit(), limit());
        let (own, elsewhere) = (shared.http(tls, true)?, shared.http(tls, false)?);
        Ok(Self {
            host: host.to_owned(),
            address: address.to_owned(),
            insecure,
            own,
            elsewhere,
            scheme: OnceLock::new(),
            deciding: tokio::sync::Mutex::default(),
            exchanges,
            reads,
            tokens,
            shared,
        })
    }

    /// `host` or `host:port`, as references name it.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn now(&self) -> Instant {
        self.shared.tuning.clock.now()
    }

    pub(super) fn trusted_token_hosts(&self) -> &[String] {
        &self.shared.trusted_token_hosts
    }

    pub(super) fn url(&self, scheme: &str, path: &str) -> Result<Url> {
        let text = format!("{scheme}://{}{path}", self.address);
        Url::parse(&text).map_err(|fault| Error::Usage(format!("{text}: {fault}")))
    }

    /// The registry's own URL, by HTTPS as long as nothing else is known.
    pub(super) async fn base(&self) -> Url {
        let scheme = self.scheme.get().copied().unwrap_or("https");
        let fallback = || Url::parse("https://invalid./");
        #[expect(
            clippy::expect_used,
            reason = "a reference's host was checked to be one; the other is a constant"
        )]
        self.url(scheme, "/").or_else(|_| fallback()).expect("a host makes a URL")
    }

    /// The right to a request or an upload; to be given to [`Lane::Held`] requests by being kept.
    pub(super) async fn permit(&self) -> Permit {
        self.exchanges.permit().await
    }

    fn limit(&self, lane: Lane) -> &Limit {
        match lane {
            Lane::Brief | Lane::Held => &self.exchanges,
            Lane::Read => &self.reads,
            Lane::Token => &self.tokens,
        }
    }

    /// Makes a request with the access that its scopes need, and learns what the registry asks for.
    ///
    /// The answer is the registry's last word, whatever its status, but for 401, 429, redirects and passing faults.
    ///
    /// # Errors
    /// If there is no answer, or a rule of safety forbids to go on.
    pub(super) async fn send(&self, auth: &Auth, ask: &Ask<'_>, claim: &Claim) -> Result<Answer> {
        let mut claim = claim.clone();
        for _ in 0..MAX_CHALLENGES {
            let authorization = self.authorization(auth, ask, &claim).await?;
            let answer = self.deliver(ask, authorization.as_ref()).await?;
            let base = self.base().await;
            if answer.status() != StatusCode::UNAUTHORIZED || !trust::same_origin(answer.url(), &base) {
                return Ok(answer);
            }
            let challenges = challenges(&answer);
            match auth.learn(self, &base, &challenges, authorization.as_ref(), &claim).await? {
                Some(wider) => claim = wider,
                None => return Ok(answer),
            }
            answer.finish().await;
        }
        let authorization = self.authorization(auth, ask, &claim).await?;
        self.deliver(ask, authorization.as_ref()).await
    }

    /// Only the registry itself gets to see its tokens.
    async fn authorization(
        &self,
        auth: &Auth,
        ask: &Ask<'_>,
        claim: &Claim,
    ) -> Result<Option<Authorization>> {
        let own = match &ask.target {
            Target::Path(_) => true,
            Target::Url(url) => trust::same_origin(url, &self.base().await),
        };
        if own { auth.authorize(self, claim).await } else { Ok(None) }
    }

    /// Makes a request with this access, through redirects, limits and passing faults.
    pub(super) async fn deliver(&self, ask: &Ask<'_>, access: Option<&Authorization>) -> Result<Answer> {
        let clock = &self.shared.tuning.clock;
        let limit = self.limit(ask.lane);
        let mut tried = 0;
        loop {
            let permit = match ask.lane {
                Lane::Held => {
                    limit.pause().await;
                    None
                }
                Lane::Brief | Lane::Read | Lane::Token => Some(limit.permit().await),
            };
            let began = self.now();
            let response = match self.through_redirects(ask, access).await {
                Ok(response) => response,
                Err(Failure::Ours(error)) => return Err(error),
                Err(failure) => {
                    let again = ask.repeat && tried < self.shared.tuning.retries && failure.is_passing();
                    if !again {
                        return Err(self.no_answer(failure, ask));
                    }
                    drop(permit);
                    clock.sleep(wait::back_off(tried, clock.chance())).await;
                    tried += 1;
                    continue;
                }
            };
            let permit = permit.filter(|_| ask.lane != Lane::Read);
            let pace = Pace { window: self.shared.tuning.window, least: self.shared.tuning.least };
            let answer = Answer::new(response, permit, pace, &self.host);
            // Without the query: upload locations carry states in it that are nobody else's business.
            let (url, status) = (answer.url(), answer.status().as_u16());
            tracing::debug!("{} {}://{}{}: {status}", ask.method, url.scheme(), url.authority(), url.path());
            if let Some(left) = answer.header("ratelimit-remaining").and_then(limit::remaining) {
                limit.remaining(left);
            }
            let Some(wait) = self.wait(ask, &answer, tried) else {
                if answer.status().is_success() {
                    limit.went_well();
                }
                return Ok(answer);
            };
            tracing::debug!(status = answer.status().as_u16(), ?wait, "{} is asked again", self.host);
            if answer.status() == StatusCode::TOO_MANY_REQUESTS {
                answer.finish().await;
                limit.too_many(began, wait);
            } else {
                answer.finish().await;
                clock.sleep(wait).await;
            }
            tried += 1;
        }
    }

    /// How long to wait before asking again, or `None` where the answer stands.
    fn wait(&self, ask: &Ask<'_>, answer: &Answer, tried: u32) -> Option<Duration> {
        let tuning = &self.shared.tuning;
        let most = match answer.status() {
            // The request was not looked at, so any may be made again; but who sent a stream has to ask first how much
            // of it was taken.
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE if !ask.payload.is_stream() => {
                tuning.retries
            }
            StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::GATEWAY_TIMEOUT
            | StatusCode::REQUEST_TIMEOUT
                if ask.repeat =>
            {
                MAX_FAULTS.min(tuning.retries)
            }
            _ => return None,
        };
        if tried >= most {
            return None;
        }
        let wait = self.said_wait(answer);
        let wait = wait.unwrap_or_else(|| wait::back_off(tried, tuning.clock.chance()));
        (wait <= tuning.longest_wait).then_some(wait)
    }

    /// What `Retry-After` says.
    pub(super) fn said_wait(&self, answer: &Answer) -> Option<Duration> {
        wait::retry_after(answer.header("retry-after")?, self.shared.tuning.clock.date())
    }

    fn no_answer(&self, failure: Failure, ask: &Ask<'_>) -> Error {
        match failure {
            Failure::Ours(error) => error,
            Failure::Http(error) => network(&error, &self.host, ask.what),
            Failure::Silent(limit) => Error::Network {
                what: ask.what.to_owned(),
                source: format!("{} does not answer within {} seconds", self.host, limit.as_secs_f32())
                    .into(),
            },
        }
    }
}

/// A 401's challenges; those that cannot be read offer no way in.
fn challenges(answer: &Answer) -> Vec<Challenge> {
    answer
        .headers("www-authenticate")
        .filter_map(|text| {
            Challenge::parse_all(text)
                .inspect_err(|fault| tracing::debug!("a challenge is passed over: {fault}"))
                .ok()
        })
        .flatten()
        .collect()
}
