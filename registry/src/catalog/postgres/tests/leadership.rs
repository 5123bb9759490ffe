//! Two replicas and one task.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;

use super::replica;
use crate::catalog::{
    Catalog, Lead, Leadership, PostgresCatalog, PostgresOptions,
    postgres::Pace,
    suite::{QUICK, postgres_server},
};

const TASK: &str = "sweep";
const IN_TIME: Duration = Duration::from_secs(10);

async fn competitor(url: &str) -> PostgresCatalog {
    PostgresCatalog::open(&PostgresOptions { pace: QUICK, ..PostgresOptions::new(url) }).await.unwrap()
}

/// Ends the connections that hold leads, as an operator or a failover would.
async fn end_leaders(url: &str) -> i64 {
    const END: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = current_database() AND application_name = 'berth-registry leader'";
    let mut db = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(END).fetch_one(&mut db).await.unwrap()
}

async fn takes_over(replica: &PostgresCatalog) -> Lead {
    let asking = async {
        loop {
            if let Some(lead) = replica.lead(TASK).await.unwrap() {
                return lead;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(IN_TIME, asking).await.expect("nobody takes the task over")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_connection_dies_loses_its_lead_and_the_other_takes_it_over() {
    let Some(url) = postgres_server::database().await else { return };
    let (one, two) = (competitor(&url).await, competitor(&url).await);
    let mut lead = one.lead(TASK).await.unwrap().unwrap();
    assert!(two.lead(TASK).await.unwrap().is_none());
    let (mut leader, mut other) = (one, two);
    for _ in 0..3 {
        assert!(end_leaders(&url).await >= 1);
        // The first question on a dead connection fails, and the next is on a new one.
        let next = tokio::time::timeout(IN_TIME, async {
            loop {
                if let Ok(Some(lead)) = other.lead(TASK).await {
                    return lead;
                }
                tokio::task::yield_now().await;
            }
        });
        let next = next.await.expect("nobody takes the task over");
        assert!(lead.lost().is_cancelled(), "two have it");
        assert!(!next.lost().is_cancelled());
        lead = next;
        std::mem::swap(&mut leader, &mut other);
    }
    // A replica that stops hands over without being killed.
    leader.close().await;
    assert!(lead.lost().is_cancelled());
    let last = takes_over(&other).await;
    assert!(!last.lost().is_cancelled());
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_never_do_one_task_at_once_however_often_the_leader_is_cut_off() {
    let Some(url) = postgres_server::database().await else { return };
    let (busy, most, turns) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let stop = CancellationToken::new();
    let mut replicas = Vec::new();
    for _ in 0..2 {
        let catalog = competitor(&url).await;
        let (busy, most, turns, stop) = (busy.clone(), most.clone(), turns.clone(), stop.clone());
        replicas.push(tokio::spawn(async move {
            while !stop.is_cancelled() {
                if let Ok(Some(lead)) = catalog.lead(TASK).await {
                    most.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    turns.fetch_add(1, Ordering::SeqCst);
                    stop.run_until_cancelled(lead.lost().cancelled()).await;
                    busy.fetch_sub(1, Ordering::SeqCst);
                }
                tokio::task::yield_now().await;
            }
            catalog.close().await;
        }));
    }
    let begun = Instant::now();
    for turn in 1..=10 {
        while turns.load(Ordering::SeqCst) < turn {
            assert!(begun.elapsed() < IN_TIME * 6, "turn {turn} never came");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        end_leaders(&url).await;
    }
    stop.cancel();
    for replica in replicas {
        replica.await.unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[test]
fn a_lead_is_given_out_only_after_whoever_had_it_has_stopped() {
    let pace = Pace::default();
    assert!(pace.handover > pace.beat + pace.patience + Lead::STOP);
    assert!(pace.handover < Duration::from_secs(10), "taken over within seconds");
}

#[tokio::test]
async fn leads_need_no_connection_before_somebody_asks() {
    let Some(url) = postgres_server::database().await else { return };
    let catalog = replica(&url).await;
    assert_eq!(end_leaders(&url).await, 0);
    catalog.close().await;
}
