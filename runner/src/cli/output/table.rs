//! Lines of columns: templates whose texts are separated by tabs, aligned as Go's `text/tabwriter` does.

use super::{Value, render};
use crate::error::Result;

/// Blanks between two columns.
const GAP: usize = 2;

/// `\t` and `\n` as people type them in a shell.
pub(super) fn escapes(template: &str) -> String {
    template.replace("\\t", "\t").replace("\\n", "\n")
}

/// The template behind the word `table`: blanks between two actions separate columns.
pub(super) fn columns(template: &str) -> String {
    let template = escapes(template);
    let mut out = String::with_capacity(template.len());
    let mut rest = template.as_str();
    while let Some(end) = rest.find("}}") {
        let (action, behind) = rest.split_at(end + 2);
        out.push_str(action);
        let blanks = behind.len() - behind.trim_start_matches(' ').len();
        rest = if blanks > 0 && behind[blanks..].starts_with("{{") {
            out.push('\t');
            &behind[blanks..]
        } else {
            behind
        };
    }
    out + rest
}

/// The rows through the template, aligned, under a line of headings where asked for.
pub(super) fn table<'a>(
    template: &str,
    headings: &[(&str, &str)],
    headed: bool,
    rows: impl Iterator<Item = &'a Value>,
) -> Result<String> {
    let mut lines = Vec::new();
    if headed {
        lines.push(heading(template, headings));
    }
    for row in rows {
        let text = render(template, row)?;
        // One line end is the renderer's; a template that makes several lines makes several lines.
        lines.extend(text.strip_suffix('\n').unwrap_or(&text).split('\n').map(str::to_owned));
    }
    Ok(aligned(&lines))
}

/// The heading of each action is that of the first field in it.
fn heading(template: &str, headings: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(begin) = rest.find("{{") {
        out.push_str(&rest[..begin]);
        let action = &rest[begin + 2..];
        let end = action.find("}}").unwrap_or(action.len());
        let name: String = action[..end]
            .split_once('.')
            .map(|(_, name)| name.chars().take_while(|c| c.is_ascii_alphanumeric()).collect())
            .unwrap_or_default();
        match headings.iter().find(|(field, _)| *field == name) {
            Some((_, heading)) => out.push_str(heading),
            None => out.push_str(&words(&name)),
        }
        rest = action.get(end + 2..).unwrap_or_default();
    }
    out + rest
}

/// `CreatedSince` is `CREATED SINCE`, `ID` is `ID`.
fn words(name: &str) -> String {
    let mut out = String::new();
    let mut before_lower = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && before_lower {
            out.push(' ');
        }
        before_lower = c.is_ascii_lowercase();
        out.push(c.to_ascii_uppercase());
    }
    out
}

fn aligned(lines: &[String]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for line in lines {
        let cells: Vec<_> = line.split('\t').collect();
        // The last cell of a line widens no column.
        for (place, cell) in cells.iter().enumerate().take(cells.len() - 1) {
            widths.resize(widths.len().max(place + 1), 0);
            widths[place] = widths[place].max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for line in lines {
        let cells: Vec<_> = line.split('\t').collect();
        for (place, cell) in cells.iter().enumerate() {
            out.push_str(cell);
            if place + 1 < cells.len() {
                out.extend(std::iter::repeat_n(' ', widths[place] - cell.chars().count() + GAP));
            }
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_names_in_words() {
        assert_eq!(words("CreatedSince"), "CREATED SINCE");
        assert_eq!(words("ID"), "ID");
        assert_eq!(words("RepoTags"), "REPO TAGS");
        assert_eq!(heading("{{.ID}}\t{{join .Names \",\"}} x", &[("ID", "IMAGE ID")]), "IMAGE ID\tNAMES x");
    }

    #[test]
    fn blanks_between_actions_are_columns_and_those_inside_are_not() {
        assert_eq!(columns("{{ .ID }}  {{.Names}} x {{.Tag}}"), "{{ .ID }}\t{{.Names}} x {{.Tag}}");
    }
}
