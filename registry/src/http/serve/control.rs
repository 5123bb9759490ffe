//! The control socket: whoever owns the data directory gives the running server commands by it.

use std::{
    fs, io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use axum::{Extension, Router, body::Body};
use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use rustix::fs::{Mode, OFlags};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::{Cut, Shutdown};
use crate::auth::{Principal, Subject, Trusted};

/// Its name in the data directory.
const NAME: &str = "control.sock";
/// How long a listener waits after an error of accept(2) that is not one connection's.
const PAUSE: Duration = Duration::from_millis(100);

/// A folder that is open. A socket's address has 107 bytes at most; through the descriptor a folder may lie as
/// deep as it likes.
#[derive(Debug)]
pub struct Folder {
    descriptor: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens it.
    ///
    /// # Errors
    /// When it is not there or may not be entered.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { descriptor, path: path.to_owned() })
    }

    /// A short way to the control socket in it, good while the folder is open.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.child(NAME)
    }

    fn child(&self, name: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{name}", self.descriptor.as_raw_fd()).into()
    }
}

/// A bound control socket. Its file goes when it is dropped, unless another server has replaced it.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    folder: Folder,
    /// Device and inode.
    file: (u64, u64),
}

impl Control {
    /// Makes the socket in `folder`, mode 0600, in place of one that nobody listens on any more.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] when a running server has it; else what the file system says.
    pub fn bind(folder: &Path) -> io::Result<Self> {
        let folder = Folder::open(folder)?;
        let socket = folder.socket();
        if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server listens on it"));
        }
        // Under a name that nobody knows and in a folder that nobody else enters until it has its mode.
        let private = folder.child(&format!(".control-{}", uuid::Uuid::new_v4().simple()));
        fs::DirBuilder::new().create(&private)?;
        let bound: io::Result<_> = (|| {
            fs::set_permissions(&private, fs::Permissions::from_mode(0o700))?;
            let new = private.join("s");
            let listener = UnixListener::bind(&new)?;
            fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
            let file = fs::symlink_metadata(&new)?;
            fs::rename(&new, &socket)?;
            Ok((listener, (file.dev(), file.ino())))
        })();
        let removed = fs::remove_dir_all(&private);
        let (listener, file) = bound?;
        removed?;
        Ok(Self { listener, folder, file })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path.join(NAME)
    }

    /// Answers requests with `router`, each as [`Subject::Local`], until `shutdown.stop`; then those under way have
    /// `drain` to end.
    pub async fn serve(self, router: Router, drain: Duration, shutdown: Shutdown) {
        let principal = Principal { subject: Subject::Local, ..Principal::default() };
        let router = router.layer(Extension(Trusted(principal))).layer(Extension(Cut(shutdown.cut.clone())));
        let connections = TaskTracker::new();
        let accept = async {
            loop {
                match self.listener.accept().await {
                    Ok((stream, _)) if is_owner(&stream) => {
                        connections.spawn(connection(stream, router.clone(), shutdown.clone()));
                    }
                    Ok(_) => tracing::warn!("A connection to the control socket by another user is refused"),
                    Err(error) => {
                        tracing::warn!("The control socket: {error}");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        };
        shutdown.stop.run_until_cancelled(accept).await;
        drop(self);
        connections.close();
        if tokio::time::timeout(drain, connections.wait()).await.is_err() {
            tracing::warn!("{} commands are cut", connections.len());
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let socket = self.folder.socket();
        let ours = fs::symlink_metadata(&socket).is_ok_and(|file| (file.dev(), file.ino()) == self.file);
        if ours && let Err(error) = fs::remove_file(&socket) {
            tracing::warn!("The control socket's file stays: {error}");
        }
    }
}

/// Whether the other end is this process' user or root. The file's mode says so too, where the file system keeps it.
fn is_owner(stream: &UnixStream) -> bool {
    let owner = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|other| [owner, 0].contains(&other.uid()))
}

async fn connection(stream: UnixStream, router: Router, shutdown: Shutdown) {
    let service =
        TowerToHyperService::new(router.map_request(|request: Request<Incoming>| request.map(Body::new)));
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("A connection to the control socket ended: {error}");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn ask(folder: &Path) -> io::Result<String> {
        let mut stream = UnixStream::connect(Folder::open(folder)?.socket()).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    fn router() -> Router {
        Router::new()
            .route("/", get(|Extension(who): Extension<Trusted>| async move { who.0.subject.to_string() }))
    }

    #[tokio::test]
    async fn whoever_owns_the_folder_is_local_and_the_socket_goes_at_the_stop() {
        let data = tempfile::tempdir().unwrap();
        // Deeper than a socket's address is long.
        let folder = data.path().join("d".repeat(120));
        fs::create_dir(&folder).unwrap();
        let control = Control::bind(&folder).unwrap();
        let path = control.path();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left there");
        let shutdown = Shutdown::default();
        let task = tokio::spawn(control.serve(router(), Duration::from_secs(5), shutdown.clone()));
        assert!(ask(&folder).await.unwrap().ends_with("local"));
        assert_eq!(Control::bind(&folder).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        shutdown.stop.cancel();
        task.await.unwrap();
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_nobody_listens_on_is_replaced_and_another_servers_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let first = Control::bind(folder.path()).unwrap();
        let path = first.path();
        // As after a kill: the file is there and nobody listens.
        let stale = folder.path().join("stale");
        fs::rename(&path, &stale).unwrap();
        drop(first);
        assert!(stale.exists());
        fs::rename(&stale, &path).unwrap();
        let second = Control::bind(folder.path()).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another's").unwrap();
        drop(second);
        assert_eq!(fs::read_to_string(&path).unwrap(), "another's");
    }
}
