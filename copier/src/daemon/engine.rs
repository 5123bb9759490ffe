//! The engine's HTTP interface: the two requests that move images.

use std::path::{Path, PathBuf};

use futures_util::{StreamExt, TryStreamExt};
use reqwest::{Body, Certificate, Client, ClientBuilder, Identity, Response, StatusCode};

use crate::{ByteStream, Error, Result, Side};

const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// Most bytes of an answer that is no image.
const MAX_ANSWER: usize = 1024 * 1024;

/// A connection to an engine.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    http: Client,
    /// As the user wrote it, for messages.
    host: String,
    /// What paths are appended to.
    base: String,
}

/// How an engine is reached.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Socket(PathBuf),
    Plain(String),
    Tls(String),
}

impl Endpoint {
    /// Takes `unix://PATH`, `http://HOST`, `https://HOST` or `tcp://HOST`; the last is TLS where `tls` says so.
    pub(super) fn parse(host: &str, tls: bool) -> Result<Self> {
        let fault = || {
            Error::Usage(format!(
                "\"{host}\" is no engine's address; write unix:///path/of/socket, tcp://host:port or http://host:port"
            ))
        };
        let (scheme, rest) = host.split_once("://").ok_or_else(fault)?;
        let rest = if scheme == "unix" { rest } else { rest.trim_end_matches('/') };
        if rest.is_empty() {
            return Err(fault());
        }
        match scheme {
            "unix" => Ok(Self::Socket(rest.into())),
            "http" => Ok(Self::Plain(rest.to_owned())),
            "https" => Ok(Self::Tls(rest.to_owned())),
            "tcp" if tls => Ok(Self::Tls(rest.to_owned())),
            "tcp" => Ok(Self::Plain(rest.to_owned())),
            _ => Err(fault()),
        }
    }
}

/// An environment variable that has a value.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Engine {
    /// Settles where the engine is. No request is made.
    ///
    /// # Errors
    /// If the address is none, or a certificate cannot be read.
    pub(super) fn connect(side: &Side) -> Result<Self> {
        let folder = side.cert_dir.clone().or_else(|| variable("DOCKER_CERT_PATH").map(PathBuf::from));
        // Docker's own variable means plain tcp unless it is told of TLS; Skopeo's flag means TLS.
        let (host, tls) = match &side.daemon_host {
            Some(host) => (host.clone(), true),
            None => {
                let tls = folder.is_some() || variable("DOCKER_TLS_VERIFY").is_some();
                (variable("DOCKER_HOST").unwrap_or_else(|| DEFAULT_HOST.to_owned()), tls)
            }
        };
        let builder = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let (builder, base) = match Endpoint::parse(&host, tls)? {
            Endpoint::Socket(path) => (builder.unix_socket(path), "http://engine".to_owned()),
            Endpoint::Plain(host) => (builder, format!("http://{host}")),
            Endpoint::Tls(host) => {
                let builder = match folder {
                    Some(folder) => with_certificates(builder, &folder)?,
                    None => builder,
                };
                let any = side.tls_verify == Some(false);
                (builder.tls_danger_accept_invalid_certs(any), format!("https://{host}"))
            }
        };
        let http = builder.build().map_err(|source| Error::Network {
            what: format!("connecting to {host}"),
            source: source.into(),
        })?;
        Ok(Self { http, host, base })
    }

    fn unreachable(&self, fault: reqwest::Error) -> Error {
        let what = if fault.is_connect() {
            format!("Cannot connect to the Docker daemon at {}. Is the docker daemon running?", self.host)
        } else {
            format!("talking to the Docker daemon at {}", self.host)
        };
        Error::Network { what, source: fault.without_url().into() }
    }

    /// The archive of an image.
    ///
    /// # Errors
    /// `Error::NotFound` if the engine has no such image.
    pub(super) async fn save(&self, image: &str) -> Result<ByteStream> {
        let url = format!("{}/images/{image}/get", self.base);
        let answer = self.http.get(url).send().await.map_err(|fault| self.unreachable(fault))?;
        let what = "loading image from docker engine";
        if answer.status() == StatusCode::NOT_FOUND {
            let reason = message(&self.answer(answer).await?);
            return Err(Error::NotFound { what: what.to_owned(), place: self.host.clone(), reason });
        }
        if !answer.status().is_success() {
            return Err(self.refusal(what, answer).await?);
        }
        let engine = self.clone();
        Ok(answer.bytes_stream().map_err(move |fault| engine.unreachable(fault)).boxed())
    }

    /// Gives an archive to the engine.
    ///
    /// # Errors
    /// The engine's own words.
    pub(super) async fn load(&self, archive: Body) -> Result<()> {
        let request = self.http.post(format!("{}/images/load?quiet=1", self.base));
        let request = request.header(reqwest::header::CONTENT_TYPE, "application/x-tar").body(archive);
        let answer = request.send().await.map_err(|fault| self.unreachable(fault))?;
        let what = "saving image to docker engine";
        if !answer.status().is_success() {
            return Err(self.refusal(what, answer).await?);
        }
        // Errors that came after the status stand among the lines of progress.
        let status = answer.status().as_u16();
        let lines = self.answer(answer).await?;
        match lines.lines().find_map(error_line) {
            Some(detail) => Err(Error::Registry { what: what.to_owned(), status, detail }),
            None => Ok(()),
        }
    }

    async fn refusal(&self, what: &str, answer: Response) -> Result<Error> {
        let status = answer.status().as_u16();
        let detail = message(&self.answer(answer).await?);
        Ok(Error::Registry { what: what.to_owned(), status, detail })
    }

    async fn answer(&self, answer: Response) -> Result<String> {
        let mut whole = Vec::new();
        let mut pieces = answer.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|fault| self.unreachable(fault))?;
            whole.extend_from_slice(&piece);
            if whole.len() > MAX_ANSWER {
                return Err(Error::Integrity(format!(
                    "the Docker daemon at {} answers with more than {MAX_ANSWER} bytes",
                    self.host
                )));
            }
        }
        Ok(String::from_utf8_lossy(&whole).into_owned())
    }
}

