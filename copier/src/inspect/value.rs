//! What is told of an image: one tree, written as JSON or shown through a template.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

/// A value as Go's types would hold it. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing: a pointer to no value.
    Nothing,
    /// A truth.
    Bool(bool),
    /// A number.
    Int(i64),
    /// A text.
    Text(Arc<str>),
    /// A time.
    Time(Time),
    /// A list; `None` is one that was never made, which JSON shows as `null`.
    List(Option<Arc<[Value]>>),
    /// Values by any key, sorted; `None` as in lists.
    Map(Option<Arc<BTreeMap<String, Value>>>),
    /// Values by fixed names.
    Struct(Arc<[Field]>),
}

/// A named value.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Name in templates (Go's).
    pub name: &'static str,
    /// Name in JSON.
    pub key: &'static str,
    /// Whether JSON leaves it out when it is empty.
    pub omit_empty: bool,
    /// The value.
    pub value: Value,
}

impl Field {
    /// A field that has one name everywhere and is always shown.
    #[must_use]
    pub const fn new(name: &'static str, value: Value) -> Self {
        Self { name, key: name, omit_empty: false, value }
    }

    /// A field with a name of its own in JSON, left out there when it is empty.
    #[must_use]
    pub const fn optional(name: &'static str, key: &'static str, value: Value) -> Self {
        Self { name, key, omit_empty: true, value }
    }
}

impl Value {
    /// A text.
    #[must_use]
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Text(text.as_ref().into())
    }

    /// A list of texts.
    #[must_use]
    pub fn texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::list(texts.into_iter().map(Self::text))
    }

    /// A list.
    #[must_use]
    pub fn list(values: impl IntoIterator<Item = Self>) -> Self {
        Self::List(Some(values.into_iter().collect()))
    }

    /// A map.
    #[must_use]
    pub fn map<K: Into<String>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Map(Some(Arc::new(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())))
    }

    /// A struct.
    #[must_use]
    pub fn fields(fields: impl IntoIterator<Item = Field>) -> Self {
        Self::Struct(fields.into_iter().collect())
    }

    /// Go's notion of empty, by which `if` and `omitempty` go.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Nothing | Self::List(None) | Self::Map(None) => true,
            Self::Bool(truth) => !truth,
            Self::Int(number) => *number == 0,
            Self::Text(text) => text.is_empty(),
            Self::List(Some(list)) => list.is_empty(),
            Self::Map(Some(map)) => map.is_empty(),
            Self::Time(_) | Self::Struct(_) => false,
        }
    }

    /// What the value is, for errors.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Bool(_) => "a truth value",
            Self::Int(_) => "a number",
            Self::Text(_) => "a text",
            Self::Time(_) => "a time",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Struct(_) => "an object",
        }
    }

    /// As Go's `%v` shows it.
    #[must_use]
    pub fn show(&self) -> String {
        let mut out = String::new();
        self.show_in(&mut out);
        out
    }

    fn show_in(&self, out: &mut String) {
        match self {
            Self::Nothing => out.push_str("<nil>"),
            Self::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
            Self::Int(number) => {
                let _infallible = write!(out, "{number}");
            }
            Self::Text(text) => out.push_str(text),
            Self::Time(time) => out.push_str(&time.show()),
            Self::List(list) => {
                out.push('[');
                spaced(out, list.iter().flat_map(|list| list.iter()), Self::show_in);
                out.push(']');
            }
            Self::Map(map) => {
                out.push_str("map[");
                spaced(out, map.iter().flat_map(|map| map.iter()), |(key, value), out| {
                    out.push_str(key);
                    out.push(':');
                    value.show_in(out);
                });
                out.push(']');
            }
            Self::Struct(fields) => {
                out.push('{');
                spaced(out, fields.iter(), |field, out| field.value.show_in(out));
                out.push('}');
            }
        }
    }
}

