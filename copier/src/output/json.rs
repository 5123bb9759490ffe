//! JSON as Go writes it, byte for byte, since people compare outputs.

use std::io;

use berth_copier::{Error, Result};
use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, PrettyFormatter, Serializer};

/// With an indent of four and no line end.
///
/// # Errors
/// For what is no JSON.
pub(crate) fn text(value: &impl Serialize) -> Result<String> {
    let mut out = Vec::new();
    let go = Go { pretty: PrettyFormatter::with_indent(b"    ") };
    let written = value.serialize(&mut Serializer::with_formatter(&mut out, go)).map_err(|e| e.to_string());
    written
        .and_then(|()| String::from_utf8(out).map_err(|e| e.to_string()))
        .map_err(|fault| Error::Other { what: "writing JSON".to_owned(), source: fault.into() })
}

/// Go's encoder escapes what would matter inside of HTML.
struct Go<'a> {
    pretty: PrettyFormatter<'a>,
}

macro_rules! as_pretty {
    ($($method:ident $(($argument:ident: $kind:ty))?),*) => {
        $(fn $method<W: ?Sized + io::Write>(&mut self, writer: &mut W $(, $argument: $kind)?) -> io::Result<()> {
            self.pretty.$method(writer $(, $argument)?)
        })*
    };
}

impl Formatter for Go<'_> {
    as_pretty!(
        begin_array, end_array, begin_array_value(first: bool), end_array_value, begin_object, end_object,
        begin_object_key(first: bool), begin_object_value, end_object_value
    );

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (plain, found) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut characters = found.chars();
            if let Some(character) = characters.next() {
                write!(writer, "\\u{:04x}", u32::from(character))?;
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        self.pretty.write_char_escape(writer, escape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_written_as_go_writes_it() {
        let value = serde_json::json!({ "a": [1, "<b> & \u{2028}\"\n\t\u{1}"], "e": [], "o": {} });
        let expected = "{\n    \"a\": [\n        1,\n        \"\\u003cb\\u003e \\u0026 \\u2028\\\"\\n\\t\\u0001\"\n    ],\n    \
                        \"e\": [],\n    \"o\": {}\n}";
        assert_eq!(text(&value).unwrap(), expected);
    }
}
