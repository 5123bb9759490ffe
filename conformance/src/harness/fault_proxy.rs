//! A proxy between a registry and its S3 server that does to requests and answers what networks and servers do.
//!
//! It reads a request whole, hands it on over a connection of its own, and passes the answer on as it comes, or reads it
//! whole and passes on what the fault of the moment leaves of it. It also lists multipart uploads (ListMultipartUploads), which `s3s-fs` does not do, from what
//! that server keeps of them in its folder.

use std::fmt::{self, Write as _};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::stack::quoted;
use super::{Berth, BerthBuilder, HarnessError, Result, S3};

const MAX_HEAD: usize = 64 << 10;
/// A connection that hangs is let go after so long, for its thread to end.
const HANG: Duration = Duration::from_secs(60);

/// What is done to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It never arrives, and an error of the server is the answer: status and code.
    Refused(u16, &'static str),
    /// It never arrives, and the connection is closed.
    Reset,
    /// It never arrives, and 200 is the answer, with an error in its body.
    ErrorInDisguise,
    /// It is done, and the connection is closed before the answer.
    AnswerLost,
    /// It is done, and half of the answer's body comes.
    Partial,
    /// It is done, and one bit of the answer's body is another; answers to GETs of objects alone.
    Flipped,
    /// It is done, and the answer never comes.
    Stalled,
}

impl Fault {
    /// What S3 and the way to it do to requests now and then.
    pub const USUAL: [Self; 7] = [
        Self::Refused(500, "InternalError"),
        Self::Refused(503, "ServiceUnavailable"),
        Self::Refused(503, "SlowDown"),
        Self::Reset,
        Self::ErrorInDisguise,
        Self::AnswerLost,
        Self::Partial,
    ];
}

type Choice = Box<dyn Fn(&str) -> Fault + Send + Sync>;

struct State {
    choice: Mutex<Choice>,
    requests: AtomicUsize,
    faults: AtomicUsize,
    upstream: u16,
    root: PathBuf,
    bucket: String,
}

/// The proxy; it takes no connection any more when this handle is gone.
pub struct FaultProxy {
    address: SocketAddr,
    state: Arc<State>,
    s3: Arc<S3>,
}

