//! How a command reaches a registry: over the control socket of the one that runs, or, where none
//! does, by opening its catalog and asking the very same endpoints in this process. Either way the
//! command speaks `/api/v1` as [`Subject::Local`](crate::auth::Subject::Local).

use std::{io::ErrorKind, path::Path, sync::Arc};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::net::UnixStream;
use tower::ServiceExt;

use crate::{
    app::{Services, StartError},
    auth::{Principal, Subject, Trusted},
    catalog::BoxError,
    config::Config,
    http::serve::Folder,
};

/// Why a command got no answer.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The registry's catalog or storage cannot be opened.
    #[error(transparent)]
    Start(#[from] StartError),
    /// What somebody typed or handed in cannot be used.
    #[error("{0}")]
    Input(String),
    /// The registry said no: its status and its sentence.
    #[error("{1}")]
    Refused(StatusCode, String),
    /// It could not be asked, or its answer not be read.
    #[error("the registry cannot be asked: {0}")]
    Unreachable(#[source] BoxError),
    /// What a command looked for is there; it has been printed.
    #[error("{0}")]
    Found(String),
    /// What it answered cannot be printed.
    #[error("standard output: {0}")]
    Output(#[source] std::io::Error),
}

/// A registry to give commands to.
#[derive(Clone, Debug)]
pub struct Admin {
    way: Way,
}

/// How it is reached.
#[derive(Clone, Debug)]
enum Way {
    /// It runs, and this is its control socket, in a folder that is kept open.
    Socket { client: reqwest::Client, _folder: Arc<Folder> },
    /// It does not, and this process does what it would.
    Here { router: Router, services: Box<Services> },
}

/// Any host will do: the socket leads to one registry.
const HOST: &str = "http://control";

impl Admin {
    /// Reaches the registry of this configuration: the server that runs on its data directory, by the control
    /// socket there, or else its catalog and storage in this process.
    ///
    /// # Errors
    /// When none runs and its catalog cannot be opened, or one runs that belongs to another user.
    pub async fn connect(config: Config) -> Result<Self, AdminError> {
        if let Some(way) = running(&config.data.dir).await? {
            return Ok(Self { way });
        }
        let services = Services::open(config).await?;
        Ok(Self { way: Way::Here { router: services.router(), services: Box::new(services) } })
    }

    /// Calls an endpoint and gives its answer's JSON; `Null` where it has no body.
    ///
    /// # Errors
    /// [`AdminError::Refused`] for any status but 2xx.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, AdminError> {
        let response = self.open(method, path, body).await?;
        json(&collect(response.into_body()).await?)
    }

    /// Calls an endpoint that answers with JSON objects, one a line, and gives each to `line` as it comes.
    ///
    /// # Errors
    /// As [`Admin::call`], and what `line` fails with.
    pub async fn lines(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        mut line: impl FnMut(Value) -> Result<(), AdminError>,
    ) -> Result<(), AdminError> {
        let mut frames = self.open(method, path, body).await?.into_body();
        let mut rest = Vec::new();
        while let Some(frame) = frames.frame().await {
            let frame = frame.map_err(|error| AdminError::Unreachable(error.into()))?;
            rest.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                let text: Vec<_> = rest.drain(..=end).collect();
                line(json(&text)?)?;
            }
        }
        if rest.is_empty() { Ok(()) } else { line(json(&rest)?) }
    }

    async fn open(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response<Body>, AdminError> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let response = match &self.way {
            Way::Socket { client, .. } => {
                let request = client.request(method, format!("{HOST}{path}"));
                let request = request.header(header::CONTENT_TYPE, "application/json").body(body);
                let response = request.send().await.map_err(|error| unreachable(&error))?;
                Response::from(response).map(Body::new)
            }
            Way::Here { router, .. } => {
                let principal = Principal { subject: Subject::Local, ..Principal::default() };
                let request = Request::builder()
                    .method(method)
                    .uri(path)
                    .header(header::CONTENT_TYPE, "application/json")
                    .extension(Trusted(principal))
                    .body(Body::from(body))
                    .map_err(|error| AdminError::Unreachable(error.into()))?;
                let Ok(response) = router.clone().oneshot(request).await;
                response
            }
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let value = json(&collect(response.into_body()).await?).unwrap_or_default();
        let message = value.pointer("/error/message").and_then(Value::as_str);
        Err(AdminError::Refused(status, message.map_or_else(|| status.to_string(), ToOwned::to_owned)))
    }

    /// Closes what was opened.
    pub async fn close(self) {
        if let Way::Here { services, .. } = self.way {
            services.close().await;
        }
    }
}

/// The way to the server that runs on this data directory, if one does.
async fn running(data: &Path) -> Result<Option<Way>, AdminError> {
    let Ok(folder) = Folder::open(data) else { return Ok(None) };
    let socket = folder.socket();
    match UnixStream::connect(&socket).await {
        Ok(_) => {}
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => {
            let shown = data.join("control.sock");
            let why =
                format!("{}: {error}; run the command as the user who runs the registry", shown.display());
            return Err(AdminError::Unreachable(why.into()));
        }
    }
    let client = reqwest::Client::builder().unix_socket(socket).no_proxy().build();
    let client = client.map_err(|error| unreachable(&error))?;
    Ok(Some(Way::Socket { client, _folder: Arc::new(folder) }))
}

/// With its causes, since reqwest's own text stops at the first.
fn unreachable(error: &reqwest::Error) -> AdminError {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    AdminError::Unreachable(text.into())
}

async fn collect(body: Body) -> Result<Bytes, AdminError> {
    let body = body.collect().await.map_err(|error| AdminError::Unreachable(error.into()))?;
    Ok(body.to_bytes())
}

fn json(bytes: &[u8]) -> Result<Value, AdminError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(bytes).map_err(|error| AdminError::Unreachable(error.into()))
}
