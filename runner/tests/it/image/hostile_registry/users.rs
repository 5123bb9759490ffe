//! Several who pull, who stop, who sweep, and an ordinary user with credentials.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Child, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    super::{
        assert_empty, containers, done,
        layout::{Layer, Layout, digest, tar},
    },
    server::{Registry, Reply, honest},
};
use crate::{
    bundle_user::{Home, SubordinateIds},
    program::Runner,
    supervisor::until,
};

const MINUTE: Duration = Duration::from_secs(60);

/// Something that answers wait for until a test opens it.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<(usize, bool)>, Condvar)>);

impl Gate {
    /// Waits, and lets the test know that somebody does.
    fn pass(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.0 += 1;
        changed.notify_all();
        let _open = changed.wait_while(state, |state| !state.1).unwrap();
    }

    /// Waits until so many have come to it.
    fn wait_for(&self, count: usize) {
        let (state, changed) = &*self.0;
        let waits = changed.wait_timeout_while(state.lock().unwrap(), MINUTE, |state| state.0 < count);
        assert!(!waits.unwrap().1.timed_out(), "nobody asked for the layer");
    }

    fn open(&self) {
        self.0.0.lock().unwrap().1 = true;
        self.0.1.notify_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.open();
        }
    }
}

fn layers() -> Vec<Layer> {
    let noise: Vec<u8> = (0..500_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    vec![
        Layer::gzip(&tar(&[("large", &noise)])),
        Layer::gzip(&tar(&[("b", b"b")])),
        Layer::zstd(&tar(&[("c", &noise[..200_000])])),
    ]
}

/// A registry whose first layer comes when the gate is open.
fn gated(layers: &[Layer], gate: &Gate) -> Registry {
    let (gate, end) = (gate.clone(), format!("/blobs/{}", digest(&layers[0].bytes)));
    Registry::of(&Layout::of(layers), layers, move |request| {
        if request.path.ends_with(&end) && request.method == "GET" {
            gate.pass();
        }
        None
    })
}

fn begun(runner: &Runner, name: &str) -> Child {
    let mut command = runner.command(&["pull", "-q", "--tls-verify=false", name]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Whether the kernel has the process wait for a lock on a file.
fn waits_for_a_lock(child: &Child) -> bool {
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    let id = child.id().to_string();
    locks.lines().any(|line| line.contains("->") && line.split_whitespace().any(|word| word == id))
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
}

#[test]
fn u13_pulls_of_one_image_at_the_same_time_fetch_each_layer_once() {
    let (layers, gate, runner) = (layers(), Gate::default(), Runner::new());
    let registry = gated(&layers, &gate);
    let mut children: Vec<Child> = (0..4).map(|_| begun(&runner, &registry.name())).collect();
    gate.wait_for(1);
    gate.open();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    for layer in &layers {
        assert_eq!(registry.fetched(&layer.bytes), 1, "{}", layer.media_type);
    }
    assert!(done(&runner, &["check"]).ends_with("0 damaged, 0 unused"));
}

#[test]
fn f24_whoever_waits_for_a_killed_pull_goes_on_itself() {
    let (layers, gate, runner) = (layers(), Gate::default(), Runner::new());
    let registry = gated(&layers, &gate);
    let mut first = begun(&runner, &registry.name());
    gate.wait_for(1);
    let mut second = begun(&runner, &registry.name());
    send(&first, Signal::KILL);
    assert_eq!(first.wait().unwrap().signal(), Some(9));
    gate.open();
    assert!(second.wait().unwrap().success());
    assert!(done(&runner, &["check"]).ends_with("0 damaged, 0 unused"));
}

#[test]
fn f24_a_pull_that_waits_for_another_is_interrupted_at_once() {
    let (layers, gate, runner) = (layers(), Gate::default(), Runner::new());
    let registry = gated(&layers, &gate);
    let mut first = begun(&runner, &registry.name());
    gate.wait_for(1);
    let mut second = begun(&runner, &registry.name());
    until("it waits for the other", || waits_for_a_lock(&second));
    let asked = Instant::now();
    send(&second, Signal::INT);
    assert_eq!(second.wait().unwrap().code(), Some(130));
    assert!(asked.elapsed().as_secs() < 5, "{:?}", asked.elapsed());
    gate.open();
    assert!(first.wait().unwrap().success());
    assert!(done(&runner, &["check"]).ends_with("0 damaged, 0 unused"));
}

#[test]
fn f24_what_came_whole_before_a_kill_is_not_fetched_again() {
    let (layers, gate, runner) = (layers(), Gate::default(), Runner::new());
    let registry = gated(&layers, &gate);
    for (round, signal) in [Signal::KILL, Signal::INT].into_iter().enumerate() {
        let mut child = begun(&runner, &registry.name());
        gate.wait_for(round + 1);
        // The two others are there by the time that nothing else is asked for.
        let whole = |layer: &Layer| runner.store().join("layers").join(layer.diff_id.hex()).exists();
        until("two layers are there", || layers[1..].iter().all(whole));
        send(&child, signal);
        let ended = child.wait().unwrap();
        assert_eq!(ended.signal().or(ended.code()), Some(if signal == Signal::KILL { 9 } else { 130 }));
        assert_eq!(done(&runner, &["images", "-q"]), "");
        assert!(runner.run(&["check"]).status.success());
    }
    gate.open();
    let id = done(&runner, &["pull", "-q", "--tls-verify=false", &registry.name()]);
    assert_eq!(id, digest(&Layout::of(&layers).config).hex());
    assert_eq!([1, 2].map(|at| registry.fetched(&layers[at].bytes)), [1, 1]);
    assert_eq!(registry.fetched(&layers[0].bytes), 3);
    assert!(done(&runner, &["check"]).ends_with("0 damaged, 0 unused"));
}

#[test]
fn pulls_beside_prunes_have_their_images_whole() {
    let (layers, runner) = (layers(), Runner::new());
    let layout = Layout::of(&layers);
    let registry = Registry::of(&layout, &layers, |_| None);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let prunes = scope.spawn(|| {
            let mut prunes = 0;
            while !over.load(Ordering::SeqCst) {
                done(&runner, &["image", "prune", "--force"]);
                prunes += 1;
            }
            prunes
        });
        for _ in 0..12 {
            done(&runner, &["pull", "-q", "--tls-verify=false", &registry.name()]);
            assert!(done(&runner, &["check"]).contains(" 0 damaged"));
            assert_eq!(done(&runner, &["images", "--format", "{{.Digest}}"]), layout.digest().as_str());
            done(&runner, &["rmi", &registry.name()]);
        }
        over.store(true, Ordering::SeqCst);
        assert!(prunes.join().unwrap() > 0);
    });
    assert_empty(&runner);
}

/// A registry that takes a token, and a service that gives one for a password.
fn with_tokens(layout: &Layout, layers: &[Layer]) -> Registry {
    let honest = honest(layout, layers);
    Registry::start("127.0.0.1", move |request| {
        let host = request.header("host").unwrap_or_default();
        let said = request.header("authorization");
        if request.path.starts_with("/token") {
            // `games:secret`.
            return match said {
                Some("Basic Z2FtZXM6c2VjcmV0") => Reply::new(200, r#"{"token":"t0k3n","expires_in":300}"#),
                _ => Reply::new(401, ""),
            };
        }
        match said {
            Some("Bearer t0k3n") => honest(request),
            _ => {
                let challenge = format!(
                    r#"Bearer realm="http://{host}/token",service="s",scope="repository:image:pull""#
                );
                Reply::new(401, "").with("WWW-Authenticate", challenge)
            }
        }
    })
}

#[test]
fn a_user_logs_in_and_runs_what_a_registry_gives_to_tokens_alone() {
    let Some(home) = Home::with(|_| ()) else { return };
    let _ids = SubordinateIds::new();
    let layers = [containers::layer()];
    let registry = with_tokens(&Layout::of(&layers), &layers);
    let name = registry.name();
    let run = ["run", "--rm", "--network", "none", "--tls-verify=false", &name, "cat", "/etc/motd"];
    let refused = home.run(&run);
    assert_eq!(refused.status.code(), Some(125), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("unauthorized"), "{refused:?}");

    let login = ["login", "--tls-verify=false", "-u", "games", "-p"];
    assert_eq!(home.run(&[&login[..], &["wrong", &registry.host()]].concat()).status.code(), Some(3));
    home.ok(&[&login[..], &["secret", &registry.host()]].concat());
    let auth = std::fs::read_to_string(home.path("home/containers/auth.json")).unwrap();
    assert!(auth.contains("Z2FtZXM6c2VjcmV0"), "{auth}");
    assert_eq!(home.ok(&run), "hello\n");
    assert_eq!(registry.fetched(&layers[0].bytes), 1);
    home.ok(&["pull", "-q", "--tls-verify=false", &name]);
    assert!(home.ok(&["check"]).trim_end().ends_with("0 damaged, 0 unused"));
    home.ok(&["logout", &registry.host()]);
    assert_eq!(home.run(&["pull", "-q", "--tls-verify=false", &name]).status.code(), Some(3));
}
