//! `berth-registry audit`: who did what.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{
    Source,
    ask::{ask, say},
};
use crate::{
    admin::{Admin, AdminError},
    config::parse_time,
};

/// Options of `audit`.
#[derive(Args, Debug)]
pub struct Audit {
    /// Where settings come from
    #[command(flatten)]
    source: Source,
    /// Only of this repository
    #[arg(long, value_name = "NAME")]
    repo: Option<String>,
    /// Only by this subject, as user:alice, robot:team/ci or anonymous
    #[arg(long, value_name = "SUBJECT")]
    who: Option<String>,
    /// Only of this kind: push, overwrite, delete, mount, pull, login, admin, collect
    #[arg(long)]
    verb: Option<String>,
    /// Only from then on: an age as 1h or 2d, or a time as 2026-11-21T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Only from before then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Entries at most, the latest first
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Print each entry as a line of JSON
    #[arg(long)]
    json: bool,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    let age = |age: Duration| {
        Timestamp::now().checked_sub(SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX))
    };
    match parse_time(text) {
        Ok(length) => age(length).map_err(|_| format!("{text:?} is too long ago")),
        Err(_) => text
            .parse()
            .map_err(|_| format!("{text:?} is neither an age like 1h nor a time like 2026-11-21T08:00:00Z")),
    }
}

/// Runs it.
pub fn run(options: Audit) -> ExitCode {
    ask(options.source.clone(), async move |admin| list(&admin, &options).await)
}

async fn list(admin: &Admin, options: &Audit) -> Result<(), AdminError> {
    let moment = |time: &Option<Timestamp>| time.map(|time| time.to_string());
    let filters = [
        ("repo", options.repo.clone()),
        ("who", options.who.clone()),
        ("verb", options.verb.clone()),
        ("since", moment(&options.since)),
        ("until", moment(&options.until)),
    ];
    let mut query = String::new();
    for (name, value) in filters {
        if let Some(value) = value {
            query.push_str(&format!("&{name}={}", utf8_percent_encode(&value, NON_ALPHANUMERIC)));
        }
    }
    let (mut left, mut after) = (options.limit, String::new());
    while left > 0 {
        let page = admin
            .call(Method::GET, &format!("/api/v1/audit?limit={}{query}{after}", left.min(1000)), None)
            .await?;
        let entries = page["entries"].as_array().map_or(&[][..], Vec::as_slice);
        for entry in entries {
            say(&if options.json { entry.to_string() } else { line(entry) })?;
        }
        left = left.saturating_sub(u32::try_from(entries.len()).unwrap_or(u32::MAX));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    Ok(())
}

fn line(entry: &Value) -> String {
    let text = |name: &str| entry[name].as_str().unwrap_or_default();
    let place = match (text("repository"), text("reference")) {
        ("", reference) => reference.to_owned(),
        (repository, "") => repository.to_owned(),
        (repository, reference) => format!("{repository} {reference}"),
    };
    let words = [
        text("time"),
        text("who"),
        text("address"),
        text("verb"),
        text("outcome"),
        &place,
        text("digest"),
        text("detail"),
    ];
    let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_an_age_or_a_moment() {
        let hour = Timestamp::now().duration_since(moment("1h").unwrap());
        assert!((3599..=3601).contains(&hour.as_secs()));
        assert_eq!(moment("2026-11-21T08:00:00Z").unwrap().as_second(), 1_795_248_000);
        assert!(moment("soon").is_err());
    }
}
