use super::*;

fn rule(name: &str) -> KeptRule {
    KeptRule {
        name: name.to_owned(),
        rule: format!("{{\"name\": \"{name}\"}}"),
        created_at: NOW,
        created_by: "user:alice".to_owned(),
    }
}

pub(super) async fn rules_come_back_by_name_and_each_change_has_a_version(f: &Fixture) {
    let before = f.catalog.rules().await.unwrap();
    assert_eq!(before.rules, []);
    for name in ["b", "a", "B"] {
        assert!(f.catalog.add_rule(&rule(name)).await.unwrap());
    }
    let after = f.catalog.rules().await.unwrap();
    assert_eq!(after.rules, [rule("B"), rule("a"), rule("b")]);
    assert_eq!(after.version, before.version + 3);
    assert!(f.catalog.remove_rule("a").await.unwrap());
    assert_eq!(f.catalog.rules().await.unwrap().rules, [rule("B"), rule("b")]);
    assert_eq!(f.catalog.rules_version().await.unwrap(), after.version + 1);
}

pub(super) async fn a_rule_of_a_name_that_is_taken_changes_nothing(f: &Fixture) {
    assert!(f.catalog.add_rule(&rule("a")).await.unwrap());
    let before = f.catalog.rules().await.unwrap();
    let other = KeptRule { rule: "{}".to_owned(), ..rule("a") };
    assert!(!f.catalog.add_rule(&other).await.unwrap());
    assert!(!f.catalog.remove_rule("b").await.unwrap());
    assert_eq!(f.catalog.rules().await.unwrap(), before);
}
