use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicI64, Ordering},
    time::Instant,
};

use super::*;
use crate::catalog::{CatalogError, GroupRow, RobotChange, SqliteCatalog, SqliteOptions, UserChange};

const NOW: Timestamp = Timestamp(1_750_000_000_000_000);
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const SECRET: &str = "correct horse";
/// Of `htpasswd -nbBC 5 x allmine`.
const ALLMINE: &str = "$2y$05$p3QTGTnIrSKQZsCHUoDz2uiXVAZdkcSLsIiPssddCYCm/BQtTa/3C";

#[derive(Debug)]
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

struct Fixture {
    logins: Logins,
    catalog: Arc<dyn Catalog>,
    clock: Arc<SetClock>,
    folder: tempfile::TempDir,
}

impl Fixture {
    async fn new(htpasswd: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqliteCatalog::open(folder.path(), SqliteOptions::default()).await.unwrap();
        let catalog: Arc<dyn Catalog> = Arc::new(catalog);
        let clock = Arc::new(SetClock(AtomicI64::new(NOW.0)));
        let file = folder.path().join("htpasswd");
        if let Some(text) = htpasswd {
            std::fs::write(&file, text).unwrap();
        }
        let sources = Sources { htpasswd: htpasswd.map(|_| file), admins: vec!["user:root".to_owned()] };
        let logins = Logins::new(sources, catalog.clone(), clock.clone()).unwrap();
        Self { logins, catalog, clock, folder }
    }

    async fn user(&self, name: &str) -> UserRow {
        let row = UserRow {
            name: name.to_owned(),
            hash: self.logins.hash(SECRET).await.unwrap(),
            admin: false,
            disabled: false,
            created_at: NOW,
            updated_at: NOW,
            last_login_at: None,
        };
        assert!(self.catalog.add_user(&row).await.unwrap());
        row
    }

    async fn robot(&self, name: &str, secret: &str) {
        let row = RobotRow {
            name: name.to_owned(),
            secret_hash: secret::fingerprint(secret),
            description: String::new(),
            disabled: false,
            created_by: "local".to_owned(),
            created_at: NOW,
            updated_at: NOW,
            expires_at: Some(NOW + Duration::from_hours(1)),
            last_login_at: None,
        };
        assert!(self.catalog.add_robot(&row).await.unwrap());
    }

    fn pass(&self, time: Duration) {
        self.clock.0.fetch_add(i64::try_from(time.as_micros()).unwrap(), Ordering::SeqCst);
    }

    async fn login(&self, name: &str, secret: &str) -> Result<Principal, AuthError> {
        self.logins.login(name, secret, HOME).await
    }

