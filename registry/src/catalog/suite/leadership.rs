use futures_util::future::join_all;

use super::*;

/// Asks until the task is free: what was given up comes back in a moment.
async fn lead_in_time(f: &Fixture, task: &'static str) -> Lead {
    let asking = async {
        loop {
            if let Some(lead) = f.catalog.lead(task).await.unwrap() {
                return lead;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asking).await.expect("the task is never free")
}

pub(super) async fn a_task_is_led_by_one_at_a_time_and_each_task_by_its_own(f: &Fixture) {
    let sweep = f.catalog.lead("sweep").await.unwrap().unwrap();
    assert!(f.catalog.lead("sweep").await.unwrap().is_none());
    let scrub = f.catalog.lead("scrub").await.unwrap().unwrap();
    assert!(!sweep.lost().is_cancelled() && !scrub.lost().is_cancelled());
    drop(sweep);
    let again = lead_in_time(f, "sweep").await;
    assert!(f.catalog.lead("sweep").await.unwrap().is_none());
    assert!(!again.lost().is_cancelled() && !scrub.lost().is_cancelled());
}

pub(super) async fn of_many_who_ask_at_once_one_leads(f: &Fixture) {
    for _ in 0..5 {
        let first = lead_in_time(f, "sweep").await;
        drop(first);
        let asked = join_all((0..8).map(|_| f.catalog.lead("sweep"))).await;
        let leads: Vec<_> = asked.into_iter().filter_map(Result::unwrap).collect();
        assert!(leads.len() <= 1, "{} lead", leads.len());
    }
}
