//! Real clients that log in, push and pull as users and robots.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use berth_conformance::clients::{Content, Layout, Podman, Skopeo, digest_of, new_repository};
use berth_conformance::harness::{Dockerd, Scratch, Tool, require, require_root};
use berth_oci::MediaType;
use reqwest::Method;

use super::auth_guarded::{Guarded, ROBOT};

/// A file system of one layer, as an archive.
fn archive(scratch: &Scratch, salt: &str) -> String {
    let layout = Layout::create(scratch.join(salt)).unwrap();
    let noise = Content::Noise { seed: 7, size: 1 << 20 };
    let tar = layout.layer(&[("hello", Content::Bytes(salt.as_bytes())), ("noise", noise)]).unwrap();
    layout.path().join("blobs/sha256").join(tar.digest.hex()).display().to_string()
}

/// The digest of a manifest as alice sees it; nobody else is asked.
fn held(g: &Guarded, repository: &str, tag: &str) -> String {
    let answer = g.ask(Method::GET, &format!("/v2/{repository}/manifests/{tag}"), g.alice(), "");
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(g.status(&format!("/v2/{repository}/manifests/{tag}"), None), 401);
    let digest = digest_of(answer.text.as_bytes()).to_string();
    assert_eq!(answer.header("docker-content-digest"), digest);
    digest
}

#[test]
fn docker_logs_in_pushes_and_pulls_and_is_refused_with_a_wrong_password() {
    if !require_root() || !require(Dockerd::TOOLS) {
        return;
    }
    let (g, dockerd, scratch) =
        (Guarded::start(), Dockerd::shared().unwrap(), Scratch::new("docker").unwrap());
    let host = g.berth.host();
    let folder = scratch.subfolder("config").unwrap();
    // The last --config counts: logins of this test alone.
    let docker = |words: &[&str]| dockerd.docker().unwrap().arg("--config").arg(&folder).args(words);
    let login = |name: &str, secret: &str| {
        let file = scratch.write("secret", secret).unwrap();
        docker(&["login", "--username", name, "--password-stdin", &host]).stdin(file).finish().unwrap()
    };
    let image = format!("{host}/team/docker:latest");
    docker(&["import", &archive(&scratch, "docker"), &image]).run().unwrap();
    let refused = docker(&["push", &image]).finish().unwrap();
    assert!(!refused.status.success(), "nobody may push: {}", refused.stdout);
    let wrong = login("bob", "wrong");
    assert!(!wrong.status.success() && wrong.stderr.contains("unauthorized"), "{}", wrong.stderr);
    for (name, secret) in [("bob", &g.bob), (ROBOT, &g.robot)] {
        let said = login(name, secret);
        assert!(said.stdout.contains("Login Succeeded"), "{} {}", said.stdout, said.stderr);
        let pushed = docker(&["push", &image]).run().unwrap();
        assert!(pushed.contains(&held(&g, "team/docker", "latest")), "{pushed}");
        docker(&["rmi", &image]).run().unwrap();
        docker(&["pull", &image]).run().unwrap();
        docker(&["logout", &host]).run().unwrap();
    }
}

#[test]
fn podman_logs_in_pushes_and_pulls() {
    if !require_root() || !require(Podman::TOOLS) {
        return;
    }
    let (g, podman) = (Guarded::start(), Podman::new().unwrap());
    let host = g.berth.host();
    let login = |name: &str, secret: &str| {
        let file = podman.scratch().write("secret", secret).unwrap();
        let words = ["login", "--tls-verify=false", "--username", name, "--password-stdin", &host];
        podman.command(&words).unwrap().stdin(file).finish().unwrap()
    };
    assert!(!login("bob", "wrong").status.success());
    let said = login("bob", &g.bob);
    assert!(said.stdout.contains("Login Succeeded"), "{}", said.stderr);
    let image = format!("{host}/team/podman:latest");
    // Every command writes the file of logins anew, so what was logged in is handed on by its own.
    let auth = podman.scratch().join("home/auth.json");
    let kept = podman.scratch().write("logins.json", std::fs::read(&auth).unwrap()).unwrap();
    let kept = format!("--authfile={}", kept.display());
    podman.run(&["import", &archive(podman.scratch(), "podman"), &image]).unwrap();
    podman.run(&["push", "--tls-verify=false", &kept, &image]).unwrap();
    held(&g, "team/podman", "latest");
    podman.run(&["rmi", "--force", &image]).unwrap();
    assert!(podman.run(&["pull", "--tls-verify=false", &image]).is_err(), "without the logins");
    podman.run(&["pull", "--tls-verify=false", &kept, &image]).unwrap();
}

