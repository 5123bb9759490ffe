use super::*;

fn row(seconds: u64, who: &str, repository: &str, verb: &str) -> AuditRow {
    AuditRow {
        time: NOW + Duration::from_secs(seconds),
        who: who.to_owned(),
        repository: repository.to_owned(),
        verb: verb.to_owned(),
        address: "192.0.2.1".to_owned(),
        reference: "v1".to_owned(),
        digest: digest(seconds).to_string(),
        outcome: "done".to_owned(),
        request_id: "id".to_owned(),
        detail: "\u{fc} \" ' \\".to_owned(),
    }
}

async fn three(f: &Fixture) -> Vec<AuditRow> {
    let rows = vec![
        row(1, "user:alice", "team/app", "push"),
        row(2, "user:bob", "team/app", "delete"),
        row(2, "user:alice", "", "admin"),
    ];
    f.catalog.add_audit(&rows).await.unwrap();
    rows
}

async fn ask(f: &Fixture, query: AuditQuery) -> Vec<AuditRow> {
    let query = AuditQuery { limit: if query.limit == 0 { 100 } else { query.limit }, ..query };
    f.catalog.audit(&query).await.unwrap().into_iter().map(|(_, row)| row).collect()
}

pub(super) async fn entries_come_back_whole_and_the_latest_first(f: &Fixture) {
    let mut rows = three(f).await;
    rows.reverse();
    assert_eq!(ask(f, AuditQuery::default()).await, rows);
}

pub(super) async fn entries_are_found_by_repository_subject_kind_and_time(f: &Fixture) {
    let rows = three(f).await;
    let some = |text: &str| Some(text.to_owned());
    let by = AuditQuery { who: some("user:alice"), ..AuditQuery::default() };
    assert_eq!(ask(f, by.clone()).await, [rows[2].clone(), rows[0].clone()]);
    let of = AuditQuery { repository: some("team/app"), ..AuditQuery::default() };
    assert_eq!(ask(f, of.clone()).await, [rows[1].clone(), rows[0].clone()]);
    let both = AuditQuery { who: some("user:alice"), ..of.clone() };
    assert_eq!(ask(f, both).await, [rows[0].clone()]);
    assert_eq!(ask(f, AuditQuery { verb: some("delete"), ..of }).await, [rows[1].clone()]);
    let since = NOW + Duration::from_secs(2);
    assert_eq!(ask(f, AuditQuery { since, ..by }).await, [rows[2].clone()]);
    let before = Some(AuditPlace { time: since, id: i64::MIN });
    assert_eq!(ask(f, AuditQuery { before, ..AuditQuery::default() }).await, [rows[0].clone()]);
}

pub(super) async fn pages_of_entries_go_on_where_they_ended(f: &Fixture) {
    // Many at one moment, so that the time alone is no place.
    let rows: Vec<_> =
        (0..25).map(|n| AuditRow { reference: n.to_string(), ..row(1, "a", "r", "push") }).collect();
    f.catalog.add_audit(&rows).await.unwrap();
    let (mut gathered, mut before) = (Vec::new(), None);
    loop {
        let query =
            AuditQuery { before, limit: 4, repository: Some("r".to_owned()), ..AuditQuery::default() };
        let page = f.catalog.audit(&query).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        before = Some(*last);
        gathered.extend(page.into_iter().map(|(_, row)| row));
    }
    gathered.reverse();
    assert_eq!(gathered, rows);
}

pub(super) async fn old_entries_are_dropped_the_oldest_first(f: &Fixture) {
    let rows: Vec<_> = (0..10).map(|n| row(n, "a", "r", "push")).collect();
    f.catalog.add_audit(&rows).await.unwrap();
    let before = NOW + Duration::from_secs(8);
    assert_eq!(f.catalog.drop_audit(before, 5).await.unwrap(), 5);
    assert_eq!(ask(f, AuditQuery::default()).await.last().unwrap(), &rows[5]);
    assert_eq!(f.catalog.drop_audit(before, 5).await.unwrap(), 3);
    assert_eq!(f.catalog.drop_audit(before, 5).await.unwrap(), 0);
    assert_eq!(ask(f, AuditQuery::default()).await.len(), 2);
}
