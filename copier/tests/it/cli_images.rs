//! The command line on images: layouts on disk and a registry.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::Stdio,
};

use berth_conformance::{
    clients::Layout,
    harness::{Berth, CountingProxy, require},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::cli::{command, run};

/// A folder with the layout `app` (one image) and `multi` (an index of several platforms).
fn images() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    Layout::small_image(home.path().join("app"), "app").unwrap();
    Layout::small_index(home.path().join("multi"), "multi").unwrap();
    home
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|fault| panic!("{fault}: {text}"))
}

fn digest(home: &Path, image: &str) -> String {
    let ran = run(home, &["inspect", "--format", "{{.Digest}}", image]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stdout.trim().to_owned()
}

#[test]
fn inspect_has_skopeos_keys_in_skopeos_order() {
    let home = images();
    let ran = run(home.path(), &["inspect", "oci:app"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let keys: Vec<&str> = ran
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("    \""))
        .filter_map(|l| l.split('"').next())
        .collect();
    assert_eq!(
        keys,
        [
            "Digest",
            "RepoTags",
            "Created",
            "DockerVersion",
            "Labels",
            "Architecture",
            "Os",
            "Layers",
            "LayersData",
            "Env"
        ]
    );
    let raw = run(home.path(), &["inspect", "--raw", "oci:app"]);
    let expected = berth_oci::Digest::of(berth_oci::Algorithm::Sha256, raw.stdout.as_bytes());
    assert_eq!(json(&ran.stdout)["Digest"], expected.as_str());
    let long = berth_oci::Digest::of(berth_oci::Algorithm::Sha512, raw.stdout.as_bytes());
    let ran =
        run(home.path(), &["inspect", "--manifest-digest", "sha512", "--format", "{{.Digest}}", "oci:app"]);
    assert_eq!(ran.stdout, format!("{long}\n"));
}

#[test]
fn inspect_tells_the_configuration_raw_ordered_or_through_a_template() {
    let home = images();
    let raw = run(home.path(), &["inspect", "--config", "--raw", "oci:app"]);
    let manifest = json(&run(home.path(), &["inspect", "--raw", "oci:app"]).stdout);
    let expected = berth_oci::Digest::of(berth_oci::Algorithm::Sha256, raw.stdout.as_bytes());
    assert_eq!(manifest["config"]["digest"], expected.as_str(), "the bytes are untouched");
    let config = run(home.path(), &["inspect", "--config", "oci:app"]);
    assert_eq!(json(&config.stdout)["architecture"], json(&raw.stdout)["architecture"]);
    let shown =
        run(home.path(), &["inspect", "--config", "--format", "{{.OS}}/{{.Architecture}}", "oci:app"]);
    assert_eq!(shown.stdout, "linux/amd64\n");
    let wrong = run(home.path(), &["inspect", "--format", "{{.Foo}}", "oci:app"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.fatal().contains("there is no field .Foo; known are"), "{}", wrong.fatal());
}

#[test]
fn inspect_chooses_the_platform_that_was_asked_for() {
    let home = images();
    let architecture = |words: &[&str]| {
        let ran =
            run(home.path(), &[words, &["inspect", "--format", "{{.Architecture}}", "oci:multi"]].concat());
        (ran.code, if ran.code == 0 { ran.stdout.trim().to_owned() } else { ran.fatal() })
    };
    assert_eq!(architecture(&["--override-arch", "arm64"]), (0, "arm64".to_owned()));
    assert_eq!(architecture(&["--override-arch", "amd64"]), (0, "amd64".to_owned()));
    let (code, told) = architecture(&["--override-arch", "mc68000"]);
    assert_eq!(code, 2);
    assert!(
        told.contains("Error parsing manifest for image: choosing image instance: no image found in"),
        "{told}"
    );
}

#[test]
fn copy_tells_its_steps_writes_the_digest_and_is_silent_when_asked() {
    let home = images();
    let ran = run(home.path(), &["copy", "--digestfile", "digest", "oci:app", "dir:copied"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(lines.first(), Some(&"Getting image source signatures"));
    assert_eq!(lines.last(), Some(&"Writing manifest to image destination"));
    assert!(lines.iter().any(|line| line.starts_with("Copying blob sha256:")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("Copying config sha256:")), "{lines:?}");
    assert_eq!(fs::read_to_string(home.path().join("digest")).unwrap(), digest(home.path(), "oci:app"));
    let quiet = run(home.path(), &["copy", "-q", "oci:app", "dir:quiet"]);
    assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (0, "", ""));
    let report = run(home.path(), &["copy", "--report", "json", "--all", "oci:multi", "dir:reported"]);
    let report = json(&report.stdout);
    assert_eq!(report["digest"], digest(home.path(), "oci:multi"));
    assert_eq!(report["unchanged"], false);
}

#[test]
fn a_dry_run_writes_nothing() {
    let home = images();
    let ran = run(home.path(), &["copy", "--dry-run", "oci:app", "dir:dry"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("Running in dry-run mode"), "{}", ran.stderr);
    assert!(ran.stderr.contains("Would have copied from=oci:app to=dir:dry"), "{}", ran.stderr);
    assert!(!home.path().join("dry").exists());
}

#[test]
fn a_missing_image_ends_with_two() {
    let home = images();
    for words in [
        &["inspect", "dir:none"][..],
        &["inspect", "oci:app:none"],
        &["copy", "oci:none", "dir:x"],
        &["copy", "oci:app:none", "dir:x"],
        &["copy", "oci-archive:none.tar", "dir:x"],
        &["inspect", "docker-archive:none.tar"],
        &["list-tags", "docker-archive:none.tar"],
        &["sync", "--src", "oci", "--dest", "dir", "none", "x"],
        &["sync", "--src", "dir", "--dest", "docker", "none", "localhost:1/x"],
        &["push", "none", "localhost:1/x:1"],
    ] {
        let ran = run(home.path(), words);
        assert_eq!(ran.code, 2, "{words:?}: {}", ran.stderr);
    }
}

#[test]
fn bytes_that_are_not_what_they_should_be_end_with_four() {
    let home = images();
    let manifest = json(&run(home.path(), &["inspect", "--raw", "oci:app"]).stdout);
    let layer = manifest["layers"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let path = home.path().join("app/blobs/sha256").join(layer);
    let mut bytes = fs::read(&path).unwrap();
    bytes[3] ^= 1;
    fs::write(&path, bytes).unwrap();
    let ran = run(home.path(), &["copy", "oci:app", "dir:x"]);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
}

#[test]
fn a_policy_that_refuses_ends_with_five() {
    let home = images();
    fs::write(home.path().join("policy.json"), r#"{"default":[{"type":"reject"}]}"#).unwrap();
    let ran = run(home.path(), &["--policy", "policy.json", "copy", "oci:app", "dir:x"]);
    assert_eq!(ran.code, 5, "{}", ran.stderr);
    assert!(ran.fatal().contains("is rejected by policy"), "{}", ran.fatal());
    let ran = run(home.path(), &["--require-signed", "copy", "oci:app", "dir:x"]);
    assert_eq!(ran.code, 5, "{}", ran.stderr);
    let ran = run(home.path(), &["--policy", "policy.json", "--insecure-policy", "copy", "oci:app", "dir:x"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn an_archive_on_standard_output_goes_into_a_pipe() {
    let home = images();
    let archive = File::create(home.path().join("app.tar")).unwrap();
    let mut words = command(home.path());
    words.args(["copy", "-q", "oci:app", "docker-archive:-:example.org/app:1"]).stdout(archive);
    assert!(words.status().unwrap().success());
    let ran = run(home.path(), &["list-tags", "docker-archive:app.tar"]);
    assert_eq!(json(&ran.stdout), serde_json::json!({ "Tags": ["example.org/app:1"] }));
    let mut reader = command(home.path());
    reader.args(["inspect", "--format", "{{.Name}}", "docker-archive:-"]);
    reader.stdin(File::open(home.path().join("app.tar")).unwrap());
    let shown = reader.output().unwrap();
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
}

#[test]
fn a_reader_that_goes_away_is_no_failure_to_speak_of() {
    let home = images();
    let mut child = command(home.path())
        .args(["inspect", "oci:app"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    // Closed before the program can have written: it has yet to read three files.
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(141), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_registry_is_read_written_listed_and_deleted_from() {
    if !require(&[]) {
        return;
    }
    let home = images();
    let berth = Berth::builder().start().unwrap();
    let proxy = CountingProxy::start(&berth.host()).unwrap();
    let image = format!("docker://{}/team/app:1", proxy.host());
    let tls = "--tls-verify=false";
    let ran = run(home.path(), &["copy", "--dest-tls-verify=false", "oci:app", &image]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let _pushed = proxy.take();
    let ran = run(home.path(), &["inspect", tls, &image]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(proxy.take().total() <= 4, "a ping, the manifest, the configuration, the tags");
    let told = json(&ran.stdout);
    assert_eq!(told["Name"], format!("{}/team/app", proxy.host()));
    assert_eq!(told["RepoTags"], serde_json::json!(["1"]));
    let ran = run(home.path(), &["inspect", tls, "--no-tags", &image]);
    assert_eq!(json(&ran.stdout)["RepoTags"], serde_json::json!([]));
    let repository = format!("docker://{}/team/app", proxy.host());
    let ran = run(home.path(), &["list-tags", tls, &repository]);
    assert_eq!(
        ran.stdout,
        format!(
            "{{\n    \"Repository\": \"{}/team/app\",\n    \"Tags\": [\n        \"1\"\n    ]\n}}\n",
            proxy.host()
        )
    );
    let ran = run(home.path(), &["inspect", tls, &format!("{repository}:none")]);
    assert_eq!(ran.code, 2);
    assert!(ran.fatal().contains("reading manifest none in "), "{}", ran.fatal());
    assert!(ran.fatal().contains("manifest unknown"), "{}", ran.fatal());
    let ran = run(home.path(), &["delete", tls, &image]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    assert_eq!(run(home.path(), &["inspect", tls, &image]).code, 2);
    let ran = run(home.path(), &["delete", tls, &image]);
    assert_eq!(ran.code, 2);
    assert!(ran.fatal().starts_with("Unable to delete "), "{}", ran.fatal());
}

#[test]
fn a_signal_ends_a_copy_and_cleans_up() {
    let home = images();
    fs::create_dir(home.path().join("tmp")).unwrap();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        // An archive that never ends: the copy waits for it until it is told to stop.
        let mut child = command(home.path())
            .args(["copy", "oci-archive:-", "dir:never"])
            .env("TMPDIR", home.path().join("tmp"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // More than a pipe holds: once it is written, the program is reading.
        stdin.write_all(&vec![0_u8; 1 << 20]).unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        drop(stdin);
        assert!(!home.path().join("never/manifest.json").exists());
        assert_eq!(fs::read_dir(home.path().join("tmp")).unwrap().count(), 0);
    }
}

#[test]
fn a_journal_without_a_folder_is_in_the_users_cache() {
    if !require(&[]) {
        return;
    }
    let home = images();
    let berth = Berth::builder().start().unwrap();
    let image = format!("docker://{}/team/app:1", berth.host());
    let ran = run(home.path(), &["copy", "--resume", "--dest-tls-verify=false", "oci:app", &image]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(home.path().join(".cache/berth-copier").is_dir());
}

#[test]
fn debug_shows_each_request() {
    if !require(&[]) {
        return;
    }
    let home = images();
    let berth = Berth::builder().start().unwrap();
    let image = format!("docker://{}/team/app:none", berth.host());
    let ran = run(home.path(), &["--debug", "inspect", "--tls-verify=false", &image]);
    let line = format!("level=debug msg=\"GET http://{}/v2/team/app/manifests/none: 404\"", berth.host());
    assert!(ran.stderr.contains(&line), "{}", ran.stderr);
}

#[test]
fn files_of_an_artifact_that_the_policy_refuses_are_not_pulled() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("note"), "hello").unwrap();
    let pushed = run(home.path(), &["push", "note", "oci:notes:v1"]);
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    fs::write(home.path().join("policy.json"), r#"{"default": [{"type": "reject"}]}"#).unwrap();
    let refused = run(home.path(), &["--policy", "policy.json", "pull", "oci:notes:v1", "-o", "out"]);
    assert_eq!(refused.code, 5, "{}", refused.stderr);
    assert!(!home.path().join("out/note").exists());
    let pulled = run(home.path(), &["pull", "oci:notes:v1", "-o", "out"]);
    assert_eq!(pulled.code, 0, "{}", pulled.stderr);
    assert_eq!(fs::read_to_string(home.path().join("out/note")).unwrap(), "hello");
}

#[test]
fn an_archive_on_standard_output_is_the_archive_alone() {
    let home = images();
    for transport in ["docker-archive", "oci-archive"] {
        let (to, file) = (format!("{transport}:-"), format!("{transport}.tar"));
        let ran = command(home.path()).args(["copy", "oci:app", &to]).output().unwrap();
        assert!(ran.status.success());
        fs::write(home.path().join(&file), ran.stdout).unwrap();
        let read = run(home.path(), &["inspect", &format!("{transport}:{file}")]);
        assert_eq!(read.code, 0, "{}", read.stderr);
        assert_eq!(run(home.path(), &["copy", "--report", "json", "oci:app", &to]).code, 2);
    }
}
