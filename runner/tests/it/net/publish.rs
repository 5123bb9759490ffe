//! Published ports.

use std::net::{IpAddr, TcpListener};

use super::machine::{Machine, on_networks, publish, root};

const LOCAL: [u8; 4] = [127, 0, 0, 1];

#[test]
fn a_port_is_published_to_the_machine_alone_unless_told_otherwise() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    let neighbour = machine.neighbour();
    machine.network(&["create", "red"]);
    machine.network(&["create", "blue"]);
    let ports = [publish("127.0.0.1", 8080, 80, "tcp"), publish("127.0.0.1", 8080, 80, "udp")];
    let web = machine.container(&on_networks("web", &["red"], &ports));
    let blue = machine.container(&on_networks("blue", &["blue"], &[]));
    let any: IpAddr = [0; 4].into();
    let _service = web.process.serve((any, 80), "web");
    assert_eq!(machine.host.tcp((LOCAL, 8080)).unwrap(), format!("web {}", web.gateway(0)));
    assert_eq!(machine.host.udp((LOCAL, 8080), b"?").unwrap(), b"web");
    let machines: IpAddr = "192.0.2.1".parse().unwrap();
    assert!(machine.host.tcp((machines, 8080)).is_err());
    for other in [&neighbour, &blue.process, &web.process] {
        assert!(other.tcp((machines, 8080)).is_err());
    }
    // Who sends packets for 127.0.0.1 by the wire, as no honest machine does.
    let _secret = machine.host.serve((LOCAL, 9999), "secret");
    for (other, way) in
        [(&neighbour, machines), (&blue.process, blue.gateway(0)), (&web.process, web.gateway(0))]
    {
        other.shell(&format!(
            "ip addr del 127.0.0.1/8 dev lo; ip route del local 127.0.0.0/8 table local; \
             for i in /proc/sys/net/ipv4/conf/*; do echo 1 > $i/route_localnet; done; \
             ip rule add pref 0 to 127.0.0.1 lookup 99 && ip route add 127.0.0.1 via {way} table 99"
        ));
        for port in [8080, 9999] {
            let got = other.tcp((LOCAL, port));
            assert!(got.is_err(), "port {port} of the machine's loopback by {way}: {got:?}");
        }
    }
}

#[test]
fn a_port_on_every_address_is_reached_from_everywhere() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    let neighbour = machine.neighbour();
    machine.network(&["create", "--ipv6", "red"]);
    machine.network(&["create", "--ipv6", "blue"]);
    let ports = [
        publish("0.0.0.0", 8080, 80, "tcp"),
        publish("0.0.0.0", 8080, 80, "udp"),
        publish("::", 8080, 81, "tcp"),
        publish("192.0.2.1", 7000, 80, "tcp"),
    ];
    let web = machine.container(&on_networks("web", &["red"], &ports));
    let beside = machine.container(&on_networks("beside", &["red"], &[]));
    let blue = machine.container(&on_networks("blue", &["blue"], &[]));
    let any: IpAddr = [0; 4].into();
    let any6: IpAddr = [0_u16; 8].into();
    let _services = [web.process.serve((any, 80), "web"), web.process.serve((any6, 81), "web")];
    let machines: IpAddr = "192.0.2.1".parse().unwrap();
    let machines6: IpAddr = "2001:db8::1".parse().unwrap();
    // The container sees who asks.
    assert_eq!(neighbour.tcp((machines, 8080)).unwrap(), "web 192.0.2.2");
    assert_eq!(neighbour.tcp((machines6, 8080)).unwrap(), "web 2001:db8::2");
    assert_eq!(neighbour.udp((machines, 8080), b"?").unwrap(), b"web");
    assert!(neighbour.tcp((machines, 7000)).is_ok());
    assert!(machine.host.tcp((LOCAL, 8080)).is_ok());
    assert!(machine.host.tcp((LOCAL, 7000)).is_err());
    let froms = [
        ("machine", &machine.host),
        ("itself", &web.process),
        ("beside", &beside.process),
        ("blue", &blue.process),
    ];
    // On some machines filters see what a bridge carries, on others they do not.
    for bridged in ["1", "0"] {
        let set = format!(
            "for i in /proc/sys/net/bridge/bridge-nf-call-ip*; do [ ! -e $i ] || echo {bridged} > $i; done"
        );
        machine.host.shell(&set);
        for (who, from) in froms {
            for (to, port) in [(machines, 8080), (machines6, 8080), (machines, 7000)] {
                let said = from.tcp((to, port));
                assert!(said.is_ok(), "{who} to {to}:{port}, bridged {bridged}: {said:?}");
            }
            assert_eq!(from.udp((machines, 8080), b"?").ok(), Some(b"web".to_vec()), "{who}");
        }
    }
    // Isolation holds for all that is not published.
    assert!(blue.process.tcp((web.ip(), 80)).is_err());
    web.end();
    assert!(neighbour.tcp((machines, 8080)).is_err());
}

