//! An image's configuration (image-spec, config.md), read as leniently as the container tools read it: any field may
//! be left out or null, and what is unknown is passed over.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Field, Time, Value};

/// A configuration of OCI's or Docker's form.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Config {
    pub(super) created: Option<String>,
    author: Option<String>,
    pub(super) architecture: Option<String>,
    pub(super) os: Option<String>,
    #[serde(rename = "os.version")]
    os_version: Option<String>,
    #[serde(rename = "os.features")]
    os_features: Option<Vec<String>>,
    pub(super) variant: Option<String>,
    pub(super) docker_version: Option<String>,
    pub(super) config: Option<Execution>,
    rootfs: Option<RootFs>,
    history: Option<Vec<Entry>>,
}

/// What a container of the image runs.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Execution {
    user: Option<String>,
    exposed_ports: Option<BTreeMap<String, serde::de::IgnoredAny>>,
    pub(super) env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    volumes: Option<BTreeMap<String, serde::de::IgnoredAny>>,
    working_dir: Option<String>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    stop_signal: Option<String>,
    args_escaped: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RootFs {
    #[serde(rename = "type")]
    kind: Option<String>,
    diff_ids: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    created: Option<String>,
    created_by: Option<String>,
    author: Option<String>,
    comment: Option<String>,
    empty_layer: Option<bool>,
}

pub(super) fn text(text: &Option<String>) -> Value {
    Value::text(text.as_deref().unwrap_or_default())
}

pub(super) fn texts(list: Option<&Vec<String>>) -> Value {
    list.map_or(Value::List(None), Value::texts)
}

pub(super) fn labels(map: Option<&BTreeMap<String, String>>) -> Value {
    map.map_or(Value::Map(None), |map| Value::map(map.iter().map(|(key, value)| (key, Value::text(value)))))
}

/// Go's sets are maps to nothing.
fn set(map: Option<&BTreeMap<String, serde::de::IgnoredAny>>) -> Value {
    map.map_or(Value::Map(None), |map| Value::map(map.keys().map(|key| (key, Value::fields([])))))
}

/// A time, or the text of what should be one.
pub(super) fn time(text: Option<&String>) -> Result<Value, String> {
    match text {
        None => Ok(Value::Nothing),
        Some(text) => Time::parse(text)
            .map(Value::Time)
            .ok_or_else(|| format!("\"{}\" is no time (RFC 3339)", text.escape_debug())),
    }
}

impl Config {
    pub(super) fn parse(raw: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(raw).map_err(|fault| fault.to_string())
    }

    /// All fields that OCI knows, in its order.
    pub(super) fn value(&self) -> Result<Value, String> {
        let nothing = Execution::default();
        let execution = self.config.as_ref().unwrap_or(&nothing);
        let rootfs = self.rootfs.as_ref();
        let history = self.history.iter().flatten().map(Entry::value).collect::<Result<Vec<_>, _>>()?;
        Ok(Value::fields([
            Field::optional("Created", "created", time(self.created.as_ref())?),
            Field::optional("Author", "author", text(&self.author)),
            Field {
                omit_empty: false,
                ..Field::optional("Architecture", "architecture", text(&self.architecture))
            },
            Field { omit_empty: false, ..Field::optional("OS", "os", text(&self.os)) },
            Field::optional("OSVersion", "os.version", text(&self.os_version)),
            Field::optional("OSFeatures", "os.features", texts(self.os_features.as_ref())),
            Field::optional("Variant", "variant", text(&self.variant)),
            Field::optional("Config", "config", execution.value()),
            Field::optional(
                "RootFS",
                "rootfs",
                Value::fields([
                    Field {
                        omit_empty: false,
                        ..Field::optional(
                            "Type",
                            "type",
                            Value::text(rootfs.and_then(|r| r.kind.as_deref()).unwrap_or_default()),
                        )
                    },
                    Field {
                        omit_empty: false,
                        ..Field::optional(
                            "DiffIDs",
                            "diff_ids",
                            texts(rootfs.and_then(|r| r.diff_ids.as_ref())),
                        )
                    },
                ]),
            ),
            Field::optional("History", "history", Value::list(history)),
        ]))
    }
}

impl Execution {
    fn value(&self) -> Value {
        let same = |name, value| Field::optional(name, name, value);
        Value::fields([
            same("User", text(&self.user)),
            same("ExposedPorts", set(self.exposed_ports.as_ref())),
            same("Env", texts(self.env.as_ref())),
            same("Entrypoint", texts(self.entrypoint.as_ref())),
            same("Cmd", texts(self.cmd.as_ref())),
            same("Volumes", set(self.volumes.as_ref())),
            same("WorkingDir", text(&self.working_dir)),
            same("Labels", labels(self.labels.as_ref())),
            same("StopSignal", text(&self.stop_signal)),
            same("ArgsEscaped", Value::Bool(self.args_escaped.unwrap_or_default())),
        ])
    }
}

impl Entry {
    fn value(&self) -> Result<Value, String> {
        Ok(Value::fields([
            Field::optional("Created", "created", time(self.created.as_ref())?),
            Field::optional("CreatedBy", "created_by", text(&self.created_by)),
            Field::optional("Author", "author", text(&self.author)),
            Field::optional("Comment", "comment", text(&self.comment)),
            Field::optional("EmptyLayer", "empty_layer", Value::Bool(self.empty_layer.unwrap_or_default())),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_configuration_is_told_in_ocis_order() {
        let raw =
            br#"{"os":"linux","architecture":"arm","variant":"v7","container":"x","docker_version":"20",
            "config":{"Labels":{"b":"2","a":"1"},"ExposedPorts":{"80/tcp":{}},"Healthcheck":{},"Env":null},
            "created":"2022-01-01T00:00:00.10Z","rootfs":{"diff_ids":["sha256:1"],"type":"layers"},
            "history":[{"created_by":"x","empty_layer":true},{}]}"#;
        let value = Config::parse(raw).unwrap().value().unwrap();
        assert_eq!(
            serde_json::to_string(&value).unwrap(),
            concat!(
                r#"{"created":"2022-01-01T00:00:00.1Z","architecture":"arm","os":"linux","variant":"v7","#,
                r#""config":{"ExposedPorts":{"80/tcp":{}},"Labels":{"a":"1","b":"2"}},"#,
                r#""rootfs":{"type":"layers","diff_ids":["sha256:1"]},"history":[{"created_by":"x","empty_layer":true},{}]}"#
            )
        );
    }

    #[test]
    fn an_empty_configuration_has_what_is_never_left_out() {
        let value = Config::parse(b"{}").unwrap().value().unwrap();
        assert_eq!(
            serde_json::to_string(&value).unwrap(),
            r#"{"architecture":"","os":"","config":{},"rootfs":{"type":"","diff_ids":null}}"#
        );
    }

    #[test]
    fn what_is_no_configuration_says_so() {
        assert!(Config::parse(b"[]x").is_err());
        assert!(Config::parse(br#"{"os":1}"#).is_err());
        assert!(Config::parse(br#"{"created":"x"}"#).unwrap().value().is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(raw in "(\\{|\\}|\"created\":|\"config\":|\"x\"|,|\\[|\\]|null|1){0,24}") {
            let _read = Config::parse(raw.as_bytes()).map(|config| config.value());
        }
    }
}