fn with_certificates(builder: ClientBuilder, folder: &Path) -> Result<ClientBuilder> {
    let read = |name: &str| {
        let path = folder.join(name);
        match std::fs::read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(fault) => Err(Error::file(path)(fault)),
        }
    };
    let faulty = |name: &str, fault: reqwest::Error| Error::Configuration {
        path: folder.join(name),
        fault: fault.to_string(),
    };
    let mut builder = builder;
    if let Some(authority) = read("ca.pem")? {
        let authorities =
            Certificate::from_pem_bundle(&authority).map_err(|fault| faulty("ca.pem", fault))?;
        builder = builder.tls_certs_only(authorities);
    }
    if let (Some(mut both), Some(key)) = (read("cert.pem")?, read("key.pem")?) {
        both.push(b'\n');
        both.extend(key);
        builder = builder.identity(Identity::from_pem(&both).map_err(|fault| faulty("cert.pem", fault))?);
    }
    Ok(builder)
}

/// The engine's words, without control characters (C12).
fn message(answer: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
    }
    let text = serde_json::from_str::<Message>(answer).map_or_else(|_| answer.to_owned(), |own| own.message);
    printable(&text)
}

fn error_line(line: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Line {
        error: Option<String>,
    }
    let line: Line = serde_json::from_str(line).ok()?;
    line.error.map(|text| printable(&text))
}

fn printable(text: &str) -> String {
    text.trim()
        .chars()
        .take(4096)
        .flat_map(|char| {
            let control = char.is_control();
            char.escape_debug().filter(move |_| control).chain((!control).then_some(char))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn c12_no_answer_of_an_engine_steers_a_terminal(answer in "(\\{|\\}|\"message\":|\"error\":|\"a\\\\u001b\"|\"|,|\\n|.){0,20}|.*") {
            let told = message(&answer);
            proptest::prop_assert!(!told.contains(char::is_control), "{:?}", told);
            for line in answer.lines() {
                proptest::prop_assert!(error_line(line).is_none_or(|told| !told.contains(char::is_control)));
            }
            let _any = (Endpoint::parse(&answer, false), Endpoint::parse(&answer, true));
        }
    }
}
