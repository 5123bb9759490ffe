//! Users and robots: how they come to be, what they may do, and how they are shut out.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use std::{
    fs,
    time::{Duration, Instant},
};

use berth_conformance::harness::{Berth, Tool, fair, require, until};
use reqwest::Method;

use super::auth_guarded::{Asker, Guarded, ROBOT, command};

const TOOLS: &[&str] = &["setpriv"];

#[test]
fn r37_no_password_is_there_by_default_and_the_refusal_says_how_to_make_the_first() {
    if !require(TOOLS) {
        return;
    }
    let mut berth = Berth::builder().set("auth.enabled", "true").prepare().unwrap();
    let refused = |berth: &mut Berth| {
        berth.launch().unwrap();
        let status = berth.wait(Duration::from_secs(60)).unwrap();
        (status.code(), berth.logs())
    };
    let (status, logs) = refused(&mut berth);
    assert_eq!(status, Some(78), "{logs}");
    assert!(logs.contains("`berth-registry user add NAME --admin`"), "{logs}");
    command(&berth, &["user", "add", "bob", "--generate"]).run().unwrap();
    assert_eq!(refused(&mut berth).0, Some(78), "bob administers nothing");
    command(&berth, &["user", "add", "alice", "--admin", "--generate"]).run().unwrap();
    command(&berth, &["user", "disable", "alice"]).run().unwrap();
    assert_eq!(refused(&mut berth).0, Some(78), "alice is shut out");
    command(&berth, &["user", "enable", "alice"]).run().unwrap();
    berth.start().unwrap();
}

#[test]
fn r27_r28_an_unknown_name_is_answered_as_a_wrong_password_until_there_were_too_many() {
    if !require(TOOLS) {
        return;
    }
    let g = Guarded::start();
    assert_eq!(g.status("/v2/", g.bob()), 200);
    let wrong = g.ask(Method::GET, "/v2/", Some(("bob", "wrong")), "");
    let unknown = g.ask(Method::GET, "/v2/", Some(("nobody", "wrong")), "");
    assert_eq!((wrong.status, unknown.status), (401, 401));
    assert_eq!(wrong.text, unknown.text);
    assert_eq!(wrong.header("www-authenticate"), unknown.header("www-authenticate"));
    let long = g.ask(Method::GET, "/v2/", Some(("bob", &"x".repeat(40_000))), "");
    assert_eq!((long.status, &long.text), (401, &wrong.text), "a long password is a wrong one");

    let mut slowest = Duration::ZERO;
    let throttled = (0..100).map(|n| {
        let guess = g.ask(Method::GET, "/v2/", Some(("alice", &format!("guess {n}"))), "");
        let begun = Instant::now();
        assert_eq!(g.status("/v2/", g.bob()), 200, "whoever is known comes in at any time");
        slowest = slowest.max(begun.elapsed());
        guess
    });
    let throttled = throttled.filter(|guess| guess.status != 401).collect::<Vec<_>>();
    let first = throttled.first().unwrap();
    assert!(throttled.len() > 60 && throttled.iter().all(|guess| guess.status == 429), "{}", throttled.len());
    assert!(first.text.contains("TOOMANYREQUESTS"), "{}", first.text);
    assert!((1..=60).contains(&first.header("retry-after").parse::<u64>().unwrap()));
    assert!(slowest < fair(Duration::from_secs(1)), "{slowest:?}");
}

#[test]
fn r26_whoever_is_shut_out_is_refused_at_once_and_a_new_password_is_the_only_one() {
    if !require(TOOLS) {
        return;
    }
    let g = Guarded::start();
    assert_eq!((g.status("/v2/", None), g.status("/v2/", g.bob())), (401, 200));
    g.run(&["user", "disable", "bob"]);
    assert_eq!(g.status("/v2/", g.bob()), 401);
    g.run(&["user", "enable", "bob"]);
    assert_eq!(g.status("/v2/", g.bob()), 200);
    let new = g.fed(&["user", "passwd", "bob", "--password-stdin"], "battery staple\n");
    assert!(new.status.success(), "{}", new.stderr);
    assert_eq!((g.status("/v2/", g.bob()), g.status("/v2/", Some(("bob", "battery staple")))), (401, 200));
    g.run(&["user", "delete", "bob"]);
    assert_eq!(g.status("/v2/", Some(("bob", "battery staple"))), 401);

    assert_eq!(g.status("/v2/", Some((ROBOT, &g.robot))), 200);
    let rotated = g.run(&["robot", "rotate", ROBOT]);
    let rotated = rotated.trim();
    assert_eq!(
        (g.status("/v2/", Some((ROBOT, &g.robot))), g.status("/v2/", Some((ROBOT, rotated)))),
        (401, 200)
    );
    g.run(&["robot", "delete", ROBOT]);
    assert_eq!(g.status("/v2/", Some((ROBOT, rotated))), 401);
}