#[test]
fn ranges_and_free_ports_are_published() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    let mut ports: Vec<_> = (9000..9005).map(|port| publish("127.0.0.1", port, port, "tcp")).collect();
    ports.push(publish("127.0.0.1", 0, 9001, "tcp"));
    let web = machine.container(&on_networks("web", &["berth"], &ports));
    let any: IpAddr = [0; 4].into();
    let _services: Vec<_> =
        (9000..9005).map(|port| web.process.serve((any, port), &port.to_string())).collect();
    for port in 9000..9005_u16 {
        assert!(machine.host.tcp((LOCAL, port)).unwrap().starts_with(&port.to_string()));
    }
    assert!(machine.host.tcp((LOCAL, web.port(5))).unwrap().starts_with("9001"));
    let table = machine.host.shell("nft -j list ruleset");
    let table: serde_json::Value = serde_json::from_str(&table).unwrap();
    let rules = table["nftables"].as_array().unwrap();
    let of = |chain: &str| rules.iter().filter(|rule| rule["rule"]["chain"] == chain).count();
    assert_eq!((of("publish"), of("publish-here")), (0, 2), "five ports in a row are one rule");
    let range = rules.iter().find(|rule| rule["rule"]["chain"] == "publish-here").unwrap();
    let expected = serde_json::json!([
        { "match": { "op": "==", "left": { "payload": { "protocol": "ip", "field": "daddr" } }, "right": "127.0.0.1" } },
        { "match": { "op": "==", "left": { "payload": { "protocol": "tcp", "field": "dport" } },
                     "right": { "range": [9000, 9004] } } },
        { "dnat": { "family": "ip", "addr": web.ip().to_string() } },
    ]);
    assert_eq!(range["rule"]["expr"], expected);
}

#[test]
fn a_port_in_use_is_refused_with_who_has_it() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    let on = |name: &str, port: u16| on_networks(name, &["berth"], &[publish("127.0.0.1", port, 80, "tcp")]);
    let taken = machine.host.serve((LOCAL, 8080), "program");
    let error = machine.try_container(&on("web", 8080)).err().unwrap();
    assert!(error.contains("port 127.0.0.1:8080/tcp is in use by"), "{error}");
    assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
    drop(taken);
    let web = machine.container(&on("web", 8080));
    let error = machine.try_container(&on("other", 8080)).err().unwrap();
    assert!(error.contains("port 127.0.0.1:8080/tcp is in use by container web"), "{error}");
    let program = machine.host.inside(|| TcpListener::bind((IpAddr::from(LOCAL), 8080)).is_err());
    assert!(program, "a program took a published port");
    web.end();
    assert!(machine.host.inside(|| TcpListener::bind((IpAddr::from(LOCAL), 8080)).is_ok()));
    let far = on_networks("far", &["berth"], &[publish("203.0.113.9", 80, 80, "tcp")]);
    assert!(machine.try_container(&far).err().unwrap().contains("no address 203.0.113.9"));
    let six = on_networks("six", &["berth"], &[publish("::1", 80, 80, "tcp")]);
    assert!(machine.try_container(&six).err().unwrap().contains("--ipv6"));
}
