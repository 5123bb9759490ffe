//! `doctor`: what this machine offers to containers, what is missing, what follows, and the way out.

mod machine;
mod verdict;

use std::fmt::Write;

use clap::Args;

use self::{
    machine::Machine,
    verdict::{Line, Verdict},
};
use super::{Globals, output};
use crate::error::{Result, RunnerError};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// `json`, or a Go template like '{{.Runs}}'
    #[arg(long, short, value_name = "TEMPLATE", conflicts_with = "json")]
    format: Option<String>,
    /// The same as --format json
    #[arg(long)]
    json: bool,
}

/// The whole of it, for `--format`.
#[derive(serde::Serialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    /// Whether containers can run here at all.
    runs: bool,
    lines: Vec<Line>,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let lines = verdict::lines(&Machine::look(&globals.folders()?)?);
    let report = Report { runs: lines.iter().all(|line| !line.fatal), lines };
    match &arguments.format {
        _ if arguments.json => output::json(&report)?,
        Some(format) if output::is_json(format) => output::json(&report)?,
        Some(format) => output::raw(output::render(format, &output::value(&report)?)?.as_bytes())?,
        None => output::raw(table(&report)?.as_bytes())?,
    }
    Ok(u8::from(!report.runs))
}

/// A line each; below what is not well, what follows and the way out.
fn table(report: &Report) -> Result<String> {
    let width = report.lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut print = || -> std::fmt::Result {
        for Line { name, verdict, found, follows, way_out, fatal } in &report.lines {
            writeln!(text, "{name:width$}  {:7}  {found}", verdict.word())?;
            if *verdict != Verdict::Ok {
                let mark = if *fatal { "no container runs: " } else { "" };
                writeln!(text, "{:width$}           {mark}{follows}", "")?;
                if !way_out.is_empty() {
                    writeln!(text, "{:width$}           way out: {way_out}", "")?;
                }
            }
        }
        let end = if report.runs { "Containers can run here." } else { "Containers cannot run here." };
        writeln!(text, "\n{end}")
    };
    print().map_err(|error| RunnerError::Content(error.to_string()))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_not_well_says_what_follows_and_the_way_out() {
        let line = |verdict, fatal| Line {
            name: "overlay",
            verdict,
            found: "found".into(),
            follows: "what follows".into(),
            way_out: "do this".into(),
            fatal,
        };
        let lines = vec![line(Verdict::Ok, false), line(Verdict::Missing, true)];
        let text = table(&Report { runs: false, lines }).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "overlay  ok       found");
        assert_eq!(lines[1], "overlay  missing  found");
        assert_eq!(lines[2].trim(), "no container runs: what follows");
        assert_eq!(lines[3].trim(), "way out: do this");
        assert_eq!(lines[5], "Containers cannot run here.");
        assert_eq!(lines.len(), 6);
    }
}
