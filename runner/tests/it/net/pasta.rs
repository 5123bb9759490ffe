//! Networks of an ordinary user, by pasta.

use std::{
    io::{BufRead, BufReader, Read},
    net::IpAddr,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::machine::{Machine, publish, record, root};

/// A user's shell on the machine, in a user namespace of that user's, with everything that pasta needs.
fn user(machine: &Machine, script: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", &machine.host.pid().to_string(), "--net", "--mount", "--"]);
    command.args(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.args(["unshare", "--user", "--map-root-user", "sh", "-c", script]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn an_ordinary_users_container_has_a_way_out_and_published_ports() {
    if !root() {
        return;
    }
    assert!(Command::new("pasta").arg("--version").output().is_ok(), "install pasta: package passt");
    let machine = Machine::new();
    let neighbour = machine.neighbour();
    machine.host.shell(
        "ip route add default via 192.0.2.2 && mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200",
    );
    let home = tempfile::Builder::new().prefix("berth-runner-user-").tempdir().unwrap();
    let folder = home.path();
    std::fs::copy(env!("CARGO_BIN_EXE_berth-runner"), folder.join("berth-runner")).unwrap();
    let ports = [
        publish("127.0.0.1", 8080, 80, "tcp"),
        publish("0.0.0.0", 8081, 80, "udp"),
        publish("127.0.0.1", 0, 80, "tcp"),
    ];
    std::fs::write(folder.join("record.json"), record("web", json!({ "pasta": [] }), &ports).to_string())
        .unwrap();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let path = folder.display();
    // The container, then what looks after it; the end of the input ends both.
    let script = format!(
        "unshare --net sh -c 'echo $$ > {path}/pid; exec sleep 600' & while ! [ -s {path}/pid ]; do :; done; \
         {path}/berth-runner __network {path}/store {path}/run {path}/record.json $(cat {path}/pid); \
         code=$?; kill $!; exit $code"
    );
    let mut child = user(&machine, &script).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line.is_empty() {
        panic!("{:?}", child.wait_with_output().unwrap());
    }
    let answer: Value = serde_json::from_str(&line).unwrap();
    let container = std::fs::read_to_string(folder.join("pid")).unwrap();
    let any: IpAddr = [0; 4].into();
    let container = super::machine::Holder::beside(container.trim().parse().unwrap());
    let _service = container.serve((any, 80), "web");
    let _world = neighbour.serve((any, 80), "world");
    let world: IpAddr = "192.0.2.2".parse().unwrap();
    let machines: IpAddr = "192.0.2.1".parse().unwrap();
    assert_eq!(container.tcp((world, 80)).unwrap(), "world 192.0.2.1");
    assert!(machine.host.tcp(([127, 0, 0, 1], 8080)).unwrap().starts_with("web"));
    let chosen = u16::try_from(answer["ports"][2]["host"].as_u64().unwrap()).unwrap();
    assert!(machine.host.tcp(([127, 0, 0, 1], chosen)).unwrap().starts_with("web"));
    assert!(neighbour.tcp((machines, 8080)).is_err(), "a port of the loopback");
    assert_eq!(neighbour.udp((machines, 8081), b"?").unwrap(), b"web");
    // The machine's own loopback is not the container's.
    let _secret = machine.host.serve(([127, 0, 0, 1], 9999), "secret");
    for gateway in ["192.0.2.2", "192.0.2.1", "127.0.0.1"] {
        let said = container.tcp((gateway.parse::<IpAddr>().unwrap(), 9999));
        assert!(said.is_err(), "{gateway}: {said:?}");
    }
    drop(child.stdin.take());
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert!(child.wait().unwrap().success(), "{errors}");
    let end = Instant::now() + Duration::from_secs(5);
    while carriers(folder) != 0 {
        assert!(Instant::now() < end, "pasta stays");
        std::thread::yield_now();
    }
    assert_eq!(std::fs::read_dir(folder.join("run/network/pasta")).unwrap().count(), 0);
}

fn carriers(folder: &std::path::Path) -> usize {
    let own = |process: &std::fs::DirEntry| {
        let line = std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
        line.starts_with("pasta\0") && line.contains(folder.to_str().unwrap())
            || line.contains("/pasta\0") && line.contains(folder.to_str().unwrap())
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter(own).count()
}

#[test]
fn what_keeps_pasta_from_work_is_told_where_ports_are_wanted() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    // A machine without the device.
    machine.host.shell("mount -t tmpfs none /dev/net");
    let mode = json!({ "pasta": [] });
    let refused =
        machine.try_container(&record("web", mode.clone(), &[publish("127.0.0.1", 8080, 80, "tcp")]));
    let refused = refused.err().unwrap();
    assert!(refused.contains("--publish: pasta cannot open /dev/net/tun"), "{refused}");
    let web = machine.container(&record("web", mode, &[]));
    assert_eq!(web.process.shell("ip -o link | wc -l").trim(), "1");
    web.end();
}
