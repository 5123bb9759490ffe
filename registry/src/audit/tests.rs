use super::*;
use crate::{
    auth::Subject,
    catalog::{AuditQuery, SqliteCatalog, SqliteOptions},
    clock::{SystemClock, Timestamp},
};

async fn catalog(folder: &std::path::Path) -> Arc<dyn Catalog> {
    Arc::new(SqliteCatalog::open(folder, SqliteOptions::default()).await.unwrap())
}

fn everything() -> AuditQuery {
    AuditQuery { limit: 100_000, since: Timestamp(0), ..AuditQuery::default() }
}

fn alice() -> Principal {
    Principal { subject: Subject::User("alice".to_owned()), ..Principal::default() }
}

#[tokio::test]
async fn what_is_recorded_is_in_the_catalog_when_the_log_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let log = Log::start(catalog.clone(), Arc::new(SystemClock));
    // More than wait at once: nothing that was done is left out.
    for number in 0..QUEUE + 2000 {
        let entry = Entry::new(&alice(), Act::Push, Scene::default());
        log.record(Entry { reference: number.to_string(), ..entry }).await;
    }
    log.close().await;
    log.record(Entry::new(&alice(), Act::Push, Scene::default())).await;
    let rows = catalog.audit(&everything()).await.unwrap();
    assert_eq!(rows.len(), QUEUE + 2000);
    assert_eq!((rows[0].1.who.as_str(), rows[0].1.reference.as_str()), ("user:alice", "10191"));
    catalog.close().await;
}

#[tokio::test]
async fn a_flood_of_refusals_is_counted_where_it_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let log = Log::start(catalog.clone(), Arc::new(SystemClock));
    let refusal = Entry { outcome: Outcome::Denied, ..Entry::new(&alice(), Act::Pull, Scene::default()) };
    let began = QUEUE * 3;
    for _ in 0..began {
        // Nothing here gives the writer a turn, so that the queue fills.
        log.refused(refusal.clone());
    }
    log.close().await;
    let rows = catalog.audit(&everything()).await.unwrap();
    let missed: Vec<_> = rows.iter().filter(|(_, row)| row.verb == "missed").collect();
    let lost: usize =
        missed.iter().map(|(_, row)| row.detail.split(' ').next().unwrap().parse::<usize>().unwrap()).sum();
    assert!(lost > 0);
    assert_eq!(rows.len() - missed.len() + lost, began);
    catalog.close().await;
}

#[test]
fn r34_nothing_that_moves_a_cursor_or_ends_a_line_is_kept() {
    let who = Principal {
        subject: Subject::User("al\r\nice\u{1b}[2J\0\u{202e}".to_owned()),
        ..Principal::default()
    };
    let entry = Entry {
        reference: "\u{2028}x\u{7f}".to_owned(),
        detail: "y".repeat(100_000),
        ..Entry::new(&who, Act::Login, Scene::default())
    };
    let row = entry.into_row(&SystemClock);
    assert_eq!(row.who, "user:al\\u{d}\\u{a}ice\\u{1b}[2J\\u{0}\\u{202e}");
    assert_eq!(row.reference, "\\u{2028}x\\u{7f}");
    assert_eq!(row.detail.len(), LONGEST + 3);
    assert_eq!(printable("ünïcode/ok".to_owned()), "ünïcode/ok");
}