    async fn comes_in(&self, name: &str, secret: &str) -> bool {
        match self.login(name, secret).await {
            Ok(principal) => {
                assert!(principal.key().ends_with(&format!(":{name}")), "{principal:?}");
                true
            }
            Err(AuthError::Invalid(why)) => {
                assert_eq!(why, WRONG);
                false
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn take_spent(&self) -> Vec<Cost> {
        let mut spent = std::mem::take(&mut *self.logins.spent.lock().unwrap());
        spent.sort();
        spent
    }
}

#[tokio::test]
async fn the_file_goes_before_the_catalog_and_each_knows_its_own() {
    let f = Fixture::new(Some(&format!("bob:{ALLMINE}\nroot:{ALLMINE}\n"))).await;
    f.user("alice").await;
    f.user("bob").await;
    f.robot("team/ci", "robotic").await;
    assert!(f.comes_in("alice", SECRET).await && !f.comes_in("alice", "allmine").await);
    assert!(f.comes_in("bob", "allmine").await && !f.comes_in("bob", SECRET).await);
    assert!(f.comes_in("team/ci", "robotic").await && !f.comes_in("team/ci", SECRET).await);
    for (name, secret) in [
        ("carol", SECRET),
        ("team/cd", "robotic"),
        ("", SECRET),
        ("alice", ""),
        ("Alice", SECRET),
        ("alice\0", SECRET),
    ] {
        assert!(!f.comes_in(name, secret).await, "{name:?}");
    }
    let root = f.login("root", "allmine").await.unwrap();
    assert!(root.admin && root.subject == Subject::User("root".to_owned()), "the configuration says so");
    assert!(!f.login("bob", "allmine").await.unwrap().admin);
    assert!(f.logins.is_in_file("bob") && !f.logins.is_in_file("alice"));
}

#[tokio::test]
async fn groups_come_with_whoever_is_in_them_and_go_within_seconds() {
    let f = Fixture::new(None).await;
    f.user("alice").await;
    let group = GroupRow { name: "ops".to_owned(), description: String::new(), created_at: NOW };
    f.catalog.add_group(&group).await.unwrap();
    for member in ["user:alice", "cert:builder"] {
        f.catalog.add_member("ops", member).await.unwrap();
    }
    assert_eq!(f.login("alice", SECRET).await.unwrap().groups, ["ops"]);
    let holder = f.logins.certificate("builder").await.unwrap();
    assert_eq!((holder.key().as_str(), holder.groups), ("cert:builder", vec!["ops".to_owned()]));
    f.catalog.delete_group("ops").await.unwrap();
    f.pass(Duration::from_secs(2));
    assert!(f.login("alice", SECRET).await.unwrap().groups.is_empty());
    assert!(f.logins.certificate("builder").await.unwrap().groups.is_empty());
}

#[tokio::test]
async fn a_hash_is_computed_once_and_not_for_every_request() {
    let f = Fixture::new(None).await;
    f.user("alice").await;
    for _ in 0..3 {
        for _ in 0..100 {
            assert!(f.comes_in("alice", SECRET).await);
        }
        f.pass(Duration::from_mins(5));
    }
    assert_eq!(f.take_spent(), [Cost::OURS]);
    f.pass(Duration::from_mins(11));
    assert!(f.comes_in("alice", SECRET).await);
    assert_eq!(f.take_spent(), [Cost::OURS], "whoever did not come for long is forgotten");
}

#[tokio::test]
async fn r26_whoever_is_shut_out_deleted_or_renewed_is_refused_at_once_here_and_in_seconds_elsewhere() {
    let f = Fixture::new(None).await;
    for (name, told) in [("alice", true), ("bob", false)] {
        f.user(name).await;
        let told_or_later = || if told { f.logins.changed() } else { f.pass(Duration::from_secs(2)) };
        assert!(f.comes_in(name, SECRET).await);
        let disabled = |disabled| UserChange { disabled: Some(disabled), ..UserChange::default() };
        f.catalog.change_user(name, &disabled(true), NOW).await.unwrap();
        told_or_later();
        assert!(!f.comes_in(name, SECRET).await);
        f.catalog.change_user(name, &disabled(false), NOW).await.unwrap();
        assert!(f.comes_in(name, SECRET).await);
        let hash = Some(f.logins.hash("another one").await.unwrap());
        f.catalog.change_user(name, &UserChange { hash, ..UserChange::default() }, NOW).await.unwrap();
        told_or_later();
        assert!(!f.comes_in(name, SECRET).await && f.comes_in(name, "another one").await);
        f.catalog.delete_user(name).await.unwrap();
        told_or_later();
        assert!(!f.comes_in(name, "another one").await);
    }
}

#[tokio::test]
async fn a_robot_comes_in_until_its_end_and_with_its_last_secret_alone() {
    let f = Fixture::new(None).await;
    f.robot("team/ci", "first").await;
    assert!(f.comes_in("team/ci", "first").await);
    let rotated = RobotChange { secret_hash: Some(secret::fingerprint("second")), ..RobotChange::default() };
    f.catalog.change_robot("team/ci", &rotated, NOW).await.unwrap();
    f.logins.changed();
    assert!(!f.comes_in("team/ci", "first").await && f.comes_in("team/ci", "second").await);
    f.pass(Duration::from_mins(59));
    assert!(f.comes_in("team/ci", "second").await);
    f.pass(Duration::from_mins(1));
    assert!(!f.comes_in("team/ci", "second").await, "it has expired");
    let disabled = RobotChange { disabled: Some(true), expires_at: Some(None), ..RobotChange::default() };
    f.catalog.change_robot("team/ci", &disabled, NOW).await.unwrap();
    assert!(!f.comes_in("team/ci", "second").await);
}

#[tokio::test]
async fn r27_a_login_fails_at_the_same_cost_whomever_it_names() {
    let f = Fixture::new(Some(&format!("bob:{ALLMINE}\n"))).await;
    f.user("alice").await;
    let shut_out = UserRow { disabled: true, name: "carol".to_owned(), ..f.user("dave").await };
    f.catalog.add_user(&shut_out).await.unwrap();
    f.take_spent();
    for (name, secret) in [
        ("alice", "wrong one"),
        ("bob", "wrong one"),
        ("nobody", "wrong one"),
        ("carol", SECRET),
        ("carol", "wrong one"),
    ] {
        assert!(!f.comes_in(name, secret).await);
        assert_eq!(f.take_spent(), [Cost::OURS, Cost::Bcrypt(5)], "{name}");
    }
}

/// Processor time of this thread: what else the machine does makes no difference.
fn worked(work: impl FnOnce()) -> Duration {
    let now = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
    };
    let begun = now();
    work();
    now() - begun
}

#[test]
fn r27_the_means_of_known_and_unknown_names_differ_by_less_than_a_tenth() {
    let hash = StoredHash::of(SECRET).unwrap();
    let costs = || BTreeSet::from([Cost::OURS]);
    let (mut known, mut unknown) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..40 {
        known += worked(|| assert!(!check("wrong one", Some(&hash), true, costs()).0));
        unknown += worked(|| assert!(!check("wrong one", None, false, costs()).0));
    }
    let (known, unknown) = (known.as_secs_f64(), unknown.as_secs_f64());
    let difference = (known - unknown).abs() / known.max(unknown);
    assert!(difference < 0.10, "known {known} s, unknown {unknown} s");
}

#[tokio::test]
async fn r28_a_password_of_a_mebibyte_is_refused_without_a_hash() {
    let f = Fixture::new(None).await;
    f.user("alice").await;
    f.take_spent();
    let begun = Instant::now();
    for name in ["alice", "nobody"] {
        assert!(!f.comes_in(name, &"x".repeat(1 << 20)).await);
        assert!(!f.comes_in(name, &"x".repeat(LONGEST_SECRET + 1)).await);
    }
    assert!(f.take_spent().is_empty() && begun.elapsed() < Duration::from_secs(1));
    assert!(!f.comes_in("alice", &"x".repeat(LONGEST_SECRET)).await);
    assert_eq!(f.take_spent(), [Cost::OURS]);
}

async fn is_throttled(f: &Fixture, name: &str, secret: &str) -> bool {
    match f.login(name, secret).await {
        Err(AuthError::TooMany { retry_after }) => {
            assert!((1..=60).contains(&retry_after), "{retry_after}");
            true
        }
        Ok(_) | Err(AuthError::Invalid(_)) => false,
        Err(AuthError::Catalog(error)) => panic!("{error}"),
    }
}

#[tokio::test]
async fn r28_whoever_fails_too_often_waits_and_whoever_is_known_does_not() {
    let f = Fixture::new(None).await;
    f.user("alice").await;
    f.user("bob").await;
    assert!(f.comes_in("alice", SECRET).await);
    f.take_spent();
    let mut failures = 0;
    while !is_throttled(&f, "nobody", "wrong one").await {
        failures += 1;
        assert!(failures < 100);
    }
    let spent = f.take_spent().len();
    assert_eq!(spent, failures);
    for _ in 0..100 {
        assert!(is_throttled(&f, "nobody", "wrong one").await);
        assert!(f.comes_in("alice", SECRET).await);
    }
    assert!(f.take_spent().is_empty(), "what is refused costs nothing");
    assert!(
        is_throttled(&f, "bob", SECRET).await,
        "who is not known yet waits like everybody at that address"
    );
    f.pass(Duration::from_mins(1));
    assert!(f.comes_in("bob", SECRET).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r28_guesses_at_once_are_no_more_than_guesses_one_by_one() {
    let f = Fixture::new(None).await;
    f.user("alice").await;
    f.take_spent();
    let guesses = (0..60).map(|n| {
        let f = &f;
        async move { f.login("alice", &format!("guess {n}")).await }
    });
    futures_util::future::join_all(guesses).await;
    let spent = f.take_spent().len();
    // As many as may fail, and those that were being hashed when the last of them did.
    assert!(spent <= 20 + 8, "{spent} were hashed");
}

#[tokio::test]
async fn f11_a_catalog_that_does_not_answer_is_no_wrong_password() {
    let f = Fixture::new(Some(&format!("bob:{ALLMINE}\n"))).await;
    f.user("alice").await;
    assert!(f.comes_in("alice", SECRET).await);
    f.catalog.close().await;
    assert!(f.comes_in("alice", SECRET).await, "looked at a moment ago");
    f.pass(Duration::from_secs(2));
    for name in ["alice", "bob", "team/ci"] {
        let error = f.login(name, SECRET).await.unwrap_err();
        assert!(matches!(error, AuthError::Catalog(CatalogError::Unavailable(_))), "{name}: {error}");
    }
}

#[tokio::test]
async fn the_last_login_is_noted_to_the_hour() {
    let f = Fixture::new(None).await;
    f.user("alice").await;
    let last = async || f.catalog.user("alice").await.unwrap().unwrap().last_login_at;
    assert_eq!(last().await, None);
    assert!(f.comes_in("alice", SECRET).await);
    assert_eq!(last().await, Some(NOW));
    for minutes in [5, 30, 65] {
        f.clock.0.store((NOW + Duration::from_mins(minutes)).0, Ordering::SeqCst);
        f.comes_in("alice", SECRET).await;
        assert_eq!(last().await, Some(if minutes < 60 { NOW } else { NOW + Duration::from_mins(minutes) }));
    }
}

#[tokio::test]
async fn whoever_is_shut_out_or_gone_has_no_standing() {
    let f = Fixture::new(Some(&format!("bob:{ALLMINE}\n"))).await;
    f.user("alice").await;
    f.robot("team/ci", "robotic").await;
    let stands = async |subject: Subject| f.logins.standing(&subject).await.unwrap().is_some();
    let (user, robot) =
        (|name: &str| Subject::User(name.to_owned()), |name: &str| Subject::Robot(name.to_owned()));
    assert!(stands(user("alice")).await && stands(user("bob")).await && stands(robot("team/ci")).await);
    assert!(!stands(user("carol")).await && !stands(user("team/ci")).await && !stands(robot("alice")).await);
    let disabled = UserChange { disabled: Some(true), ..UserChange::default() };
    f.catalog.change_user("alice", &disabled, NOW).await.unwrap();
    f.pass(Duration::from_hours(1));
    assert!(!stands(user("alice")).await && !stands(robot("team/ci")).await);
    assert!(stands(Subject::Certificate("builder".to_owned())).await);
}

#[derive(Debug)]
struct Issuer;

#[async_trait]
impl FederatedLogin for Issuer {
    async fn login(&self, name: &str, secret: &str) -> Result<Option<Principal>, AuthError> {
        match secret {
            "eyA.eyB.good" => {
                let subject = Subject::Federated { issuer: "github".to_owned(), name: name.to_owned() };
                Ok(Some(Principal { subject, ..Principal::default() }))
            }
            "eyA.eyB.other" => Ok(None),
            _ => Err(AuthError::Invalid("the token has expired".to_owned())),
        }
    }
}

#[tokio::test]
async fn what_an_outside_issuer_signed_is_a_password_of_any_name() {
    let f = Fixture::new(None).await;
    f.logins.federate(Arc::new(Issuer));
    let principal = f.login("octo/app", "eyA.eyB.good").await.unwrap();
    assert_eq!(principal.key(), "ci:github:octo/app");
    assert!(f.take_spent().is_empty());
    assert!(!f.comes_in("x", "eyA.eyB.other").await, "no token of theirs: as any password");
    let error = f.login("x", "eyA.eyB.bad").await.unwrap_err();
    assert_eq!(error.to_string(), "the token has expired");
    for _ in 0..100 {
        if is_throttled(&f, "x", "eyA.eyB.bad").await {
            return;
        }
    }
    panic!("bad tokens are never too many");
}

#[tokio::test]
async fn r37_new_passwords_keep_the_rules() {
    let f = Fixture::new(None).await;
    for password in ["", "seven77", &"x".repeat(1025), "new\nline 8", "nul\0 is eight"] {
        assert!(matches!(f.logins.hash(password).await, Err(AuthError::Invalid(_))), "{password:?}");
    }
    for password in ["eight888", "ääääääää", &"x".repeat(1024)] {
        assert!(f.logins.hash(password).await.is_ok());
    }
    assert!(f.folder.path().exists());
}
