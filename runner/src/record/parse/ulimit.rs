//! Resource limits.

use super::Parsed;
use crate::record::Ulimit;

/// `ulimit -a` in the specification's words.
const NAMES: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `nofile=1024:2048`; one number is both, -1 is no limit.
pub(crate) fn ulimit(text: &str) -> Parsed<Ulimit> {
    let (name, limits) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is no NAME=SOFT[:HARD], as in nofile=1024:2048"))?;
    if !NAMES.contains(&name) {
        return Err(format!("{name:?} is no resource: one of {}", NAMES.join(" ")));
    }
    let number = |text: &str| match text {
        "-1" | "unlimited" => Ok(u64::MAX),
        other => other.parse::<u64>().map_err(|_| format!("{other:?} is no limit: a number, or -1 for none")),
    };
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (soft, hard) = (number(soft)?, number(hard)?);
    if soft > hard {
        return Err(format!("{text:?}: the soft limit is above the hard one"));
    }
    Ok(Ulimit { name: format!("RLIMIT_{}", name.to_ascii_uppercase()), soft, hard })
}
