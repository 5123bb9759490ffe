//! The report for people: what is wrong first, then a table of groups, then one line of counts.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{Outcome, Report};

impl Report {
    /// The whole report; its last line is `N passed, N failed, N skipped`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{} suite against {}\n", self.suite, self.target);
        self.write_details(&mut text);
        self.write_table(&mut text);
        let differing = self.differing();
        // Writing to a String does not fail, here and below.
        if differing > 0 {
            let _ = writeln!(text, "{differing} differ from Berth where the specification leaves a choice");
        }
        let _ = writeln!(text, "took {:.1} s", self.elapsed.as_secs_f64());
        let counts = (self.passed(), self.failed(), self.skipped());
        let _ = writeln!(text, "{} passed, {} failed, {} skipped", counts.0, counts.1, counts.2);
        text
    }

    fn write_details(&self, text: &mut String) {
        for result in &self.results {
            if let Outcome::Fail { reason, exchange } = &result.outcome {
                let _ = writeln!(text, "\nFAIL {} ({}): {}", result.id, result.level, result.name);
                let _ = writeln!(text, "     {reason}");
                let _ = writeln!(text, "{}", indented(exchange));
            }
        }
        for result in &self.results {
            if let Outcome::Differs { reason, .. } = &result.outcome {
                let _ = writeln!(text, "\ndiffers {}: {}\n     {reason}", result.id, result.name);
            }
        }
        for result in &self.results {
            if let Outcome::Skip { reason } = &result.outcome {
                let _ = writeln!(text, "skip {}: {reason}", result.id);
            }
        }
    }

    fn write_table(&self, text: &mut String) {
        let mut groups: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
        for result in &self.results {
            let counts = groups.entry(result.group()).or_default();
            let column = match result.outcome {
                Outcome::Pass => 0,
                Outcome::Fail { .. } => 1,
                Outcome::Skip { .. } => 2,
                Outcome::Differs { .. } => 3,
            };
            counts[column] += 1;
        }
        let _ =
            writeln!(text, "\n{:<16}{:>8}{:>8}{:>8}{:>8}", "group", "passed", "failed", "skipped", "differ");
        for (group, [passed, failed, skipped, differ]) in groups {
            let _ = writeln!(text, "{group:<16}{passed:>8}{failed:>8}{skipped:>8}{differ:>8}");
        }
    }
}

/// A registry's words, moved in and without what a terminal would obey.
fn indented(exchange: &str) -> String {
    let printable = exchange
        .chars()
        .map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c })
        .collect::<String>();
    printable.lines().map(|line| format!("       {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use crate::report::tests::sample;

    #[test]
    fn failures_come_first_and_counts_last() {
        let text = sample().to_text();
        let failure = text.find("FAIL blob.head (MUST)").unwrap();
        assert!(failure < text.find("differs tags.n").unwrap());
        assert_eq!(text.lines().last(), Some("1 passed, 1 failed, 1 skipped"));
        assert!(!text.contains('\u{1b}'), "a registry cannot steer the terminal");
    }
}
