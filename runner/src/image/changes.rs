//! `--change`: instructions of a Containerfile, applied to an image's configuration.

use serde_json::{Map, Value, json};

use crate::{
    error::{Result, RunnerError},
    record::parse,
};

const KNOWN: &str = "CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR";

/// Applies one instruction to the `config` object of an image's configuration.
///
/// # Errors
/// [`RunnerError::Usage`] with the instruction and the rule.
pub(crate) fn apply(config: &mut Map<String, Value>, instruction: &str) -> Result<()> {
    let fault = |rule: &str| RunnerError::Usage(format!("--change {instruction:?}: {rule}"));
    let text = instruction.trim();
    // Docker's users write `CMD=...` as well.
    let split = text.find([' ', '\t', '=']).ok_or_else(|| fault("write INSTRUCTION VALUE"))?;
    let (word, value) = (text[..split].to_ascii_uppercase(), text[split + 1..].trim());
    if value.is_empty() && word != "CMD" && word != "ENTRYPOINT" {
        return Err(fault("a value is missing"));
    }
    match word.as_str() {
        "CMD" => set(config, "Cmd", command(value).map_err(|rule| fault(&rule))?),
        "ENTRYPOINT" => set(config, "Entrypoint", command(value).map_err(|rule| fault(&rule))?),
        "ENV" => {
            for (name, value) in pairs(value).map_err(|rule| fault(&rule))? {
                environment(config, &name, &value);
            }
        }
        "EXPOSE" => {
            for port in value.split_whitespace() {
                let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
                let known = matches!(protocol, "tcp" | "udp" | "sctp");
                if !known || parse::number::<u16>(number).is_none_or(|number| number == 0) {
                    return Err(fault("a port is NUMBER or NUMBER/tcp, /udp, /sctp"));
                }
                object(config, "ExposedPorts").insert(format!("{number}/{protocol}"), json!({}));
            }
        }
        "LABEL" => {
            for (name, value) in pairs(value).map_err(|rule| fault(&rule))? {
                object(config, "Labels").insert(name, Value::String(value));
            }
        }
        "ONBUILD" => list(config, "OnBuild").push(Value::String(value.to_owned())),
        "STOPSIGNAL" => set(config, "StopSignal", Value::String(value.to_owned())),
        "USER" => set(config, "User", Value::String(value.to_owned())),
        "VOLUME" => {
            let paths = match command(value).map_err(|rule| fault(&rule))? {
                Value::Array(paths) if value.starts_with('[') => {
                    paths.iter().filter_map(Value::as_str).map(str::to_owned).collect()
                }
                _ => value.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
            };
            for path in paths {
                if !path.starts_with('/') {
                    return Err(fault("a volume's path begins with /"));
                }
                object(config, "Volumes").insert(path, json!({}));
            }
        }
        "WORKDIR" => {
            let before = config.get("WorkingDir").and_then(Value::as_str).unwrap_or("/");
            let path = std::path::Path::new(if before.is_empty() { "/" } else { before }).join(value);
            set(config, "WorkingDir", Value::String(path.display().to_string()));
        }
        _ => return Err(fault(&format!("known are {KNOWN}"))),
    }
    Ok(())
}

fn set(config: &mut Map<String, Value>, key: &str, value: Value) {
    config.insert(key.to_owned(), value);
}

fn object<'a>(config: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let slot = config.entry(key).or_insert_with(|| json!({}));
    if !slot.is_object() {
        *slot = json!({});
    }
    match slot {
        Value::Object(map) => map,
        _ => unreachable!("an object was put there"),
    }
}

fn list<'a>(config: &'a mut Map<String, Value>, key: &str) -> &'a mut Vec<Value> {
    let slot = config.entry(key).or_insert_with(|| json!([]));
    if !slot.is_array() {
        *slot = json!([]);
    }
    match slot {
        Value::Array(list) => list,
        _ => unreachable!("a list was put there"),
    }
}

fn environment(config: &mut Map<String, Value>, name: &str, value: &str) {
    let all = list(config, "Env");
    let prefix = format!("{name}=");
    let entry = Value::String(format!("{prefix}{value}"));
    match all.iter_mut().find(|known| known.as_str().is_some_and(|text| text.starts_with(&prefix))) {
        Some(known) => *known = entry,
        None => all.push(entry),
    }
}

