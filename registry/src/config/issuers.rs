//! `[[auth.issuers]]` and `[[auth.federation]]`: who else is believed.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use jsonwebtoken::Algorithm;
use serde::{Deserialize, Serialize};

use super::{auth::Auth, faults::Faults, human::parse_time};
use crate::auth::tokens::{
    ALGORITHMS, Allowed, Connection, Federation, KeySource, Outside, Platform, TokenServer, may_be_asked,
};

pub(super) const ABOUT_ISSUERS: &str = "Token servers of others, whose tokens are taken as they are: [[auth.issuers]] with\n\
     name, issuer (its iss), audience (what it calls this registry; auth.service unless given), its keys by one of\n\
     jwks_url, jwks_file and certificates (PEM, what Distribution calls rootcertbundle), and, as wished, ca_file,\n\
     algorithms, and realm: its address for clients, which are then sent there for tokens.";
pub(super) const ABOUT_FEDERATION: &str = "Platforms that vouch for programs, whose tokens are passwords here: [[auth.federation]] with\n\
     name (its subjects are \"ci:NAME:…\"), kind (github, gitlab, kubernetes or oidc), issuer, audience (required),\n\
     claims (conditions, as { repository_id = \"123\", ref = [\"refs/heads/main\", \"refs/tags/*\"] }; one of them has\n\
     to be immutable), and, as wished, subject (as \"{repository}\"), session (\"1h\"), pull_requests (false), jwks_url,\n\
     jwks_file, ca_file, token_file, algorithms.";

impl Auth {
    /// Token servers of others.
    #[must_use]
    pub fn token_servers(&self) -> Vec<TokenServer> {
        self.servers(&mut Faults::new(""))
    }

    /// Platforms that vouch for programs.
    #[must_use]
    pub fn federations(&self) -> Vec<Federation> {
        self.platforms(&mut Faults::new(""))
    }

    pub(super) fn check_issuers(&self, faults: &mut Faults) {
        self.servers(faults);
        self.platforms(faults);
        let names = self.issuers.0.iter().map(|entry| &entry.name);
        let mut names: Vec<_> = names.chain(self.federation.0.iter().map(|entry| &entry.name)).collect();
        names.sort();
        for pair in names.windows(2).filter(|pair| pair[0] == pair[1]) {
            let sentence = format!("{:?} names two; their subjects could not be told apart", pair[0]);
            faults.add("auth.issuers", sentence);
        }
    }

    fn servers(&self, faults: &mut Faults) -> Vec<TokenServer> {
        let entries = self.issuers.0.iter().enumerate();
        entries.filter_map(|(at, entry)| entry.resolve(at + 1, &self.service, faults)).collect()
    }

    fn platforms(&self, faults: &mut Faults) -> Vec<Federation> {
        let entries = self.federation.0.iter().enumerate();
        entries.filter_map(|(at, entry)| entry.resolve(at + 1, faults)).collect()
    }
}

/// One text or several.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum OneOrMore {
    /// One.
    One(String),
    /// Several.
    More(Vec<String>),
}

impl OneOrMore {
    fn list(&self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text.clone()],
            Self::More(list) => list.clone(),
        }
    }
}

/// A token server that others run: `[[auth.issuers]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerEntry {
    /// Its name here.
    pub name: String,
    /// `iss` of its tokens.
    pub issuer: String,
    /// `aud` of its tokens: what it calls this registry. `auth.service` where nothing is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<OneOrMore>,
    /// Address of its JSON web key set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// File of its JSON web key set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// File of its certificates or public keys, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<PathBuf>,
    /// Certificates to trust at `jwks_url`, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// What it may sign with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithms: Option<Vec<String>>,
    /// Its address for clients, which are then sent there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
}

/// A platform that vouches for programs: `[[auth.federation]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FederationEntry {
    /// Its name here: the first part of its subjects, `ci:NAME:…`.
    pub name: String,
    /// `github`, `gitlab`, `kubernetes` or `oidc`.
    pub kind: String,
    /// `iss` of its tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// `aud` of its tokens: what programs ask tokens for this registry with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<OneOrMore>,
    /// Address of its JSON web key set, where it is not to be discovered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// File of its JSON web key set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// Certificates to trust there, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// A file with a bearer token to send there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// What it may sign with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithms: Option<Vec<String>>,
    /// Conditions: a claim, and what it may be, `*` for anything.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, OneOrMore>,
    /// The subject's name, with claims in braces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Whether pipelines of proposed changes come in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pull_requests: bool,
    /// How long a login goes on with a refresh token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

