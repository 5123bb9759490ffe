//! `migrate` and `doctor`.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use std::fs;

use berth_conformance::clients::Remote;
use berth_conformance::harness::{Berth, Stack, Tool, require};
use serde_json::Value;

use super::recover::{command, everything, push_image};

/// The configuration of a server with another catalog.
fn with_catalog(berth: &Berth, lines: &str) -> String {
    let text = fs::read_to_string(berth.config()).unwrap();
    let kept: Vec<_> = text.lines().filter(|line| !line.starts_with("catalog.")).collect();
    let path = berth.scratch().write("other.toml", format!("{}\n{lines}\n", kept.join("\n"))).unwrap();
    path.display().to_string()
}

#[test]
fn a_catalog_is_moved_to_postgresql_and_back_and_serves_the_same() {
    if !require(super::OUTSIDE_TOOLS) {
        return;
    }
    let Stack::Outside(outside) = Stack::outside().unwrap() else { unreachable!("it was just made") };
    let mut berth = Berth::builder().start().unwrap();
    let remote = Remote::new(&berth.url()).unwrap();
    for n in 0..5 {
        push_image(&remote, "team/app", &format!("v{n}"), &format!("number {n}"));
    }
    let before = everything(&remote);
    let postgres = format!("catalog.kind = \"postgres\"\ncatalog.url = \"{}\"", outside.database_url());
    let other = with_catalog(&berth, &postgres);
    // Not while somebody writes to it.
    let busy = command(&berth, &["migrate", "--to", &other]);
    assert_eq!(busy.status.code(), Some(75), "{}", busy.stderr);
    berth.stop();
    let moved = command(&berth, &["migrate", "--to", &other, "--json"]);
    assert!(moved.status.success(), "{}", moved.stderr);
    let counts: Value = serde_json::from_str(&moved.stdout).unwrap();
    assert_eq!((&counts["tables"]["tags"], &counts["tables"]["blobs"]), (&5.into(), &10.into()));
    let again = command(&berth, &["migrate", "--to", &other]);
    assert_eq!(again.status.code(), Some(1), "{}", again.stderr);
    assert!(!again.stderr.contains("postgres://"), "{}", again.stderr);

    let embedded = fs::read_to_string(berth.config()).unwrap();
    fs::copy(&other, berth.config()).unwrap();
    berth.start().unwrap();
    let remote = Remote::new(&berth.url()).unwrap();
    assert_eq!(everything(&remote), before);
    push_image(&remote, "team/app", "late", "late");
    let late = everything(&remote);

    // Back into a new folder; first not, since the server is connected.
    let folder = berth.scratch().subfolder("back").unwrap();
    let lines = format!("catalog.kind = \"sqlite\"\ncatalog.dir = \"{}\"", folder.display());
    let back = with_catalog(&berth, &lines);
    let busy = command(&berth, &["migrate", "--to", &back]);
    assert_eq!(busy.status.code(), Some(75), "{}", busy.stderr);
    berth.stop();
    let moved = command(&berth, &["migrate", "--to", &back]);
    assert!(moved.status.success(), "{}", moved.stderr);
    fs::copy(&back, berth.config()).unwrap();
    berth.start().unwrap();
    assert_eq!(everything(&Remote::new(&berth.url()).unwrap()), late);
    assert!(embedded.contains("sqlite"));
}

fn verdicts(berth: &Berth) -> (Vec<(String, String, String)>, i32) {
    let said = command(berth, &["doctor", "--json"]);
    let page: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{}", said.stderr));
    let text = |look: &Value, key: &str| look[key].as_str().unwrap().to_owned();
    let looks = page["checks"].as_array().unwrap().iter();
    let looks = looks.map(|look| (text(look, "about"), text(look, "verdict"), text(look, "says")));
    (looks.collect(), said.status.code().unwrap())
}

fn verdict<'l>(looks: &'l [(String, String, String)], about: &str) -> &'l str {
    &looks.iter().rfind(|(name, ..)| name == about).unwrap().1
}

#[test]
fn the_doctor_finds_nothing_wrong_where_nothing_is_and_names_what_is() {
    let mut berth = Berth::builder().start().unwrap();
    let (looks, status) = verdicts(&berth);
    assert_eq!(status, 0, "{looks:?}");
    berth.stop();
    let (looks, status) = verdicts(&berth);
    assert_eq!(status, 0, "{looks:?}");
    for about in ["fsync", "free space", "catalog", "storage", "port"] {
        assert_ne!(verdict(&looks, about), "failure", "{looks:?}");
    }
    // Somebody else has the port.
    let taken = std::net::TcpListener::bind(("127.0.0.1", berth.port())).unwrap();
    let (looks, status) = verdicts(&berth);
    assert_eq!((status, verdict(&looks, "port")), (1, "failure"), "{looks:?}");
    drop(taken);
    // A catalog that is none.
    fs::write(berth.data().join("catalog.db"), "this is no database, whatever its name is").unwrap();
    let (looks, status) = verdicts(&berth);
    assert_eq!((status, verdict(&looks, "catalog")), (1, "failure"), "{looks:?}");
    // A certificate that is none.
    let pem = berth.scratch().write("pem", "no certificate").unwrap().display().to_string();
    let config = fs::read_to_string(berth.config()).unwrap();
    let tls = format!("{config}\nserver.tls.cert = \"{pem}\"\nserver.tls.key = \"{pem}\"\n");
    fs::write(berth.config(), tls).unwrap();
    let (looks, status) = verdicts(&berth);
    assert_eq!((status, verdict(&looks, "TLS")), (1, "failure"), "{looks:?}");
    // A configuration with faults.
    fs::write(berth.config(), "nonsense = 1").unwrap();
    let (looks, status) = verdicts(&berth);
    assert_eq!((status, verdict(&looks, "configuration")), (1, "failure"), "{looks:?}");
}

#[test]
fn the_doctor_reaches_database_and_bucket_and_compares_clocks() {
    if !require(super::OUTSIDE_TOOLS) {
        return;
    }
    let berth = Berth::builder().stack(Stack::outside().unwrap()).start().unwrap();
    let (looks, status) = verdicts(&berth);
    assert_eq!(status, 0, "{looks:?}");
    assert_eq!(looks.iter().filter(|(about, ..)| about == "clock").count(), 2, "{looks:?}");
    let said = command(&berth, &["doctor"]);
    assert!(
        said.stdout.lines().any(|line| line.starts_with("ok") && line.contains("bucket")),
        "{}",
        said.stdout
    );
    assert!(Tool::at(Berth::binary().unwrap()).args(["doctor", "--help"]).run().is_ok());
}
