//! The steps by which an image was made.

use jiff::Timestamp;
use serde_json::Value as Json;

use super::config;
use crate::{
    cli::output::{self, Field, Row, Value},
    error::Result,
    store::{Image, Store},
};

/// Characters of a command in a table.
const COMMAND: usize = 45;

/// One step, the latest first.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    id: String,
    created: Option<Timestamp>,
    created_by: String,
    comment: String,
    size: u64,
    tags: Vec<String>,
}

/// The steps of an image. Without a history each layer is one.
///
/// # Errors
/// Where its configuration cannot be read.
pub(crate) fn history(store: &Store, image: &Image) -> Result<Vec<Step>> {
    let config = config(store, image)?;
    let text = |step: &Json, key: &str| step[key].as_str().unwrap_or_default().to_owned();
    let mut layers = image.layers.iter();
    let mut steps = Vec::new();
    for step in config["history"].as_array().into_iter().flatten() {
        let empty = step["empty_layer"].as_bool().unwrap_or_default();
        let layer = if empty { None } else { layers.next() };
        steps.push(Step {
            id: "<missing>".to_owned(),
            created: step["created"].as_str().and_then(|text| text.parse().ok()),
            created_by: text(step, "created_by"),
            comment: text(step, "comment"),
            size: layer.map_or(Ok(0), |layer| store.layer_size(layer))?,
            tags: Vec::new(),
        });
    }
    for layer in layers {
        steps.push(Step {
            id: "<missing>".to_owned(),
            created: None,
            created_by: String::new(),
            comment: String::new(),
            size: store.layer_size(layer)?,
            tags: Vec::new(),
        });
    }
    steps.reverse();
    if let Some(last) = steps.first_mut() {
        last.id = image.id.hex().to_owned();
        last.tags = super::tags(image);
    }
    Ok(steps)
}

impl Step {
    /// For a list; sizes and times for people, ids and commands shortened.
    pub(crate) fn row(&self, human: bool, short: bool, now: Timestamp) -> Row {
        let id = if short && self.id != "<missing>" { output::short_id(&self.id) } else { &self.id };
        let tidy: String = self.created_by.split_whitespace().collect::<Vec<_>>().join(" ");
        let by = if short && tidy.chars().count() > COMMAND {
            format!("{}...", tidy.chars().take(COMMAND - 3).collect::<String>())
        } else {
            tidy
        };
        let created = self.created.map(|at| at.to_string()).unwrap_or_default();
        let since = self.created.map(|at| output::ago(at, now)).unwrap_or_default();
        let size = if human { output::size(self.size) } else { self.size.to_string() };
        let bytes = i64::try_from(self.size).unwrap_or(i64::MAX);
        Row {
            quiet: id.to_owned(),
            shown: Value::fields([
                Field::new("ID", Value::text(id)),
                Field::new("Created", Value::text(if human { &since } else { &created })),
                Field::new("CreatedAt", Value::text(&created)),
                Field::new("CreatedSince", Value::text(&since)),
                Field::new("CreatedBy", Value::text(by)),
                Field::new("Size", Value::text(size)),
                Field::new("Comment", Value::text(&self.comment)),
                Field::new("Tags", Value::texts(&self.tags)),
            ]),
            json: Some(Value::fields([
                Field::new("id", Value::text(&self.id)),
                Field::new("created", Value::text(&created)),
                Field::new("CreatedBy", Value::text(&self.created_by)),
                Field::new("size", Value::Int(bytes)),
                Field::new("comment", Value::text(&self.comment)),
                Field::new("tags", Value::texts(&self.tags)),
            ])),
        }
    }
}
