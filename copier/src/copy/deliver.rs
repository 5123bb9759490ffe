//! One blob's way from the source to the sink: verified, counted, and noted where the copy keeps a journal.

use std::{future::Future, pin::pin};

use berth_oci::{Descriptor, Digest};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::{Copy, blobs::Task, embedded::Embedded, verified::Verified};
use crate::{
    Content, Event, Result, UploadHandle,
    content::{Blob, Part},
    error::ResultExt,
};

impl Copy<'_> {
    /// A blob's content at the source, verified and counted.
    pub(super) async fn content(&self, task: &Task) -> Result<(Verified, UnboundedReceiver<u64>)> {
        let content: Box<dyn Content> = match &task.blob.data {
            Some(data) => Box::new(Embedded(data.clone())),
            None => {
                let blob = self.source.blob(&task.blob).await;
                blob.context(format_args!("reading blob {}", task.blob.digest))?
            }
        };
        self.progress
            .event(Event::BlobBegun { blob: task.blob.clone().into(), config: task.part == Part::Config });
        let (tally, counted) = mpsc::unbounded_channel();
        Ok((Verified::new(content, task.blob.clone(), Some(tally)), counted))
    }

    /// Puts `content`, which is `verified` or made of it. Where the reading failed, its fault is the error.
    pub(super) async fn put(
        &self,
        task: &Task,
        about: &Blob,
        content: &dyn Content,
        verified: &Verified,
        tally: UnboundedReceiver<u64>,
        upload: Option<UploadHandle>,
    ) -> Result<Descriptor> {
        let digest = &task.blob.digest;
        let stored = self.counted(digest, tally, self.deliver(about, content, upload)).await;
        stored.map_err(|error| match verified.fault() {
            Some(fault) => fault.context(format_args!("reading blob {digest}")),
            None => error.context(format_args!("writing blob {digest}")),
        })
    }

    /// Puts a blob; under a journal on an upload that is noted there, or that an earlier process noted.
    async fn deliver(
        &self,
        about: &Blob,
        content: &dyn Content,
        upload: Option<UploadHandle>,
    ) -> Result<Descriptor> {
        let (Some(journal), Some(known)) = (&self.journal, &about.known) else {
            return self.sink.put(about, content, upload).await;
        };
        let before = journal.upload(&known.digest);
        let begun_before = before.is_some();
        let lasting = match before.or(upload) {
            Some(upload) => Some(upload),
            None => self.sink.begin_upload().await?,
        };
        let Some(lasting) = lasting else { return self.sink.put(about, content, None).await };
        if !begun_before {
            journal.note_upload(&known.digest, &lasting);
        }
        let stored = self.sink.put_lasting(about, content, lasting, begun_before).await?;
        journal.note_done(&known.digest);
        Ok(stored)
    }

    /// Tells how many bytes went by while something runs.
    async fn counted<T>(
        &self,
        digest: &Digest,
        mut tally: UnboundedReceiver<u64>,
        running: impl Future<Output = T>,
    ) -> T {
        let tell = |bytes| self.progress.event(Event::BlobBytes { digest: digest.clone(), bytes });
        let mut running = pin!(running);
        let done = loop {
            tokio::select! {
                biased;
                done = &mut running => break done,
                Some(bytes) = tally.recv() => tell(bytes),
            }
        };
        while let Ok(bytes) = tally.try_recv() {
            tell(bytes);
        }
        done
    }
}
