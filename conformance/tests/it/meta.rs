//! A suite that cannot fail proves nothing: here it is run against registries that are wrong.

use std::{collections::BTreeSet, time::Duration};

use berth_conformance::{ConnectError, Options, Outcome, Report, Target, TargetOptions, abuse, suite};

use crate::fake::{Wrong, start};

async fn target(wrong: Wrong) -> Target {
    Target::connect(&start(wrong).await, &TargetOptions::default()).await.expect("a fake registry answers")
}

fn options(filter: &str) -> Options {
    Options {
        filter: (!filter.is_empty()).then(|| filter.to_owned()),
        timeout: Duration::from_secs(60),
        scale: 3,
        strict: true,
        ..Options::default()
    }
}

fn ids(report: &Report, is: impl Fn(&Outcome) -> bool) -> BTreeSet<&str> {
    let found = report.results.iter().filter(|result| is(&result.outcome));
    found.map(|result| result.id.as_str()).collect()
}

fn passed(report: &Report) -> BTreeSet<&str> {
    ids(report, |outcome| matches!(outcome, Outcome::Pass))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_always_fails_passes_nothing() {
    let target = target(Wrong::Always(500)).await;
    let report = suite::run(&target, &options("")).await;
    assert_eq!(
        passed(&report),
        BTreeSet::from(["base.version", "base.version-head"]),
        "beside the version check"
    );
    assert_eq!(report.skipped(), 0);
    assert_eq!(report.exit_code(), 1);
    let report = abuse::run(&target, &options("")).await;
    assert_eq!(passed(&report), BTreeSet::new());
    assert_eq!(report.skipped(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_says_yes_to_everything_passes_next_to_nothing() {
    for status in [200, 201, 202, 404] {
        let report = suite::run(&target(Wrong::Always(status)).await, &options("")).await;
        let passed = passed(&report);
        let allowed =
            |id: &&&str| !(id.starts_with("base.") || id.contains("unknown") || id.starts_with("session."));
        let surprising: Vec<_> = passed.iter().filter(allowed).collect();
        assert!(surprising.is_empty(), "{status}: {surprising:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_believes_everything_is_found_out() {
    let target = target(Wrong::Believes).await;
    let report = suite::run(&target, &options("upload.")).await;
    let passed = passed(&report);
    for path in ["post", "post-put", "chunked", "chunked-put", "streamed"] {
        for algorithm in ["sha256", "sha512"] {
            let right = format!("upload.{path}.512.{algorithm}");
            assert!(passed.contains(right.as_str()), "{right} must pass\n{}", report.to_text());
            let wrong = format!("upload.bad-digest.{path}.{algorithm}");
            assert!(!passed.contains(wrong.as_str()), "{wrong} must fail");
        }
    }
    for filter in ["order.", "referrers.", "tags.", "range.bytes=5"] {
        let report = suite::run(&target, &options(filter)).await;
        // That what is unknown is 404 is right, even here.
        let passed = self::passed(&report);
        let named: Vec<_> =
            passed.iter().filter(|id| id.starts_with(filter) && !id.contains("unknown")).collect();
        assert!(named.is_empty(), "{named:?}");
    }
    for row in
        ["r1.", "r2.", "r3.", "r4.", "r6.", "r7.", "r8", "r14.both", "r15.", "r16.", "r17.10001", "r18."]
    {
        let report = abuse::run(&target, &options(row)).await;
        let passed = self::passed(&report);
        let named: Vec<_> = passed.iter().filter(|id| id.starts_with(row)).collect();
        assert!(named.is_empty(), "{named:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bit_is_enough_to_fail() {
    let target = target(Wrong::FlipsABit).await;
    let report = suite::run(&target, &options("upload.post-put.512.")).await;
    assert_eq!((report.passed(), report.failed()), (0, 2), "{}", report.to_text());
}

#[tokio::test]
async fn what_is_no_registry_is_said_before_any_case() {
    let nothing = Target::connect("http://127.0.0.1:1", &TargetOptions::default()).await;
    assert!(matches!(nothing, Err(ConnectError::Unreachable(..))), "{nothing:?}");
    let no_url = Target::connect("gopher://127.0.0.1", &TargetOptions::default()).await;
    assert!(matches!(no_url, Err(ConnectError::Url(_))), "{no_url:?}");
}
