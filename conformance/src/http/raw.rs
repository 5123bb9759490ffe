//! Requests that no client would send: bytes on a socket.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::cx::{Cx, shown_body};
use crate::case::{Stop, fail};

/// For how long a raw request waits for its answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of an answer that are read at most.
const MOST: usize = 1 << 20;

/// What came back over a raw socket.
#[derive(Clone, Debug)]
pub struct RawAnswer {
    /// The status of the first answer that is not 1xx; none where the connection was closed
    /// without a word.
    pub status: Option<u16>,
    /// Everything that came.
    pub text: String,
}

impl RawAnswer {
    /// Fails unless an answer with one of these statuses came.
    pub fn expect(&self, allowed: &[u16]) -> Result<&Self, Stop> {
        match self.status {
            Some(status) if allowed.contains(&status) => Ok(self),
            Some(status) => fail(format!("status {status} where {allowed:?} is due")),
            None => fail(format!("the connection was closed without an answer where {allowed:?} is due")),
        }
    }

    /// Fails unless the status and the error code are these.
    pub fn error(&self, status: u16, code: berth_oci::ErrorCode) -> Result<(), Stop> {
        self.expect(&[status])?;
        if self.text.contains(&format!("\"{code}\"")) {
            Ok(())
        } else {
            fail(format!("no error code {code} in the answer"))
        }
    }

    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let statuses = text.split("HTTP/1.1 ").skip(1).filter_map(|rest| rest.get(..3)?.parse::<u16>().ok());
        let status = statuses.into_iter().find(|status| *status >= 200);
        Self { status, text }
    }
}

impl Cx {
    /// Sends `head` (request line and headers, lines ended by `\n`, without Host, Connection and
    /// Authorization, which are added) and `body` as they are. With `cut`, the sending side is
    /// closed behind the body. Reads until the answer is
    /// whole, or the registry closes.
    ///
    /// Skips over https: what matters here is below the layer that a client can bend.
    pub async fn raw(&self, head: &str, body: &[u8], cut: bool) -> Result<RawAnswer, Stop> {
        let mut socket = self.raw_socket().await?;
        let head = self.raw_head(head);
        let exchange = async {
            // A registry may answer and close before it has read everything: what it said counts.
            if socket.write_all(head.as_bytes()).await.is_ok() && socket.write_all(body).await.is_ok() && cut
            {
                socket.shutdown().await.ok();
            }
            read_answer(&mut socket).await
        };
        let answer = timeout(PATIENCE, exchange).await;
        let shown = head.trim_end().replace('\r', "");
        let Ok(bytes) = answer else {
            self.saw_nothing(shown, "no end of the answer");
            return fail(format!("no answer within {} s", PATIENCE.as_secs()));
        };
        let parsed = RawAnswer::parse(&bytes);
        self.keep_raw(&shown, body.len(), &parsed);
        Ok(parsed)
    }

    /// A connection to the registry.
    pub async fn raw_socket(&self) -> Result<TcpStream, Stop> {
        let base = self.base();
        if base.scheme() != "http" {
            return Err(Stop::Skip("raw sockets speak plain http only".to_owned()));
        }
        let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = base.port_or_known_default().unwrap_or(80);
        TcpStream::connect((host, port)).await.map_err(|error| Stop::Fail(format!("no connection: {error}")))
    }

    /// The bytes of a request's head, with Host, Connection and Authorization.
    #[must_use]
    pub fn raw_head(&self, head: &str) -> String {
        let base = self.base();
        let port = base.port().map_or_else(String::new, |port| format!(":{port}"));
        let host = format!("{}{port}", base.host_str().unwrap_or_default());
        let mut text = head.trim_end().replace('\n', "\r\n");
        text.push_str(&format!("\r\nHost: {host}\r\nConnection: close\r\n"));
        if let Some(authorization) = self.authorization() {
            text.push_str(&format!("Authorization: {authorization}\r\n"));
        }
        text.push_str("\r\n");
        text
    }

    fn keep_raw(&self, head: &str, length: usize, answer: &RawAnswer) {
        let said =
            if answer.text.is_empty() { "(closed)".to_owned() } else { shown_body(answer.text.as_bytes()) };
        self.saw_text(format!("{}\n> ({length} bytes)", head.escape_debug()), said);
    }
}

async fn read_answer(socket: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    while bytes.len() < MOST {
        match socket.read(&mut buffer).await {
            // A reset behind the answer is no loss: the answer counts.
            Ok(0) | Err(_) => break,
            Ok(length) => bytes.extend_from_slice(&buffer[..length]),
        }
        // One that drains what it does not want may stay open behind its answer.
        if is_whole(&bytes) {
            break;
        }
    }
    bytes
}

/// Whether the bytes hold an answer that is not 1xx, with as much body as it announces.
fn is_whole(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(end) = rest.windows(4).position(|end| end == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&rest[..end]).to_lowercase();
        rest = &rest[end + 4..];
        if head.starts_with("http/1.1 1") {
            continue;
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        return length.is_some_and(|length: usize| rest.len() >= length);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_the_body_it_announces() {
        let head = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\n";
        assert!(!is_whole(b"HTTP/1.1 100 Continue\r\n\r\n"));
        assert!(!is_whole(format!("{head}x").as_bytes()));
        assert!(is_whole(format!("{head}xx").as_bytes()));
    }

    #[test]
    fn an_interim_answer_is_not_the_answer() {
        let answer = RawAnswer::parse(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 413 Too Large\r\n\r\n");
        assert_eq!(answer.status, Some(413));
        assert!(RawAnswer::parse(b"").expect(&[400]).is_err());
    }
}
