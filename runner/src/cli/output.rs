//! What is printed: tables for people, JSON for scripts, `--format` with podman's templates for both.
//!
//! A command makes one [`Row`] per thing and hands them to [`list`] (`images`, `ps`, `volume ls`) or [`inspect`]. The
//! template language is the copier's; fields are those of [`Value::fields`], shown in JSON by their `key`.

mod filter;
mod table;
mod units;

use std::io::{self, IsTerminal, Write};

use berth_copier::inspect::template;
pub(crate) use berth_copier::inspect::{Field, Time, Value};
use clap::Args;
use serde::Serialize;

pub(crate) use filter::Filters;
pub(crate) use units::{ago, duration, exact_size, percent, short_id, size, time, took};

use crate::error::{Result, RunnerError, While};

/// Options of every command that lists.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Listing {
    /// Only those that match, like label=a=b; several keys have to match all, several values of one key any
    #[arg(long, short = 'f', value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,

    /// `json`, or a Go template like '{{.ID}} {{.Names}}'; with `table ` before it columns have headings
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,

    /// Print ids alone
    #[arg(long, short)]
    pub(crate) quiet: bool,

    /// Do not shorten ids and long texts
    #[arg(long)]
    pub(crate) no_trunc: bool,

    /// Print no headings
    #[arg(long)]
    pub(crate) noheading: bool,
}

/// One thing in a list.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What `--quiet` prints.
    pub(crate) quiet: String,
    /// What templates and tables see: texts as people read them.
    pub(crate) shown: Value,
    /// What `--format json` prints, where that is something else (numbers in place of "3 MB").
    pub(crate) json: Option<Value>,
}

/// How a list is shown where nothing else is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    /// The template of a line, its columns separated by `\t` (the character).
    pub(crate) template: &'static str,
    /// Headings of fields whose heading is not their name in capitals ("CreatedSince" is "CREATED SINCE").
    pub(crate) headings: &'static [(&'static str, &'static str)],
}

/// Prints a list.
///
/// # Errors
/// [`RunnerError::Usage`] for a template that is none; where standard output does not take it.
pub(crate) fn list(options: &Listing, columns: Columns, rows: &[Row]) -> Result<()> {
    print(&listed(options, columns, rows)?)
}

fn listed(options: &Listing, columns: Columns, rows: &[Row]) -> Result<String> {
    let format = options.format.as_deref();
    if options.quiet && format.is_some() {
        return Err(RunnerError::Usage("--quiet and --format are two different outputs: give one".into()));
    }
    if options.quiet {
        return Ok(rows.iter().map(|row| format!("{}\n", row.quiet)).collect());
    }
    if format.is_some_and(is_json) {
        let rows: Vec<_> = rows.iter().map(|row| row.json.as_ref().unwrap_or(&row.shown)).collect();
        return json_text(&rows);
    }
    let plain = rows.iter().map(|row| &row.shown);
    // A table is read by people, wherever it goes: one name is one cell of one line.
    let cells: Vec<Value> = plain.clone().map(cell).collect();
    let headed = !options.noheading;
    match format {
        None => table::table(columns.template, columns.headings, headed, cells.iter()),
        Some(format) => match format.strip_prefix("table").filter(|rest| rest.starts_with([' ', '\t'])) {
            Some(template) => {
                let template = table::columns(template.trim_start());
                table::table(&template, columns.headings, headed, cells.iter())
            }
            None => table::table(&table::escapes(format), &[], false, plain),
        },
    }
}

/// A value whose texts are as people read them in a table.
fn cell(value: &Value) -> Value {
    match value {
        Value::Text(text) => Value::text(visible(text)),
        Value::List(Some(list)) => Value::list(list.iter().map(cell)),
        Value::Map(Some(map)) => Value::map(map.iter().map(|(key, value)| (visible(key), cell(value)))),
        Value::Struct(fields) => {
            Value::fields(fields.iter().map(|field| Field { value: cell(&field.value), ..field.clone() }))
        }
        other => other.clone(),
    }
}

