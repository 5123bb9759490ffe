//! What goes from storage beside the rows: objects that no row names any more, and records of manifests
//! that went. Nobody's push waits for it.

use std::{mem, sync::Arc};

use futures_util::StreamExt;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use super::{Collector, GcError, Report};
use crate::{
    catalog::{Catalog, CatalogError, DoomedObject, RemovedManifest},
    records::Records,
    storage::BlobStore,
};

/// So many are gathered before they go: each time costs a few turns at the catalog.
const TOGETHER: usize = 512;
/// Deletions of objects under way at a time.
const AT_ONCE: usize = 8;

/// What went from storage.
#[derive(Default)]
struct Gone {
    bytes: u64,
    failed: u64,
}

/// The work beside a run: one batch at a time, while the next is gathered.
pub(super) struct Aside {
    catalog: Arc<dyn Catalog>,
    store: Arc<dyn BlobStore>,
    records: Records,
    objects: Vec<DoomedObject>,
    removed: Vec<RemovedManifest>,
    under_way: Option<AbortOnDropHandle<Result<Gone, GcError>>>,
}

impl Aside {
    pub(super) fn new(collector: &Collector) -> Self {
        let Collector { catalog, store, records, .. } = collector;
        let (catalog, store, records) = (catalog.clone(), store.clone(), records.clone());
        Self { catalog, store, records, objects: Vec::new(), removed: Vec::new(), under_way: None }
    }

    /// Objects that no row names and that are written down as doomed.
    pub(super) async fn objects(
        &mut self,
        mut objects: Vec<DoomedObject>,
        report: &mut Report,
    ) -> Result<(), GcError> {
        self.objects.append(&mut objects);
        if self.objects.len() >= TOGETHER { self.begin(report).await } else { Ok(()) }
    }

    /// Manifests that went, whose records are to go.
    pub(super) async fn manifests(
        &mut self,
        mut removed: Vec<RemovedManifest>,
        report: &mut Report,
    ) -> Result<(), GcError> {
        self.removed.append(&mut removed);
        if self.removed.len() >= TOGETHER { self.begin(report).await } else { Ok(()) }
    }

    /// Begins with what was gathered, when what is under way has come to its end.
    async fn begin(&mut self, report: &mut Report) -> Result<(), GcError> {
        self.join(report).await?;
        let (objects, removed) = (mem::take(&mut self.objects), mem::take(&mut self.removed));
        let (catalog, store, records) = (self.catalog.clone(), self.store.clone(), self.records.clone());
        self.under_way = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            // What goes from storage cannot come back: that nothing names it has to survive a power failure first, also
            // where a process that died found it out.
            catalog.endure().await?;
            records.settle_removed(&removed).await?;
            delete(&*catalog, &*store, &objects).await
        })));
        Ok(())
    }

    async fn join(&mut self, report: &mut Report) -> Result<(), GcError> {
        if let Some(task) = self.under_way.take() {
            let gone = task.await.map_err(|error| CatalogError::Unavailable(error.into()))??;
            report.bytes += gone.bytes;
            report.failed += gone.failed;
        }
        Ok(())
    }

    /// Does all that is left.
    pub(super) async fn settle(&mut self, report: &mut Report) -> Result<(), GcError> {
        if !(self.objects.is_empty() && self.removed.is_empty()) {
            self.begin(report).await?;
        }
        self.join(report).await
    }
}

/// Deletes objects that no row names, then forgets them. One that cannot be deleted stays written down.
async fn delete(
    catalog: &dyn Catalog,
    store: &dyn BlobStore,
    doomed: &[DoomedObject],
) -> Result<Gone, GcError> {
    let deletions = doomed.chunks(doomed.len().div_ceil(AT_ONCE).max(1)).map(async |some| {
        let keys: Vec<_> = some.iter().map(|object| object.key.clone()).collect();
        some.iter().zip(store.delete_many(&keys).await).collect::<Vec<_>>()
    });
    let deletions: Vec<_> = deletions.collect();
    let outcomes: Vec<_> = futures_util::stream::iter(deletions).buffer_unordered(AT_ONCE).collect().await;
    let (mut gone, mut keys) = (Gone::default(), Vec::new());
    for (object, outcome) in outcomes.into_iter().flatten() {
        match outcome {
            Ok(()) => {
                gone.bytes += object.size;
                keys.push(object.key.clone());
            }
            Err(error) => {
                gone.failed += 1;
                warn!(key = %object.key, "Object {} stays until the next run: {error}", object.key);
            }
        }
    }
    if !keys.is_empty() {
        catalog.forget_objects(&keys).await?;
    }
    Ok(gone)
}