impl fmt::Debug for FaultProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultProxy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl FaultProxy {
    /// Before a new bucket of `s3`; no faults yet.
    pub fn start(s3: Arc<S3>) -> Result<Self> {
        let fault = || HarnessError::file("the proxy's socket");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(fault())?;
        let address = listener.local_addr().map_err(fault())?;
        let bucket = s3.new_bucket()?;
        let folder = s3.bucket_folder(&bucket);
        let state = Arc::new(State {
            choice: Mutex::new(Box::new(|_| Fault::None)),
            requests: AtomicUsize::new(0),
            faults: AtomicUsize::new(0),
            upstream: s3.port(),
            root: folder.parent().map(Path::to_owned).unwrap_or_default(),
            bucket,
        });
        let shared = Arc::downgrade(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Some(state) = shared.upgrade() else { return };
                std::thread::spawn(move || {
                    // A side that hangs up ends the exchange; the registry sees what it would have seen.
                    let _ended = exchange(client, &state);
                });
            }
        });
        Ok(Self { address, state, s3 })
    }

    /// A registry whose bucket is behind the proxy, and whose catalog is in its folder.
    #[must_use]
    pub fn registry(&self) -> BerthBuilder {
        Berth::builder()
            .set("storage.kind", "\"s3\"")
            .set("storage.bucket", &quoted(self.bucket()))
            .set("storage.endpoint", &quoted(&self.url()))
            .set("storage.access_key_id", &quoted(S3::ACCESS_KEY))
            .set("storage.secret_access_key", &quoted(S3::SECRET_KEY))
            .set("storage.allow_http", "true")
    }

    /// The same registry, which sends its clients straight to the bucket.
    #[must_use]
    pub fn redirecting(&self) -> BerthBuilder {
        let public = quoted(&self.s3.url());
        self.registry().set("storage.redirect", "\"always\"").set("storage.public_endpoint", &public)
    }

    /// Chooses what is done to each request from now on, by its first line.
    pub fn choose(&self, choice: impl Fn(&str) -> Fault + Send + Sync + 'static) {
        *self.state.choice.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(choice);
    }

    /// Does one of the usual faults to so many of a hundred requests.
    pub fn disturb(&self, percent: usize) {
        self.choose(move |_| {
            if rand::random_range(0..100) >= percent {
                return Fault::None;
            }
            Fault::USUAL[rand::random_range(0..Fault::USUAL.len())]
        });
    }

    /// Requests so far, and faults that were done to them.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.state.requests.load(Ordering::Relaxed), self.state.faults.load(Ordering::Relaxed))
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bucket behind it.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.state.bucket
    }

    /// The bucket's folder.
    #[must_use]
    pub fn bucket_folder(&self) -> PathBuf {
        self.s3.bucket_folder(&self.state.bucket)
    }

    /// Makes the multipart uploads so much older.
    pub fn age(&self, age: Duration) -> Result<()> {
        for (key, id, made) in self.multiparts() {
            let name = format!(
                ".bucket-{}.object-{}.upload-{id}.metadata.json",
                base64(self.bucket()),
                base64(&key)
            );
            let aged = std::fs::File::options().write(true).open(self.state.root.join(name));
            aged.and_then(|file| file.set_modified(made - age))
                .map_err(HarnessError::file("a multipart upload"))?;
        }
        Ok(())
    }

    /// Multipart uploads of the bucket that were begun and have not ended: key, id, and when.
    #[must_use]
    pub fn multiparts(&self) -> Vec<(String, String, SystemTime)> {
        self.state.multiparts()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        let nobody = State {
            choice: Mutex::new(Box::new(|_| Fault::None)),
            requests: AtomicUsize::new(0),
            faults: AtomicUsize::new(0),
            upstream: 0,
            root: PathBuf::new(),
            bucket: String::new(),
        };
        self.state = Arc::new(nobody);
        // Wakes the accepting thread, which then finds nobody left.
        drop(TcpStream::connect(self.address));
    }
}

impl State {
    fn multiparts(&self) -> Vec<(String, String, SystemTime)> {
        let mut found = Vec::new();
        let prefix = format!(".bucket-{}.object-", base64(&self.bucket));
        for entry in std::fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(rest) = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".metadata.json"))
            else {
                continue;
            };
            if let Some((key, id)) = rest.split_once(".upload-")
                && let Ok(made) = entry.metadata().and_then(|found| found.modified())
            {
                found.push((unbase64(key), id.to_owned(), made));
            }
        }
        found
    }

    fn listed(&self) -> String {
        let mut body = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>".to_owned();
        for (key, id, made) in self.multiparts() {
            let seconds = made.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
            let (days, second) = (seconds / 86_400, seconds % 86_400);
            let (year, month, day) = date(days);
            let time = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
            // Writing to a string cannot fail.
            let _ok = write!(
                body,
                "<Upload><Key>{key}</Key><UploadId>{id}</UploadId>\
                 <Initiated>{year}-{month:02}-{day:02}T{time}.000Z</Initiated></Upload>"
            );
        }
        body + "</ListMultipartUploadsResult>"
    }
}

/// Year, month and day of so many days after 1970.
fn date(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// As `s3s-fs` writes names: for addresses, without padding.
fn base64(text: &str) -> String {
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..=three.len() {
            out.push(char::from(DIGITS[(bits >> (18 - 6 * place)) as usize & 63]));
        }
    }
    out
}