#[test]
fn accounts_are_changed_by_administrators_and_one_s_own_password_with_the_current_one() {
    if !require(TOOLS) {
        return;
    }
    let g = Guarded::start();
    let ask = |method: Method, path: &str, who, body: &str| g.ask(method, path, who, body).status;
    assert_eq!(ask(Method::GET, "/api/v1/users", None, ""), 401);
    assert_eq!(ask(Method::GET, "/api/v1/users", g.bob(), ""), 403);
    assert_eq!(ask(Method::POST, "/api/v1/users", g.bob(), r#"{"name":"eve","admin":true}"#), 403);
    assert_eq!(ask(Method::PATCH, "/api/v1/users/bob", g.bob(), r#"{"admin":true}"#), 403);
    assert_eq!(ask(Method::POST, "/api/v1/robots", g.bob(), r#"{"name":"a/b"}"#), 403);
    assert_eq!(ask(Method::GET, "/api/v1/users/alice", g.bob(), ""), 403);
    assert_eq!(ask(Method::GET, "/api/v1/users/bob", g.bob(), ""), 200);

    for (body, status) in [
        (r#"{"name":"eve","password":"correct horse"}"#, 201),
        (r#"{"name":"eve","password":"correct horse"}"#, 409),
        (r#"{"name":"a/b","password":"correct horse"}"#, 400),
        (r#"{"name":"mallory","password":"short"}"#, 400),
        (r#"{"name":"mallory","root":true}"#, 400),
    ] {
        assert_eq!(ask(Method::POST, "/api/v1/users", g.alice(), body), status, "{body}");
    }
    assert_eq!(
        ask(Method::PATCH, "/api/v1/users/alice", g.alice(), r#"{"disabled":true}"#),
        409,
        "the last one"
    );
    assert_eq!(ask(Method::DELETE, "/api/v1/users/alice", g.alice(), ""), 409);

    let eve = Some(("eve", "correct horse"));
    let own = "/api/v1/users/eve/password";
    assert_eq!(ask(Method::PUT, own, g.bob(), r#"{"password":"battery staple"}"#), 403);
    assert_eq!(ask(Method::PUT, own, eve, r#"{"password":"battery staple"}"#), 403);
    let (wrong, right) = (
        r#"{"password":"battery staple","current":"x"}"#,
        r#"{"password":"battery staple","current":"correct horse"}"#,
    );
    assert_eq!((ask(Method::PUT, own, eve, wrong), ask(Method::PUT, own, eve, right)), (403, 200));
    assert_eq!((g.status("/v2/", eve), g.status("/v2/", Some(("eve", "battery staple")))), (401, 200));

    g.run(&["user", "group", "add", "dev"]);
    g.run(&["user", "group", "join", "dev", "eve", "robot:team/ci"]);
    let me = g.ask(Method::GET, "/api/v1/me", Some(("eve", "battery staple")), "").json();
    assert_eq!(
        (&me["subject"], &me["groups"][0], &me["admin"]),
        (&"user:eve".into(), &"dev".into(), &false.into())
    );
    assert_eq!(g.run(&["user", "group", "show", "dev"]), "robot:team/ci\nuser:eve\n");
    let listed = g.ask(Method::GET, "/api/v1/users?limit=2", g.alice(), "").json();
    assert_eq!((listed["users"].as_array().unwrap().len(), &listed["next"]), (2, &"bob".into()));
}

#[test]
fn r9_a_session_of_another_user_is_unknown() {
    if !require(TOOLS) {
        return;
    }
    let g = Guarded::start();
    let started = g.ask(Method::POST, "/v2/team/app/blobs/uploads/", g.alice(), "");
    assert_eq!(started.status, 202, "{}", started.text);
    let location = started.header("location").to_owned();
    let path = location.strip_prefix(&g.berth.url()).unwrap_or(&location).to_owned();
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::PATCH, path.clone()),
        (Method::PUT, format!("{path}?digest={digest}")),
        (Method::DELETE, path.clone()),
    ] {
        for other in [g.bob(), Some((ROBOT, g.robot.as_str()))] {
            let answer = g.ask(method.clone(), &path, other, "");
            assert_eq!(answer.status, 404, "{method}: {}", answer.text);
            assert!(answer.text.contains("BLOB_UPLOAD_UNKNOWN"), "{method}: {}", answer.text);
        }
    }
    assert_eq!(g.status(&path, g.alice()), 204);
    assert_eq!(g.ask(Method::PUT, &format!("{path}?digest={digest}"), g.alice(), "").status, 201);
}

#[test]
fn r34_no_secret_is_in_a_log_or_in_the_configuration_that_is_printed() {
    if !require(TOOLS) {
        return;
    }
    let g = Guarded::start_with(|builder| builder.set("log.level", "\"trace\""));
    let planted = ["planted-password-1", "planted-password-2", "planted-name-3", "planted-password-4"];
    let added = g.fed(&["user", "add", "carol", "--password-stdin"], planted[0]);
    assert!(added.status.success());
    assert_eq!(g.status("/v2/", Some(("carol", planted[0]))), 200);
    assert_eq!(g.status("/v2/", Some(("carol", planted[1]))), 401);
    // People type passwords where names belong.
    assert_eq!(g.status("/v2/", Some((planted[2], "x"))), 401);
    let body = format!(r#"{{"current":"{}","password":"{}"}}"#, planted[0], planted[3]);
    assert_eq!(
        g.ask(Method::PUT, "/api/v1/users/carol/password", Some(("carol", planted[0])), &body).status,
        200
    );
    assert_eq!(g.status("/v2/", Some((ROBOT, &g.robot))), 200);
    let rotated = g.run(&["robot", "rotate", ROBOT]);
    let bad = format!(r#"{{"name":"dave","password":"{}","extra":1}}"#, planted[3]);
    assert_eq!(g.ask(Method::POST, "/api/v1/users", g.alice(), &bad).status, 400);

    let logs = || g.berth.logs();
    let last = until(Duration::from_secs(60), || logs().contains("POST /api/v1/users: 400").then_some(()));
    assert!(last.is_some(), "{}", logs());
    let printed = g.run(&["config", "print"]);
    let audited = g.run(&["audit"]);
    let listed = g.run(&["user", "list", "--json"]) + &g.run(&["robot", "list", "--json"]);
    let secrets =
        planted.iter().copied().chain([g.alice.as_str(), &g.bob, &g.robot, rotated.trim(), "$argon2id$"]);
    for secret in secrets {
        assert!(!logs().contains(secret), "{secret} is in the log");
        for text in [&added.stdout, &added.stderr, &printed, &listed] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        // Which names were tried is what administrators look for there.
        assert!(secret == planted[2] || !audited.contains(secret), "{secret}: {audited}");
    }
}

#[test]
fn a_password_file_of_htpasswd_is_read_again_when_it_changes() {
    if !require(TOOLS) || !require(&["htpasswd"]) {
        return;
    }
    let htpasswd = |flags: &str, name: &str, password: &str| {
        Tool::new("htpasswd").unwrap().args([flags, name, password]).run().unwrap()
    };
    let mut berth = Berth::builder().set("auth.enabled", "true").prepare().unwrap();
    let file = berth.scratch().write("htpasswd", htpasswd("-nbm", "frank", "allmine")).unwrap();
    let text = fs::read_to_string(berth.config()).unwrap();
    fs::write(
        berth.config(),
        format!("{text}auth.htpasswd = {:?}\nauth.admins = [\"frank\"]\n", file.display()),
    )
    .unwrap();
    berth.launch().unwrap();
    assert_eq!(berth.wait(Duration::from_secs(60)).unwrap().code(), Some(78));
    assert!(berth.logs().contains("line 1: an MD5 hash"), "{}", berth.logs());

    fs::write(&file, htpasswd("-nbB", "frank", "allmine")).unwrap();
    berth.start().unwrap();
    let asker = Asker::new(berth.url());
    let status = |name, password| asker.ask(Method::GET, "/v2/", Some((name, password)), "").status;
    assert_eq!(status("frank", "allmine"), 200);
    fs::write(&file, htpasswd("-nbB", "grace", "hers too")).unwrap();
    assert!(until(Duration::from_secs(60), || (status("grace", "hers too") == 200).then_some(())).is_some());
    assert!(until(Duration::from_secs(60), || (status("frank", "allmine") == 401).then_some(())).is_some());
}
