//! `berth-registry check`.

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::Args;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Source, ask, offline::say};
use crate::{admin::AdminError, upkeep::read::Part};

/// Options of `check`.
#[derive(Args, Clone, Debug, Default)]
pub struct Check {
    /// Where settings come from
    #[command(flatten)]
    pub source: Source,
    /// Read the bytes of blobs too: all, or the n-th of t parts, the same ones each time. A blob that
    /// turns out to be damaged is not served any more until it is pushed again
    #[arg(long, value_name = "N/T", num_args = 0..=1, default_missing_value = "1/1")]
    pub read_data: Option<String>,
    /// Put right what can be: records are written again, objects that nobody has are deleted, blobs
    /// without their objects are taken out of service so that a push heals them, damaged manifests
    /// come back from their records
    #[arg(long)]
    pub repair: bool,
    /// Leave alone what is younger than so many seconds and belongs to nobody: a push may be under way
    #[arg(long, value_name = "SECONDS", default_value_t = 24 * 3600)]
    pub grace: u64,
    /// Print JSON, one object a line; the last one is the result
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
#[must_use]
pub fn run(args: Check) -> ExitCode {
    if let Some(Err(error)) = args.read_data.as_deref().map(str::parse::<Part>) {
        return super::offline::fail(&format_args!("--read-data: {error}"), 2);
    }
    let problems = Arc::new(AtomicBool::new(false));
    let seen = problems.clone();
    let status = ask(args.source.clone(), async move |admin| {
        let wanted = json!({ "readData": args.read_data, "repair": args.repair, "graceSeconds": args.grace });
        let on_line = |line: Value| {
            if let Some(why) = line.pointer("/error/message").and_then(Value::as_str) {
                return Err(AdminError::Refused(StatusCode::INTERNAL_SERVER_ERROR, why.to_owned()));
            }
            if line.pointer("/result/problems").and_then(Value::as_u64).is_some_and(|count| count > 0) {
                seen.store(true, Ordering::Relaxed);
            }
            if args.json {
                say(&line.to_string());
            } else if let Some(text) = in_words(&line) {
                say(&text);
            }
            Ok(())
        };
        admin.lines(Method::POST, "/api/v1/check", Some(&wanted), on_line).await
    });
    if problems.load(Ordering::Relaxed) { ExitCode::FAILURE } else { status }
}

fn in_words(line: &Value) -> Option<String> {
    let text = |key: &str| line.get(key).and_then(Value::as_str);
    if let (Some(what), Some(kind), Some(why)) = (text("what"), text("finding"), text("why")) {
        let repaired = line.get("repaired").and_then(Value::as_bool).unwrap_or_default();
        return Some(format!("{kind}: {what}: {why}{}", if repaired { " (put right)" } else { "" }));
    }
    let result = line.get("result")?;
    let count = |key: &str| result.get(key).and_then(Value::as_u64).unwrap_or_default();
    let mut text = format!(
        "{} blobs, {} manifests and tags, {} objects",
        count("blobs"),
        count("names"),
        count("objects")
    );
    if count("read") > 0 {
        text += &format!("; {} blobs of {} bytes read", count("read"), count("bytes_read"));
    }
    Some(match count("problems") {
        0 => format!("{text}: no problem found"),
        problems => format!("{text}: {problems} problems, {} of them put right", count("repaired")),
    })
}
