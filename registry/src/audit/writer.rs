//! The task that writes entries into the catalog.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::mpsc, time::sleep};

use crate::{
    catalog::{AuditRow, Catalog},
    clock::Clock,
};

/// For how long entries are gathered: many pushes then share a statement.
const GATHER: Duration = Duration::from_millis(100);
/// Entries of one statement at most.
const BATCH: usize = 512;
/// Waits between tries while the catalog does not answer; after the last the entries go to the log of the process.
const TRIES: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(15),
];

pub(super) async fn run(
    mut waiting: mpsc::Receiver<AuditRow>,
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    missed: Arc<AtomicU64>,
) {
    let mut rows = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut rows, BATCH).await > 0 {
        // Once the log is closed nothing more comes, and nobody waits for nothing.
        if rows.len() < BATCH && !waiting.is_closed() {
            sleep(GATHER).await;
            while rows.len() < BATCH
                && let Ok(row) = waiting.try_recv()
            {
                rows.push(row);
            }
        }
        let lost = missed.swap(0, Ordering::Relaxed);
        if lost > 0 {
            rows.push(AuditRow {
                time: clock.now(),
                verb: "missed".to_owned(),
                outcome: "failed".to_owned(),
                detail: format!("{lost} refusals came faster than they could be written down"),
                ..AuditRow::default()
            });
        }
        write(&*catalog, &rows, waiting.is_closed()).await;
        rows.clear();
    }
}

async fn write(catalog: &dyn Catalog, rows: &[AuditRow], closing: bool) {
    let mut tries = TRIES.iter();
    while let Err(error) = catalog.add_audit(rows).await {
        match tries.next() {
            Some(wait) if !closing => sleep(*wait).await,
            Some(_) | None => {
                tracing::error!(
                    "{} entries of the audit log could not be kept, and follow: {error}",
                    rows.len()
                );
                for row in rows {
                    tracing::error!(
                        target: "berth_registry::audit",
                        who = row.who, address = row.address, verb = row.verb, repository = row.repository,
                        reference = row.reference, digest = row.digest, outcome = row.outcome,
                        request_id = row.request_id, detail = row.detail, microseconds = row.time.0,
                        "Not in the audit log"
                    );
                }
                return;
            }
        }
    }
}
