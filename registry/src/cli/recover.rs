//! `berth-registry recover`.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::{
    Source,
    offline::{offline, say},
};
use crate::upkeep::recover::{Recovered, Recovery};

/// Options of `recover`.
#[derive(Args, Clone, Debug, Default)]
pub struct Recover {
    /// Where settings come from
    #[command(flatten)]
    pub source: Source,
    /// Add what the catalog lacks though it is not empty; tags that it has set later stay
    #[arg(long)]
    pub merge: bool,
    /// Print JSON, one object a line; the last one is the result
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
#[must_use]
pub fn run(args: &Recover) -> ExitCode {
    let (merge, json) = (args.merge, args.json);
    let show = move |line: &Value| if json { Some(line.to_string()) } else { in_words(line) };
    offline(args.source.clone(), show, async move |services, teller| {
        let recovery = Recovery {
            catalog: &*services.catalog,
            store: services.store.clone(),
            manifests: &services.manifests,
            clock: &*services.clock,
            lease: services.blobs.settings().lease,
        };
        let recovered = recovery.run(merge, &teller).await?;
        drop(teller);
        say(&if json { result(&recovered) } else { summary(&recovered) });
        Ok(if recovered.lost + recovered.incomplete == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

fn result(recovered: &Recovered) -> String {
    serde_json::json!({ "recovered": recovered }).to_string()
}

fn in_words(line: &Value) -> Option<String> {
    let text = |key: &str| line.get(key).and_then(Value::as_str);
    if let (Some(what), Some(why)) = (text("lost"), text("why")) {
        return Some(format!("lost: {what}: {why}"));
    }
    if let (Some(what), Some(lacks)) = (text("incomplete"), line.get("lacks").and_then(Value::as_array)) {
        let lacks: Vec<_> = lacks.iter().filter_map(Value::as_str).collect();
        return Some(format!("incomplete: {what} lacks {}", lacks.join(", ")));
    }
    let (what, count) = (text("progress")?, line.get("count")?);
    Some(format!("{count} {what} found"))
}

fn summary(recovered: &Recovered) -> String {
    let Recovered { manifests, tags, blobs, unused, incomplete, lost } = recovered;
    let mut text = format!("{manifests} manifests, {tags} tags and {blobs} blobs are back");
    if *unused > 0 {
        text += &format!("; {unused} objects hold what no manifest refers to");
    }
    if *incomplete > 0 {
        text += &format!("; {incomplete} manifests lack something that is lost");
    }
    if *lost > 0 {
        text += &format!("; {lost} records could not be used");
    }
    text
}
