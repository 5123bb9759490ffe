//! `/api/v1/policy`: the rules, and what they say.

use std::str::FromStr;

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::{delete, get, post},
};
use berth_oci::RepoName;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Administrator, Caller, Error, Input, Parameters, Result, accounts::Registrar};
use crate::{
    app::Services,
    auth::{Principal, Subject},
    catalog::KeptRule,
    policy::{Near, Policy, Rule, Source, Verb},
};

pub(super) fn routes() -> Router<Services> {
    Router::new()
        .route("/api/v1/policy", get(list))
        .route("/api/v1/policy/explain", get(explain))
        .route("/api/v1/policy/rules", post(add))
        .route("/api/v1/policy/rules/{name}", delete(remove))
}

/// A rule, and where it comes from.
#[derive(Serialize)]
struct Listed<'a> {
    source: Source,
    #[serde(flatten)]
    rule: &'a Rule,
}

/// `GET /api/v1/policy`: all rules, and those that change nothing.
async fn list(_caller: Administrator, State(services): State<Services>) -> Result<Json<Value>> {
    let kept = services.catalog.rules().await?;
    let live = match &services.policy {
        Policy::Rules(live) => {
            live.refresh(&*services.catalog).await?;
            live
        }
        Policy::Open => {
            let rules: Vec<Value> =
                kept.rules.iter().filter_map(|kept| serde_json::from_str(&kept.rule).ok()).collect();
            return Ok(Json(json!({ "in_force": false, "rules": rules, "idle": [] })));
        }
    };
    let rules = live.rules();
    let listed: Vec<_> = rules.iter().map(|(source, rule)| Listed { source, rule }).collect();
    let idle: Vec<_> =
        rules.idle().into_iter().map(|(rule, why)| json!({ "rule": rule, "why": why })).collect();
    Ok(Json(json!({ "in_force": true, "rules": listed, "idle": idle })))
}

/// `POST /api/v1/policy/rules`: adds a rule, which is in force on all replicas a few seconds later.
async fn add(
    caller: Registrar,
    State(services): State<Services>,
    Input(rule): Input<Rule>,
) -> Result<(StatusCode, Json<Value>)> {
    rule.check().map_err(|faults| Error::Invalid(faults.join("; ")))?;
    let taken = || Error::Conflict(format!("there is a rule called {} already", rule.name));
    if services.config.policy.rules.0.iter().any(|configured| configured.name == rule.name) {
        return Err(taken());
    }
    let kept = KeptRule {
        name: rule.name.clone(),
        rule: serde_json::to_string(&rule).map_err(|error| Error::Internal(error.into()))?,
        created_at: services.clock.now(),
        created_by: caller.principal().key(),
    };
    if !services.catalog.add_rule(&kept).await? {
        return Err(taken());
    }
    let in_force = refresh(&services).await?;
    Ok((StatusCode::CREATED, Json(json!({ "rule": rule, "in_force": in_force }))))
}

/// `DELETE /api/v1/policy/rules/{name}`
async fn remove(
    _caller: Registrar,
    State(services): State<Services>,
    Path(name): Path<String>,
) -> Result<StatusCode> {
    if services.config.policy.rules.0.iter().any(|configured| configured.name == name) {
        return Err(Error::Conflict(format!("rule {name} is in the configuration; remove it there")));
    }
    if !services.catalog.remove_rule(&name).await? {
        return Err(Error::Unknown(format!("there is no rule called {name}")));
    }
    refresh(&services).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether rules are in force at all; here they are those of the catalog from now on.
async fn refresh(services: &Services) -> Result<bool> {
    let Policy::Rules(live) = &services.policy else { return Ok(false) };
    live.refresh(&*services.catalog).await?;
    Ok(true)
}

/// A question.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    /// As `user:alice`; a name alone is a user's. Whoever asks where it is not given.
    subject: Option<String>,
    /// Groups beside those that the catalog knows of, separated by commas.
    groups: Option<String>,
    verb: String,
    /// The registry as a whole where it is not given.
    repository: Option<String>,
}

/// An answer.
#[derive(Serialize)]
struct Answer {
    subject: String,
    groups: Vec<String>,
    verb: &'static str,
    repository: Option<RepoName>,
    allowed: bool,
    /// The rule that decides, or why none had to.
    rule: String,
    source: Option<Source>,
    /// Where nothing is allowed: rules that would allow it, but for one thing.
    nearest: Vec<Near>,
}

/// `GET /api/v1/policy/explain?subject=&groups=&verb=&repository=`: whether it is allowed, and which rule says so.
/// Others than oneself may be asked about by administrators.
async fn explain(
    caller: Caller,
    State(services): State<Services>,
    Parameters(question): Parameters<Question>,
) -> Result<Json<Value>> {
    let verb = Verb::named(&question.verb).ok_or_else(|| {
        let all = Verb::ALL.map(Verb::as_str).join(", ");
        Error::Invalid(format!("{:?} is no verb: it is one of {all}", question.verb))
    })?;
    let repository = question.repository.as_deref().filter(|name| !name.is_empty());
    let repository: Option<RepoName> = repository
        .map(str::parse)
        .transpose()
        .map_err(|error| Error::Invalid(format!("repository: {error}")))?;
    let who = match &question.subject {
        None => caller.principal().clone(),
        Some(_) if !caller.may_administer() => {
            return Err(Error::Denied("only administrators may ask about others".to_owned()));
        }
        Some(subject) => described(&services, subject, question.groups.as_deref()).await?,
    };
    if let Policy::Rules(live) = &services.policy {
        live.refresh(&*services.catalog).await?;
    }
    let decision = services.policy.decide(&who, verb, repository.as_ref());
    let nearest =
        if decision.allowed { Vec::new() } else { services.policy.nearest(&who, verb, repository.as_ref()) };
    let answer = Answer {
        subject: who.subject.to_string(),
        groups: who.groups,
        verb: verb.as_str(),
        repository,
        allowed: decision.allowed,
        rule: decision.rule,
        source: decision.source,
        nearest,
    };
    Ok(Json(serde_json::to_value(answer).map_err(|error| Error::Internal(error.into()))?))
}

/// Somebody as they would come: with the groups that the catalog knows of, an administrator where they are one.
async fn described(services: &Services, subject: &str, groups: Option<&str>) -> Result<Principal> {
    // Nobody has such a name, and the answer repeats it.
    if [Some(subject), groups].into_iter().flatten().any(|text| text.chars().any(char::is_control)) {
        return Err(Error::Invalid("subject and groups: names have no control characters".to_owned()));
    }
    let subject = if subject.contains(':') || subject == "anonymous" || subject == "local" {
        subject.to_owned()
    } else {
        format!("user:{subject}")
    };
    let parsed = Subject::from_str(&subject).map_err(Error::Invalid)?;
    let mut known = services.catalog.groups_of(&subject).await?;
    known.extend(
        groups
            .into_iter()
            .flat_map(|list| list.split(','))
            .filter(|group| !group.is_empty())
            .map(str::to_owned),
    );
    let mut admin = services.config.auth.admins.contains(&subject);
    if let Subject::User(name) = &parsed {
        admin |= services.catalog.user(name).await?.is_some_and(|user| user.admin && !user.disabled);
    }
    Ok(Principal { subject: parsed, groups: known, admin, ..Principal::default() })
}
