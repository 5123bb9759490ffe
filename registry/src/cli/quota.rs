//! `quota` and `usage`: what namespaces hold, and what they may.

use std::{io::Write, process::ExitCode};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::{Source, ask};
use crate::{
    admin::{Admin, AdminError},
    catalog::Namespace,
    config::Size,
};

/// What to do with quotas.
#[derive(Debug, Subcommand)]
pub enum Quota {
    /// List namespaces with what they hold and may hold
    List(Output),
    /// Show one namespace
    Show {
        /// The first part of its repositories' names
        namespace: Namespace,
        /// How it is printed
        #[command(flatten)]
        output: Output,
    },
    /// Set what a namespace may hold, whatever the configuration says
    ///
    ///     berth-registry quota set team 100GiB
    ///
    /// What it holds already stays, even if that is more.
    #[command(verbatim_doc_comment)]
    Set {
        /// The first part of its repositories' names
        namespace: Namespace,
        /// A size, or unlimited
        #[arg(value_parser = limit)]
        limit: Limit,
        /// How it is printed
        #[command(flatten)]
        output: Output,
    },
    /// Let the configuration say again what a namespace may hold
    Unset {
        /// The first part of its repositories' names
        namespace: Namespace,
        /// How it is printed
        #[command(flatten)]
        output: Output,
    },
    /// Count anew what namespaces hold, and say where what was kept is wrong
    ///
    /// Ends with 1 where something is wrong and was not repaired.
    Recount {
        /// Of one namespace instead of all
        namespace: Option<Namespace>,
        /// Set right what is wrong; pushes and deletes wait meanwhile
        #[arg(long)]
        repair: bool,
        /// How it is printed
        #[command(flatten)]
        output: Output,
    },
}

/// What the repositories of a namespace hold
#[derive(Args, Debug)]
pub struct Usage {
    /// The first part of its repositories' names
    pub namespace: Namespace,
    /// How it is printed
    #[command(flatten)]
    pub output: Output,
}

/// How answers are printed.
#[derive(Args, Clone, Debug)]
pub struct Output {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Where settings come from
    #[command(flatten)]
    source: Source,
}

/// What `quota set` sets.
#[derive(Clone, Copy, Debug)]
pub struct Limit(Option<u64>);

fn limit(text: &str) -> Result<Limit, String> {
    if text == "unlimited" {
        return Ok(Limit(None));
    }
    let size: Size = text.parse().map_err(|fault| format!("{fault}, or \"unlimited\""))?;
    Ok(Limit(Some(size.0)))
}

/// Runs `quota`.
#[must_use]
pub fn quota(command: Quota) -> ExitCode {
    match command {
        Quota::List(output) => pages(output, "/api/v1/quotas", "namespaces", namespace_line),
        Quota::Show { namespace, output } => {
            one(output, Method::GET, format!("/api/v1/quotas/{namespace}"), None)
        }
        Quota::Set { namespace, limit: Limit(limit), output } => {
            let body = json!({ "limit": limit });
            one(output, Method::PUT, format!("/api/v1/quotas/{namespace}"), Some(body))
        }
        Quota::Unset { namespace, output } => {
            one(output, Method::DELETE, format!("/api/v1/quotas/{namespace}"), None)
        }
        Quota::Recount { namespace, repair, output } => recount(namespace, repair, output),
    }
}

/// Runs `usage`.
#[must_use]
pub fn usage(Usage { namespace, output }: Usage) -> ExitCode {
    let path = format!("/api/v1/usage/{namespace}");
    pages(output, &path, "repositories", |row| {
        format!(
            "{:<50} {:>12} {:>12} only here",
            text(row, "repository"),
            readable(row.get("bytes")),
            readable(row.get("unique"))
        )
    })
}

fn text<'v>(row: &'v Value, key: &str) -> &'v str {
    row.get(key).and_then(Value::as_str).unwrap_or("")
}

