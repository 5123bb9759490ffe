//! Rules of a process.

use oci_spec::runtime::Process;

use super::Faults;

/// The kernel's bounds of `oom_score_adj`.
const OOM_SCORES: std::ops::RangeInclusive<i32> = -1000..=1000;

pub(super) fn check(process: &Process, faults: &mut Faults) {
    match process.args().as_deref() {
        None | Some([]) => faults.add("process.args", "is empty: a container needs a program"),
        Some([name, ..]) => faults.unless(!name.is_empty(), "process.args[0]", "is empty: name a program"),
    }
    let cwd = process.cwd();
    faults.unless(
        cwd.is_absolute(),
        "process.cwd",
        format!("{:?} is not absolute", cwd.display().to_string()),
    );
    for (field, texts) in [("args", process.args()), ("env", process.env())] {
        for (at, text) in texts.as_deref().unwrap_or_default().iter().enumerate() {
            faults.unless(!text.contains('\0'), format!("process.{field}[{at}]"), "holds a NUL byte");
        }
    }
    for (at, variable) in process.env().as_deref().unwrap_or_default().iter().enumerate() {
        faults.unless(
            variable.find('=').is_some_and(|at| at > 0),
            format!("process.env[{at}]"),
            format!("{variable:?} is not NAME=VALUE"),
        );
    }
    let mut seen = Vec::new();
    for (at, limit) in process.rlimits().as_deref().unwrap_or_default().iter().enumerate() {
        let field = format!("process.rlimits[{at}]");
        faults.unless(!seen.contains(&limit.typ()), &field, format!("{} is there twice", limit.typ()));
        seen.push(limit.typ());
        faults.unless(
            limit.soft() <= limit.hard(),
            &field,
            format!("the soft limit {} is above the hard limit {}", limit.soft(), limit.hard()),
        );
    }
    if let Some(score) = process.oom_score_adj() {
        faults.unless(
            OOM_SCORES.contains(&score),
            "process.oomScoreAdj",
            format!("{score} is not between -1000 and 1000"),
        );
    }
    if let Some(priority) = process.io_priority() {
        faults.unless(
            (0..=7).contains(&priority.priority()),
            "process.ioPriority.priority",
            format!("{} is not between 0 and 7", priority.priority()),
        );
    }
    if let Some(umask) = process.user().umask() {
        faults.unless(umask <= 0o777, "process.user.umask", format!("{umask:o} is above 777 (octal)"));
    }
}