/// How long a pipeline's login goes on, where nothing is said.
const SESSION: Duration = Duration::from_hours(1);
const GITHUB: &str = "https://token.actions.githubusercontent.com";

/// Notes faults under the key of one entry.
struct Entry<'f> {
    key: String,
    faults: &'f mut Faults,
}

impl Entry<'_> {
    fn fault(&mut self, field: &str, sentence: impl Into<String>) {
        self.faults.add(format!("{}.{field}", self.key), sentence);
    }

    fn name(&mut self, name: &str) {
        let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if name.is_empty() || !fits {
            self.fault("name", "must be letters, digits, dots, dashes and underscores, and not empty");
        }
    }

    fn algorithms(&mut self, given: Option<&Vec<String>>) -> Vec<Algorithm> {
        let Some(given) = given else { return ALGORITHMS.iter().map(|(_, algorithm)| *algorithm).collect() };
        let mut algorithms = Vec::new();
        for name in given {
            match ALGORITHMS.iter().find(|(known, _)| known == name) {
                Some((_, algorithm)) => algorithms.push(*algorithm),
                None => {
                    let known: Vec<_> = ALGORITHMS.iter().map(|(name, _)| *name).collect();
                    self.fault("algorithms", format!("{name:?} is none of {}", known.join(", ")));
                }
            }
        }
        if given.is_empty() {
            self.fault("algorithms", "must name at least one");
        }
        algorithms
    }

    fn source(&mut self, given: Vec<(&'static str, KeySource)>) -> Option<KeySource> {
        if let [_, (second, _), ..] = given.as_slice() {
            let names: Vec<_> = given.iter().map(|(name, _)| *name).collect();
            self.fault(second, format!("only one of {} can count", names.join(", ")));
        }
        let (name, source) = given.into_iter().next()?;
        if let KeySource::Url(url) = &source
            && let Err(sentence) = may_be_asked(url)
        {
            self.fault(name, sentence);
        }
        Some(source)
    }
}

fn urls(url: Option<&String>, file: Option<&PathBuf>) -> Vec<(&'static str, KeySource)> {
    let url = url.map(|url| ("jwks_url", KeySource::Url(url.clone())));
    let file = file.map(|file| ("jwks_file", KeySource::File(file.clone())));
    url.into_iter().chain(file).collect()
}

impl IssuerEntry {
    /// What the token rules take, unless something is wrong.
    pub(super) fn resolve(&self, at: usize, service: &str, faults: &mut Faults) -> Option<TokenServer> {
        let mut entry = Entry { key: format!("auth.issuers[{at}]"), faults };
        entry.name(&self.name);
        if self.issuer.is_empty() || self.issuer == service {
            entry
                .fault("issuer", "must be the iss of its tokens, which is not auth.service: that is our own");
        }
        let mut sources = urls(self.jwks_url.as_ref(), self.jwks_file.as_ref());
        sources.extend(self.certificates.clone().map(|file| ("certificates", KeySource::Certificates(file))));
        let Some(keys) = entry.source(sources) else {
            entry.fault("jwks_url", "one of jwks_url, jwks_file and certificates is required");
            return None;
        };
        if let Some(realm) = &self.realm
            && !realm.parse::<http::Uri>().is_ok_and(|uri| {
                uri.scheme_str().is_some_and(|scheme| ["http", "https"].contains(&scheme))
                    && uri.host().is_some()
            })
        {
            entry.fault("realm", format!("{realm:?} is not an address like \"https://auth.example/token\""));
        }
        let audience = self.audience.as_ref().map_or_else(|| vec![service.to_owned()], OneOrMore::list);
        let Some(called) = audience.first().cloned() else {
            entry.fault("audience", "must name at least one");
            return None;
        };
        let algorithms = entry.algorithms(self.algorithms.as_ref());
        let connection = Connection { ca: self.ca_file.clone(), token: None };
        let outside = Outside {
            name: self.name.clone(),
            issuer: self.issuer.clone(),
            audience,
            algorithms,
            keys,
            connection,
        };
        Some(TokenServer { outside, realm: self.realm.clone(), service: called })
    }
}

