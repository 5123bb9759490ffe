use super::*;

fn rule(name: &str, effect: Effect, subject: &str, verbs: &[Verb], repository: &str) -> Rule {
    Rule {
        name: name.to_owned(),
        effect,
        subjects: vec![subject.to_owned()],
        verbs: Verbs::of(verbs),
        repositories: vec![repository.to_owned()],
        tags: Vec::new(),
    }
}

fn policy(rules: Vec<Rule>) -> Policy {
    Policy::Rules(Live::new(rules).unwrap())
}

fn user(name: &str) -> Principal {
    Principal { subject: Subject::User(name.to_owned()), ..Principal::default() }
}

fn token(name: &str, scopes: &[&str]) -> Principal {
    let scopes = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
    Principal { authority: Authority::Granted(scopes), ..user(name) }
}

fn repo(name: &str) -> RepoName {
    name.parse().unwrap()
}

fn may(policy: &Policy, who: &Principal, verb: Verb, name: &str) -> bool {
    policy.decide(who, verb, Some(&repo(name))).allowed
}

#[test]
fn without_a_rule_whoever_is_known_reads_and_writes_and_nobody_else_anything() {
    let policy = policy(Vec::new());
    for verb in [Verb::Pull, Verb::Push, Verb::Overwrite] {
        assert!(may(&policy, &user("alice"), verb, "a/b"));
        assert!(!may(&policy, &Principal::anonymous(), verb, "a/b"));
    }
    let ci = Subject::Federated { issuer: "github".to_owned(), name: "evil/fork".to_owned() };
    assert!(!may(&policy, &Principal { subject: ci, ..Principal::default() }, Verb::Pull, "a/b"));
    for verb in [Verb::Delete, Verb::Admin] {
        assert!(!may(&policy, &user("alice"), verb, "a/b"));
        assert!(may(&policy, &Principal { admin: true, ..user("alice") }, verb, "a/b"));
        assert!(may(&policy, &Principal { subject: Subject::Local, ..Principal::default() }, verb, "a/b"));
    }
}

#[test]
fn nothing_is_allowed_that_no_rule_allows_and_a_denial_goes_before_all() {
    let policy = policy(vec![
        rule("team", Effect::Allow, "user:alice", &[Verb::Pull, Verb::Push], "team/**"),
        rule("secret", Effect::Deny, "everyone", &[Verb::Pull], "team/secret/**"),
    ]);
    let alice = user("alice");
    assert!(may(&policy, &alice, Verb::Pull, "team/app"));
    assert!(!may(&policy, &alice, Verb::Delete, "team/app"));
    assert!(!may(&policy, &alice, Verb::Pull, "other/app"));
    assert!(!may(&policy, &alice, Verb::Pull, "team/secret/app"));
    assert!(may(&policy, &alice, Verb::Push, "team/secret/app"));
    assert!(!may(&policy, &user("bob"), Verb::Pull, "team/app"));
    let decision = policy.decide(&alice, Verb::Pull, Some(&repo("team/secret/app")));
    assert_eq!((decision.rule.as_str(), decision.source), ("secret", Some(Source::Configuration)));
}

#[test]
fn r10_everything_may_be_read_only_where_nothing_is_denied() {
    let all = rule("all", Effect::Allow, "user:alice", &[Verb::Pull], "**");
    let alice = user("alice");
    assert!(policy(vec![all.clone()]).decide(&alice, Verb::Pull, None).allowed);
    let most = rule("most", Effect::Allow, "user:alice", &[Verb::Pull], "*/**");
    assert!(!policy(vec![most]).decide(&alice, Verb::Pull, None).allowed);
    let but = rule("but", Effect::Deny, "user:alice", &[Verb::Pull], "secret/**");
    assert!(!policy(vec![all, but]).decide(&alice, Verb::Pull, None).allowed);
}

