//! What was measured: values by server, medians, ratios.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// One measure over all servers and rounds.
#[derive(Debug)]
pub(super) struct Row {
    section: &'static str,
    name: String,
    unit: &'static str,
    /// Server and its values, in the order of the first appearance.
    values: Vec<(String, Vec<f64>)>,
}

/// All rows, and remarks about how they came to be.
#[derive(Debug, Default)]
pub(super) struct Report {
    rows: Vec<Row>,
    notes: Vec<String>,
}

/// Name of the server that all others are compared with.
pub(super) const SUBJECT: &str = "berth";

impl Report {
    /// Adds one value of one round.
    pub(super) fn add(
        &mut self,
        section: &'static str,
        name: &str,
        unit: &'static str,
        server: &str,
        value: f64,
    ) {
        let at = self.rows.iter().position(|row| row.section == section && row.name == name);
        let row = match at {
            Some(at) => &mut self.rows[at],
            None => {
                self.rows.push(Row { section, name: name.to_owned(), unit, values: Vec::new() });
                let last = self.rows.len() - 1;
                &mut self.rows[last]
            }
        };
        match row.values.iter_mut().find(|(known, _)| known == server) {
            Some((_, values)) => values.push(value),
            None => row.values.push((server.to_owned(), vec![value])),
        }
    }

    /// Adds a remark that a reader of the figures must know.
    pub(super) fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// A table for people: medians, and in brackets how Berth stands to the other server.
    pub(super) fn table(&self) -> String {
        let mut servers: Vec<&str> = Vec::new();
        for (server, _) in self.rows.iter().flat_map(|row| &row.values) {
            if !servers.contains(&server.as_str()) {
                servers.push(server);
            }
        }
        servers.sort_by_key(|server| *server != SUBJECT);
        let mut lines = vec![header(&servers)];
        let mut section = "";
        for row in &self.rows {
            if row.section != section {
                section = row.section;
                lines.push(vec![format!("[{section}]")]);
            }
            let mut line = vec![format!("  {}", row.name), row.unit.to_owned()];
            let subject = row.median(SUBJECT);
            for server in &servers {
                line.push(match (row.median(server), subject) {
                    (None, _) => "–".to_owned(),
                    (Some(value), Some(subject)) if *server != SUBJECT && value != 0.0 => {
                        format!("{} [{}×]", round(value), round(subject / value))
                    }
                    (Some(value), _) => round(value),
                });
            }
            lines.push(line);
        }
        let mut text = align(&lines);
        text.push_str("\nMedians of interleaved rounds. [n×] is Berth divided by that server.\n");
        for note in &self.notes {
            // Writing to a string cannot fail.
            let _ok = writeln!(text, "* {note}");
        }
        text
    }

    /// Everything, for programs.
    pub(super) fn json(&self, machine: Value) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let servers: serde_json::Map<String, Value> = row
                    .values
                    .iter()
                    .map(|(server, values)| {
                        (server.clone(), json!({"median": median(values), "values": values}))
                    })
                    .collect();
                json!({"section": row.section, "name": row.name, "unit": row.unit, "servers": servers})
            })
            .collect();
        json!({"machine": machine, "rows": rows, "notes": self.notes})
    }
}

impl Row {
    fn median(&self, server: &str) -> Option<f64> {
        self.values.iter().find(|(known, _)| known == server).and_then(|(_, values)| median(values))
    }
}

fn header(servers: &[&str]) -> Vec<String> {
    ["measure", "unit"].iter().chain(servers).map(|&word| word.to_owned()).collect()
}

/// The middle value, or the mean of the two in the middle.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// Three significant digits.
fn round(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 || size == 0.0 => format!("{value:.2}"),
        size if size >= 0.1 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

fn align(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter(|line| line.len() > 1).filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 | 1 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_two_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn the_table_compares_each_server_with_berth() {
        let mut report = Report::default();
        report.add("pull", "speed", "GB/s", "nginx", 4.0);
        report.add("pull", "speed", "GB/s", SUBJECT, 2.0);
        let table = report.table();
        assert!(table.contains("4.00 [0.500×]"), "{table}");
        assert_eq!(report.json(Value::Null)["rows"][0]["servers"]["nginx"]["median"], 4.0);
    }
}
