//! `berth-registry import`.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::Args;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Source, ask,
    offline::{fail, say},
};
use crate::admin::AdminError;

/// Options of `import`.
#[derive(Args, Clone, Debug, Default)]
pub struct Import {
    /// Where settings come from
    #[command(flatten)]
    pub source: Source,
    /// The other registry's root folder: the one that docker/registry/v2 is in
    #[arg(long, value_name = "DIR", required_unless_present = "bucket", conflicts_with = "bucket")]
    pub from: Option<PathBuf>,
    /// The other registry's root in the bucket that [storage] names; "/" for the bucket's own
    #[arg(long, value_name = "ROOT")]
    pub bucket: Option<String>,
    /// Read every blob and leave out those that are damaged; manifests are always verified
    #[arg(long)]
    pub verify: bool,
    /// Print JSON, one object a line; the last one is the result
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
#[must_use]
pub fn run(args: Import) -> ExitCode {
    let folder = match args.from.as_deref().map(std::path::absolute).transpose() {
        Ok(folder) => folder,
        Err(error) => return fail(&format_args!("--from: {error}"), 2),
    };
    let left_out = Arc::new(AtomicBool::new(false));
    let seen = left_out.clone();
    let status = ask(args.source.clone(), async move |admin| {
        let wanted = json!({ "folder": folder, "bucket": args.bucket, "verify": args.verify });
        let on_line = |line: Value| {
            if let Some(why) = line.pointer("/error/message").and_then(Value::as_str) {
                return Err(AdminError::Refused(StatusCode::INTERNAL_SERVER_ERROR, why.to_owned()));
            }
            let count = |key: &str| line.pointer(key).and_then(Value::as_u64).unwrap_or_default();
            if count("/result/skipped") + count("/result/incomplete") > 0 {
                seen.store(true, Ordering::Relaxed);
            }
            if args.json {
                say(&line.to_string());
            } else if let Some(text) = in_words(&line) {
                say(&text);
            }
            Ok(())
        };
        admin.lines(Method::POST, "/api/v1/import", Some(&wanted), on_line).await
    });
    if left_out.load(Ordering::Relaxed) { ExitCode::FAILURE } else { status }
}

fn in_words(line: &Value) -> Option<String> {
    let text = |key: &str| line.get(key).and_then(Value::as_str);
    if let (Some(what), Some(why)) = (text("skipped"), text("why")) {
        return Some(format!("left out: {what}: {why}"));
    }
    if let (Some(what), Some(lacks)) = (text("incomplete"), line.get("lacks").and_then(Value::as_array)) {
        let lacks: Vec<_> = lacks.iter().filter_map(Value::as_str).collect();
        return Some(format!("incomplete: {what} lacks {}", lacks.join(", ")));
    }
    if let Some(repository) = text("imported") {
        return Some(repository.to_owned());
    }
    let result = line.get("result")?;
    let count = |key: &str| result.get(key).and_then(Value::as_u64).unwrap_or_default();
    let mut text = format!(
        "{} repositories: {} manifests and {} tags taken over, {} were here already; {} blobs in place, {} copied",
        count("repositories"),
        count("manifests"),
        count("tags"),
        count("known"),
        count("in_place"),
        count("copied")
    );
    for (key, what) in [
        ("newer", "tags were set here later and stay"),
        ("incomplete", "manifests lack something that is lost there or was left out"),
        ("skipped", "left out"),
    ] {
        if count(key) > 0 {
            text += &format!("; {} {what}", count(key));
        }
    }
    Some(text)
}