#[test]
fn r22_a_rule_about_tags_keeps_them_whatever_the_token_grants() {
    let mut keep = rule("keep", Effect::Deny, "everyone", &[Verb::Overwrite, Verb::Delete], "team/**");
    keep.tags = vec!["v*".to_owned()];
    let all = rule("all", Effect::Allow, "authenticated", &Verb::ALL, "**");
    let policy = policy(vec![all, keep]);
    let granted = token("alice", &["repository:team/app:pull,push,overwrite,delete"]);
    let everything = token("alice", &["repository:team/app:*"]);
    for who in [&user("alice"), &granted, &everything] {
        for verb in [Verb::Overwrite, Verb::Delete] {
            let ask = |tag: &str, name: &str| {
                let tag: Tag = tag.parse().unwrap();
                policy.decide_tag(who, verb, Some(&repo(name)), Some(&tag)).allowed
            };
            assert!(!ask("v1", "team/app"), "{who:?}");
            assert!(ask("latest", "team/app"), "{who:?}");
            assert!(may(&policy, who, verb, "team/app"), "without a tag there is none to keep");
        }
    }
}

#[test]
fn a_token_has_to_name_the_groups_that_rules_are_about() {
    let policy = policy(vec![
        rule("team", Effect::Allow, "group:dev*", &[Verb::Pull], "team/**"),
        rule("secret", Effect::Deny, "group:guests", &[Verb::Pull], "team/secret/**"),
    ]);
    let groups = ["developers", "guests", "chess"].map(str::to_owned).to_vec();
    let alice = Principal { groups, ..user("alice") };
    assert_eq!(policy.named_groups(&alice), ["developers", "guests"]);
    assert_eq!(Policy::Open.named_groups(&alice), Vec::<String>::new());
}

#[test]
fn an_administrator_sees_the_whole_list_by_a_token_as_well() {
    let policy = policy(vec![rule("team", Effect::Allow, "user:bob", &[Verb::Pull], "team/**")]);
    let list = token("alice", &["registry:catalog:*"]);
    assert!(!policy.sees(&list, &repo("team/app")));
    assert!(policy.sees(&Principal { admin: true, ..list }, &repo("team/app")));
}

#[test]
fn a_token_grants_what_it_says_and_nothing_else() {
    let policy = policy(Vec::new());
    let pull = token("alice", &["repository:a/b:pull"]);
    assert!(may(&policy, &pull, Verb::Pull, "a/b"));
    assert!(!may(&policy, &pull, Verb::Push, "a/b"));
    assert!(!may(&policy, &pull, Verb::Pull, "a/c"));
    assert!(!policy.decide(&pull, Verb::Pull, None).allowed);
    assert!(!may(&policy, &token("alice", &["repository:a/b:push"]), Verb::Overwrite, "a/b"));
    assert!(!may(&policy, &Principal { admin: true, ..pull.clone() }, Verb::Delete, "a/b"));
    assert!(!policy.may_list(&pull));
    assert!(policy.may_list(&token("alice", &["registry:catalog:*"])));
    assert!(!policy.may_list(&token("alice", &["registry:catalog:pull"])));
}

#[test]
fn the_nearest_rules_say_what_does_not_fit() {
    let policy = policy(vec![
        rule("team", Effect::Allow, "group:dev", &[Verb::Pull], "team/**"),
        rule("mine", Effect::Allow, "user:alice", &[Verb::Pull], "mine/**"),
        rule("push", Effect::Allow, "user:alice", &[Verb::Push], "team/**"),
        rule("far", Effect::Allow, "user:bob", &[Verb::Push], "team/**"),
    ]);
    let near = policy.nearest(&user("alice"), Verb::Pull, Some(&repo("team/app")));
    let near: Vec<_> = near.iter().map(|near| (near.rule.as_str(), near.but)).collect();
    assert_eq!(near, [("team", "subjects"), ("mine", "repositories"), ("push", "verbs")]);
}

