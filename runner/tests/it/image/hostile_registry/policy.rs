//! The signature policy and registries.conf, on every way into the store.

use std::path::{Path, PathBuf};

use berth_conformance::harness::require_root;

use super::{
    super::{
        assert_empty, containers, done,
        layout::{Layer, Layout, gzip, tar},
        refused, stderr,
    },
    server::{Registry, Reply},
};
use crate::program::Runner;

const ACCEPT: &str = r#"[{"type":"insecureAcceptAnything"}]"#;
const REJECT: &str = r#"[{"type":"reject"}]"#;

fn layers() -> Vec<Layer> {
    vec![Layer::gzip(&tar(&[("etc/motd", b"hello\n")]))]
}

fn file(runner: &Runner, name: &str, text: &str) -> PathBuf {
    let path = runner.store().with_file_name(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn policy(runner: &Runner, default: &str, transports: &str) -> PathBuf {
    file(runner, "policy.json", &format!(r#"{{"default":{default},"transports":{{{transports}}}}}"#))
}

/// A tar of a layout's files.
fn archive(layout: &Layout) -> Vec<u8> {
    let mut tar = ::tar::Builder::new(Vec::new());
    tar.append_dir_all(".", layout.path()).unwrap();
    tar.into_inner().unwrap()
}

#[test]
fn u21_a_policy_that_says_no_refuses_every_way_into_the_store() {
    let (layers, runner) = (layers(), Runner::new());
    let layout = Layout::of(&layers);
    let registry = Registry::of(&layout, &layers, |_| None);
    let (name, path) = (registry.name(), layout.path().to_str().unwrap());
    let root = file(&runner, "root.tar", "");
    std::fs::write(&root, tar(&[("a", b"a")])).unwrap();
    let (root, saved) = (root.to_str().unwrap(), file(&runner, "saved.tar", ""));
    std::fs::write(&saved, archive(&layout)).unwrap();
    let policy = policy(&runner, REJECT, "");
    let policy = policy.to_str().unwrap();
    for (code, words) in [
        (5, &["pull", "--tls-verify=false", &name][..]),
        (5, &["pull", "--policy", "missing", "--tls-verify=false", &name]),
        (5, &["pull", "--policy", "newer", "--tls-verify=false", &name]),
        (5, &["pull", &layout.name()]),
        (125, &["run", "--tls-verify=false", &name]),
        (125, &["run", "--pull", "always", "--tls-verify=false", &name]),
        (125, &["create", "--tls-verify=false", &name]),
        (125, &["container", "create", "--tls-verify=false", &name]),
        (125, &["run", &layout.name()]),
        (5, &["load", "-i", path]),
        (5, &["load", "-i", saved.to_str().unwrap()]),
        (5, &["import", root, "x:1"]),
        (5, &["image", "import", root]),
    ] {
        // Before the verb and behind it.
        for words in [
            [&["--signature-policy", policy], words].concat(),
            [&words[..1], &["--signature-policy", policy], &words[1..]].concat(),
        ] {
            let error = refused(&runner, code, &words);
            assert!(error.contains("rejected by policy"), "{words:?}: {error}");
        }
    }
    assert!(registry.seen().iter().all(|seen| !seen.path.contains("/blobs/")), "no blob was read");
    assert_eq!(done(&runner, &["ps", "--all", "--quiet"]), "");
    assert_empty(&runner);
}

#[test]
fn every_user_of_an_image_that_is_here_may_go_on_under_a_policy_that_says_no() {
    let (layers, runner) = (layers(), Runner::new());
    let layout = Layout::of(&layers);
    let registry = Registry::of(&layout, &layers, |_| None);
    done(&runner, &["pull", "--tls-verify=false", &registry.name()]);
    let policy = policy(&runner, REJECT, "");
    let policy = ["--signature-policy", policy.to_str().unwrap()];
    done(&runner, &[&policy[..], &["create", &registry.name(), "x"]].concat());
    let place = format!("oci:{}:x", runner.store().with_file_name("out").display());
    done(&runner, &[&policy[..], &["push", &registry.name(), &place]].concat());
    // But a policy that was named has to be one.
    for words in [&["push", &registry.name(), &place][..], &["pull", "--tls-verify=false", &registry.name()]]
    {
        let error = refused(&runner, 1, &[&["--signature-policy", "/nowhere/policy.json"], words].concat());
        assert!(error.contains("/nowhere/policy.json"), "{error}");
    }
    // One that is newer has to be asked for.
    let newer = ["create", "--pull", "newer", "--tls-verify=false", &registry.name(), "x"];
    let error = refused(&runner, 125, &[&policy[..], &newer].concat());
    assert!(error.contains("rejected by policy"), "{error}");
    done(&runner, &["rm", "--all"]);
}

#[test]
fn u21_packing_an_archive_or_piping_it_leads_around_no_rule() {
    let (layout, runner) = (Layout::of(&layers()), Runner::new());
    let folder = runner.store().with_file_name("incoming");
    std::fs::create_dir(&folder).unwrap();
    let plain = archive(&layout);
    let (tar, packed) = (folder.join("a.tar"), folder.join("a.tar.gz"));
    std::fs::write(&packed, gzip(&plain)).unwrap();
    std::fs::write(&tar, plain).unwrap();
    let rule = format!(r#""oci-archive":{{"{}":{REJECT}}}"#, folder.display());
    let policy = policy(&runner, ACCEPT, &rule);
    let load = |path: &Path| {
        let words = ["load", "--signature-policy", policy.to_str().unwrap(), "-i", path.to_str().unwrap()];
        refused(&runner, 5, &words)
    };
    for path in [&tar, &packed] {
        let error = load(path);
        assert!(error.contains(&format!("oci-archive:{}", path.display())), "{error}");
    }
    let mut command = runner.command(&["load", "--signature-policy", policy.to_str().unwrap()]);
    let output = command.stdin(std::fs::File::open(&packed).unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert_empty(&runner);
}

#[test]
fn u21_a_tar_of_files_is_judged_by_its_own_transport() {
    let runner = Runner::new();
    let root = file(&runner, "root.tar", "");
    std::fs::write(&root, tar(&[("a", b"a")])).unwrap();
    let import = |policy: &Path| {
        let words = ["import", "-q", "--signature-policy", policy.to_str().unwrap(), root.to_str().unwrap()];
        runner.run(&words)
    };
    let only = policy(&runner, REJECT, &format!(r#""tarball":{{"":{ACCEPT}}}"#));
    assert!(import(&only).status.success());
    let key = r#"[{"type":"sigstoreSigned","keyPath":"/nowhere"}]"#;
    let signed = policy(&runner, ACCEPT, &format!(r#""tarball":{{"":{key}}}"#));
    let output = import(&signed);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert!(stderr(&output).contains("A signature was required"), "{output:?}");
}

#[test]
fn run_pulls_by_the_flags_that_pull_has() {
    let layers = [containers::layer()];
    let layout = Layout::of(&layers);
    let honest = super::server::honest(&layout, &layers);
    let registry = Registry::start("127.0.0.1", move |request| match request.header("authorization") {
        Some("Basic bWU6c2VjcmV0") => honest(request),
        _ => Reply::new(401, "").with("WWW-Authenticate", "Basic realm=\"r\""),
    });
    let (runner, name) = (Runner::new(), registry.name());
    let run = ["run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024"];
    let pull = ["--tls-verify=false", "--retry", "0", "--retry-delay", "1s"];
    let error = refused(&runner, 125, &[&run[..], &pull, &[&name, "true"]].concat());
    assert!(error.contains("unauthorized"), "{error}");
    let error = refused(&runner, 125, &[&run[..], &pull, &["--creds", "me:wrong", &name, "true"]].concat());
    assert!(error.contains("unauthorized"), "{error}");
    let never = [&run[..], &pull, &["--pull", "never", "--creds", "me:secret", &name, "true"]].concat();
    assert!(refused(&runner, 125, &never).contains("--pull=never was given"));
    let other = [&run[..], &pull, &["--arch", "s390x", "--creds", "me:secret", &name, "true"]].concat();
    let error = refused(&runner, 125, &other);
    let host = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };
    assert!(error.contains(host) && error.contains("linux/s390x"), "{error}");
    assert_empty(&runner);

    let auth = file(
        &runner,
        "auth.json",
        &format!(r#"{{"auths":{{"{}":{{"auth":"bWU6c2VjcmV0"}}}}}}"#, registry.host()),
    );
    if !require_root() {
        return;
    }
    let told = done(
        &runner,
        &[
            &run[..],
            &pull,
            &[
                "--quiet",
                "--cert-dir",
                "/tmp",
                "--authfile",
                auth.to_str().unwrap(),
                &name,
                "cat",
                "/etc/motd",
            ],
        ]
        .concat(),
    );
    assert_eq!(told, "hello");
    let before = registry.seen().len();
    done(&runner, &[&run[..], &["--creds", "me:secret", "--tls-verify=false", &name, "true"]].concat());
    assert_eq!(registry.seen().len(), before, "what is here is not asked for");
    done(
        &runner,
        &[&run[..], &["--pull=always", "--creds", "me:secret", "--tls-verify=false", &name, "true"]].concat(),
    );
    assert!(registry.seen().len() > before);
}

#[test]
fn short_names_mirrors_and_blocked_registries_are_those_of_registries_conf() {
    let layers = layers();
    let layout = Layout::of(&layers);
    let registry = Registry::of(&layout, &layers, |_| None);
    let absent = Registry::start("127.0.0.1", |request| match request.path.as_str() {
        "/v2/" => Reply::new(200, "{}"),
        _ => Reply::new(404, ""),
    });
    let runner = Runner::new();
    let (good, none) = (registry.host(), absent.host());
    let insecure = |host: &str| format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n");
    let conf = |name: &str, text: &str| {
        let path = file(&runner, name, text);
        move |command: &mut std::process::Command| {
            command.env("CONTAINERS_REGISTRIES_CONF", &path);
        }
    };
    let pulled = |by: &dyn Fn(&mut std::process::Command), name: &str, code: i32| {
        let mut command = runner.command(&["pull", "--retry", "0", name]);
        by(&mut command);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{name}: {output:?}");
        stderr(&output)
    };
    // The first that has it; who is blocked is not asked.
    let blocked = "[[registry]]\nlocation = \"blocked.example\"\nblocked = true\n";
    let search = conf(
        "search.conf",
        &format!(
            "unqualified-search-registries = [\"blocked.example\", \"{none}\", \"{good}\"]\n{blocked}{}{}",
            insecure(&good),
            insecure(&none)
        ),
    );
    let told = pulled(&search, "image:1", 0);
    assert!(!told.contains("blocked.example"), "{told}");
    assert_eq!(done(&runner, &["images", "--format", "{{.Repository}}"]), format!("{good}/image"));
    assert!(pulled(&search, "blocked.example/image:1", 5).contains("is blocked in"));
    let only =
        conf("only.conf", &format!("unqualified-search-registries = [\"blocked.example\"]\n{blocked}"));
    assert!(pulled(&only, "image:1", 5).contains("is blocked in"));
    done(&runner, &["rmi", &registry.name()]);

    // A mirror in place of a registry that is blocked, under the registry's name.
    let mirrored = conf(
        "mirror.conf",
        &format!(
            "[[registry]]\nprefix = \"gone.example/team\"\nlocation = \"gone.example/team\"\nblocked = true\n\
             [[registry.mirror]]\nlocation = \"{good}\"\ninsecure = true\n\
             [aliases]\n\"app\" = \"gone.example/team/image\"\n"
        ),
    );
    pulled(&mirrored, "app:1", 0);
    assert_eq!(
        done(&runner, &["images", "--format", "{{.Repository}}:{{.Tag}}"]),
        "gone.example/team/image:1"
    );
    // The policy judges by the name, wherever the bytes come from.
    let policy = policy(&runner, ACCEPT, &format!(r#""docker":{{"gone.example":{REJECT}}}"#));
    done(&runner, &["rmi", "gone.example/team/image:1"]);
    let mut command = runner.command(&["pull", "--signature-policy", policy.to_str().unwrap(), "app:1"]);
    mirrored(&mut command);
    assert_eq!(command.output().unwrap().status.code(), Some(5));
    assert_empty(&runner);
}
