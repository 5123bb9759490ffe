//! `/etc/hosts` and its like, which a container may write.

use super::{ok, on_a_bridge};
use crate::{
    bundle_user::{Home, SubordinateIds},
    net::machine::Machine as Network,
    supervisor::{kill, machine},
};

/// Fills all of them and prints how large they became.
const FILL: &str = "for file in /etc/hosts /etc/resolv.conf /etc/hostname /run/.containerenv; do \
                    head -c 20000000 /dev/zero >> $file; stat -c %s $file; done 2>/dev/null";

/// What they may hold together: what is theirs, and a little more.
const MOST: u64 = 2 << 20;

fn bounded(printed: &str) {
    let sizes: Vec<u64> = printed.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(sizes.len(), 4, "{printed}");
    let sum = sizes.iter().sum::<u64>();
    assert!(sum < MOST, "{sum} bytes: {sizes:?}");
    assert!(sum > 512 << 10, "they cannot be written: {sizes:?}");
}

#[test]
fn what_a_container_writes_into_its_own_etc_is_bounded() {
    let Some(machine) = machine() else { return };
    bounded(&machine.ok(&machine.arguments("run", &["--rm"], &["sh", "-c", FILL], &machine.root())));
    // With ids of its own.
    super::import(&machine);
    bounded(&machine.ok(&["run", "--rm", "--network", "none", "test:latest", "sh", "-c", FILL]));
    machine.is_empty();
}

#[test]
fn what_a_users_container_writes_into_its_own_etc_is_bounded() {
    let Some(home) = Home::with(|root| {
        std::os::unix::fs::symlink("busybox", root.join("bin/head")).unwrap();
    }) else {
        return;
    };
    let _ids = SubordinateIds::new();
    home.import();
    bounded(&home.ok(&["run", "--rm", "--network", "none", "test:latest", "sh", "-c", FILL]));
    let kept = ["run", "--rm", "--network", "none", "--userns", "keep-id", "--user", "0", "test:latest"];
    bounded(&home.ok(&[&kept[..], &["sh", "-c", FILL]].concat()));
}

#[test]
fn a_running_containers_names_follow_its_networks_also_when_its_supervisor_is_another() {
    let Some(machine) = machine() else { return };
    let (network, root) = (Network::new(), machine.root());
    for name in ["red", "blue", "green"] {
        network.network(&["create", name]);
    }
    ok(&network, &on_a_bridge("web", &root, &["-d", "--network", "red"], &["sleep", "1000"]));
    let hosts = || ok(&network, &["exec", "web", "cat", "/etc/hosts"]).matches(" web\n").count();
    // Its own name stands once for each of its addresses; the last line of all is another.
    assert_eq!(hosts(), 1);
    ok(&network, &["network", "connect", "blue", "web"]);
    assert_eq!(hosts(), 2);
    kill(&ok(&network, &["inspect", "--format", "{{.State.ConmonPid}}", "web"]));
    ok(&network, &["network", "connect", "green", "web"]);
    assert_eq!(hosts(), 3);
    ok(&network, &["boot"]);
    ok(&network, &["network", "disconnect", "blue", "web"]);
    assert_eq!(hosts(), 2);
    let shares = ["run", "--rm", "--network", "container:web", "--userns", "host", "--rootfs", &root];
    let seen = ok(&network, &[&shares[..], &["cat", "/etc/hosts"]].concat());
    assert_eq!(seen, ok(&network, &["exec", "web", "cat", "/etc/hosts"]), "its network is the other's");
    // A container that has filled its files keeps what it has, and nothing else fails of it.
    ok(&network, &["exec", "web", "sh", "-c", "head -c 9000000 /dev/zero > /etc/resolv.conf || true"]);
    let output = network.runner(&["network", "connect", "blue", "web"]);
    assert!(output.status.success(), "{output:?}");
    ok(&network, &["rm", "--force", "--time", "0", "--all"]);
}

#[test]
fn what_a_container_puts_over_its_hosts_is_never_written_from_outside() {
    let Some(machine) = machine() else { return };
    let (network, root) = (Network::new(), machine.root());
    network.network(&["create", "red"]);
    network.network(&["create", "blue"]);
    let victim = machine.path("victim");
    std::fs::write(&victim, "mine").unwrap();
    let bind = format!("{}:/etc/hosts", victim.display());
    let flags = ["-d", "--network", "red", "-v", &bind];
    ok(&network, &on_a_bridge("web", &root, &flags, &["sleep", "1000"]));
    ok(&network, &["network", "connect", "blue", "web"]);
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
    ok(&network, &["rm", "--force", "--time", "0", "--all"]);
}
