//! `berth-registry gc`, `retention preview` and `undelete`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Source, ask};
use crate::admin::AdminError;

/// Options of `gc`.
#[derive(Args, Clone, Debug)]
pub struct Gc {
    /// Where settings come from
    #[command(flatten)]
    pub source: Source,
    /// Remove nothing; say what a run would remove now
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON, one object a line; the last one is the result
    #[arg(long)]
    pub json: bool,
}

/// Commands about retention.
#[derive(Clone, Debug, Subcommand)]
pub enum Retention {
    /// Show which tags the rules would let go now, and how many bytes that would free
    Preview {
        /// Where settings come from
        #[command(flatten)]
        source: Source,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Options of `undelete`.
#[derive(Args, Clone, Debug)]
pub struct Undelete {
    /// Where settings come from
    #[command(flatten)]
    pub source: Source,
    /// What to bring back: REPOSITORY:TAG or REPOSITORY@DIGEST. With REPOSITORY alone, or nothing, what can be
    /// brought back is listed
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn say(line: &str) -> Result<(), AdminError> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(AdminError::Unreachable(error.into())),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

/// Runs `gc`.
#[must_use]
pub fn gc(args: Gc) -> ExitCode {
    ask(args.source, async move |admin| {
        let body = json!({ "dry_run": args.dry_run });
        let mut failed = None;
        admin
            .lines(Method::POST, "/api/v1/gc", Some(&body), |line| {
                if let Some(why) = line.pointer("/error/message").and_then(Value::as_str) {
                    failed = Some(why.to_owned());
                }
                if args.json {
                    return say(&line.to_string());
                }
                if let Some(found) = line.get("estimate") {
                    return say(&format!("would remove {}", in_words(found)));
                }
                match line.get("report") {
                    Some(report) => say(&reported(report)),
                    None => Ok(()),
                }
            })
            .await?;
        match failed {
            Some(why) => Err(AdminError::Refused(StatusCode::INTERNAL_SERVER_ERROR, why)),
            None => Ok(()),
        }
    })
}

fn in_words(found: &Value) -> String {
    let (manifests, blobs, bytes) =
        (number(found, "manifests"), number(found, "blobs"), number(found, "bytes"));
    format!("{manifests} manifests and {blobs} blobs, {bytes} bytes")
}

fn reported(report: &Value) -> String {
    let mut text = format!(
        "removed {} tags, {} manifests, {} blobs and {} orphans, {} bytes, in {} ms",
        number(report, "tags"),
        number(report, "manifests"),
        number(report, "blobs"),
        number(report, "orphans"),
        number(report, "bytes"),
        number(report, "milliseconds")
    );
    let failed = number(report, "failed");
    if failed > 0 {
        text += &format!("; {failed} objects could not be deleted and are left to the next run");
    }
    text
}

/// Runs `retention preview`.
#[must_use]
pub fn retention(command: Retention) -> ExitCode {
    let Retention::Preview { source, json } = command;
    ask(source, async move |admin| {
        let found = admin.call(Method::GET, "/api/v1/retention/preview", None).await?;
        if json {
            return say(&found.to_string());
        }
        let tags = found.get("tags").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for tag in tags.iter().filter_map(Value::as_str) {
            say(tag)?;
        }
        let freed = found.get("freed").map(in_words).unwrap_or_default();
        say(&format!("{} tags would go, and with them {freed}", tags.len()))
    })
}

/// Runs `undelete`.
#[must_use]
pub fn undelete(args: Undelete) -> ExitCode {
    ask(args.source, async move |admin| {
        let name = args.name.filter(|name| !name.is_empty());
        let Some(name) = name.as_deref().filter(|name| name.contains([':', '@'])) else {
            return list(&admin, name.as_deref(), args.json).await;
        };
        let body = json!({ "name": name });
        let back = admin.call(Method::POST, "/api/v1/undelete", Some(&body)).await?;
        if args.json {
            return say(&back.to_string());
        }
        let count = |key: &str| back.get(key).and_then(Value::as_array).map_or(0, Vec::len);
        say(&format!("{name} is back: {} manifests, {} tags", count("manifests"), count("tags")))
    })
}

/// Lists what can be brought back, page by page.
async fn list(admin: &crate::admin::Admin, repo: Option<&str>, as_json: bool) -> Result<(), AdminError> {
    let mut last: Option<String> = None;
    loop {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let pairs = repo.map(|repo| ("repository", repo)).into_iter();
        query.extend_pairs(pairs.chain(last.as_deref().map(|last| ("last", last))));
        let path = format!("/api/v1/deleted?{}", query.finish());
        let page = admin.call(Method::GET, &path, None).await?;
        let entries = page.get("deleted").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for entry in entries {
            let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            last = Some(text("name"));
            say(&if as_json { entry.to_string() } else { format!("{} {}", text("name"), text("digest")) })?;
        }
        if page.get("more") != Some(&Value::Bool(true)) {
            return Ok(());
        }
    }
}
