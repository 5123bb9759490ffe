//! `berth-registry policy …`: the rules, and what they say.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{
    Source,
    ask::{ask, print_json, say},
};
use crate::admin::{Admin, AdminError};

/// Commands about the policy.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Show all rules, from the configuration and added at run time
    List {
        /// Where settings come from
        #[command(flatten)]
        source: Source,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Add a rule, which is in force at once and on other replicas within seconds
    ///
    ///     berth-registry policy add developers --subject group:dev --verb pull,push,overwrite --repo 'team/**'
    ///     berth-registry policy add public --subject anonymous --verb pull --repo 'public/**'
    ///     berth-registry policy add releases --deny --subject everyone --verb overwrite,delete --repo '**' --tag 'v*'
    #[command(verbatim_doc_comment)]
    Add(Add),
    /// Remove a rule that was added
    Remove {
        /// Where settings come from
        #[command(flatten)]
        source: Source,
        /// The rule's name
        name: String,
    },
    /// Say whether somebody may do something, and which rule decides
    ///
    ///     berth-registry policy explain alice push team/app
    ///     berth-registry policy explain ci:github:octo/app pull team/app
    #[command(verbatim_doc_comment)]
    Explain(Explain),
    /// Report rules that change nothing; ends with 1 where there are some
    Check {
        /// Where settings come from
        #[command(flatten)]
        source: Source,
    },
}

/// Options of `policy add`.
#[derive(Args, Debug)]
pub struct Add {
    /// Where settings come from
    #[command(flatten)]
    source: Source,
    /// What the rule is called
    name: String,
    /// Take away, whatever other rules allow
    #[arg(long)]
    deny: bool,
    /// Whom it is about: user:NAME, group:NAME, robot:NAME, cert:NAME, ci:ISSUER:NAME (* in a name stands for any
    /// characters), authenticated, anonymous (what it may, everybody may), everyone
    #[arg(long = "subject", required = true, value_delimiter = ',')]
    subjects: Vec<String>,
    /// pull, push, overwrite (move a tag that is there), delete, admin, or * for all
    #[arg(long = "verb", required = true, value_delimiter = ',')]
    verbs: Vec<String>,
    /// Repositories: team/app, 'team/*' (one level), 'team/**' (all below), '**'
    #[arg(long = "repo", required = true)]
    repositories: Vec<String>,
    /// With --deny and overwrite or delete: only tags like this, as 'v*'
    #[arg(long = "tag")]
    tags: Vec<String>,
}

