//! Log lines in the two forms that Skopeo's library gives them: `time="…" level=fatal msg="…"` off a terminal, which
//! scripts match, and `FATA[0000] …` on one.

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal, Write},
    time::Instant,
};

use jiff::{Timestamp, tz::TimeZone};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Debug,
    Info,
    Warning,
    Error,
    Fatal,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }

    const fn short(self) -> &'static str {
        match self {
            Self::Debug => "DEBU",
            Self::Info => "INFO",
            Self::Warning => "WARN",
            Self::Error => "ERRO",
            Self::Fatal => "FATA",
        }
    }
}

/// The log on standard error.
pub(crate) struct Log {
    terminal: bool,
    began: Instant,
    zone: TimeZone,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), began: Instant::now(), zone: TimeZone::system() }
    }

    /// Writes one line. A log that nobody can read is no reason to fail.
    pub(crate) fn write(&self, level: Level, message: &str) {
        let _unread = io::stderr().lock().write_all(self.render(level, message).as_bytes());
    }

    fn render(&self, level: Level, message: &str) -> String {
        if self.terminal {
            return format!("{}[{:04}] {message}\n", level.short(), self.began.elapsed().as_secs());
        }
        let now = Timestamp::now().to_zoned(self.zone.clone());
        line(&rfc3339(&now), level, message)
    }
}

/// Seconds, and `Z` where the offset is none.
fn rfc3339(time: &jiff::Zoned) -> String {
    let text = time.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    text.strip_suffix("+00:00").map_or(text.clone(), |utc| format!("{utc}Z"))
}

fn line(time: &str, level: Level, message: &str) -> String {
    format!("time=\"{time}\" level={} msg={}\n", level.name(), value(message))
}

/// A value bare where every character allows it, else quoted as Go quotes.
fn value(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "-._/@^+".contains(c);
    if text.chars().all(bare) { text.to_owned() } else { quoted(text) }
}

/// Go's `strconv.Quote`.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if printable(c) => out.push(c),
            c => {
                let code = u32::from(c);
                let _infallible = match code {
                    0..=0x7f => write!(out, "\\x{code:02x}"),
                    0x80..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push('"');
    out
}

/// Rust escapes for debugging what is not printable, and knows the tables.
fn printable(c: char) -> bool {
    matches!(c, '\'') || c.escape_debug().count() == 1
}

/// The library's own events, one line each.
pub(crate) struct Lines(pub(crate) std::sync::Arc<Log>);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warning,
            tracing::Level::INFO => Level::Info,
            tracing::Level::DEBUG | tracing::Level::TRACE => Level::Debug,
        };
        let mut said = Said::default();
        event.record(&mut said);
        let line = self.0.render(level, &said.message);
        write!(writer, "{}{}", line.trim_end_matches('\n'), said.fields)?;
        writeln!(writer)
    }
}

#[derive(Default)]
struct Said {
    message: String,
    fields: String,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, shown: &dyn fmt::Debug) {
        let shown = format!("{shown:?}");
        if field.name() == "message" {
            self.message = shown;
        } else {
            let _infallible = write!(self.fields, " {}={}", field.name(), value(&shown));
        }
    }

    fn record_str(&mut self, field: &Field, text: &str) {
        if field.name() == "message" {
            text.clone_into(&mut self.message);
        } else {
            let _infallible = write!(self.fields, " {}={}", field.name(), value(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_off_a_terminal_has_skopeos_form() {
        let text = "Error parsing image name \"foo\": Invalid\nname";
        assert_eq!(
            line("2006-01-02T15:04:05-07:00", Level::Fatal, text),
            "time=\"2006-01-02T15:04:05-07:00\" level=fatal msg=\"Error parsing image name \\\"foo\\\": Invalid\\nname\"\n"
        );
        assert_eq!(line("T", Level::Warning, "plain-word"), "time=\"T\" level=warning msg=plain-word\n");
    }

    #[test]
    fn times_have_an_offset_or_a_z() {
        let at = |zone: &str| {
            let time: Timestamp = "2006-01-02T15:04:05Z".parse().unwrap();
            rfc3339(&time.to_zoned(TimeZone::posix(zone).unwrap()))
        };
        assert_eq!(at("UTC0"), "2006-01-02T15:04:05Z");
        assert_eq!(at("MST7"), "2006-01-02T08:04:05-07:00");
    }

    #[test]
    fn quotes_are_gos() {
        assert_eq!(quoted("a'b\u{1}\u{7f}\u{200b}é界\u{7}\\"), "\"a'b\\x01\\x7f\\u200bé界\\a\\\\\"");
    }
}