fn spaced<T>(out: &mut String, items: impl Iterator<Item = T>, mut show: impl FnMut(T, &mut String)) {
    for (place, item) in items.enumerate() {
        if place > 0 {
            out.push(' ');
        }
        show(item, out);
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing | Self::List(None) | Self::Map(None) => serializer.serialize_unit(),
            Self::Bool(truth) => serializer.serialize_bool(*truth),
            Self::Int(number) => serializer.serialize_i64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Time(time) => serializer.serialize_str(&time.rfc3339()),
            Self::List(Some(list)) => {
                let mut out = serializer.serialize_seq(Some(list.len()))?;
                list.iter().try_for_each(|item| out.serialize_element(item))?;
                out.end()
            }
            Self::Map(Some(map)) => map.serialize(serializer),
            Self::Struct(fields) => {
                let shown = || fields.iter().filter(|field| !(field.omit_empty && field.value.is_empty()));
                let mut out = serializer.serialize_map(Some(shown().count()))?;
                shown().try_for_each(|field| out.serialize_entry(field.key, &field.value))?;
                out.end()
            }
        }
    }
}

/// A time with the offset it was written with (RFC 3339).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Time {
    date: String,
    clock: String,
    /// Digits of the second's fraction, without zeros at the end.
    fraction: String,
    /// `Z` or `+hh:mm`.
    offset: String,
}

impl Time {
    /// Reads RFC 3339.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // jiff says whether the day exists; the offset is kept as it was written.
        text.parse::<jiff::Timestamp>().ok()?;
        let (date, rest) = text.split_once('T')?;
        let at = rest.find(['Z', '+', '-'])?;
        let (clock, offset) = rest.split_at(at);
        let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
        let offset = if matches!(offset, "+00:00" | "-00:00") { "Z" } else { offset };
        let sound = date.len() == 10 && clock.len() == 8 && (offset == "Z" || offset.len() == 6);
        sound.then(|| Self {
            date: date.to_owned(),
            clock: clock.to_owned(),
            fraction: fraction.trim_end_matches('0').to_owned(),
            offset: offset.to_owned(),
        })
    }

    fn seconds(&self) -> String {
        let dot = if self.fraction.is_empty() { "" } else { "." };
        format!("{}{dot}{}", self.clock, self.fraction)
    }

    /// RFC 3339 as Go writes it.
    #[must_use]
    pub fn rfc3339(&self) -> String {
        format!("{}T{}{}", self.date, self.seconds(), self.offset)
    }

    /// As Go shows a time.
    #[must_use]
    pub fn show(&self) -> String {
        let zone = if self.offset == "Z" {
            "+0000 UTC".to_owned()
        } else {
            let plain = self.offset.replace(':', "");
            format!("{plain} {plain}")
        };
        format!("{} {} {zone}", self.date, self.seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_writes_them() {
        for (text, json, shown) in [
            (
                "2022-11-16T07:26:42.618327645Z",
                "2022-11-16T07:26:42.618327645Z",
                "2022-11-16 07:26:42.618327645 +0000 UTC",
            ),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-01 00:00:00 +0000 UTC"),
            (
                "2022-11-16T07:26:42.5000+02:00",
                "2022-11-16T07:26:42.5+02:00",
                "2022-11-16 07:26:42.5 +0200 +0200",
            ),
            ("0001-01-01T00:00:00+00:00", "0001-01-01T00:00:00Z", "0001-01-01 00:00:00 +0000 UTC"),
        ] {
            let time = Time::parse(text).unwrap();
            assert_eq!((time.rfc3339().as_str(), time.show().as_str()), (json, shown));
        }
        for text in
            ["", "yesterday", "2022-13-01T00:00:00Z", "2022-11-16 07:26:42Z", "2022-11-16T07:26:42", "T"]
        {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }

    #[test]
    fn values_are_shown_as_go_shows_them() {
        let labels = Value::map([("b", Value::text("2")), ("a", Value::text("1"))]);
        assert_eq!(labels.show(), "map[a:1 b:2]");
        assert_eq!(Value::texts(["x", "y z"]).show(), "[x y z]");
        let object = Value::fields([Field::new("A", Value::Int(1)), Field::new("B", Value::Map(None))]);
        assert_eq!(Value::list([object]).show(), "[{1 map[]}]");
        assert_eq!((Value::Nothing.show().as_str(), Value::List(None).show().as_str()), ("<nil>", "[]"));
    }

    #[test]
    fn json_leaves_out_what_is_optional_and_empty() {
        let value = Value::fields([
            Field::optional("Name", "name", Value::text("")),
            Field::new("Labels", Value::Map(None)),
            Field::new("Tags", Value::list([])),
        ]);
        assert_eq!(serde_json::to_string(&value).unwrap(), r#"{"Labels":null,"Tags":[]}"#);
    }
}