fn unbase64(text: &str) -> String {
    let mut out = Vec::new();
    for four in text.as_bytes().chunks(4) {
        let digit = |byte: &u8| DIGITS.iter().position(|digit| digit == byte).unwrap_or_default();
        let bits = four.iter().fold(0, |bits, byte| bits << 6 | digit(byte)) << (6 * (4 - four.len()));
        out.extend(
            (0..four.len() - 1).map(|place| u8::try_from(bits >> (16 - 8 * place) & 255).unwrap_or_default()),
        );
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Reads up to the end of a head; what came with it is the second.
fn head(stream: &mut TcpStream) -> io::Result<Option<(String, Vec<u8>)>> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 16 << 10]);
    loop {
        if let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), rest)));
        }
        let read = stream.read(&mut buffer)?;
        if read == 0 || bytes.len() > MAX_HEAD {
            return Ok(None);
        }
        bytes.extend_from_slice(&buffer[..read]);
    }
}

fn length(head: &str) -> usize {
    let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let found = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    found.filter_map(|(_, value)| value.trim().parse().ok()).next().unwrap_or(0)
}

/// One request and what becomes of it; then the connection is closed.
fn exchange(mut client: TcpStream, state: &State) -> io::Result<()> {
    client.set_nodelay(true)?;
    let Some((head, mut body)) = head(&mut client)? else { return Ok(()) };
    let begun = body.len();
    body.resize(length(&head).max(begun), 0);
    client.read_exact(&mut body[begun..])?;
    let line = head.split("\r\n").next().unwrap_or_default();
    let fault = (state.choice.lock().unwrap_or_else(PoisonError::into_inner))(line);
    state.requests.fetch_add(1, Ordering::Relaxed);
    if fault != Fault::None {
        state.faults.fetch_add(1, Ordering::Relaxed);
    }
    let error =
        |code: &str| format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>x</Message></Error>");
    match fault {
        Fault::Refused(status, code) => return say(&mut client, status, &error(code)),
        Fault::Reset => return Ok(()),
        Fault::ErrorInDisguise => return say(&mut client, 200, &error("InternalError")),
        Fault::None | Fault::AnswerLost | Fault::Partial | Fault::Flipped | Fault::Stalled => {}
    }
    if line.starts_with("GET ") && line.contains("uploads=") {
        return say(&mut client, 200, &state.listed());
    }
    let mut server = TcpStream::connect(("127.0.0.1", state.upstream))?;
    server.write_all(head.replacen("\r\n", "\r\nconnection: close\r\n", 1).as_bytes())?;
    server.write_all(&body)?;
    if fault == Fault::None {
        // As it comes: a registry that waits for the first byte must not wait for the last one here.
        return io::copy(&mut server, &mut client).map(drop);
    }
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let start = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(answer.len(), |end| end + 4);
    match fault {
        Fault::AnswerLost => return Ok(()),
        Fault::Partial => answer.truncate(start + (answer.len() - start) / 2),
        Fault::Flipped if line.starts_with("GET ") && !line.contains("list-type") && start < answer.len() => {
            let at = rand::random_range(start..answer.len());
            answer[at] ^= 1 << rand::random_range(0..8);
        }
        Fault::Stalled => {
            client.set_read_timeout(Some(HANG))?;
            // Until the registry hangs up.
            while client.read(&mut [0; 1])? > 0 {}
            return Ok(());
        }
        Fault::None | Fault::Flipped | Fault::Refused(..) | Fault::Reset | Fault::ErrorInDisguise => {}
    }
    client.write_all(&answer)
}

fn say(client: &mut TcpStream, status: u16, body: &str) -> io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: application/xml\r\n");
    client.write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for text in ["", "a", "ab", "abc", "berth-17", "blobs/58837c45.x~"] {
            assert_eq!(unbase64(&base64(text)), text);
        }
        assert_eq!(base64("berth"), "YmVydGg");
    }

    #[test]
    fn days_are_dates() {
        for (days, expected) in
            [(0, (1970, 1, 1)), (59, (1970, 3, 1)), (19_782, (2024, 2, 29)), (20_778, (2026, 11, 21))]
        {
            assert_eq!(date(days), expected);
        }
    }
}
