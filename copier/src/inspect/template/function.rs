//! Functions of templates: Go's own and those of the container tools.

use std::cmp::Ordering;

use super::Value;

/// For errors.
pub(super) const NAMES: &str = "and, eq, ge, gt, index, join, json, le, len, lower, lt, ne, not, or, pad, print, printf, println, split, \
     title, truncate, upper";

/// Characters that `pad` and `truncate` go up to.
const MAX_WIDTH: i64 = 4096;

/// Calls a function.
pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let fault = |fault: String| format!("{name}: {fault}");
    match (name, arguments) {
        ("json", [value]) => serde_json::to_string(value).map(Value::text).map_err(|e| fault(e.to_string())),
        ("join", [list, between]) => join(list, between).map_err(fault),
        ("lower", [value]) => text(value).map(|t| Value::text(t.to_lowercase())).map_err(fault),
        ("upper", [value]) => text(value).map(|t| Value::text(t.to_uppercase())).map_err(fault),
        ("title", [value]) => text(value).map(title).map_err(fault),
        ("split", [value, between]) => {
            let (value, between) = (text(value).map_err(fault)?, text(between).map_err(fault)?);
            Ok(Value::texts(value.split(between)))
        }
        ("truncate", [value, length]) => {
            let (value, length) = (text(value).map_err(fault)?, width(length).map_err(fault)?);
            Ok(Value::text(value.chars().take(length).collect::<String>()))
        }
        ("pad", [value, before, behind]) => {
            let value = text(value).map_err(fault)?;
            let (before, behind) = (width(before).map_err(fault)?, width(behind).map_err(fault)?);
            Ok(if value.is_empty() {
                Value::text("")
            } else {
                Value::text(format!("{:before$}{value}{:behind$}", "", ""))
            })
        }
        ("len", [value]) => len(value).map_err(fault),
        ("index", [value, keys @ ..]) => {
            keys.iter().try_fold(value.clone(), |v, k| index(&v, k)).map_err(fault)
        }
        ("print", values) => Ok(Value::text(values.iter().map(Value::show).collect::<Vec<_>>().join(" "))),
        ("println", values) => {
            Ok(Value::text(values.iter().map(Value::show).collect::<Vec<_>>().join(" ") + "\n"))
        }
        ("printf", [format, values @ ..]) => printf(text(format).map_err(fault)?, values).map_err(fault),
        ("not", [value]) => Ok(Value::Bool(value.is_empty())),
        ("and", [first, ..]) => {
            Ok(arguments.iter().find(|v| v.is_empty()).or(arguments.last()).unwrap_or(first).clone())
        }
        ("or", [first, ..]) => {
            Ok(arguments.iter().find(|v| !v.is_empty()).or(arguments.last()).unwrap_or(first).clone())
        }
        ("eq", [value, others @ ..]) if !others.is_empty() => {
            Ok(Value::Bool(others.iter().any(|other| other == value)))
        }
        ("ne", [one, other]) => Ok(Value::Bool(one != other)),
        ("lt" | "le" | "gt" | "ge", [one, other]) => {
            let order = order(one, other).map_err(fault)?;
            Ok(Value::Bool(match name {
                "lt" => order.is_lt(),
                "le" => order.is_le(),
                "gt" => order.is_gt(),
                _ => order.is_ge(),
            }))
        }
        _ if NAMES.split(", ").any(|known| known.trim() == name) => {
            Err(fault(format!("it does not take {} arguments", arguments.len())))
        }
        _ => Err(format!("there is no function `{name}`; known are {NAMES}")),
    }
}

fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(format!("{} is no text", other.kind())),
    }
}

fn width(value: &Value) -> Result<usize, String> {
    match value {
        Value::Int(n @ 0..=MAX_WIDTH) => usize::try_from(*n).map_err(|e| e.to_string()),
        other => Err(format!("{} is no number from 0 to {MAX_WIDTH}", other.show())),
    }
}

fn join(list: &Value, between: &Value) -> Result<Value, String> {
    // The container tools take the list first, and Go's order in a pipeline gives it last.
    let (list, between) = if matches!(between, Value::List(_)) { (between, list) } else { (list, between) };
    let Value::List(list) = list else { return Err(format!("{} is no list", list.kind())) };
    let words: Vec<_> = list.iter().flat_map(|list| list.iter()).map(Value::show).collect();
    Ok(Value::text(words.join(text(between)?)))
}

fn title(text: &str) -> Value {
    let mut begins = true;
    let letters = text.chars().map(|c| {
        let shown = if begins { c.to_uppercase().next().unwrap_or(c) } else { c };
        begins = c.is_whitespace();
        shown
    });
    Value::text(letters.collect::<String>())
}

fn len(value: &Value) -> Result<Value, String> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(list) => list.as_ref().map_or(0, |list| list.len()),
        Value::Map(map) => map.as_ref().map_or(0, |map| map.len()),
        other => return Err(format!("{} has no length", other.kind())),
    };
    i64::try_from(length).map(Value::Int).map_err(|e| e.to_string())
}

fn index(value: &Value, key: &Value) -> Result<Value, String> {
    match (value, key) {
        (Value::List(list), Value::Int(place)) => {
            let list = list.as_deref().unwrap_or_default();
            let found = usize::try_from(*place).ok().and_then(|place| list.get(place));
            found.cloned().ok_or_else(|| format!("{place} is out of range: the list has {}", list.len()))
        }
        // The zero of Go's map of texts.
        (Value::Map(map), Value::Text(key)) => {
            Ok(map.as_ref().and_then(|map| map.get(&**key)).cloned().unwrap_or_else(|| Value::text("")))
        }
        (value, key) => Err(format!("{} has no {}", value.kind(), key.show())),
    }
}

fn order(one: &Value, other: &Value) -> Result<Ordering, String> {
    match (one, other) {
        (Value::Int(one), Value::Int(other)) => Ok(one.cmp(other)),
        (Value::Text(one), Value::Text(other)) => Ok(one.cmp(other)),
        _ => Err(format!("{} and {} have no order", one.kind(), other.kind())),
    }
}

fn printf(format: &str, values: &[Value]) -> Result<Value, String> {
    let mut out = String::new();
    let mut values = values.iter();
    let mut characters = format.chars();
    while let Some(c) = characters.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let verb = characters.next().ok_or("the format ends in %")?;
        if verb == '%' {
            out.push('%');
            continue;
        }
        let value = values.next().ok_or_else(|| format!("there is no value for %{verb}"))?;
        match (verb, value) {
            ('v' | 's', value) | ('d', value @ Value::Int(_)) | ('t', value @ Value::Bool(_)) => {
                out.push_str(&value.show());
            }
            ('q', value) => out.push_str(&serde_json::Value::from(value.show()).to_string()),
            ('d' | 't', value) => return Err(format!("%{verb} does not show {}", value.kind())),
            _ => return Err(format!("%{verb} is not done here; %s, %v, %d, %t and %q are")),
        }
    }
    match values.next() {
        None => Ok(Value::text(out)),
        Some(_) => Err("there are more values than the format shows".to_owned()),
    }
}
