//! Servers that storage is tested on, and doubles of those that cannot be had.

use std::{
    ffi::OsStr,
    fs,
    net::{Ipv4Addr, TcpStream as Plain},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use object_store::client::{DnsFuture, DnsResolver};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{AzureCredentials, AzureOptions, Connection, GcsOptions, S3Credentials, S3Options};

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/berth/tools/bin"));
    let found = tools.into_iter().chain(std::env::split_paths(&path)).map(|dir| dir.join(name));
    let found = found.into_iter().find(|program| program.is_file());
    if found.is_none() {
        let must = ["CI", "BERTH_REQUIRE_ALL"].iter().any(|name| std::env::var_os(name).is_some());
        assert!(!must, "{name} is not installed");
        println!("SKIP: {name} is not installed");
    }
    found
}

/// Finds this machine under every name.
#[derive(Debug)]
pub(super) struct Loopback;

impl DnsResolver for Loopback {
    fn resolve(&self, _host: &str) -> DnsFuture {
        Box::pin(async { Ok(vec![Ipv4Addr::LOCALHOST.into()]) })
    }
}

/// A server that is ended with this handle.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Server {
    fn start(program: &Path, arguments: &[&OsStr], port: u16) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self(command.spawn().unwrap());
        let patience = Instant::now() + Duration::from_secs(30);
        while Plain::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < patience, "{} does not listen", program.display());
            std::thread::yield_now();
        }
        server
    }
}

fn connection(prefix: &str, spill: &Path) -> Connection {
    Connection {
        prefix: prefix.to_owned(),
        allow_http: true,
        spill: spill.join("spill"),
        ..Connection::default()
    }
}

/// An S3 server whose buckets are the folders of a temporary one.
pub(super) struct S3Server {
    _server: Server,
    // The same folder without keys, for a double that has none.
    open: Arc<Mutex<Option<(Server, u16)>>>,
    pub(super) port: u16,
    pub(super) root: tempfile::TempDir,
}

impl S3Server {
    pub(super) fn start() -> Option<Self> {
        let program = tool("s3s-fs")?;
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("berth")).unwrap();
        let (server, port) =
            Self::serve(&program, root.path(), &["--access-key", "test", "--secret-key", "secret"]);
        Some(Self { _server: server, open: Arc::default(), port, root })
    }

    fn serve(program: &Path, root: &Path, more: &[&str]) -> (Server, u16) {
        let port = free_port();
        let number = port.to_string();
        let domain = format!("localhost:{port}");
        let words = ["--host", "127.0.0.1", "--port", &number, "--domain", &domain];
        let mut words: Vec<&OsStr> = words.map(OsStr::new).to_vec();
        words.extend(more.iter().map(OsStr::new));
        words.push(root.as_os_str());
        (Server::start(program, &words, port), port)
    }

    pub(super) fn options(&self, prefix: &str) -> S3Options {
        S3Options {
            bucket: "berth".to_owned(),
            region: "us-east-1".to_owned(),
            endpoint: Some(format!("http://127.0.0.1:{}", self.port)),
            public_endpoint: None,
            virtual_hosted_style: false,
            credentials: S3Credentials::Keys("test".to_owned(), "secret".to_owned()),
            encryption: None,
            connection: connection(prefix, self.root.path()),
        }
    }

    /// The multipart uploads that were begun and have not ended, as the server keeps them: key and id.
    pub(super) fn multiparts(&self) -> Vec<(String, String)> {
        multiparts(self.root.path())
    }

    /// A double of the XML interface of Google's storage, which is S3's but for who asks: the same folder behind a proxy
    /// that takes a bearer's token away.
    pub(super) fn as_gcs(&self) -> Gcs {
        let program = tool("s3s-fs").unwrap();
        let mut open = self.open.lock().unwrap();
        let (_, port) = open.get_or_insert_with(|| Self::serve(&program, self.root.path(), &[]));
        let key = self.root.path().join("key.json");
        let proxy = Proxy::start(*port, self.root.path(), |head| {
            let lines = head.split("\r\n");
            lines
                .filter(|line| !line.to_lowercase().starts_with("authorization:"))
                .collect::<Vec<_>>()
                .join("\r\n")
        });
        let account = serde_json::json!({
            "private_key": "", "private_key_id": "", "client_email": "", "disable_oauth": true,
        });
        fs::write(&key, account.to_string()).unwrap();
        Gcs { proxy, key }
    }
}

fn multiparts(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(rest) = name.strip_prefix(".bucket-").and_then(|rest| rest.strip_suffix(".metadata.json"))
        else {
            continue;
        };
        let Some((_, rest)) = rest.split_once(".object-") else { continue };
        let Some((key, id)) = rest.split_once(".upload-") else { continue };
        let key = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(key).unwrap();
        found.push((String::from_utf8(key).unwrap(), id.to_owned()));
    }
    found
}

/// A double of Google's storage.
pub(super) struct Gcs {
    proxy: Proxy,
    key: PathBuf,
}