/// Prints what `inspect` found: a JSON array, or a template's text for each.
///
/// # Errors
/// As [`list`].
pub(crate) fn inspect(format: Option<&str>, found: &[Value]) -> Result<()> {
    match format {
        Some(format) if !is_json(format) => {
            let texts = found.iter().map(|value| render(&table::escapes(format), value));
            print(&texts.collect::<Result<String>>()?)
        }
        _ => json(&found),
    }
}

/// Prints JSON with an indent of four, and a line end.
///
/// # Errors
/// Where standard output does not take it.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    raw(json_text(value)?.as_bytes())
}

/// Prints a line: one, whatever the text is.
///
/// # Errors
/// Where standard output does not take it.
pub(crate) fn line(text: impl AsRef<str>) -> Result<()> {
    raw(format!("{}\n", visible(text.as_ref())).as_bytes())
}

/// A text in which control characters are seen and do nothing.
pub(crate) fn visible(text: &str) -> String {
    escaped(text, |c| c.is_control())
}

/// Prints bytes as they are.
///
/// # Errors
/// Where standard output does not take them.
pub(crate) fn raw(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        // `images | head -1`: whoever reads has what they wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done.doing("writing", "standard output"),
    }
}

/// A value of what serializes; its maps answer to any key.
///
/// # Errors
/// For what is no JSON.
pub(crate) fn value(of: &impl Serialize) -> Result<Value> {
    serde_json::to_value(of).map(from_json).map_err(|error| RunnerError::Content(error.to_string()))
}

fn from_json(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Nothing,
        serde_json::Value::Bool(truth) => Value::Bool(truth),
        serde_json::Value::Number(number) => {
            number.as_i64().map_or_else(|| Value::text(number.to_string()), Value::Int)
        }
        serde_json::Value::String(text) => Value::text(text),
        serde_json::Value::Array(items) => Value::list(items.into_iter().map(from_json)),
        serde_json::Value::Object(map) => Value::map(map.into_iter().map(|(key, v)| (key, from_json(v)))),
    }
}

/// Shows one value through a template, with a line end.
///
/// # Errors
/// [`RunnerError::Usage`] for a template that is none.
pub(crate) fn render(format: &str, value: &Value) -> Result<String> {
    template::render(format, value).map_err(|error| RunnerError::Usage(error.to_string()))
}

/// Whether a format asks for JSON of the whole.
pub(crate) fn is_json(format: &str) -> bool {
    matches!(format.trim(), "json" | "{{json}}")
}

fn json_text(value: &impl Serialize) -> Result<String> {
    let mut out = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, indent);
    let broken = |error: String| RunnerError::Content(format!("writing JSON: {error}"));
    value.serialize(&mut serializer).map_err(|error| broken(error.to_string()))?;
    out.push(b'\n');
    String::from_utf8(out).map_err(|error| broken(error.to_string()))
}

/// Prints text; what an image brought along does not steer the terminal.
///
/// # Errors
/// Where standard output does not take it.
pub(crate) fn print(text: &str) -> Result<()> {
    if io::stdout().is_terminal() {
        return raw(tamed(text).as_bytes());
    }
    raw(text.as_bytes())
}

/// [`visible`] for what has several lines.
pub(crate) fn tamed(text: &str) -> String {
    escaped(text, |c| c.is_control() && c != '\n' && c != '\t')
}