impl FederationEntry {
    /// What the token rules take, unless something is wrong.
    pub(super) fn resolve(&self, at: usize, faults: &mut Faults) -> Option<Federation> {
        let mut entry = Entry { key: format!("auth.federation[{at}]"), faults };
        entry.name(&self.name);
        let platform = match self.kind.as_str() {
            "github" => Platform::GitHub,
            "gitlab" => Platform::GitLab,
            "kubernetes" => Platform::Kubernetes,
            "oidc" => Platform::Oidc,
            _ => {
                let sentence =
                    format!("{:?} is none of \"github\", \"gitlab\", \"kubernetes\", \"oidc\"", self.kind);
                entry.fault("kind", sentence);
                return None;
            }
        };
        let issuer = match (&self.issuer, platform) {
            (Some(issuer), _) => issuer.clone(),
            (None, Platform::GitHub) => GITHUB.to_owned(),
            (None, _) => {
                entry.fault("issuer", "required: the iss of its tokens");
                return None;
            }
        };
        let audience = self.audience.as_ref().map(OneOrMore::list).unwrap_or_default();
        if audience.iter().all(String::is_empty) {
            entry.fault(
                "audience",
                "required: without it a token that was meant for another service would do here",
            );
        }
        let keys = entry.source(urls(self.jwks_url.as_ref(), self.jwks_file.as_ref()));
        let keys = keys.unwrap_or_else(|| KeySource::Discovery(issuer.clone()));
        if let KeySource::Discovery(issuer) = &keys
            && let Err(sentence) = may_be_asked(issuer)
        {
            entry.fault("issuer", sentence);
        }
        let (conditions, session) = (self.conditions(platform, &mut entry), self.session(&mut entry));
        let subject = self.subject.clone().unwrap_or_else(|| platform.subject().to_owned());
        if subject.matches('{').count() != subject.matches('}').count() || subject.is_empty() {
            entry.fault("subject", "must be a name with claims in braces, as \"{repository}\"");
        }
        let algorithms = entry.algorithms(self.algorithms.as_ref());
        let connection = Connection { ca: self.ca_file.clone(), token: self.token_file.clone() };
        let outside = Outside { name: self.name.clone(), issuer, audience, algorithms, keys, connection };
        let pull_requests = self.pull_requests;
        Some(Federation { outside, platform, conditions, subject, pull_requests, session })
    }

    fn conditions(&self, platform: Platform, entry: &mut Entry<'_>) -> BTreeMap<String, Allowed> {
        let immutable = platform.immutable();
        let pinned = |claim: &&str| {
            let patterns = self.claims.get(*claim).map(OneOrMore::list).unwrap_or_default();
            !patterns.is_empty() && patterns.iter().all(|pattern| !pattern.contains(['*', '?', '[', '{']))
        };
        if !immutable.is_empty() && !immutable.iter().any(|claim| pinned(&claim)) {
            let sentence = format!(
                "must hold one of {} without wildcards: names of repositories and owners can be taken over, these not",
                immutable.join(", ")
            );
            entry.fault("claims", sentence);
        } else if self.claims.is_empty() {
            entry.fault(
                "claims",
                "required: without conditions everybody whom the issuer knows would come in",
            );
        }
        let mut conditions = BTreeMap::new();
        for (claim, patterns) in &self.claims {
            match Allowed::new(&patterns.list()) {
                Ok(allowed) => {
                    conditions.insert(claim.clone(), allowed);
                }
                Err(sentence) => entry.fault(&format!("claims.{claim}"), sentence),
            }
        }
        conditions
    }

    fn session(&self, entry: &mut Entry<'_>) -> Duration {
        match self.session.as_deref().map(parse_time) {
            None => SESSION,
            Some(Ok(session)) if session <= Duration::from_hours(24) => session,
            Some(Ok(_)) => {
                entry.fault("session", "must be no more than 24h");
                SESSION
            }
            Some(Err(sentence)) => {
                entry.fault("session", sentence);
                SESSION
            }
        }
    }
}