/// Bytes as people read them: `1.5 GiB`.
fn readable(bytes: Option<&Value>) -> String {
    const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let Some(bytes) = bytes.and_then(Value::as_u64) else { return "unlimited".to_owned() };
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

fn namespace_line(row: &Value) -> String {
    let (name, used, limit) = (text(row, "namespace"), readable(row.get("used")), readable(row.get("limit")));
    let source = if row.get("limit").is_some_and(Value::is_null) && text(row, "source") == "configuration" {
        ""
    } else {
        text(row, "source")
    };
    format!("{name:<40} {used:>12} of {limit:<12} {source}").trim_end().to_owned()
}

fn print(line: &str) -> Result<(), AdminError> {
    writeln!(std::io::stdout(), "{line}").map_err(|error| AdminError::Unreachable(error.into()))
}

fn one(output: Output, method: Method, path: String, body: Option<Value>) -> ExitCode {
    ask(output.source, |admin: Admin| async move {
        let answer = admin.call(method, &path, body.as_ref()).await?;
        print(&if output.json { answer.to_string() } else { namespace_line(&answer) })
    })
}

/// All pages of a list.
fn pages(output: Output, path: &str, key: &'static str, line: fn(&Value) -> String) -> ExitCode {
    let path = path.to_owned();
    ask(output.source, |admin: Admin| async move {
        let mut all = Vec::new();
        let mut page = path.clone();
        loop {
            let mut answer = admin.call(Method::GET, &page, None).await?;
            if let Some(Value::Array(rows)) = answer.get_mut(key).map(Value::take) {
                for row in &rows {
                    if !output.json {
                        print(&line(row))?;
                    }
                }
                all.extend(rows);
            }
            // Names have no character that would have to be escaped but `/`, which may stand in a query.
            match answer.get("next").and_then(Value::as_str) {
                Some(next) => page = format!("{path}?after={next}"),
                None => break,
            }
        }
        if output.json { print(&Value::Array(all).to_string()) } else { Ok(()) }
    })
}

fn recount(namespace: Option<Namespace>, repair: bool, output: Output) -> ExitCode {
    ask(output.source, |admin: Admin| async move {
        let mut after = None;
        let mut wrong = 0;
        loop {
            let (names, next) = match &namespace {
                Some(one) => (vec![one.to_string()], None),
                None => page_of_names(&admin, after.as_deref()).await?,
            };
            for name in names {
                let path = format!("/api/v1/quotas/{name}/recount?repair={repair}");
                let found = admin.call(Method::POST, &path, None).await?;
                let flag = |key| found.get(key).and_then(Value::as_bool).unwrap_or(false);
                wrong += u32::from(!flag("right") && !flag("repaired"));
                print(&if output.json { found.to_string() } else { recount_line(&found) })?;
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        if wrong == 0 {
            return Ok(());
        }
        let what = format!("{wrong} namespaces are counted wrongly; mend them with --repair");
        Err(AdminError::Unreachable(what.into()))
    })
}

async fn page_of_names(
    admin: &Admin,
    after: Option<&str>,
) -> Result<(Vec<String>, Option<String>), AdminError> {
    let path =
        after.map_or_else(|| "/api/v1/quotas".to_owned(), |after| format!("/api/v1/quotas?after={after}"));
    let answer = admin.call(Method::GET, &path, None).await?;
    let rows = answer.get("namespaces").and_then(Value::as_array).cloned().unwrap_or_default();
    let names = rows.iter().map(|row| text(row, "namespace").to_owned()).collect();
    Ok((names, answer.get("next").and_then(Value::as_str).map(ToOwned::to_owned)))
}

fn recount_line(found: &Value) -> String {
    let number = |key| found.get(key).and_then(Value::as_i64).unwrap_or(0);
    let (name, counted) = (text(found, "namespace"), number("counted"));
    let flag = |key| found.get(key).and_then(Value::as_bool).unwrap_or(false);
    if flag("right") {
        return format!("{name}: {counted} bytes");
    }
    let end = if flag("repaired") { ", set right" } else { "" };
    let (kept, wrong) = (number("kept"), number("wrong"));
    format!("{name}: {counted} bytes, where {kept} were kept and {wrong} contents were wrong{end}")
}
