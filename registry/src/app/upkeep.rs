//! Background work that keeps records and blobs well.

use std::{sync::Arc, time::Duration};

use super::{Periodic, Round, Services};
use crate::upkeep::scrub::{Counts, Scrub};

/// How often notes of settled records are taken out of the catalog.
const FLUSH: Duration = Duration::from_secs(2);
/// How often records are settled that nobody else settled.
const CATCH_UP: Duration = Duration::from_secs(10);
/// How often it is looked whether it is time to read all blobs again.
const SCRUB: Duration = Duration::from_mins(1);

/// All of it.
pub(super) fn tasks(services: &Services) -> Vec<Periodic> {
    let records = services.records.clone();
    let flush: Round = Arc::new(move |_| {
        let records = records.clone();
        Box::pin(async move { Ok(records.flush().await?) })
    });
    let records = services.records.clone();
    let catch_up: Round = Arc::new(move |stop| {
        let records = records.clone();
        Box::pin(async move {
            let settled = records.catch_up(&stop).await?;
            if settled > 0 {
                tracing::info!(settled, "{settled} records of manifests and tags were brought up to date");
            }
            Ok(())
        })
    });
    let mut tasks = vec![
        Periodic { name: "notes of records", every: FLUSH, alone: false, round: flush },
        Periodic { name: "records", every: CATCH_UP, alone: true, round: catch_up },
    ];
    tasks.extend(services.config.scrub.every.map(|every| scrub(services, every)));
    tasks
}

fn scrub(services: &Services, every: Duration) -> Periodic {
    let counts = Counts::default();
    let metrics = &services.metrics;
    metrics.register("scrub_blobs", "Blobs that the scrub has read", counts.blobs.clone());
    metrics.register("scrub_read", "Bytes that the scrub has read", counts.bytes.clone());
    metrics.register(
        "scrub_findings",
        "Blobs that the scrub has found damaged, lost or unreadable",
        counts.findings.clone(),
    );
    let scrub = Scrub {
        catalog: services.catalog.clone(),
        store: services.store.clone(),
        clock: services.clock.clone(),
        every,
        rate: services.config.scrub.rate.0,
        counts,
    };
    let round: Round = Arc::new(move |stop| {
        let scrub = scrub.clone();
        Box::pin(async move { Ok(scrub.round(&stop).await?) })
    });
    Periodic { name: "scrub", every: SCRUB.min(every), alone: true, round }
}
