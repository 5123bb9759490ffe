//! Real clients with tokens, some of which end in the middle of a push.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use berth_conformance::clients::{Content, Layout, Podman, Skopeo, digest_of, new_repository};
use berth_conformance::harness::{
    CountingProxy, Dockerd, Scratch, Tool, berth_program, require, require_root, until,
};
use reqwest::header::AUTHORIZATION;

use super::auth_bench::{Bench, token};

/// A PATCH whose body comes slowly.
#[test]
fn an_upload_that_began_with_a_good_token_ends_well_though_the_token_ends_meanwhile() {
    let bench =
        Bench::new(|builder| builder.set("auth.tokens.life", "\"8s\"").set("auth.tokens.leeway", "\"0s\""));
    let scope = "&scope=repository:team/slow:pull,push";
    let good = token(&bench.alice(scope));
    let location = bench.runtime.block_on(async {
        let begin = bench.post("/v2/team/slow/blobs/uploads/").bearer_auth(&good).send().await.unwrap();
        assert_eq!(begin.status().as_u16(), 202);
        begin.headers()["location"].to_str().unwrap().to_owned()
    });
    let piece = vec![7_u8; 1 << 20];
    let mut stream = TcpStream::connect(("127.0.0.1", bench.berth.port())).unwrap();
    let length = piece.len() * 8;
    write!(
        stream,
        "PATCH {location} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {good}\r\nContent-Length: {length}\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    )
    .unwrap();
    stream.write_all(&piece).unwrap();
    let ended = until(Duration::from_secs(60), || {
        (bench.with(&good, "/v2/team/slow/tags/list").status == 401).then_some(())
    });
    assert!(ended.is_some(), "the token has ended");
    (1..8).for_each(|_| stream.write_all(&piece).unwrap());
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 202");
    let digest = digest_of(&piece.repeat(8));
    let finish = |token: &str| {
        let url = format!("{}{location}?digest={digest}", bench.berth.url());
        bench.send(bench.client.put(url).bearer_auth(token)).status
    };
    assert_eq!(finish(&good), 401);
    assert_eq!(finish(&token(&bench.alice(scope))), 201, "with a new one it goes on where it was");
}

#[test]
fn berth_copier_gets_new_tokens_in_the_middle_of_a_push() {
    let copier = berth_program("BERTH_COPIER_BIN", "berth-copier").unwrap();
    let bench =
        Bench::new(|builder| builder.set("auth.tokens.life", "\"3s\"").set("auth.tokens.leeway", "\"0s\""));
    let proxy = CountingProxy::slow(&bench.berth.host(), 2 << 20).unwrap();
    let scratch = Scratch::new("copier").unwrap();
    let layout = Layout::create(scratch.join("from")).unwrap();
    let layers: Vec<_> = (0..8)
        .map(|seed| {
            let noise = Content::Noise { seed, size: 2 << 20 };
            layout.layer(&[(&format!("noise{seed}"), noise)]).unwrap()
        })
        .collect();
    layout.tag("latest", &layout.image("amd64", &layers).unwrap()).unwrap();
    let begun = Instant::now();
    let name = format!("docker://{}/team/large:latest", proxy.host());
    let policy = scratch.write("policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).unwrap();
    Tool::at(copier)
        .args(["--policy", &policy.display().to_string(), "copy", "--dest-tls-verify=false"])
        .args(["--dest-creds=alice:wonderland", &format!("oci:{}:latest", layout.path().display()), &name])
        .env("HOME", scratch.path())
        .run()
        .unwrap();
    assert!(begun.elapsed() > Duration::from_secs(6), "it outlasted two tokens: {:?}", begun.elapsed());
    let requests = proxy.take().requests;
    let tokens =
        requests.iter().filter(|(kind, _)| kind.ends_with("token")).map(|(_, count)| count).sum::<usize>();
    assert!(tokens >= 2, "{tokens} tokens");
}

#[test]
fn docker_logs_in_pushes_and_pulls_with_tokens() {
    if !require_root() || !require(Dockerd::TOOLS) {
        return;
    }
    let bench = Bench::new(|builder| builder);
    let (dockerd, scratch) = (Dockerd::start().unwrap(), Scratch::new("docker").unwrap());
    let docker = |words: &[&str]| dockerd.docker().unwrap().args(words).run();
    let password = scratch.write("password", "wonderland").unwrap();
    let login =
        dockerd.docker().unwrap().args(["login", "-u", "alice", "--password-stdin", &bench.berth.host()]);
    login.stdin(password).run().unwrap();
    let repository = format!("team/{}", new_repository("docker"));
    let image = format!("{}/{repository}:latest", bench.berth.host());
    let layout = Layout::create(scratch.join("layout")).unwrap();
    let layer = layout.layer(&[("hello", Content::Bytes(b"hello"))]).unwrap();
    let tar = layout.path().join("blobs/sha256").join(layer.digest.hex()).display().to_string();
    docker(&["import", &tar, &image]).unwrap();
    docker(&["push", &image]).unwrap();
    docker(&["rmi", &image]).unwrap();
    docker(&["pull", &image]).unwrap();
    let denied = format!("{}/bob/x:latest", bench.berth.host());
    docker(&["tag", &image, &denied]).unwrap();
    assert!(docker(&["push", &denied]).unwrap_err().to_string().contains("denied"));
    // Docker keeps a refresh token, not the password.
    let list = bench.send(bench.get("/api/v1/tokens").basic_auth("alice", Some("wonderland"))).body;
    assert_eq!(list["tokens"][0]["kind"], "offline", "{list}");
    docker(&["logout", &bench.berth.host()]).unwrap();
    assert!(docker(&["push", &image]).is_err());
}

#[test]
fn podman_skopeo_and_oras_push_and_pull_with_tokens() {
    let bench = Bench::new(|builder| builder);
    let host = bench.berth.host();
    let scratch = Scratch::new("clients").unwrap();
    let from = scratch.join("from");
    Layout::small_image(&from, "clients").unwrap();
    let from = format!("oci:{}:latest", from.display());
    if require(Skopeo::TOOLS) {
        let skopeo = Skopeo::new().unwrap();
        let name = format!("docker://{host}/team/skopeo:latest");
        skopeo.copy(&["--dest-creds=alice:wonderland"], &from, &name).unwrap();
        let to = format!("dir:{}", skopeo.scratch().join("to").display());
        skopeo.copy(&["--src-creds=alice:wonderland"], &name, &to).unwrap();
        assert!(skopeo.copy(&["--src-creds=alice:rabbit"], &name, &to).is_err());
        assert!(skopeo.copy(&["--src-creds=bob:builder-bob"], &name, &to).is_ok(), "bob administers");
        assert!(skopeo.copy(&[], &name, &to).is_err(), "and nobody is not let in");
        let tags =
            skopeo.command("list-tags").unwrap().args(["--tls-verify=false", "--creds=alice:wonderland"]);
        assert!(tags.arg(&name[..name.len() - 7]).run().unwrap().contains("latest"));
    }
    if require_root() && require(Podman::TOOLS) {
        let podman = Podman::new().unwrap();
        let image = format!("{host}/team/podman:latest");
        let credentials = ["--tls-verify=false", "--creds=alice:wonderland"];
        podman.run(&["login", "--tls-verify=false", "-u", "alice", "-p", "wonderland", &host]).unwrap();
        let [plain, creds] = credentials;
        podman.run(&["pull", plain, creds, &format!("{host}/team/skopeo:latest")]).unwrap();
        podman.run(&["tag", &format!("{host}/team/skopeo:latest"), &image]).unwrap();
        podman.run(&["push", plain, creds, &image]).unwrap();
        assert!(podman.run(&["push", plain, "--creds=alice:rabbit", &image]).is_err());
        assert!(podman.run(&["login", "--tls-verify=false", "-u", "alice", "-p", "x", &host]).is_err());
    }
    if require(&["oras-python", "setpriv"]) {
        const SCRIPT: &str = "import sys, oras.client\n\
            client = oras.client.OrasClient(hostname=sys.argv[1], insecure=True)\n\
            client.login(hostname=sys.argv[1], username='alice', password='wonderland', tls_verify=False, config_path=sys.argv[4])\n\
            client.push(target=sys.argv[2], files=[sys.argv[3]], disable_path_validation=True)\n\
            client.pull(target=sys.argv[2], outdir=sys.argv[5])\n";
        let file = scratch.write("hello.txt", "hello").unwrap().display().to_string();
        let (config, out) = (scratch.join("logins.json"), scratch.subfolder("out").unwrap());
        let (config, out) = (config.display().to_string(), out.display().to_string());
        let target = format!("{host}/team/oras:v1");
        let python = Tool::new("oras-python").unwrap().env("HOME", scratch.path());
        python.args(["-c", SCRIPT, &host, &target, &file, &config, &out]).run().unwrap();
        assert_eq!(std::fs::read_to_string(scratch.join("out/hello.txt")).unwrap(), "hello");
    }
    let header = bench.send(bench.get("/v2/").header(AUTHORIZATION, "Basic YWxpY2U6d29uZGVybGFuZA=="));
    assert_eq!(header.status, 200, "and simple clients need none");
}