/// Options of `policy explain`.
#[derive(Args, Debug)]
pub struct Explain {
    /// Where settings come from
    #[command(flatten)]
    source: Source,
    /// A user's name, or user:NAME, robot:NAME, ci:ISSUER:NAME, cert:NAME, anonymous
    user: String,
    /// pull, push, overwrite, delete or admin
    verb: String,
    /// The repository; the registry as a whole without
    repository: Option<String>,
    /// A group to take them as a member of, beside those they are known to be in
    #[arg(long = "group")]
    groups: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub fn run(command: Policy) -> ExitCode {
    match command {
        Policy::List { source, json } => ask(source, async move |admin| list(&admin, json).await),
        Policy::Add(options) => ask(options.source.clone(), async move |admin| add(&admin, &options).await),
        Policy::Remove { source, name } => ask(source, async move |admin| {
            let path = format!("/api/v1/policy/rules/{}", encoded(&name));
            admin.call(Method::DELETE, &path, None).await?;
            tell_of_the_default(&admin).await
        }),
        Policy::Explain(options) => {
            ask(options.source.clone(), async move |admin| explain(&admin, &options).await)
        }
        Policy::Check { source } => ask(source, async move |admin| check(&admin).await),
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

async fn list(admin: &Admin, json: bool) -> Result<(), AdminError> {
    let answer = admin.call(Method::GET, "/api/v1/policy", None).await?;
    if json {
        return print_json(&answer);
    }
    if answer["in_force"] == false {
        say("No authentication is configured: everybody may do everything, and no rule is in force.")?;
    }
    for rule in answer["rules"].as_array().into_iter().flatten() {
        let tags = words(&rule["tags"]);
        let tags = if tags.is_empty() { tags } else { format!(" for tags {tags}") };
        let (name, effect, source) = (text(&rule["name"]), text(&rule["effect"]), text(&rule["source"]));
        let (subjects, verbs) = (words(&rule["subjects"]), words(&rule["verbs"]));
        let repositories = words(&rule["repositories"]);
        let source = if source.is_empty() { "catalog" } else { source };
        say(&format!("{name} ({source}): {effect} {subjects}: {verbs} in {repositories}{tags}"))?;
    }
    Ok(())
}

async fn add(admin: &Admin, options: &Add) -> Result<(), AdminError> {
    let rule = json!({
        "name": options.name,
        "effect": if options.deny { "deny" } else { "allow" },
        "subjects": options.subjects,
        "verbs": options.verbs,
        "repositories": options.repositories,
        "tags": options.tags,
    });
    let answer = admin.call(Method::POST, "/api/v1/policy/rules", Some(&rule)).await?;
    if answer["in_force"] == false {
        say("The rule is kept, and in force once authentication is configured.")?;
    }
    tell_of_the_default(admin).await
}

/// The built-in rule goes with the first other rule and comes back with the last: that says more than either rule.
async fn tell_of_the_default(admin: &Admin) -> Result<(), AdminError> {
    let policy = admin.call(Method::GET, "/api/v1/policy", None).await?;
    note(&policy).map_or(Ok(()), say)
}

fn note(policy: &Value) -> Option<&'static str> {
    match policy["rules"].as_array()?.as_slice() {
        _ if policy["in_force"] == false => None,
        [only] if only["source"] == "built-in" => Some(
            "There is no other rule now, so the built-in one is in force: whoever is known may pull and push everything.",
        ),
        [_] => Some(
            "There is one rule, so the built-in one is not in force: nothing is allowed that this rule does not allow.",
        ),
        _ => None,
    }
}

async fn explain(admin: &Admin, options: &Explain) -> Result<(), AdminError> {
    let mut path = format!(
        "/api/v1/policy/explain?subject={}&verb={}&groups={}",
        encoded(&options.user),
        encoded(&options.verb),
        encoded(&options.groups.join(","))
    );
    if let Some(repository) = &options.repository {
        path.push_str(&format!("&repository={}", encoded(repository)));
    }
    let answer = admin.call(Method::GET, &path, None).await?;
    if options.json {
        return print_json(&answer);
    }
    let allowed = if answer["allowed"] == true { "may" } else { "may not" };
    let subject = text(&answer["subject"]);
    let groups = words(&answer["groups"]);
    let groups = if groups.is_empty() { groups } else { format!(" (in {groups})") };
    let place = answer["repository"].as_str().unwrap_or("the registry as a whole");
    let rule = match answer["source"].as_str() {
        Some(source) => format!("rule {} ({source})", text(&answer["rule"])),
        None => text(&answer["rule"]).to_owned(),
    };
    say(&format!("{subject}{groups} {allowed} {} {place}: {rule}", text(&answer["verb"])))?;
    for near in answer["nearest"].as_array().into_iter().flatten() {
        say(&format!("  rule {} would allow it, but for its {}", text(&near["rule"]), text(&near["but"])))?;
    }
    Ok(())
}

async fn check(admin: &Admin) -> Result<(), AdminError> {
    let answer = admin.call(Method::GET, "/api/v1/policy", None).await?;
    let idle = answer["idle"].as_array().map_or(&[][..], Vec::as_slice);
    for rule in idle {
        say(&format!("rule {} changes nothing: {}", text(&rule["rule"]), text(&rule["why"])))?;
    }
    match idle.len() {
        0 => Ok(()),
        1 => Err(AdminError::Found("1 rule changes nothing".to_owned())),
        count => Err(AdminError::Found(format!("{count} rules change nothing"))),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn words(list: &Value) -> String {
    let words: Vec<_> = list.as_array().into_iter().flatten().map(text).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_changes_rules_is_told_when_the_built_in_one_comes_or_goes() {
        let policy = |in_force: bool, sources: &[&str]| {
            let rules: Vec<_> = sources.iter().map(|source| json!({ "source": source })).collect();
            note(&json!({ "in_force": in_force, "rules": rules }))
        };
        assert!(policy(true, &["built-in"]).unwrap().contains("may pull and push everything"));
        assert!(policy(true, &["catalog"]).unwrap().contains("nothing is allowed"));
        assert_eq!(policy(true, &["catalog", "catalog"]), None);
        assert_eq!(policy(false, &["catalog"]), None, "none is in force");
    }
}
