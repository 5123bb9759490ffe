//! `[log]` and `[metrics]`.

use tracing_subscriber::filter::Targets;

use super::{
    faults::Faults,
    section::{Keys, Section},
    value::{MaybeAddress, choice},
};

choice! {
    /// How log lines look.
    LogFormat {
        /// Human on a terminal, JSON elsewhere.
        #[default]
        Auto = "auto",
        /// For people.
        Human = "human",
        /// One JSON object a line.
        Json = "json",
    }
}

/// Logging, to stderr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// What is logged, as `tracing_subscriber::filter::Targets` reads it.
    pub level: String,
    /// Whether each request has its line.
    pub requests: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::default(), level: "info".to_owned(), requests: true }
    }
}

impl Section for Log {
    fn name(&self) -> &'static str {
        "log"
    }

    fn about(&self) -> &'static str {
        "Logging, to standard error."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key(
            "format",
            "\"human\", \"json\", or \"auto\": human on a terminal, JSON elsewhere.",
            &mut self.format,
        );
        keys.key(
            "level",
            "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"; parts differently: \"info,berth_registry::http=debug\".",
            &mut self.level,
        );
        keys.key("requests", "One line for each request.", &mut self.requests);
    }

    fn check(&mut self, faults: &mut Faults) {
        if let Err(error) = self.level.parse::<Targets>() {
            faults.add("log.level", format!("{:?}: {error}", self.level));
            return;
        }
        // A word alone that is no level would be the name of a part, and all others would be silent.
        let levels = ["off", "error", "warn", "info", "debug", "trace"];
        let words = self.level.split(',').map(str::trim).filter(|part| !part.contains('='));
        for word in words.filter(|word| !levels.iter().any(|level| word.eq_ignore_ascii_case(level))) {
            faults.add("log.level", format!("{word:?} is none of \"{}\"", levels.join("\", \"")));
        }
    }
}

/// Metrics for Prometheus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// A port of their own.
    pub listen: MaybeAddress,
    /// Whether everybody may see them on the registry's own port.
    pub public: bool,
}

impl Section for Metrics {
    fn name(&self) -> &'static str {
        "metrics"
    }

    fn about(&self) -> &'static str {
        "Metrics for Prometheus, and health."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key(
            "listen",
            "An address and port of their own, as \"127.0.0.1:9090\"; /metrics is then served there alone, without TLS, to\n\
             whoever reaches it.",
            &mut self.listen,
        );
        keys.key(
            "public",
            "Without a port of their own: /metrics is for everybody who reaches the registry. Else it is for whoever is\n\
             logged in, and where nobody is asked who they are, for this machine alone.",
            &mut self.public,
        );
    }
}
