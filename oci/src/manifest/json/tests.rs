//! Beside serde_json as a witness: what this reader takes is JSON, and what it refuses is either
//! none or breaks one of the rules that it adds.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn walk(text: &str) -> Result<()> {
    let mut reader = Reader::new(text);
    reader.skip()?;
    reader.end()
}

fn string(text: &str) -> Option<String> {
    let mut reader = Reader::new(text);
    let value = reader.string().ok()?.into_owned();
    reader.end().ok().map(|()| value)
}

/// JSON values without equal keys, shallow enough for both readers.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(".{0,6}", inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// Texts that are nearly JSON.
fn nearly() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[\\[\\]{},:\" ]",
        Just("\"a\":".to_owned()),
        Just("\"\\u00e9\\ud83d\\ude00\"".to_owned()),
        "\\\\u[0-9a-fA-Fd]{3,4}",
        "-?[0-9]{1,3}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?",
        "true|false|null|nul|\\PC",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn json_is_taken_in_any_layout(value in value()) {
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            prop_assert_eq!(walk(&text), Ok(()), "{}", text);
        }
    }

    #[test]
    fn strings_are_read_as_serde_reads_them(text in "\"([^\"\\\\]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-Fd]{4}){0,12}\"") {
        prop_assert_eq!(string(&text), serde_json::from_str::<String>(&text).ok());
    }

    #[test]
    fn both_readers_agree_on_what_is_json(text in nearly()) {
        let ours = walk(&text);
        let witness = serde_json::from_str::<Value>(&text);
        match (&ours, &witness) {
            (Ok(()), Ok(_)) | (Err(_), Err(_)) | (Err(ManifestError::DuplicateKey { .. }), Ok(_)) => {}
            // Serde turns numbers into floats and refuses those that have none; these are walked over.
            (Ok(()), Err(error)) if error.to_string().contains("number out of range") => {}
            _ => prop_assert!(false, "{text}: {ours:?} but {witness:?}"),
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,40}") {
        let _outcome = walk(&text);
    }
}
