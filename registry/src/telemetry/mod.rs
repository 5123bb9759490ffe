//! Logs and metrics.

use std::io::IsTerminal;

use tracing_subscriber::{
    Layer, filter::Targets, fmt::format::FmtSpan, layer::SubscriberExt, util::SubscriberInitExt,
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
    let targets: Targets = log.level.parse()?;
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

/// Whether lines are JSON.
#[must_use]
pub fn is_json(format: LogFormat) -> bool {
    match format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    }
}