fn escaped(text: &str, which: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if which(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: Columns =
        Columns { template: "{{.ID}}\t{{.Names}}\t{{.CreatedSince}}", headings: &[("ID", "IMAGE ID")] };

    fn rows() -> Vec<Row> {
        let row = |id: &str, name: &str| Row {
            quiet: id.to_owned(),
            shown: Value::fields([
                Field::new("ID", Value::text(id)),
                Field::new("Names", Value::text(name)),
                Field::new("CreatedSince", Value::text("2 days ago")),
                Field::new("Labels", Value::map([("a", Value::text("b"))])),
            ]),
            json: Some(Value::fields([Field::optional("Id", "Id", Value::text(id))])),
        };
        vec![row("aa", "one"), row("bbbb", "a-long-name")]
    }

    fn shown(format: Option<&str>) -> String {
        let options = Listing { format: format.map(str::to_owned), ..Listing::default() };
        listed(&options, COLUMNS, &rows()).unwrap()
    }

    #[test]
    fn a_table_has_headings_and_aligned_columns() {
        assert_eq!(
            shown(None),
            "IMAGE ID  NAMES        CREATED SINCE\naa        one          2 days ago\nbbbb      a-long-name  2 days ago\n"
        );
        let bare = Listing { noheading: true, ..Listing::default() };
        assert!(listed(&bare, COLUMNS, &rows()).unwrap().starts_with("aa    one"));
    }

    #[test]
    fn a_template_is_shown_for_each_row() {
        assert_eq!(shown(Some("{{.ID}} {{.Names}}")), "aa one\nbbbb a-long-name\n");
        assert_eq!(shown(Some("{{.Labels.a}}")), "b\nb\n");
        assert_eq!(shown(Some("{{.ID}}\\t{{.Names}}")), "aa    one\nbbbb  a-long-name\n");
    }

    #[test]
    fn a_template_behind_the_word_table_has_headings() {
        let expected = "IMAGE ID  NAMES\naa        one\nbbbb      a-long-name\n";
        assert_eq!(shown(Some("table {{.ID}} {{.Names}}")), expected);
        assert_eq!(shown(Some("table {{ .ID }}\\t{{.Names}}")), expected);
    }

    #[test]
    fn json_is_a_list_of_all() {
        assert_eq!(
            shown(Some("json")),
            "[\n    {\n        \"Id\": \"aa\"\n    },\n    {\n        \"Id\": \"bbbb\"\n    }\n]\n"
        );
        let one = shown(Some("{{json .}}"));
        assert!(one.starts_with("{\"ID\":\"aa\",\"Names\":\"one\""), "{one}");
    }

    #[test]
    fn quiet_prints_ids_and_takes_no_format() {
        let quiet = Listing { quiet: true, ..Listing::default() };
        assert_eq!(listed(&quiet, COLUMNS, &rows()).unwrap(), "aa\nbbbb\n");
        let both = Listing { quiet: true, format: Some("json".into()), ..Listing::default() };
        assert_eq!(listed(&both, COLUMNS, &rows()).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn a_field_that_is_not_there_is_named() {
        let options = Listing { format: Some("{{.Nam}}".into()), ..Listing::default() };
        let error = listed(&options, COLUMNS, &rows()).unwrap_err();
        assert!(error.to_string().contains("there is no field .Nam; known are ID, Names"), "{error}");
    }

    #[test]
    fn what_an_image_says_does_not_steer_the_terminal() {
        assert_eq!(tamed("a\x1b[2J\tb\n"), "a\\u{1b}[2J\tb\n");
    }

    #[test]
    fn a_table_has_one_line_per_row_and_no_control_characters_wherever_it_goes() {
        let mut rows = rows();
        rows[0].shown = Value::fields([
            Field::new("ID", Value::text("aa\x1b[31m")),
            Field::new("Names", Value::texts(["one\ncc", "two\tx"])),
            Field::new("CreatedSince", Value::text("\r2 days ago")),
            Field::new("Labels", Value::map([("a\x07", Value::text("b\x1b]0;x"))])),
        ]);
        for format in [None, Some("table {{.ID}} {{.Names}} {{.Labels}} {{.CreatedSince}}")] {
            let options = Listing { format: format.map(str::to_owned), ..Listing::default() };
            let text = listed(&options, COLUMNS, &rows).unwrap();
            assert_eq!(text.lines().count(), 3, "{text}");
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
            assert!(text.contains("one\\ncc") && text.contains("aa\\u{1b}[31m"), "{text}");
        }
        // What a program asked for is what there is.
        let plain = Listing { format: Some("{{.ID}}".into()), ..Listing::default() };
        assert!(listed(&plain, COLUMNS, &rows).unwrap().starts_with("aa\x1b[31m\n"));
        assert_eq!(visible("a\nb\u{9b}c"), "a\\nb\\u{9b}c");
    }
}
