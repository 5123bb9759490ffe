//! R10, R11, R12, R21, R22, R34 on the wire; rules that change at run time, the control socket, the audit log.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::{MetadataExt, PermissionsExt},
    time::{Duration, Instant},
};

use berth_conformance::harness::{Berth, Finished, Stack, Tool, require};
use sha2::{Digest as _, Sha256};

/// So soon a replica has what was changed on another.
const SOON: Duration = Duration::from_secs(60);

/// `berth-registry COMMAND` beside (or instead of) the server.
fn command(berth: &Berth, words: &[&str]) -> Finished {
    let tool = Tool::at(Berth::binary().unwrap()).args(words).arg("--config").arg(berth.config());
    tool.finish().unwrap()
}

fn ran(berth: &Berth, words: &[&str]) -> String {
    let finished = command(berth, words);
    assert!(finished.status.success(), "{words:?}: {} {}", finished.stdout, finished.stderr);
    finished.stdout
}

/// Status and everything behind it, but for what tells two requests of one kind apart.
fn ask(berth: &Berth, head: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", berth.port())).unwrap();
    let host = if headers.contains("Host:") { String::new() } else { format!("Host: {}\r\n", berth.host()) };
    let length = body.len();
    write!(
        stream,
        "{head} HTTP/1.1\r\n{host}{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer[9..12].parse().unwrap();
    let own = |line: &&str| !line.starts_with("x-request-id:") && !line.starts_with("date:");
    (status, answer.lines().filter(own).collect::<Vec<_>>().join("\n"))
}

fn status(berth: &Berth, head: &str, headers: &str, body: &str) -> u16 {
    ask(berth, head, headers, body).0
}

const INDEX: &str =
    "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[]";

fn index(n: u32) -> String {
    format!("{INDEX},\"annotations\":{{\"n\":\"{n}\"}}}}")
}

fn sha256(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// `alice:secret-secret` and `bob:secret-secret`.
const ALICE: &str = "Authorization: Basic YWxpY2U6c2VjcmV0LXNlY3JldA==\r\n";
const BOB: &str = "Authorization: Basic Ym9iOnNlY3JldC1zZWNyZXQ=\r\n";

/// A registry that asks who comes, with an administrator and two users; `team/**` is alice's.
fn with_users(stack: Stack) -> Berth {
    let mut berth = Berth::builder().stack(stack).set("auth.enabled", "true").prepare().unwrap();
    let password = berth.scratch().write("password", "secret-secret").unwrap();
    for words in
        [["user", "add", "root", "--admin"].as_slice(), &["user", "add", "alice"], &["user", "add", "bob"]]
    {
        let tool = Tool::at(Berth::binary().unwrap()).args(words).arg("--password-stdin").arg("--config");
        let tool = tool.arg(berth.config()).stdin(&password);
        tool.run().unwrap();
    }
    ran(&berth, &["policy", "add", "team", "--subject", "user:alice", "--verb", "*", "--repo", "team/**"]);
    ran(
        &berth,
        &["policy", "add", "public", "--subject", "anonymous", "--verb", "pull", "--repo", "public/**"],
    );
    berth.start().unwrap();
    berth
}

#[test]
fn r21_a_private_repository_answers_as_an_absent_one_and_the_list_is_for_those_who_are_known() {
    let berth = with_users(Stack::Embedded);
    assert_eq!(status(&berth, "PUT /v2/team/here/manifests/v1", ALICE, &index(1)), 201);
    for (who, refused) in [("", 401), (BOB, 403)] {
        for path in ["manifests/v1", "tags/list", &format!("referrers/{}", sha256(&index(1)))] {
            let here = ask(&berth, &format!("GET /v2/team/here/{path}"), who, "");
            let gone = ask(&berth, &format!("GET /v2/team/gone/{path}"), who, "");
            assert_eq!(here.0, refused);
            assert_eq!(here.1, gone.1.replace("team/gone", "team/here"));
        }
    }
    assert_eq!(status(&berth, "GET /v2/_catalog", "", ""), 401);
    assert!(ask(&berth, "GET /v2/_catalog", ALICE, "").1.ends_with("{\"repositories\":[\"team/here\"]}"));
    assert!(ask(&berth, "GET /v2/_catalog", BOB, "").1.ends_with("{\"repositories\":[]}"));
    let (_, challenge) = ask(&berth, "GET /v2/", "", "");
    assert!(challenge.to_lowercase().contains("www-authenticate: "), "{challenge}");
}

#[test]
fn r10_r11_r12_blobs_are_in_reach_of_those_who_may_read_them_where_they_are() {
    let berth = with_users(Stack::Embedded);
    ran(&berth, &["policy", "add", "bob", "--subject", "user:bob", "--verb", "*", "--repo", "bob/**"]);
    let (secret, unknown) = (sha256("secret"), sha256("unknown"));
    let push = format!("POST /v2/team/a/blobs/uploads/?digest={secret}");
    assert_eq!(status(&berth, &push, ALICE, "secret"), 201);
    let mount = |digest: &str, from: &str| {
        let (status, text) =
            ask(&berth, &format!("POST /v2/bob/b/blobs/uploads/?mount={digest}{from}"), BOB, "");
        let names: Vec<_> = text.lines().map(|line| line.split(':').next().unwrap().to_owned()).collect();
        (status, names)
    };
    let absent = mount(&unknown, "&from=bob/a");
    assert_eq!(absent.0, 202);
    for from in ["&from=team/a", ""] {
        assert_eq!(mount(&secret, from), absent);
    }
    let look = |who: &str, repo: &str| status(&berth, &format!("GET /v2/{repo}/blobs/{secret}"), who, "");
    assert_eq!((look(BOB, "team/a"), look(BOB, "bob/b"), look(ALICE, "team/b")), (403, 404, 404));
    assert_eq!(look(ALICE, "team/a"), 200);
    assert_eq!(status(&berth, &format!("DELETE /v2/team/a/blobs/{secret}"), ALICE, ""), 202);
    assert_eq!(look(ALICE, "team/a"), 404);
}

#[test]
fn r22_a_rule_that_keeps_tags_holds_from_the_moment_it_is_added() {
    let berth = with_users(Stack::Embedded);
    let push =
        |n: u32, tag: &str| status(&berth, &format!("PUT /v2/team/a/manifests/{tag}"), ALICE, &index(n));
    assert_eq!((push(1, "v1"), push(2, "v1"), push(2, "latest")), (201, 201, 201));
    let keep = ["policy", "add", "keep", "--deny", "--subject", "everyone", "--verb", "overwrite,delete"];
    ran(&berth, &[keep.as_slice(), &["--repo", "**", "--tag", "v*"]].concat());
    assert_eq!((push(2, "v1"), push(3, "v1"), push(3, "latest"), push(3, "v2")), (201, 403, 201, 201));
    assert_eq!(status(&berth, "DELETE /v2/team/a/manifests/v1", ALICE, ""), 403);
    assert_eq!(status(&berth, &format!("DELETE /v2/team/a/manifests/{}", sha256(&index(2))), ALICE, ""), 403);
    assert_eq!(status(&berth, "DELETE /v2/team/a/manifests/latest", ALICE, ""), 202);
    let explained = ran(&berth, &["policy", "explain", "bob", "push", "team/a"]);
    assert!(explained.contains("user:bob may not push team/a: no rule allows it"), "{explained}");
    assert!(explained.contains("rule team would allow it, but for its subjects"), "{explained}");
    let odd = command(&berth, &["policy", "explain", "bob\u{1b}[2J", "push", "team/a"]);
    assert_eq!((odd.status.code(), odd.stdout.as_str()), (Some(2), ""), "{}", odd.stderr);
    assert!(!odd.stderr.contains('\u{1b}'), "R34: {:?}", odd.stderr);
    ran(&berth, &["policy", "remove", "keep"]);
    assert_eq!(push(3, "v1"), 201);
}

#[test]
fn a_rule_added_at_one_replica_holds_at_the_other() {
    if !require(super::OUTSIDE_TOOLS) {
        return;
    }
    let stack = Stack::outside().unwrap();
    let first = with_users(stack.clone());
    let second = Berth::builder().stack(stack).set("auth.enabled", "true").start().unwrap();
    let pull = |berth: &Berth| status(berth, "GET /v2/bob/a/tags/list", BOB, "");
    assert_eq!((pull(&first), pull(&second)), (403, 403));
    ran(&first, &["policy", "add", "bob", "--subject", "user:bob", "--verb", "pull", "--repo", "bob/**"]);
    assert_eq!(pull(&first), 404, "at once where it was added");
    let began = Instant::now();
    while pull(&second) != 404 {
        assert!(began.elapsed() < SOON, "the other replica does not know it after {SOON:?}");
        std::thread::yield_now();
    }
    println!("{:?} until the other replica knew", began.elapsed());
}

#[test]
fn r34_the_audit_log_tells_who_did_what_and_nothing_that_moves_a_cursor() {
    let berth = with_users(Stack::Embedded);
    status(&berth, "PUT /v2/team/a/manifests/v1", ALICE, &index(1));
    status(&berth, "PUT /v2/team/a/manifests/v1", ALICE, &index(2));
    status(&berth, "GET /v2/team/a/manifests/v1", BOB, "");
    // eve, an escape sequence and a line's end; the password must not be there.
    status(&berth, "GET /v2/", "Authorization: Basic ZXZlG1syShsNCng6aHVudGVyMg==\r\n", "");
    let began = Instant::now();
    let log = loop {
        let log = ran(&berth, &["audit", "--since", "1h"]);
        if log.lines().filter(|line| !line.contains("  admin  ")).count() >= 4 {
            break log;
        }
        assert!(began.elapsed() < SOON, "{log}");
    };
    for wanted in [
        "user:alice  127.0.0.1  push  done  team/a v1",
        "user:alice  127.0.0.1  overwrite  done  team/a v1",
        "user:bob  127.0.0.1  pull  denied  team/a",
        "  127.0.0.1  login  failed",
        "local  admin  done  POST /api/v1/policy/rules",
    ] {
        assert!(log.contains(wanted), "{wanted} in\n{log}");
    }
    assert!(log.bytes().all(|byte| byte == b'\n' || byte >= b' '), "{log:?}");
    assert!(log.contains("unknown:") && !log.contains("eve"), "nobody has that name: {log}");
    assert!(!log.contains("hunter2") && !log.contains("secret-secret"), "{log}");
    let json = ran(&berth, &["audit", "--repo", "team/a", "--who", "user:alice", "--json"]);
    assert_eq!(json.lines().count(), 2, "{json}");
    let entry: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(entry["digest"], sha256(&index(2)));
    assert_eq!(entry["detail"], format!("before: {}", sha256(&index(1))));
}

#[test]
fn commands_reach_the_server_that_runs_and_do_its_work_when_none_does() {
    let mut berth = with_users(Stack::Embedded);
    let socket = berth.data().join("control.sock");
    let file = std::fs::symlink_metadata(&socket).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    assert_eq!(file.uid(), rustix::process::geteuid().as_raw());
    assert!(ran(&berth, &["policy", "list"]).contains("team (catalog): allow user:alice"));
    berth.stop();
    assert!(!socket.exists(), "it goes with the server");
    assert!(ran(&berth, &["policy", "list"]).contains("team (catalog)"), "in this process");
    berth.start().unwrap();
    berth.kill().unwrap();
    assert!(socket.exists(), "nobody took it away");
    assert!(ran(&berth, &["policy", "list"]).contains("team (catalog)"), "nobody listens there");
    berth.start().unwrap();
    assert!(ran(&berth, &["policy", "list"]).contains("team (catalog)"));
    let wrong =
        command(&berth, &["policy", "add", "x", "--subject", "alice", "--verb", "pull", "--repo", "**"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(wrong.stderr.contains("\"alice\" is no subject: write anonymous"), "{}", wrong.stderr);
}

#[test]
fn an_open_registry_answers_by_the_names_of_its_machine_alone() {
    let berth = Berth::builder().start().unwrap();
    let by = |host: &str| status(&berth, "GET /v2/", &format!("Host: {host}\r\n"), "");
    assert_eq!((by("localhost"), by("127.0.0.1:1"), by("evil.example")), (200, 200, 421));
    let push = status(&berth, "POST /v2/a/blobs/uploads/", "Host: evil.example\r\n", "");
    assert_eq!(push, 421);
    let cross = "Content-Type: application/json\r\nSec-Fetch-Site: cross-site\r\n";
    let rule = "{\"name\":\"x\",\"subjects\":[\"everyone\"],\"verbs\":[\"*\"],\"repositories\":[\"**\"]}";
    assert_eq!(status(&berth, "POST /api/v1/policy/rules", cross, rule), 403);
}