#[test]
fn rules_that_change_nothing_are_found() {
    let idle = |rules: Vec<Rule>| {
        let idle = Rules::new(&rules, &[]).unwrap().idle();
        idle.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    let wide = rule("wide", Effect::Allow, "everyone", &[Verb::Pull, Verb::Push], "**");
    let narrow = rule("narrow", Effect::Allow, "user:alice", &[Verb::Pull], "team/**");
    let deny = rule("deny", Effect::Deny, "user:alice", &[Verb::Pull], "team/**");
    assert_eq!(idle(vec![narrow.clone(), wide.clone()]), ["narrow"]);
    assert_eq!(idle(vec![narrow.clone(), deny.clone()]), ["narrow"]);
    assert_eq!(idle(vec![wide.clone(), deny.clone()]), Vec::<String>::new());
    let twin = Rule { name: "twin".to_owned(), ..narrow.clone() };
    assert_eq!(idle(vec![narrow.clone(), twin]), ["twin"]);
    let mut tags = Rule { verbs: Verbs::of(&[Verb::Overwrite]), ..deny };
    tags.tags = vec!["v*".to_owned()];
    let some = Rule { name: "some".to_owned(), effect: Effect::Allow, tags: Vec::new(), ..tags.clone() };
    assert_eq!(idle(vec![some, tags]), Vec::<String>::new());
}

mod live {
    use std::sync::Arc;

    use super::*;
    use crate::{
        catalog::{Catalog, KeptRule, SqliteCatalog, SqliteOptions},
        clock::Timestamp,
    };

    async fn catalog(folder: &std::path::Path) -> Arc<dyn Catalog> {
        Arc::new(SqliteCatalog::open(folder, SqliteOptions::default()).await.unwrap())
    }

    fn kept(rule: &Rule) -> KeptRule {
        let json = serde_json::to_string(rule).unwrap();
        KeptRule { name: rule.name.clone(), rule: json, created_at: Timestamp(0), created_by: String::new() }
    }

    #[tokio::test]
    async fn rules_of_the_catalog_hold_beside_those_of_the_configuration_until_they_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = catalog(folder.path()).await;
        let live = Live::new(vec![rule("file", Effect::Allow, "user:alice", &[Verb::Pull], "a/**")]).unwrap();
        let policy = Policy::Rules(live.clone());
        assert!(live.refresh(&*catalog).await.unwrap(), "the first look");
        assert!(!live.refresh(&*catalog).await.unwrap(), "nothing has changed");
        let more = rule("more", Effect::Allow, "user:alice", &[Verb::Pull], "b/**");
        catalog.add_rule(&kept(&more)).await.unwrap();
        assert!(!may(&policy, &user("alice"), Verb::Pull, "b/x"));
        assert!(live.refresh(&*catalog).await.unwrap());
        assert!(may(&policy, &user("alice"), Verb::Pull, "b/x"));
        assert!(may(&policy, &user("alice"), Verb::Pull, "a/x"));
        catalog.remove_rule("more").await.unwrap();
        live.refresh(&*catalog).await.unwrap();
        assert!(!may(&policy, &user("alice"), Verb::Pull, "b/x"));
        catalog.close().await;
    }

    #[tokio::test]
    async fn a_rule_that_cannot_be_read_leaves_the_rules_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = catalog(folder.path()).await;
        let deny = rule("deny", Effect::Deny, "everyone", &[Verb::Pull], "**");
        let live = Live::new(vec![deny]).unwrap();
        live.refresh(&*catalog).await.unwrap();
        let later = KeptRule {
            rule: "{\"from\": \"a later version\"}".to_owned(),
            ..kept(&rule("x", Effect::Allow, "everyone", &[Verb::Pull], "**"))
        };
        catalog.add_rule(&later).await.unwrap();
        assert!(live.refresh(&*catalog).await.is_err());
        assert!(!may(&Policy::Rules(live), &user("alice"), Verb::Pull, "a"));
        catalog.close().await;
    }
}
