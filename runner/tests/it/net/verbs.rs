//! `network create|ls|inspect|rm|prune|exists|connect|disconnect`.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::machine::{Machine, on_networks, publish, record, root};

#[test]
fn networks_are_made_listed_shown_and_removed() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    let made = machine.network(&[
        "create",
        "--subnet",
        "10.77.0.0/24",
        "--subnet",
        "fd77::/64",
        "--gateway",
        "10.77.0.254",
        "--ip-range",
        "10.77.0.64/28",
        "--label",
        "tier=front",
        "--opt",
        "mtu=1400",
        "--interface-name",
        "front0",
        "--internal",
        "--disable-dns",
        "front",
    ]);
    assert_eq!(made, "front\n");
    machine.network(&["create", "other"]);
    let shown: Value = serde_json::from_str(&machine.network(&["inspect", "front"])).unwrap();
    let front = &shown[0];
    assert_eq!(
        front["subnets"][0],
        json!({ "subnet": "10.77.0.0/24", "gateway": "10.77.0.254", "lease_range": "10.77.0.64/28" })
    );
    assert_eq!(front["subnets"][1], json!({ "subnet": "fd77::/64", "gateway": "fd77::1" }));
    for (key, value) in [
        ("network_interface", json!("front0")),
        ("internal", json!(true)),
        ("dns_enabled", json!(false)),
        ("ipv6_enabled", json!(true)),
        ("labels", json!({ "tier": "front" })),
        ("driver", json!("bridge")),
    ] {
        assert_eq!(front[key], value, "{key}");
    }
    assert_eq!(
        machine.network(&["ls", "--filter", "label=tier=front", "--format", "{{.Name}} {{.Driver}}"]),
        "front bridge\n"
    );
    assert_eq!(machine.network(&["ls", "--quiet"]), "front\nother\n");
    assert_eq!(machine.runner(&["network", "exists", "front"]).status.code(), Some(0));
    assert_eq!(machine.runner(&["network", "exists", "rear"]).status.code(), Some(1));
    let web = machine.container(&on_networks("web", &["front"], &[]));
    assert!(web.ip().to_string().starts_with("10.77.0."));
    let link = web.process.shell("ip -o link show eth0");
    assert!(link.contains("mtu 1400"), "{link}");
    let shown: Value = serde_json::from_str(&machine.network(&["inspect", "front"])).unwrap();
    assert_eq!(shown[0]["containers"][&web.id]["Name"], "web");
    let refused = machine.runner(&["network", "rm", "front"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("in use by container web"), "{refused:?}");
    web.end();
    assert_eq!(machine.network(&["prune", "--force"]), "front\nother\n");
    assert_eq!(machine.network(&["ls", "--quiet"]), "");
    assert_eq!(machine.host.shell("ip -o link show type bridge"), "");
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    machine
        .host
        .shell("ip link add used0 type bridge && ip link set used0 up && ip addr add 10.50.0.1/16 dev used0");
    machine.network(&["create", "--subnet", "10.60.0.0/24", "red"]);
    let refused = |arguments: &[&str], code: i32, words: &str| {
        let output = machine.runner(&[&["network"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    };
    refused(&["create", "red"], 1, "there is a network red already");
    refused(&["create", "--subnet", "10.50.7.0/24", "x"], 1, "10.50.0.0/16, which this machine has a way to");
    refused(&["create", "--subnet", "10.60.0.128/25", "x"], 1, "shares addresses with network red");
    refused(&["create", "--interface-name", "used0", "x"], 1, "has an interface used0 already");
    refused(&["create", "--interface-name", "a-name-that-is-too-long", "x"], 2, "1 to 15 letters");
    refused(&["create", "--driver", "macvlan", "x"], 1, "networks are bridges");
    refused(&["create", "../x"], 2, "is no name of a network");
    refused(&["create", "host"], 2, "is no name of a network");
    refused(&["create", "--subnet", "10.61.0.0", "x"], 2, "10.90.0.0/24");
    refused(&["inspect", "rear"], 1, "no network \"rear\"");
    refused(&["connect", "red", "nobody"], 1, "nobody");
    assert_eq!(machine.network(&["create", "--ignore", "red"]), "red\n");
}

#[test]
fn a_fixed_address_is_given_or_refused() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    machine.network(&["create", "--subnet", "10.60.0.0/24", "red"]);
    let at = |name: &str, ip: &str, mac: Value| {
        record(name, json!({ "bridge": [{ "network": "red", "aliases": [], "ip": ip, "mac": mac }] }), &[])
    };
    let web = machine.container(&at("web", "10.60.0.77", json!("02:11:22:33:44:55")));
    assert_eq!(web.ip(), "10.60.0.77".parse::<IpAddr>().unwrap());
    assert!(web.process.shell("ip link show eth0").contains("02:11:22:33:44:55"));
    let again = machine.try_container(&at("again", "10.60.0.77", Value::Null)).err().unwrap();
    assert!(again.contains("that of container web"), "{again}");
    let far = machine.try_container(&at("far", "10.61.0.77", Value::Null)).err().unwrap();
    assert!(far.contains("10.60.0.0/24"), "{far}");
    web.end();
    machine.container(&at("again", "10.60.0.77", Value::Null)).end();
}

#[test]
fn a_running_container_is_connected_and_disconnected() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    machine.network(&["create", "red"]);
    machine.network(&["create", "blue"]);
    let record = on_networks("web", &["red"], &[publish("127.0.0.1", 8080, 80, "tcp")]);
    let web = machine.container(&record);
    // As `create` writes it.
    let folder = machine.store().join("containers").join(&web.id);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("desired.json"), record.to_string()).unwrap();
    let blue = machine.container(&on_networks("blue1", &["blue"], &[]));
    let any: IpAddr = [0; 4].into();
    let _services = [web.process.serve((any, 80), "web"), blue.process.serve((any, 80), "blue")];
    let short = &web.id[..20];
    assert!(web.process.tcp((blue.ip(), 80)).is_err());
    machine.network(&["connect", "--alias", "front", "blue", short]);
    assert!(web.process.tcp((blue.ip(), 80)).is_ok());
    assert!(web.process.shell("ip -o -4 addr show eth1").contains("eth1"));
    assert!(blue.process.shell("busybox nslookup front").contains("Name:"));
    let servers = web.process.shell("grep -c nameserver /etc/resolv.conf");
    assert_eq!(servers.trim(), "2", "the file that the container sees");
    let twice = machine.runner(&["network", "connect", "blue", short]);
    assert!(String::from_utf8_lossy(&twice.stderr).contains("already"), "{twice:?}");
    machine.network(&["disconnect", "red", short]);
    assert!(
        web.process.shell("ip route show default").contains("eth1"),
        "the way out is the other network's"
    );
    assert!(machine.host.tcp(([127, 0, 0, 1], 8080)).is_ok(), "published ports lead to what is left");
    machine.network(&["disconnect", "blue", short]);
    assert!(web.process.tcp((blue.ip(), 80)).is_err());
    assert_eq!(web.process.shell("ip -o link | grep -c eth || true").trim(), "0");
    let saved: Value = serde_json::from_slice(&std::fs::read(folder.join("desired.json")).unwrap()).unwrap();
    assert_eq!(saved["network"]["mode"], "none");
}
