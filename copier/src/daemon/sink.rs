//! An engine that loads an archive while it is made.

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use berth_oci::{Descriptor, Reference, RepoName};
use bytes::Bytes;
use futures_util::stream;
use reqwest::Body;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
};

use super::Engine;
use crate::{
    Content, Error, ImageName, RawManifest, Result, Reuse, Role, Sink, SinkTraits, UploadHandle,
    archive::{
        TarOutput,
        docker::{DockerSink, Names},
    },
    content::Blob,
};

/// Pieces on their way to the engine.
const AHEAD: usize = 4;

/// The write end of a request's body.
struct Pipe(mpsc::Sender<Bytes>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Bytes::copy_from_slice(bytes));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct DaemonSink {
    archive: DockerSink,
    request: Mutex<Option<JoinHandle<Result<()>>>>,
    /// Whether the end of the body is the end of the archive. If it is not, the request must break off: an engine
    /// takes what it has for the whole otherwise.
    whole: Arc<AtomicBool>,
}

impl DaemonSink {
    pub(super) fn new(name: &ImageName, engine: Engine, names: Names, temporary: PathBuf) -> Self {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let whole = Arc::new(AtomicBool::new(false));
        let body = stream::unfold((receiver, whole.clone()), |(mut pieces, whole)| async move {
            let piece: io::Result<Bytes> = match pieces.recv().await {
                Some(piece) => Ok(piece),
                None if whole.load(Ordering::Acquire) => return None,
                None => Err(io::Error::other("the archive was not finished")),
            };
            Some((piece, (pieces, whole)))
        });
        let request = tokio::spawn(async move { engine.load(Body::wrap_stream(body)).await });
        let output = TarOutput::stream(Pipe(sender), "the engine's archive", temporary);
        let archive = DockerSink::new(name.clone(), output, names);
        Self { archive, request: Mutex::new(Some(request)), whole }
    }

    /// The engine's reason where it gave one: "broken pipe" says nothing.
    async fn explain(&self, fault: Error) -> Error {
        let Error::File { .. } = fault.root() else { return fault };
        match self.ended().await {
            Err(reason) => reason,
            Ok(()) => fault,
        }
    }

    async fn ended(&self) -> Result<()> {
        let Some(request) = self.request.lock().await.take() else { return Ok(()) };
        request.await.map_err(|fault| Error::Other {
            what: "talking to the Docker daemon".to_owned(),
            source: fault.into(),
        })?
    }
}

#[async_trait]
impl Sink for DaemonSink {
    fn name(&self) -> &ImageName {
        self.archive.name()
    }

    fn traits(&self) -> SinkTraits {
        self.archive.traits()
    }

    fn identity(&self) -> Option<&Reference> {
        self.archive.identity()
    }

    async fn current(&self) -> Result<Option<Descriptor>> {
        Ok(None)
    }

    async fn reuse(&self, blob: &Descriptor, mount_from: &[RepoName]) -> Result<Reuse> {
        self.archive.reuse(blob, mount_from).await
    }

    async fn put(
        &self,
        blob: &Blob,
        content: &dyn Content,
        upload: Option<UploadHandle>,
    ) -> Result<Descriptor> {
        match self.archive.put(blob, content, upload).await {
            Ok(stored) => Ok(stored),
            Err(fault) => Err(self.explain(fault).await),
        }
    }

    async fn put_manifest(&self, manifest: &RawManifest, role: Role) -> Result<()> {
        self.archive.put_manifest(manifest, role).await
    }

    async fn commit(&self) -> Result<()> {
        self.whole.store(true, Ordering::Release);
        if let Err(fault) = self.archive.commit().await {
            self.whole.store(false, Ordering::Release);
            return Err(self.explain(fault).await);
        }
        self.ended().await
    }
}