/// `["a", "b"]`, or a line for the shell.
fn command(value: &str) -> Result<Value, String> {
    if value.is_empty() {
        return Ok(json!([]));
    }
    if value.starts_with('[') {
        let words: Vec<String> =
            serde_json::from_str(value).map_err(|error| format!("it is no JSON list of texts: {error}"))?;
        return Ok(json!(words));
    }
    Ok(json!(["/bin/sh", "-c", value]))
}

/// `a=b c="d e"`, or the old form `a b c`: everything behind the first word is its value.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let words = words(text)?;
    let Some(first) = words.first() else { return Err("write NAME=VALUE".to_owned()) };
    if !first.contains('=') {
        let (name, value) = text.split_once(char::is_whitespace).ok_or("write NAME=VALUE")?;
        return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: &String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{word:?} is not NAME=VALUE")),
    };
    words.iter().map(pair).collect()
}

/// Words between blanks; quotes hold blanks, a backslash takes the next character as it is.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => {
                let next = characters.next().ok_or("a backslash is its last character")?;
                word.get_or_insert_default().push(next);
            }
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

/// For the fuzz targets: see [`crate::fuzzing::changes`].
pub(crate) fn fuzzed(text: &str) {
    let mut config = Map::new();
    for line in text.lines() {
        if let Err(error) = apply(&mut config, line) {
            let _text = error.to_string();
        }
    }
    for name in ["ExposedPorts", "Volumes", "Labels"] {
        assert!(config.get(name).is_none_or(Value::is_object), "{config:?}");
    }
    for port in config.get("ExposedPorts").and_then(Value::as_object).into_iter().flat_map(Map::keys) {
        assert!(parse::exposed(port).is_ok(), "{port:?}");
    }
    for variable in config.get("Env").and_then(Value::as_array).into_iter().flatten() {
        let name = variable.as_str().and_then(|text| text.split_once('=')).map(|(name, _)| name);
        assert!(name.is_some_and(|name| !name.is_empty()), "{variable}");
    }
    assert!(
        config.get("WorkingDir").is_none_or(|path| path.as_str().is_some_and(|path| path.starts_with('/')))
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(instructions: &[&str]) -> Value {
        let mut config = Map::new();
        for instruction in instructions {
            apply(&mut config, instruction).unwrap();
        }
        Value::Object(config)
    }

    #[test]
    fn instructions_change_the_configuration() {
        let config = applied(&[
            "CMD [\"/bin/app\", \"-v\"]",
            "ENTRYPOINT run it",
            "ENV A=1 B=\"two words\"",
            "env A=3",
            "EXPOSE 80 53/udp",
            "LABEL a=b c='d e'",
            "USER 1000:1000",
            "WORKDIR /srv",
            "WORKDIR sub",
            "VOLUME /data /more",
            "STOPSIGNAL SIGINT",
            "ONBUILD RUN x",
        ]);
        assert_eq!(
            config,
            json!({
                "Cmd": ["/bin/app", "-v"],
                "Entrypoint": ["/bin/sh", "-c", "run it"],
                "Env": ["A=3", "B=two words"],
                "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
                "Labels": {"a": "b", "c": "d e"},
                "User": "1000:1000",
                "WorkingDir": "/srv/sub",
                "Volumes": {"/data": {}, "/more": {}},
                "StopSignal": "SIGINT",
                "OnBuild": ["RUN x"],
            })
        );
    }

    #[test]
    fn an_old_form_and_docker_forms_are_read() {
        assert_eq!(applied(&["ENV A b c", "CMD=[\"x\"]"]), json!({"Env": ["A=b c"], "Cmd": ["x"]}));
        assert_eq!(applied(&["VOLUME [\"/a b\"]"]), json!({"Volumes": {"/a b": {}}}));
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        for (instruction, part) in [
            ("RUN x", "known are CMD"),
            ("ENV", "write INSTRUCTION VALUE"),
            ("USER ", "write INSTRUCTION VALUE"),
            ("EXPOSE http", "a port is NUMBER"),
            ("EXPOSE +80", "a port is NUMBER"),
            ("EXPOSE 0", "a port is NUMBER"),
            ("EXPOSE 80/tcp,udp", "a port is NUMBER"),
            ("CMD [\"x\"", "no JSON list"),
            ("VOLUME data", "begins with /"),
            ("LABEL a=\"b", "not closed"),
        ] {
            let error = apply(&mut Map::new(), instruction).unwrap_err();
            assert!(error.to_string().contains(part), "{instruction}: {error}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
