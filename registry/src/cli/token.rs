//! `berth-registry token …`: refresh tokens, and the keys that tokens are signed with.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Source,
    ask::{ask, print_json, say},
};
use crate::admin::{Admin, AdminError};

/// Commands about tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token for a user or a robot, good as a password and at /token; it is shown this once
    ///
    ///     berth-registry token create alice --name laptop --expires 30d
    ///     berth-registry token create robot:team/ci | docker login -u team/ci --password-stdin HOST
    #[command(verbatim_doc_comment)]
    Create(Create),
    /// Show tokens that were made, and those that clients got as they logged in
    List(List),
    /// End a token: nothing can be had with it from now on. Tokens that were had with it before live for as
    /// long as auth.tokens.life says
    Revoke {
        /// Where settings come from
        #[command(flatten)]
        source: Source,
        /// Its id, as `token list` shows it; not the token itself, which must not get into logs
        id: Uuid,
    },
    /// Show or change the keys that tokens are signed with
    Keys {
        /// Which of it
        #[command(subcommand)]
        command: Keys,
    },
}

/// Options of `token create`.
#[derive(Args, Debug)]
pub struct Create {
    /// Where settings come from
    #[command(flatten)]
    source: Source,
    /// Whose it is to be: NAME, user:NAME or robot:NAME
    subject: String,
    /// What it is for
    #[arg(long, default_value = "")]
    name: String,
    /// How long it is good, as 12h or 30d [default: auth.tokens.refresh_life]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    expires: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Options of `token list`.
#[derive(Args, Debug)]
pub struct List {
    /// Where settings come from
    #[command(flatten)]
    source: Source,
    /// Only those of NAME, user:NAME or robot:NAME
    subject: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Commands about keys.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Show them, the youngest first
    List {
        /// Where settings come from
        #[command(flatten)]
        source: Source,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Add a key, which signs once every replica knows it; the one before verifies until its last token has ended
    Rotate {
        /// Where settings come from
        #[command(flatten)]
        source: Source,
    },
}

fn seconds(text: &str) -> Result<u64, String> {
    crate::config::parse_time(text).map(|time| time.as_secs())
}

/// Runs it.
pub fn run(command: Token) -> ExitCode {
    match command {
        Token::Create(options) => {
            ask(options.source.clone(), async move |admin| create(&admin, &options).await)
        }
        Token::List(options) => ask(options.source.clone(), async move |admin| list(&admin, &options).await),
        Token::Revoke { source, id } => ask(source, async move |admin| {
            let path = format!("/api/v1/tokens/{id}");
            admin.call(Method::DELETE, &path, None).await.map(|_| ())
        }),
        Token::Keys { command: Keys::List { source, json } } => {
            ask(source, async move |admin| keys(&admin, json).await)
        }
        Token::Keys { command: Keys::Rotate { source } } => ask(source, async move |admin| {
            let made = admin.call(Method::POST, "/api/v1/tokens/keys", None).await?;
            say(&text(&made, "kid"))
        }),
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or("-").to_owned()
}

async fn create(admin: &Admin, options: &Create) -> Result<(), AdminError> {
    let body = json!({ "subject": options.subject, "name": options.name, "expires_in": options.expires });
    let made = admin.call(Method::POST, "/api/v1/tokens", Some(&body)).await?;
    // Nothing but the secret, so that it can be piped to where it is wanted.
    if options.json { print_json(&made) } else { say(&text(&made, "secret")) }
}

async fn list(admin: &Admin, options: &List) -> Result<(), AdminError> {
    let mut all = Vec::new();
    let mut last = String::new();
    loop {
        let subject = options.subject.as_deref().map(|name| format!("&subject={}", encoded(name)));
        let path = format!("/api/v1/tokens?n=1000{}{last}", subject.unwrap_or_default());
        let page = admin.call(Method::GET, &path, None).await?;
        all.extend(page["tokens"].as_array().cloned().unwrap_or_default());
        match page["last"].as_str() {
            Some(id) => last = format!("&last={id}"),
            None => break,
        }
    }
    if options.json {
        return print_json(&Value::Array(all));
    }
    for token in &all {
        let [id, kind, subject, expires, used, name] =
            ["id", "kind", "subject", "expires_at", "used_at", "name"].map(|name| text(token, name));
        say(&format!("{id}  {kind:<8}  {subject}  expires {expires}  used {used}  {name}"))?;
    }
    Ok(())
}

async fn keys(admin: &Admin, json: bool) -> Result<(), AdminError> {
    let answer = admin.call(Method::GET, "/api/v1/tokens/keys", None).await?;
    if json {
        return print_json(&answer["keys"]);
    }
    for key in answer["keys"].as_array().into_iter().flatten() {
        let [kid, algorithm, from, until] =
            ["kid", "algorithm", "signs_from", "retires_at"].map(|name| text(key, name));
        let state = if key["signing"] == true { "signs" } else { "verifies" };
        say(&format!("{kid}  {algorithm}  {state}  from {from}  until {until}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: Token,
    }

    #[test]
    fn a_token_is_revoked_by_its_id_and_never_sent_in_an_address() {
        let line = |id: &str| Line::try_parse_from(["token", "revoke", id]);
        assert!(line("01a1fef1-7b5d-752b-ab53-b0c7ae1f3dc1").is_ok());
        assert!(line(&format!("brt_{}", "a".repeat(43))).is_err());
    }
}