impl Gcs {
    pub(super) fn options(&self, prefix: &str) -> GcsOptions {
        GcsOptions {
            bucket: "berth".to_owned(),
            endpoint: Some(format!("http://127.0.0.1:{}", self.proxy.port)),
            public_endpoint: None,
            credentials_file: Some(self.key.clone()),
            connection: connection(prefix, self.key.parent().unwrap()),
        }
    }
}

/// A proxy that changes heads of requests, and lists multipart uploads, which `s3s-fs` does not do.
pub(super) struct Proxy {
    pub(super) port: u16,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub(super) fn start(upstream: u16, root: &Path, change: fn(&str) -> String) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (port, root) = (listener.local_addr().unwrap().port(), root.to_owned());
        let task = tokio::spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                // A side that hangs up ends the pair.
                let root = root.clone();
                tokio::spawn(async move { pass(client, upstream, &root, change).await.ok() });
            }
        });
        Self { port, task }
    }
}

/// Reads a head, and what came with it.
pub(super) async fn head(client: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8(bytes).unwrap(), rest));
        }
        match client.read(&mut buffer).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

async fn pass(
    mut client: TcpStream,
    upstream: u16,
    root: &Path,
    change: fn(&str) -> String,
) -> std::io::Result<()> {
    let (head, rest) = head(&mut client).await?;
    let target = head.split(' ').nth(1).unwrap();
    if head.starts_with("GET ") && target.contains("uploads=") {
        let body = listed(root, target);
        let answer =
            format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        return client.write_all(answer.as_bytes()).await;
    }
    let mut server = TcpStream::connect(("127.0.0.1", upstream)).await?;
    // One request per connection, so that there is one head.
    let changed = change(&head).replacen("\r\n", "\r\nconnection: close\r\n", 1);
    server.write_all(changed.as_bytes()).await?;
    server.write_all(&rest).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// ListMultipartUploads, two to a page.
fn listed(root: &Path, target: &str) -> String {
    let query = target.split_once('?').unwrap().1;
    let value = |name| {
        let pair = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
        pair.map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    let (prefix, after) = (value("prefix"), (value("key-marker"), value("upload-id-marker")));
    let mut found = multiparts(root);
    found.retain(|upload| upload.0.starts_with(&prefix) && *upload > after);
    found.sort();
    let truncated = found.len() > 2;
    found.truncate(2);
    let mut body = format!("<ListMultipartUploadsResult><IsTruncated>{truncated}</IsTruncated>");
    if let Some((key, id)) = found.last() {
        body += &format!("<NextKeyMarker>{key}</NextKeyMarker><NextUploadIdMarker>{id}</NextUploadIdMarker>");
    }
    for (key, id) in found {
        body += &format!(
            "<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>{}</Initiated></Upload>",
            jiff::Timestamp::now()
        );
    }
    body + "</ListMultipartUploadsResult>"
}

/// Azure's storage emulator, with one container.
pub(super) struct Azurite {
    _server: Server,
    port: u16,
    root: tempfile::TempDir,
}

impl Azurite {
    const ACCOUNT: &str = "devstoreaccount1";

    pub(super) async fn start() -> Option<Self> {
        let program = tool("azurite-blob")?;
        let root = tempfile::tempdir().unwrap();
        let port = free_port();
        let number = port.to_string();
        let words = [
            "--silent",
            "--disableTelemetry",
            "--skipApiVersionCheck",
            "--blobHost",
            "127.0.0.1",
            "--blobPort",
        ];
        let mut words: Vec<&OsStr> = words.map(OsStr::new).to_vec();
        words.extend([OsStr::new(&number), OsStr::new("--location"), root.path().as_os_str()]);
        let server = Server::start(&program, &words, port);
        let this = Self { _server: server, port, root };
        this.make_container().await;
        Some(this)
    }

    /// The well-known key of every emulator.
    fn key() -> String {
        let part = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
        part.to_owned()
    }

    /// The library makes no containers.
    async fn make_container(&self) {
        use aws_lc_rs::hmac;
        let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
        let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let path = format!("/{}/berth", Self::ACCOUNT);
        let signed = format!(
            "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:2021-08-06\n/{}{path}\nrestype:container",
            Self::ACCOUNT
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(Self::key()).unwrap());
        let signature = STANDARD.encode(hmac::sign(&key, signed.as_bytes()));
        let request = format!(
            "PUT {path}?restype=container HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nx-ms-date: {date}\r\n\
             x-ms-version: 2021-08-06\r\nauthorization: SharedKey {}:{signature}\r\ncontent-length: 0\r\n\
             connection: close\r\n\r\n",
            self.port,
            Self::ACCOUNT
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }

    pub(super) fn options(&self, prefix: &str) -> AzureOptions {
        AzureOptions {
            account: Self::ACCOUNT.to_owned(),
            container: "berth".to_owned(),
            endpoint: Some(format!("http://127.0.0.1:{}/{}", self.port, Self::ACCOUNT)),
            public_endpoint: None,
            credentials: AzureCredentials::Key(Self::key()),
            connection: connection(prefix, self.root.path()),
        }
    }
}
