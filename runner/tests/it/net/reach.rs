//! Who reaches whom.

use std::net::IpAddr;

use super::machine::{Machine, on_networks, record, root};

#[test]
fn containers_reach_their_own_network_and_the_world_and_nobody_elses() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    let neighbour = machine.neighbour();
    machine.network(&["create", "--ipv6", "red"]);
    machine.network(&["create", "--ipv6", "blue"]);
    machine.network(&["create", "--internal", "--ipv6", "inner"]);
    for network in ["open1", "open2"] {
        machine.network(&["create", "--opt", "isolate=false", network]);
    }
    let start = |name: &str, network: &str| machine.container(&on_networks(name, &[network], &[]));
    let all = [
        start("red1", "red"),
        start("red2", "red"),
        start("blue1", "blue"),
        start("inner1", "inner"),
        start("inner2", "inner"),
        start("open1", "open1"),
        start("open2", "open2"),
        start("usual", "berth"),
    ];
    let families = ["red", "red", "blue", "inner", "inner", "open", "open", "usual"];
    let any4: IpAddr = [0; 4].into();
    let any6: IpAddr = [0_u16; 8].into();
    let _services: Vec<_> = all
        .iter()
        .flat_map(|container| {
            let six = (container.addresses(0).len() > 1).then(|| container.process.serve((any6, 81), "six"));
            [Some(container.process.serve((any4, 80), "four")), six].into_iter().flatten()
        })
        .collect();
    let _world = [neighbour.serve((any4, 80), "world"), neighbour.serve((any6, 81), "world")];
    for (from, own) in all.iter().zip(families) {
        for (to, other) in all.iter().zip(families) {
            for address in to.addresses(0) {
                if address.is_ipv6() && from.addresses(0).len() == 1 {
                    continue;
                }
                let port = if address.is_ipv4() { 80 } else { 81 };
                let reached = from.process.tcp((address, port));
                assert_eq!(reached.is_ok(), own == other, "{own} to {other} {address}: {reached:?}");
            }
        }
        let world = from.process.tcp(("192.0.2.2".parse::<IpAddr>().unwrap(), 80));
        let expected = (own != "inner").then(|| "world 192.0.2.1".to_owned());
        assert_eq!(world.ok(), expected, "{own} to the world: under the machine's address");
        if from.addresses(0).len() > 1 {
            let world = from.process.tcp(("2001:db8::2".parse::<IpAddr>().unwrap(), 81));
            let expected = (own != "inner").then(|| "world 2001:db8::1".to_owned());
            assert_eq!(world.ok(), expected, "{own} to the world by IPv6");
        }
        // The machine reaches all its containers.
        assert!(machine.host.tcp((from.ip(), 80)).is_ok(), "{own}");
    }
    // A neighbour that knows the way does not get in.
    for container in &all {
        neighbour.shell(&format!("ip route add {} via 192.0.2.1", container.ip()));
        assert!(neighbour.tcp((container.ip(), 80)).is_err(), "the neighbour reaches {}", container.ip());
    }
    // Passing packets on for containers makes no router of the machine.
    assert_eq!(machine.host.shell("cat /proc/sys/net/ipv4/ip_forward").trim(), "0");
    all.into_iter().for_each(super::machine::Container::end);
    machine.network(&["reload"]);
    assert_eq!(machine.host.shell("cat /proc/sys/net/ipv4/conf/lan0/forwarding").trim(), "0");
}

#[test]
fn interfaces_that_pass_packets_on_for_containers_do_not_for_others() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    let left = machine.neighbour();
    let right = machine.process();
    machine.host.shell(&format!(
        "ip link add lan1 type veth peer name lan1 netns {} && ip link set lan1 up && ip addr add 198.51.100.1/24 dev lan1",
        right.pid()
    ));
    right.shell("ip link set lan1 up && ip addr add 198.51.100.2/24 dev lan1 && ip route add default via 198.51.100.1");
    left.shell("ip route add default via 192.0.2.1");
    let container = machine.container(&on_networks("web", &["berth"], &[]));
    let any: IpAddr = [0; 4].into();
    let _service = right.serve((any, 80), "right");
    let far: IpAddr = "198.51.100.2".parse().unwrap();
    assert_eq!(machine.host.shell("cat /proc/sys/net/ipv4/conf/lan0/forwarding").trim(), "1");
    assert!(container.process.tcp((far, 80)).is_ok());
    assert!(left.tcp((far, 80)).is_err(), "the machine became a router");
    // Where it is one by its owner's word, it stays one.
    machine.host.shell("echo 1 > /proc/sys/net/ipv4/ip_forward");
    machine.network(&["reload"]);
    assert!(left.tcp((far, 80)).is_ok());
    container.end();
    assert!(left.tcp((far, 80)).is_ok());
}

#[test]
fn a_container_on_several_networks_has_one_way_out() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    let neighbour = machine.neighbour();
    machine.network(&["create", "--internal", "inner"]);
    machine.network(&["create", "red"]);
    machine.network(&["create", "blue"]);
    let both = machine.container(&on_networks("both", &["inner", "red", "blue"], &[]));
    let red = machine.container(&on_networks("red", &["red"], &[]));
    let inner = machine.container(&on_networks("inner", &["inner"], &[]));
    let any: IpAddr = [0; 4].into();
    let _services = [red.process.serve((any, 80), "red"), inner.process.serve((any, 80), "inner")];
    let _world = neighbour.serve((any, 80), "world");
    for to in [red.ip(), inner.ip(), "192.0.2.2".parse().unwrap()] {
        assert!(both.process.tcp((to, 80)).is_ok(), "{to}");
    }
    let routes = both.process.shell("ip route show default");
    assert_eq!(routes.trim(), format!("default via {} dev eth1", both.gateway(1)));
}

#[test]
fn without_a_network_there_is_the_loopback() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    let none = machine.container(&record("none", "none".into(), &[]));
    assert_eq!(none.process.shell("ip -o link | wc -l").trim(), "1");
    let _service = none.process.serve(([127, 0, 0, 1], 80), "own");
    assert_eq!(none.process.tcp(([127, 0, 0, 1], 80)).unwrap(), "own 127.0.0.1");
    let refused = machine.try_container(&record(
        "port",
        "none".into(),
        &[super::machine::publish("127.0.0.1", 1, 1, "tcp")],
    ));
    assert!(refused.err().unwrap().contains("--publish 1"));
}
