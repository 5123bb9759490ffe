//! A YAML document as a tree that knows its lines, so that every fault can be told with its place.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Options, Spanned, budget, options};

/// Most bytes of a document.
pub(super) const MAX_BYTES: usize = 4 * 1024 * 1024;

/// A part of the document with the line it stands on, from 1.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) line: u64,
    pub(super) value: Value,
}

/// What a part is.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing stands there, or `null` or `~`.
    Null,
    /// Text as it was written; whether it was meant as a number or a truth value is the reader's to say.
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A map's key.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) line: u64,
    pub(super) text: String,
}

impl Node {
    /// What it is, for "is a list, and …".
    pub(super) const fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "empty",
            Value::Text(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// Reads a document of at most [`MAX_BYTES`].
///
/// # Errors
/// If it is no YAML, has a key twice, or is larger or deeper than any list of images; the text says where.
pub(super) fn read(text: &str) -> Result<Node, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("more than {MAX_BYTES} bytes"));
    }
    let options: Options = options! {
        budget: budget! { max_depth: 32 },
        with_snippet: false,
    };
    let raw: Spanned<Raw> =
        serde_saphyr::from_str_with_options(text, options).map_err(|fault| fault.to_string())?;
    Ok(settle(text, raw))
}

/// As the parser gives it, before plain scalars are read again as text.
enum Raw {
    Null,
    /// A string, quoted or not.
    Text(String),
    /// A number or a truth value: the span says how it was written (`1.10` is a tag and not 1.1).
    Plain,
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key()? {
            entries.push((key, map.next_value()?));
        }
        Ok(Raw::Map(entries))
    }
}

fn settle(source: &str, raw: Spanned<Raw>) -> Node {
    let line = raw.referenced.line();
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Text(text) => Value::Text(text),
        Raw::Plain => {
            Value::Text(written(source, raw.defined.span().byte_offset(), raw.defined.span().byte_len()))
        }
        Raw::List(items) => Value::List(items.into_iter().map(|item| settle(source, item)).collect()),
        Raw::Map(entries) => Value::Map(
            entries.into_iter().map(|(key, value)| (key_of(source, key), settle(source, value))).collect(),
        ),
    };
    Node { line, value }
}

fn key_of(source: &str, key: Spanned<Raw>) -> Key {
    let node = settle(source, key);
    let text = match node.value {
        Value::Text(text) => text,
        // No key of ours: it will be told as unknown.
        Value::Null | Value::List(_) | Value::Map(_) => String::new(),
    };
    Key { line: node.line, text }
}

fn written(source: &str, from: Option<u64>, length: Option<u64>) -> String {
    let (Ok(from), Ok(length)) =
        (usize::try_from(from.unwrap_or_default()), usize::try_from(length.unwrap_or_default()))
    else {
        return String::new();
    };
    source.get(from..from.saturating_add(length)).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(node: &Node) -> String {
        match &node.value {
            Value::Null => format!("{}:null", node.line),
            Value::Text(text) => format!("{}:{text}", node.line),
            Value::List(items) => format!("[{}]", items.iter().map(shape).collect::<Vec<_>>().join(" ")),
            Value::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| format!("{}={}", key.text, shape(value)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn scalars_keep_the_text_they_were_written_in() {
        let text = "reg:\n  a: [1.10, '2.0', 007, yes]\n  b: ~\n  c: true\n  d:\n  é: 1e3\n  1.0: 3\n";
        let tree = read(text).unwrap();
        assert_eq!(
            shape(&tree),
            "{reg={a=[2:1.10 2:2.0 2:007 2:yes] b=3:null c=4:true d=5:null é=6:1e3 1.0=7:3}}"
        );
    }

    #[test]
    fn aliases_stand_for_what_they_name() {
        let tree = read("a: &tags [1.0, 2]\nb: *tags\n").unwrap();
        assert_eq!(shape(&tree), "{a=[1:1.0 1:2] b=[2:1.0 2:2]}");
    }

    #[test]
    fn a_document_that_explodes_is_refused() {
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..12 {
            let list = vec![format!("*a{}", n - 1); 10].join(",");
            bomb += &format!("a{n}: &a{n} [{list}]\n");
        }
        assert!(read(&bomb).is_err());
        assert!(read(&"[".repeat(10_000)).is_err());
        assert!(read("a: 1\na: 2\n").is_err());
        assert!(read(&" ".repeat(MAX_BYTES + 1)).is_err());
    }
}
