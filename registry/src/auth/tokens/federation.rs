//! Federated identities: a program shows what its platform signed about it, and is whoever the conditions on it say.
//!
//! Conditions are on what cannot be taken over. A repository's name can: whoever registers it after its owner let
//! it go has it; so GitHub's `repository_id` or `repository_owner_id` and GitLab's `project_id` or `namespace_id`
//! are asked for in the configuration. Pipelines that run what strangers propose are refused.

use std::{collections::BTreeMap, time::Duration};

use globset::{GlobBuilder, GlobMatcher};
use serde_json::{Map, Value};

use super::{
    issuers::Outside,
    jwt::{BadToken, Claims, bad},
};
use crate::{
    auth::{Principal, Subject},
    clock::Timestamp,
};

/// Names of subjects are this many bytes at most.
const MAX_NAME: usize = 255;

/// The platforms whose tokens are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Platform {
    /// GitHub Actions.
    GitHub,
    /// GitLab CI.
    GitLab,
    /// Service accounts of a Kubernetes cluster.
    Kubernetes,
    /// Any issuer of OpenID Connect's ID tokens.
    #[default]
    Oidc,
}

impl Platform {
    /// The name of a subject, where the configuration gives none.
    #[must_use]
    pub fn subject(self) -> &'static str {
        match self {
            Self::GitHub => "{repository}",
            Self::GitLab => "{project_path}",
            Self::Kubernetes => "{namespace}/{serviceaccount}",
            Self::Oidc => "{sub}",
        }
    }

    /// Claims of which one has to be among the conditions, since none of them can be taken over by somebody else.
    #[must_use]
    pub fn immutable(self) -> &'static [&'static str] {
        match self {
            Self::GitHub => &["repository_id", "repository_owner_id"],
            Self::GitLab => &["project_id", "namespace_id"],
            // The issuer is the cluster itself, or of the owner's choice.
            Self::Kubernetes => &["namespace", "serviceaccount", "sub"],
            Self::Oidc => &[],
        }
    }

    /// What a condition's short name stands for.
    fn place(self, claim: &str) -> &str {
        match (self, claim) {
            (Self::Kubernetes, "namespace") => "kubernetes.io/namespace",
            (Self::Kubernetes, "serviceaccount") => "kubernetes.io/serviceaccount/name",
            (_, claim) => claim,
        }
    }
}

/// A condition: one of these, in which `*` stands for anything.
#[derive(Clone, Debug)]
pub struct Allowed(Vec<GlobMatcher>);

impl Allowed {
    /// Reads patterns.
    ///
    /// # Errors
    /// What is wrong with one.
    pub fn new(patterns: &[String]) -> Result<Self, String> {
        let read = |pattern: &String| {
            let glob = GlobBuilder::new(pattern).literal_separator(false).backslash_escape(true).build();
            glob.map(|glob| glob.compile_matcher()).map_err(|error| error.to_string())
        };
        patterns.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    fn fits(&self, value: &str) -> bool {
        self.0.iter().any(|pattern| pattern.is_match(value))
    }
}

/// One `[[auth.federation]]`.
#[derive(Clone, Debug)]
pub struct Federation {
    /// As every issuer.
    pub outside: Outside,
    /// What it is.
    pub platform: Platform,
    /// All of these have to hold.
    pub conditions: BTreeMap<String, Allowed>,
    /// The subject's name, with claims in braces.
    pub subject: String,
    /// Whether pipelines for proposed changes count; those from forks' code never do where that can be told.
    pub pull_requests: bool,
    /// How long a login may go on with a refresh token; zero for no such token.
    pub session: Duration,
}

/// The text of a claim: by its whole name, else by steps separated by `/`.
fn claim(claims: &Map<String, Value>, name: &str) -> Option<String> {
    let value = claims.get(name).or_else(|| {
        let (first, rest) = name.split_once('/')?;
        rest.split('/').try_fold(claims.get(first)?, |value, step| value.get(step))
    })?;
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether a text may be a subject's name.
pub(super) fn is_sane(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Federation {
    /// Who the bearer of these claims is. `Err` says which condition does not hold.
    pub(super) fn principal(
        &self,
        claims: &Map<String, Value>,
        now: Timestamp,
        leeway: Duration,
    ) -> Result<(Principal, Timestamp), BadToken> {
        // OpenID Connect knows no `nbf`; its tokens say when they were issued.
        let end = Claims(claims).check_times(now, leeway, Some("iat"))?;
        self.refuse_strangers(claims)?;
        for (name, allowed) in &self.conditions {
            let place = self.platform.place(name);
            if !claim(claims, place).is_some_and(|value| allowed.fits(&value)) {
                return Err(bad(format!("the token's {name} is not one that {} lets in", self.outside.name)));
            }
        }
        let name = self.name(claims)?;
        let subject = Subject::Federated { issuer: self.outside.name.clone(), name };
        Ok((Principal { subject, ..Principal::default() }, end))
    }

    /// Pipelines that a stranger can start with code or words of its own.
    fn refuse_strangers(&self, claims: &Map<String, Value>) -> Result<(), BadToken> {
        let event = match self.platform {
            Platform::GitHub => claim(claims, "event_name"),
            Platform::GitLab => claim(claims, "pipeline_source"),
            Platform::Kubernetes | Platform::Oidc => return Ok(()),
        };
        let refused = match event.as_deref() {
            // Runs with the base's rights on the word of whoever opened it.
            Some("pull_request_target") => true,
            Some("pull_request" | "merge_request_event" | "external_pull_request_event") => {
                !self.pull_requests
            }
            Some(_) => false,
            // GitHub always says; GitLab says since 15.7.
            None => self.platform == Platform::GitHub,
        };
        if refused {
            let event = event.unwrap_or_else(|| "no known event".to_owned());
            return Err(bad(format!("pipelines started by {event} are not let in by {}", self.outside.name)));
        }
        Ok(())
    }

    fn name(&self, claims: &Map<String, Value>) -> Result<String, BadToken> {
        let mut name = String::new();
        let mut rest = self.subject.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (wanted, after) =
                after.split_once('}').ok_or_else(|| bad("the subject's pattern is open"))?;
            let value = claim(claims, self.platform.place(wanted));
            name.push_str(before);
            name.push_str(&value.ok_or_else(|| bad(format!("the token has no {wanted}")))?);
            rest = after;
        }
        name.push_str(rest);
        if !is_sane(&name) {
            return Err(bad(format!(
                "the token makes a name that is not printable, or over {MAX_NAME} bytes"
            )));
        }
        Ok(name)
    }
}