#[test]
fn skopeo_logs_in_and_copies_an_index_as_a_robot() {
    if !require(Skopeo::TOOLS) {
        return;
    }
    let (g, skopeo) = (Guarded::start(), Skopeo::new().unwrap());
    let (repository, host) = (new_repository("skopeo-auth"), g.berth.host());
    let file = skopeo.scratch().write("secret", &g.robot).unwrap();
    let words = ["--tls-verify=false", "--username", ROBOT, "--password-stdin", &host];
    let said = skopeo.command("login").unwrap().args(words).stdin(file).run().unwrap();
    assert!(said.contains("Login Succeeded"), "{said}");
    let from = skopeo.scratch().join("from");
    let (_, digest) = Layout::small_index(&from, &repository).unwrap();
    let from = format!("oci:{}:latest", from.display());
    let image = format!("docker://{host}/{repository}:latest");
    let flags = ["--all", "--preserve-digests"];
    assert!(skopeo.copy(&flags, &from, &image).is_err(), "without credentials");
    let robot = format!("{ROBOT}:{}", g.robot);
    skopeo.copy(&[flags[0], flags[1], "--dest-creds", &robot], &from, &image).unwrap();
    assert_eq!(held(&g, &repository, "latest"), digest.to_string());
    let to = format!("oci:{}:latest", skopeo.scratch().join("to").display());
    skopeo.copy(&[flags[0], flags[1], "--src-creds", &robot], &image, &to).unwrap();
}

const PUSH: &str = r"
import sys, oras.client
host, target, name, secret, config, *files = sys.argv[1:]
client = oras.client.OrasClient(hostname=host, insecure=True, auth_backend='basic')
client.login(username=name, password=secret, hostname=host, tls_verify=False, config_path=sys.argv[5] + '.login')
client.push(target=target, files=files, manifest_config=config, disable_path_validation=True)
";

#[test]
fn charts_and_artifacts_are_pushed_by_users() {
    if !require(&["oras-python", "setpriv"]) {
        return;
    }
    let (g, scratch) = (Guarded::start(), Scratch::new("oras-auth").unwrap());
    let file = |name: &str, content: &str| scratch.write(name, content).unwrap().display().to_string();
    let helm = (
        file("config.json", r#"{"name":"app","version":"1.0.0","apiVersion":"v2"}"#)
            + ":application/vnd.cncf.helm.config.v1+json",
        file("app-1.0.0.tgz", "a chart") + ":application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
    );
    let report = (
        file("empty.json", "{}") + ":application/vnd.example.report.config+json",
        file("report.json", r#"{"found":0}"#) + ":application/vnd.example.report+json",
        "application/vnd.example.report+json",
    );
    for (repository, (config, content, media_type), name, secret) in
        [("charts/app", &helm, "bob", &g.bob), ("team/reports", &report, ROBOT, &g.robot)]
    {
        let target = format!("{}/{repository}:1.0.0", g.berth.host());
        let push = |secret: &str| {
            let words = ["-c", PUSH, &g.berth.host(), &target, name, secret, config, content];
            Tool::new("oras-python").unwrap().args(words).env("HOME", scratch.path()).finish().unwrap()
        };
        assert!(!push("wrong").status.success());
        let pushed = push(secret);
        assert!(pushed.status.success(), "{} {}", pushed.stdout, pushed.stderr);
        held(&g, repository, "1.0.0");
        let manifest = g.ask(Method::GET, &format!("/v2/{repository}/manifests/1.0.0"), g.alice(), "");
        assert_eq!(manifest.header("content-type"), MediaType::OCI_MANIFEST);
        assert_eq!(manifest.json()["layers"][0]["mediaType"], *media_type);
    }
}
