//! What an image's configuration says of how it is run.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Deserializer};

use crate::{
    error::{Result, RunnerError},
    record::{Health, Protocol, parse},
};

/// Ports that an image can say it serves: all of each protocol.
const MOST_EXPOSED: usize = 3 * 65_535;

/// The `config` of an image's configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ImageConfig {
    /// `user[:group]`.
    #[serde(deserialize_with = "or_default")]
    pub(crate) user: String,
    /// `80/tcp`.
    #[serde(deserialize_with = "or_default")]
    pub(crate) exposed_ports: BTreeMap<String, serde::de::IgnoredAny>,
    /// Variables.
    #[serde(deserialize_with = "or_default")]
    pub(crate) env: Vec<String>,
    /// The command's beginning.
    #[serde(deserialize_with = "or_default")]
    pub(crate) entrypoint: Vec<String>,
    /// Its arguments.
    #[serde(deserialize_with = "or_default")]
    pub(crate) cmd: Vec<String>,
    /// Paths that are volumes.
    #[serde(deserialize_with = "or_default")]
    pub(crate) volumes: BTreeMap<String, serde::de::IgnoredAny>,
    /// Working directory.
    #[serde(deserialize_with = "or_default")]
    pub(crate) working_dir: String,
    /// Labels.
    #[serde(deserialize_with = "or_default")]
    pub(crate) labels: BTreeMap<String, String>,
    /// Signal of stop.
    #[serde(deserialize_with = "or_default")]
    pub(crate) stop_signal: String,
    /// Docker's check.
    pub(crate) healthcheck: Option<HealthConfig>,
}

/// Docker's health check; times are nanoseconds, 0 is the default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct HealthConfig {
    #[serde(deserialize_with = "or_default")]
    test: Vec<String>,
    interval: u64,
    timeout: u64,
    start_period: u64,
    retries: u32,
}

/// Absent and null are the same.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Milliseconds between two checks that an image may ask for; whoever types may ask for less.
const SHORTEST: u64 = 1000;

impl ImageConfig {
    /// Reads it from the bytes of an image's configuration.
    ///
    /// # Errors
    /// [`RunnerError::Content`] for what is none.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Whole {
            #[serde(default, deserialize_with = "or_default")]
            config: ImageConfig,
        }
        let whole = serde_json::from_slice::<Whole>(bytes);
        whole
            .map(|whole| whole.config)
            .map_err(|error| RunnerError::Content(format!("the image's configuration: {error}")))
    }

    /// Its check, where it has one.
    pub(super) fn health(&self) -> Option<Health> {
        let check = self.healthcheck.as_ref()?;
        if check.test.is_empty() || check.test.first().is_some_and(|word| word == "NONE") {
            return None;
        }
        let or = |nanoseconds: u64, other: u64| {
            if nanoseconds == 0 { other } else { (nanoseconds / 1_000_000).max(1) }
        };
        Some(Health {
            test: check.test.clone(),
            interval_ms: or(check.interval, 30_000).max(SHORTEST),
            timeout_ms: or(check.timeout, 30_000),
            start_period_ms: or(check.start_period, 0),
            retries: if check.retries == 0 { 3 } else { check.retries },
            on_failure: "none".into(),
        })
    }

    /// Ports that it says it serves; what is none is no reason not to run.
    pub(crate) fn exposed(&self) -> Vec<(u16, Protocol)> {
        let mut found: Vec<(u16, Protocol)> = Vec::new();
        for ports in self.exposed_ports.keys().filter_map(|text| parse::exposed(text).ok()) {
            found.extend(ports);
            // Ranges that repeat each other could be without end.
            found.truncate(MOST_EXPOSED);
            if found.len() == MOST_EXPOSED {
                break;
            }
        }
        found
    }

    /// What [`Self::health`] and [`Self::cwd`] make of it, for the fuzz target.
    pub(crate) fn health_and_folder(&self) -> (Option<Health>, PathBuf) {
        (self.health(), self.cwd())
    }

    /// Its working directory; one that is not absolute is below the root.
    pub(super) fn cwd(&self) -> PathBuf {
        PathBuf::from("/").join(&self.working_dir)
    }

    /// The bytes that no string of the kernel's may have.
    ///
    /// # Errors
    /// [`RunnerError::Content`] with the field.
    pub(crate) fn check(&self) -> Result<()> {
        let mut texts =
            self.env.iter().chain(&self.entrypoint).chain(&self.cmd).chain([&self.working_dir, &self.user]);
        match texts.find(|text| text.contains('\0')) {
            None => Ok(()),
            Some(text) => {
                Err(RunnerError::Content(format!("the image's configuration has a zero byte in {text:?}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_may_leave_out_or_say_null() {
        for text in
            ["{}", r#"{"config":null}"#, r#"{"config":{"Env":null,"Labels":null,"Volumes":null,"Cmd":null}}"#]
        {
            let config = ImageConfig::parse(text.as_bytes()).unwrap();
            assert!(config.env.is_empty() && config.health().is_none(), "{text}");
        }
        assert!(matches!(ImageConfig::parse(b"7"), Err(RunnerError::Content(_))));
    }

    #[test]
    fn an_image_cannot_say_more_ports_than_there_are() {
        let ports: Vec<String> =
            (1..2000).map(|first| format!(r#""{first}-65535/tcp,udp,sctp":{{}}"#)).collect();
        let text = format!(r#"{{"config":{{"ExposedPorts":{{{}}}}}}}"#, ports.join(","));
        assert_eq!(ImageConfig::parse(text.as_bytes()).unwrap().exposed().len(), MOST_EXPOSED);
    }

    #[test]
    fn dockers_health_checks_are_read() {
        let text =
            r#"{"config":{"Healthcheck":{"Test":["CMD","/check"],"Interval":5000000000,"Retries":2}}}"#;
        let health = ImageConfig::parse(text.as_bytes()).unwrap().health().unwrap();
        assert_eq!((health.interval_ms, health.timeout_ms, health.retries), (5000, 30_000, 2));
        // Each check is a process of the machine's, outside of the container's limits.
        let flood = r#"{"config":{"Healthcheck":{"Test":["CMD","/check"],"Interval":1}}}"#;
        assert_eq!(ImageConfig::parse(flood.as_bytes()).unwrap().health().unwrap().interval_ms, 1000);
        let none = r#"{"config":{"Healthcheck":{"Test":["NONE"]}}}"#;
        assert!(ImageConfig::parse(none.as_bytes()).unwrap().health().is_none());
    }
}
