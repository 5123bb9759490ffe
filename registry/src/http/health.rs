//! `/livez`, `/readyz` and `/metrics`: for whoever keeps the registry running.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::future::{BoxFuture, join_all};
use serde::Serialize;
use tokio::{sync::Mutex, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{catalog::BoxError, telemetry::Metrics};

/// A component that does not answer for so long is not ready.
const PATIENCE: Duration = Duration::from_secs(2);
/// An answer is good for so long: however often somebody asks, components are asked this often.
const FRESH: Duration = Duration::from_secs(1);

/// Asks a component whether it is well.
pub type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;

/// Whether the registry can do its work.
#[derive(Clone)]
pub struct Health {
    components: Arc<Vec<(&'static str, Probe)>>,
    stopping: CancellationToken,
    last: Arc<Mutex<Option<(Instant, Report)>>>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.components.iter().map(|(name, _)| name)).finish()
    }
}

/// What `/readyz` says. Why something is red is for the log, not for whoever asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Report {
    status: &'static str,
    components: BTreeMap<&'static str, &'static str>,
}

impl Health {
    /// Ready while every component is well and `stopping` is not cancelled.
    #[must_use]
    pub fn new(components: Vec<(&'static str, Probe)>, stopping: CancellationToken) -> Self {
        Self { components: Arc::new(components), stopping, last: Arc::default() }
    }

    /// Asks every component, so that the log says which is not well.
    pub async fn look(&self) {
        self.report().await;
    }

    /// One who comes while components are being asked waits for the same answer.
    async fn report(&self) -> Report {
        let mut last = self.last.lock().await;
        if let Some((at, report)) = &*last
            && at.elapsed() < FRESH
        {
            return report.clone();
        }
        let asked =
            self.components.iter().map(async |(name, probe)| match timeout(PATIENCE, probe()).await {
                Ok(Ok(())) => (*name, "ok"),
                Ok(Err(error)) => {
                    tracing::warn!("The {name} is not ready: {error}");
                    (*name, "failed")
                }
                Err(_elapsed) => {
                    tracing::warn!("The {name} is not ready: no answer in {PATIENCE:?}");
                    (*name, "timeout")
                }
            });
        let components: BTreeMap<_, _> = join_all(asked).await.into_iter().collect();
        let well = components.values().all(|status| *status == "ok");
        let report = Report { status: if well { "ready" } else { "not ready" }, components };
        *last = Some((Instant::now(), report.clone()));
        report
    }
}

/// The routes of health.
pub fn health(health: Health) -> Router {
    Router::new().route("/livez", get(async || "ok\n")).route("/readyz", get(readyz)).with_state(health)
}

/// The route of metrics.
pub fn metrics(metrics: Metrics) -> Router {
    Router::new().route("/metrics", get(render)).with_state(metrics)
}

async fn readyz(State(health): State<Health>) -> Response {
    let mut report = health.report().await;
    if health.stopping.is_cancelled() {
        report.status = "stopping";
    }
    let status = if report.status == "ready" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], axum::Json(report)).into_response()
}

async fn render(State(metrics): State<Metrics>) -> Response {
    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!("Metrics cannot be written down: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::{body::Body, http::Request};
    use tower::ServiceExt;

    use super::*;

    fn probe(result: Result<(), &'static str>) -> Probe {
        Arc::new(move || Box::pin(async move { result.map_err(Into::into) }))
    }

    async fn ask(router: &Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_names_each_component_and_red_is_503() {
        let hangs: Probe = Arc::new(|| Box::pin(std::future::pending()));
        for (storage, status, word, overall) in [
            (probe(Ok(())), StatusCode::OK, "ok", "ready"),
            (probe(Err("secret detail")), StatusCode::SERVICE_UNAVAILABLE, "failed", "not ready"),
            (hangs, StatusCode::SERVICE_UNAVAILABLE, "timeout", "not ready"),
        ] {
            let components = vec![("catalog", probe(Ok(()))), ("storage", storage)];
            let router = health(Health::new(components, CancellationToken::new()));
            let expected = format!(
                "{{\"status\":\"{overall}\",\"components\":{{\"catalog\":\"ok\",\"storage\":\"{word}\"}}}}"
            );
            assert_eq!(ask(&router, "/readyz").await, (status, expected));
            assert_eq!(ask(&router, "/livez").await, (StatusCode::OK, "ok\n".to_owned()));
        }
    }

    #[tokio::test]
    async fn f21_a_stopping_server_is_not_ready() {
        let stopping = CancellationToken::new();
        let router = health(Health::new(vec![("catalog", probe(Ok(())))], stopping.clone()));
        assert_eq!(ask(&router, "/readyz").await.0, StatusCode::OK);
        stopping.cancel();
        let (status, body) = ask(&router, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("stopping"), "{body}");
    }

    #[tokio::test]
    async fn however_many_ask_components_are_asked_once() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let probe: Probe = Arc::new(move || {
            counter.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { Ok(()) })
        });
        let router = health(Health::new(vec![("catalog", probe)], CancellationToken::new()));
        join_all((0..50).map(|_| ask(&router, "/readyz"))).await;
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn metrics_are_text() {
        let (status, body) = ask(&metrics(Metrics::default()), "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.ends_with("# EOF\n"), "{body}");
    }
}
