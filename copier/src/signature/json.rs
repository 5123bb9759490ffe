//! JSON in which nothing can hide: of equal keys other readers keep the first or the last, this one refuses both, so that
//! what was signed and what a policy says mean one thing to everybody.
//!
//! Depth is bounded by serde_json (128 levels); size by whoever read the bytes.

use std::fmt;

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, SeqAccess, Visitor},
};

/// A value, its keys in the order of the text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Parses one document, and nothing behind it.
pub(crate) fn parse(text: &[u8]) -> Result<Json, serde_json::Error> {
    serde_json::from_slice(text)
}

impl Json {
    /// The kind of value, for messages.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// The fields of an object that has exactly these, in this order; an error names what is missing or too much.
    pub(crate) fn exactly<const N: usize>(&self, names: [&'static str; N]) -> Result<[&Self; N], String> {
        let Self::Object(fields) = self else {
            return Err(format!("expected an object, found {}", self.kind()));
        };
        if let Some((unknown, _)) = fields.iter().find(|(key, _)| !names.contains(&key.as_str())) {
            return Err(format!("unexpected field {}", quoted(unknown)));
        }
        // Equal keys were refused, so that as many known keys as names are each name once.
        let mut found = [&Self::Null; N];
        for (slot, name) in found.iter_mut().zip(names) {
            let field = fields.iter().find(|(key, _)| key == name);
            *slot = &field.ok_or_else(|| format!("missing field \"{name}\""))?.1;
        }
        Ok(found)
    }

    /// The text of a string.
    pub(crate) fn text(&self) -> Result<&str, String> {
        match self {
            Self::String(text) => Ok(text),
            other => Err(format!("expected a string, found {}", other.kind())),
        }
    }
}

/// A foreign text for a message: escaped, and cut.
pub(crate) fn quoted(text: &str) -> String {
    const MOST: usize = 256;
    let cut: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    format!("\"{cut}{}\"", if text.chars().nth(MOST).is_some() { "…" } else { "" })
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        let number = serde_json::Number::from_f64(value);
        number.map(Json::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut seen = std::collections::HashSet::new();
        let mut fields = Vec::new();
        while let Some(key) = entries.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(serde::de::Error::custom(format!("duplicate field {}", quoted(&key))));
            }
            fields.push((key, entries.next_value()?));
        }
        Ok(Json::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_are_refused_at_every_level() {
        assert!(parse(br#"{"a":1,"b":{"a":1}}"#).is_ok());
        for text in [r#"{"a":1,"a":1}"#, r#"{"b":{"a":1,"a":2}}"#, r#"[{"a":1,"\u0061":2}]"#] {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("duplicate field \"a\""), "{error}");
        }
    }

    #[test]
    fn depth_and_trailing_text_are_refused() {
        assert!(parse("[".repeat(10_000).as_bytes()).is_err());
        assert!(parse(b"{} {}").is_err());
        assert!(parse(b"").is_err());
    }

    #[test]
    fn exact_fields_are_taken_in_the_order_asked_for() {
        let value = parse(br#"{"b":"2","a":"1"}"#).unwrap();
        let [a, b] = value.exactly(["a", "b"]).unwrap();
        assert_eq!((a.text(), b.text()), (Ok("1"), Ok("2")));
        assert!(value.exactly(["a"]).unwrap_err().contains("unexpected field \"b\""));
        assert!(value.exactly(["a", "b", "c"]).unwrap_err().contains("missing field \"c\""));
        assert!(Json::Null.exactly([]).unwrap_err().contains("found null"));
    }
}
