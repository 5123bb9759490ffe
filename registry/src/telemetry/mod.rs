//! Logs and metrics.

use std::io::IsTerminal;

use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    fmt::format::FmtSpan,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::config::{Log, LogFormat};

mod metrics;
mod requests;
mod writer;

pub use metrics::{Metrics, Route};
pub use requests::{RequestId, Requests};
pub use writer::flush;

/// Sends what is logged to standard error, from now on and for the whole process. Lines go through
/// a thread of their own: call [`flush`] before the process ends.
///
/// # Errors
/// When the level cannot be read, or logging was begun before.
pub fn begin(log: &Log) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let targets = quieted(log.level.parse()?);
    let lines =
        tracing_subscriber::fmt::layer().with_writer(writer::start()?).with_span_events(FmtSpan::NONE);
    let registry = tracing_subscriber::registry();
    if is_json(log.format) {
        let json = lines.json().flatten_event(true).with_current_span(true).with_span_list(false);
        registry.with(json.with_filter(targets)).try_init()?;
    } else {
        // Escape sequences never go out, so there are no colours either.
        registry.with(lines.with_ansi(false).with_target(false).with_filter(targets)).try_init()?;
    }
    Ok(())
}

/// The library below storage tells of each request that it repeats as if it were news. That it comes to an end is what
/// matters, and is logged where it does; whoever names the library in the level hears it all.
fn quieted(targets: Targets) -> Targets {
    const CHATTY: &str = "object_store";
    if targets.iter().any(|(target, _)| target.starts_with(CHATTY)) {
        return targets;
    }
    let level = targets.default_level().map_or(LevelFilter::OFF, |level| level.min(LevelFilter::WARN));
    targets.with_target(CHATTY, level)
}

/// Whether lines are JSON.
#[must_use]
pub fn is_json(format: LogFormat) -> bool {
    match format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn repeated_requests_to_storage_are_no_news_unless_asked_for() {
        // As the targets of its lines are called.
        let chatty = concat!("object_store", "::client::retry");
        for (level, info, warn) in [
            ("info", false, true),
            ("debug", false, true),
            ("error", false, false),
            ("info,object_store=debug", true, true),
        ] {
            let targets = quieted(level.parse().unwrap());
            assert_eq!(targets.would_enable(chatty, &Level::INFO), info, "{level}");
            assert_eq!(targets.would_enable(chatty, &Level::WARN), warn, "{level}");
        }
        assert!(quieted("info".parse().unwrap()).would_enable("berth_registry::app", &Level::INFO));
    }
}
