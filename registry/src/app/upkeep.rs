//! Background work that keeps records and blobs well.

use std::{sync::Arc, time::Duration};

use super::{Periodic, Round, Services};

/// How often notes of settled records are taken out of the catalog.
const FLUSH: Duration = Duration::from_secs(2);
/// How often records are settled that nobody else settled.
const CATCH_UP: Duration = Duration::from_secs(10);

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
    vec![
        Periodic { name: "notes of records", every: FLUSH, alone: false, round: flush },
        Periodic { name: "records", every: CATCH_UP, alone: true, round: catch_up },
    ]
}
