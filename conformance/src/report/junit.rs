//! JUnit XML, which continuous integration reads.

use std::fmt::Write as _;

use super::{Outcome, Report};

impl Report {
    /// The report as one JUnit test suite. What merely differs counts as skipped there.
    #[must_use]
    pub fn to_junit(&self) -> String {
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        // Writing to a String does not fail, here and below.
        let _ = writeln!(
            xml,
            "<testsuite name=\"{}\" hostname=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{:.3}\">",
            escape(&self.suite),
            escape(&self.target),
            self.results.len(),
            self.failed(),
            self.skipped() + self.differing(),
            self.elapsed.as_secs_f64(),
        );
        for result in &self.results {
            let _ = write!(
                xml,
                "  <testcase classname=\"{}.{}\" name=\"{}: {}\" time=\"{:.3}\"",
                escape(&self.suite),
                escape(result.group()),
                escape(&result.id),
                escape(&result.name),
                result.elapsed.as_secs_f64(),
            );
            let _ = match &result.outcome {
                Outcome::Pass => writeln!(xml, "/>"),
                Outcome::Fail { reason, exchange } => writeln!(
                    xml,
                    "><failure type=\"{}\" message=\"{}\">{}</failure></testcase>",
                    result.level,
                    escape(reason),
                    escape(exchange)
                ),
                Outcome::Differs { reason, .. } => {
                    writeln!(xml, "><skipped message=\"differs: {}\"/></testcase>", escape(reason))
                }
                Outcome::Skip { reason } => {
                    writeln!(xml, "><skipped message=\"{}\"/></testcase>", escape(reason))
                }
            };
        }
        xml.push_str("</testsuite>\n");
        xml
    }
}

/// Text as an attribute or content; characters that XML 1.0 does not know become U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push('\t'),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use crate::report::tests::sample;

    #[test]
    fn junit_counts_and_escapes() {
        let xml = sample().to_junit();
        assert!(xml.contains("tests=\"4\" failures=\"1\" errors=\"0\" skipped=\"2\""), "{xml}");
        assert!(xml.contains("blob.head does as &lt;told&gt;"));
        assert!(xml.contains("message=\"status 500 &amp; nothing else\""));
        assert!(!xml.contains('\u{1b}'));
    }
}
