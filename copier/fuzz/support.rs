//! What the targets share: a folder, a runtime, content in memory, and reading everything that a name leads to.

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use berth_copier::{ByteStream, Content, ImageName, Result, Session, Settings, Side, inspect::Inspected};
use berth_oci::{Algorithm, Digest};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::runtime::{Builder, Runtime};

/// A public key that vouches for nothing.
pub const P256: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8bVLZH1cFMSAfom6ibvynOZhrcwL
FGKg247B78RRXNvOetgBI3aBzvVwK4K4ZQyDBhq5VLdDClNQXZVzHaYYhA==
-----END PUBLIC KEY-----
";

/// Its private key, made for these targets.
pub const P256_PRIVATE: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgYexc1svpJ9DriDpd
1TmkGTc/DMtFSCQvAy2XIolmbgihRANCAATxtUtkfVwUxIB+ibqJu/Kc5mGtzAsU
YqDbjsHvxFFc28562AEjdoHO9XArgrhlDIMGGrlUt0MKU1BdlXMdphiE
-----END PRIVATE KEY-----
";

const PREFIX: &str = "berth-copier-fuzz-";

/// A folder of this process. In memory where there is such a place, because every input is written to it.
///
/// # Panics
/// Where there is no room.
pub fn folder() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let memory = PathBuf::from("/dev/shm");
        let root = if memory.is_dir() { memory } else { std::env::temp_dir() };
        sweep(&root);
        let folder = root.join(format!("{PREFIX}{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    });
    &FOLDER
}

/// Removes the folders of processes that are gone: libFuzzer leaves without running destructors.
fn sweep(root: &Path) {
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        if !Path::new("/proc").join(id).exists() {
            // Another run may sweep at the same time.
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

fn runtime() -> &'static Runtime {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads")
    });
    &RUNTIME
}

/// Runs to its end.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

/// A session that reads none of this machine's configuration.
///
/// # Panics
/// If the system has no certificates to read.
pub fn session() -> &'static Session {
    static SESSION: LazyLock<Session> = LazyLock::new(|| {
        let empty = folder().join("empty.conf");
        std::fs::write(&empty, "").expect("a file");
        let tmpdir = Some(folder().to_owned());
        let settings =
            Settings { registries_conf: Some(empty), insecure_policy: true, tmpdir, ..Settings::default() };
        Session::new(settings).expect("a session")
    });
    &SESSION
}

/// PEM around bytes.
#[must_use]
pub fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")).into_bytes()
}

/// Writes a blob into a layout; answers its file and its digest in hexadecimal digits.
///
/// # Panics
/// Where there is no room.
#[must_use]
pub fn put(layout: &Path, content: &[u8]) -> (PathBuf, String) {
    let hex = Digest::of(Algorithm::Sha256, content).hex().to_owned();
    let path = layout.join("blobs/sha256").join(&hex);
    std::fs::write(&path, content).expect("a file");
    (path, hex)
}

/// Content in memory.
pub struct Memory(pub Bytes);

#[async_trait::async_trait]
impl Content for Memory {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        let rest = self.0.slice(usize::try_from(from).expect("a place in memory")..);
        Ok(stream::iter([Ok(rest)]).boxed())
    }
}

/// How many bytes content has.
///
/// # Errors
/// As the content's.
pub fn drain(content: &dyn Content) -> Result<u64> {
    run(async {
        let mut pieces = content.open(0).await?;
        let mut total = 0;
        while let Some(piece) = pieces.try_next().await? {
            total += piece.len() as u64;
        }
        Ok(total)
    })
}

/// All of content.
///
/// # Errors
/// As the content's.
pub fn read(content: &dyn Content) -> Result<Vec<u8>> {
    run(async {
        let mut pieces = content.open(0).await?;
        let mut all = Vec::new();
        while let Some(piece) = pieces.try_next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    })
}

/// Opens an image and reads its manifest, configuration and blobs as far as they can be. Errors are no findings, but their
/// text is made.
///
/// # Panics
/// If the name is none.
pub fn read_all(name: &str) {
    let name: ImageName = name.parse().expect("a name");
    let all = async {
        let source = session().source(&name, &Side::default()).await?;
        let top = source.manifest(None).await?;
        let _signatures = source.signatures(&top.digest).await;
        let manifest = top.parse()?;
        for blob in manifest.config.iter().chain(&manifest.layers) {
            let content = source.blob(blob).await?;
            let mut pieces = content.open(0).await?;
            while let Some(_piece) = pieces.try_next().await? {}
        }
        let inspected = Inspected::find(&*source, top, &[]).await?;
        inspected.config(&*source).await.map(|value| value.show())
    };
    if let Err(error) = run(all) {
        let _text = error.to_string();
    }
}
