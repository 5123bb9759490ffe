//! What is counted, for Prometheus.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Method, StatusCode};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry, Unit},
};

use crate::http::serve::Observe;

/// What a request is about, as labels say it: few values, whatever clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// `/v2/`
    Base,
    /// Blobs.
    Blob,
    /// Upload sessions.
    Upload,
    /// Manifests.
    Manifest,
    /// Lists of tags.
    Tags,
    /// Lists of referrers.
    Referrers,
    /// The list of repositories.
    Catalog,
    /// Health and metrics.
    Health,
    /// Anything else.
    Other,
}

impl Route {
    /// Reads a path. What is in it is not checked.
    #[must_use]
    pub fn of(path: &str) -> Self {
        let Some(rest) = path.strip_prefix("/v2") else {
            return match path {
                "/livez" | "/readyz" | "/metrics" => Self::Health,
                _ => Self::Other,
            };
        };
        if matches!(rest, "" | "/") {
            return Self::Base;
        }
        if rest.starts_with("/_catalog") {
            return Self::Catalog;
        }
        let mut parts = rest.trim_end_matches('/').rsplit('/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("uploads"), Some("blobs"), Some(_)) | (Some(_), Some("uploads"), Some("blobs")) => {
                Self::Upload
            }
            (Some("list"), Some("tags"), Some(_)) => Self::Tags,
            (Some(_), Some("manifests"), Some(_)) => Self::Manifest,
            (Some(_), Some("blobs"), Some(_)) => Self::Blob,
            (Some(_), Some("referrers"), Some(_)) => Self::Referrers,
            _ => Self::Other,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Blob => "blob",
            Self::Upload => "upload",
            Self::Manifest => "manifest",
            Self::Tags => "tags",
            Self::Referrers => "referrers",
            Self::Catalog => "catalog",
            Self::Health => "health",
            Self::Other => "other",
        }
    }
}

impl EncodeLabelValue for Route {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: Route,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: Route,
}

/// Seconds, from a manifest out of memory to a layer over a slow line.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0, 600.0];

type Histograms = Family<RouteLabels, Histogram>;

/// All metrics of the process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    requests: Family<RequestLabels, Counter>,
    seconds: Histograms,
    in_flight: Gauge,
    received: Counter,
    sent: Counter,
    cut: Counter,
    connections: Gauge,
    opened: Counter,
    refused: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Arc::new(Mutex::new(Registry::with_prefix("berth"))),
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            in_flight: Gauge::default(),
            received: Counter::default(),
            sent: Counter::default(),
            cut: Counter::default(),
            connections: Gauge::default(),
            opened: Counter::default(),
            refused: Counter::default(),
        };
        metrics.register("http_requests", "Requests answered", metrics.requests.clone());
        metrics.register_with_unit(
            "http_request_duration",
            "Time from a request's head to the end of its answer",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        metrics.register("http_requests_in_flight", "Requests being answered", metrics.in_flight.clone());
        metrics.register_with_unit(
            "http_received",
            "Bodies of requests",
            Unit::Bytes,
            metrics.received.clone(),
        );
        metrics.register_with_unit("http_sent", "Bodies of answers", Unit::Bytes, metrics.sent.clone());
        metrics.register("blobs_cut", "Blobs whose clients did not get all of it", metrics.cut.clone());
        metrics.register("connections", "Connections that are open", metrics.connections.clone());
        metrics.register("connections_opened", "Connections that were let in", metrics.opened.clone());
        metrics.register(
            "connections_refused",
            "Connections refused since their address had its share",
            metrics.refused.clone(),
        );
        metrics
    }
}

impl Metrics {
    /// Adds a metric of another part, as `berth_<name>`. Names end with neither unit nor `_total`.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).register(name, help, metric);
    }

    fn register_with_unit(&self, name: &str, help: &str, unit: Unit, metric: impl Metric) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register_with_unit(name, help, unit, metric);
    }

    /// Everything in Prometheus's text format (`application/openmetrics-text; version=1.0.0`).
    ///
    /// # Errors
    /// When a metric cannot be written down, which is a fault of ours.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }

    pub(super) fn began(&self) {
        self.in_flight.inc();
    }

    pub(super) fn blob_cut(&self) {
        self.cut.inc();
    }

    pub(super) fn ended(&self, request: &Ended<'_>) {
        self.in_flight.dec();
        self.received.inc_by(request.received);
        self.sent.inc_by(request.sent);
        let labels = RequestLabels {
            route: request.route,
            method: method(request.method),
            status: request.status.as_u16(),
        };
        self.requests.get_or_create(&labels).inc();
        let labels = RouteLabels { route: request.route };
        self.seconds.get_or_create(&labels).observe(request.duration.as_secs_f64());
    }
}

impl Observe for Metrics {
    fn opened(&self) {
        self.connections.inc();
        self.opened.inc();
    }

    fn closed(&self) {
        self.connections.dec();
    }

    fn refused(&self) {
        self.refused.inc();
    }
}

/// A request that was answered.
pub(super) struct Ended<'r> {
    pub(super) route: Route,
    pub(super) method: &'r Method,
    pub(super) status: StatusCode,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) duration: Duration,
}

/// Clients may invent methods; labels may not grow with them.
fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_of_few_routes() {
        for (path, route) in [
            ("/v2", Route::Base),
            ("/v2/", Route::Base),
            ("/v2/_catalog", Route::Catalog),
            ("/v2/a/b/blobs/sha256:0", Route::Blob),
            ("/v2/a/blobs/uploads/", Route::Upload),
            ("/v2/a/blobs/uploads", Route::Upload),
            ("/v2/a/blobs/uploads/5", Route::Upload),
            ("/v2/blobs/uploads/manifests/latest", Route::Manifest),
            ("/v2/a/tags/list", Route::Tags),
            ("/v2/a/referrers/sha256:0", Route::Referrers),
            ("/v2/a/b/c", Route::Other),
            ("/v2x", Route::Other),
            ("/readyz", Route::Health),
            ("/", Route::Other),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn what_is_counted_can_be_read() {
        let metrics = Metrics::default();
        let blobs = Counter::<u64>::default();
        metrics.register("blobs_pushed", "Blobs that were pushed", blobs.clone());
        blobs.inc();
        metrics.began();
        metrics.ended(&Ended {
            route: Route::Blob,
            method: &Method::from_bytes(b"INVENTED").unwrap(),
            status: StatusCode::OK,
            received: 1,
            sent: 5,
            duration: Duration::from_millis(2),
        });
        let text = metrics.render().unwrap();
        for line in [
            "berth_http_requests_total{route=\"blob\",method=\"other\",status=\"200\"} 1",
            "berth_http_request_duration_seconds_bucket{le=\"0.0025\",route=\"blob\"} 1",
            "berth_http_requests_in_flight 0",
            "berth_http_sent_bytes_total 5",
            "berth_blobs_pushed_total 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
        }
    }
}
