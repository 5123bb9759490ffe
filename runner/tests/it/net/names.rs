//! Names on a network.

use std::{
    io::{Read, Write},
    net::{IpAddr, TcpStream},
    time::{Duration, Instant},
};

use serde_json::json;

use super::machine::{Holder, Machine, on_networks, record, root};
use crate::supervisor::until;

const A: u16 = 1;
const PTR: u16 = 12;
const AAAA: u16 = 28;

fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(u8::try_from(label.len()).unwrap());
        packet.extend(label.as_bytes());
    }
    packet.push(0);
    packet.extend(kind.to_be_bytes());
    packet.extend([0, 1]);
    packet
}

/// The code of an answer, and the bytes of its records.
fn read(answer: &[u8], asked: usize) -> (u8, Vec<Vec<u8>>) {
    assert_eq!(answer[..2], [0x12, 0x34]);
    let count = u16::from_be_bytes([answer[6], answer[7]]);
    let mut at = asked;
    let mut records = Vec::new();
    for _ in 0..count {
        let length = usize::from(u16::from_be_bytes([answer[at + 10], answer[at + 11]]));
        records.push(answer[at + 12..at + 12 + length].to_vec());
        at += 12 + length;
    }
    (answer[3] & 15, records)
}

fn ask(from: &Holder, server: IpAddr, name: &str, kind: u16) -> (u8, Vec<Vec<u8>>) {
    let packet = question(name, kind);
    let answer =
        from.udp((server, 53), &packet).unwrap_or_else(|error| panic!("{name} at {server}: {error}"));
    read(&answer, packet.len())
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// A server of the world: every name is 192.0.2.99, `none.` is not, `big.` fits no datagram, `mute.` is not answered.
fn world(packet: &[u8]) -> Option<Vec<u8>> {
    let has = |name: &[u8]| packet.windows(name.len()).any(|part| part == name);
    let mut answer = packet.to_vec();
    answer[2] = 0x81;
    if has(b"mute") {
        return None;
    }
    if has(b"none") {
        answer[3] = 0x83;
        return Some(answer);
    }
    if has(b"big") {
        answer[2] |= 2;
        return Some(answer);
    }
    answer[7] = 1;
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 99]);
    Some(answer)
}

#[test]
fn containers_find_each_other_by_name_alias_and_id() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    let _world = machine.host.answer(([127, 0, 0, 7], 53), Box::new(world));
    machine.network(&["create", "--ipv6", "red"]);
    machine.network(&["create", "blue"]);
    machine.network(&["create", "--internal", "inner"]);
    let attach = json!([{ "network": "red", "aliases": ["www", "front"], "ip": null, "mac": null }]);
    let web = machine.container(&record("Web", json!({ "bridge": attach }), &[]));
    let both = machine.container(&on_networks("both", &["red", "blue"], &[]));
    let blue = machine.container(&on_networks("blue1", &["blue"], &[]));
    let inner = machine.container(&on_networks("inner1", &["inner"], &[]));
    let gateway = web.gateway(0);
    let resolver = web.process.shell("cat /etc/resolv.conf");
    assert_eq!(resolver, format!("nameserver {gateway}\n"));
    let from = &both.process;
    let (four, six) = (bytes(web.addresses(0)[0]), bytes(web.addresses(0)[1]));
    for name in ["web", "WEB", "www", "front", &web.id[..12]] {
        assert_eq!(ask(from, gateway, name, A), (0, vec![four.clone()]), "{name}");
        assert_eq!(ask(from, gateway, name, AAAA), (0, vec![six.clone()]), "{name}");
        assert_eq!(ask(from, gateway, name, 15), (0, Vec::new()), "{name}");
    }
    let IpAddr::V4(address) = web.ip() else { panic!("IPv4 comes first") };
    let [a, b, c, d] = address.octets();
    assert_eq!(
        ask(from, gateway, &format!("{d}.{c}.{b}.{a}.in-addr.arpa"), PTR),
        (0, vec![b"\x03Web\0".to_vec()])
    );
    assert_eq!(ask(from, gateway, &format!("255.{c}.{b}.{a}.in-addr.arpa"), PTR).0, 3);
    // Of two networks both are seen by any of their servers; of others nothing.
    assert_eq!(ask(from, gateway, "blue1", A), (0, vec![bytes(blue.ip())]));
    assert_eq!(ask(from, both.gateway(1), "web", A), (0, vec![four]));
    assert_eq!(ask(&web.process, gateway, "none.blue1", A).0, 3);
    assert_eq!(
        ask(&web.process, gateway, "blue1", A),
        (0, vec![vec![192, 0, 2, 99]]),
        "a name of the world, as any"
    );
    // All else is the world's.
    assert_eq!(ask(from, gateway, "example.org", A), (0, vec![vec![192, 0, 2, 99]]));
    assert_eq!(ask(from, gateway, "none.org", A).0, 3);
    assert_eq!(ask(&inner.process, inner.gateway(0), "inner1", A), (0, vec![bytes(inner.ip())]));
    assert_eq!(
        ask(&inner.process, inner.gateway(0), "example.org", A).0,
        3,
        "an internal network asks nobody"
    );
    // One that starts and one that ends.
    let late = machine.container(&on_networks("late", &["red"], &[]));
    until("the name is answered so", || ask(from, gateway, "late", A) == (0, vec![bytes(late.ip())]));
    late.end();
    until("the name is answered so", || ask(from, gateway, "late", A) == (0, vec![vec![192, 0, 2, 99]]));
    let resolved = both.process.shell("busybox nslookup web | tail -n +3");
    assert!(resolved.contains(&web.ip().to_string()), "{resolved}");
    assert_eq!(machine.name_servers().len(), 3);
    [web, both, blue, inner].into_iter().for_each(super::machine::Container::end);
    until("the name servers ended", || machine.name_servers().is_empty());
}

fn by_stream(from: &Holder, server: IpAddr, packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    from.inside(|| {
        let mut stream = TcpStream::connect((server, 53)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        for packet in packets {
            stream.write_all(&u16::try_from(packet.len()).unwrap().to_be_bytes()).unwrap();
            stream.write_all(packet).unwrap();
        }
        let mut answers = Vec::new();
        for _ in packets {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut answer).unwrap();
            answers.push(answer);
        }
        answers
    })
}

#[test]
fn streams_large_answers_and_servers_that_say_nothing() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    machine.network(&["create", "red"]);
    let attach = json!([{ "network": "red", "aliases": ["many"], "ip": null, "mac": null }]);
    let containers: Vec<_> = (0..40)
        .map(|n| machine.container(&record(&format!("c{n}"), json!({ "bridge": attach }), &[])))
        .collect();
    let (from, gateway) = (&containers[0].process, containers[0].gateway(0));
    let packet = question("many", A);
    let short = from.udp((gateway, 53), &packet).unwrap();
    assert!(short.len() <= 512 && short[2] & 2 != 0, "an answer that does not fit says so");
    let answers = by_stream(from, gateway, &[packet.clone(), question("c7", A)]);
    assert_eq!(read(&answers[0], packet.len()).1.len(), 40);
    assert_eq!(read(&answers[1], question("c7", A).len()), (0, vec![bytes(containers[7].ip())]));
    // Nobody listens on the machine's server: the failure is told, and names of containers are known all the while.
    let asked = Instant::now();
    let answers = by_stream(from, gateway, &[question("example.org", A)]);
    assert_eq!(answers[0][3] & 15, 2);
    assert!(asked.elapsed() < Duration::from_secs(8));
    let _world = machine.host.answer(([127, 0, 0, 7], 53), Box::new(world));
    let (flooder, other) = (&containers[1].process, &containers[2].process);
    let refused = flooder.inside(|| {
        let socket = std::net::UdpSocket::bind(("0.0.0.0", 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.connect((gateway, 53)).unwrap();
        for _ in 0..40 {
            socket.send(&question("mute", A)).unwrap();
        }
        let mut answer = [0; 512];
        socket.recv(&mut answer).unwrap();
        answer[3] & 15
    });
    assert_eq!(refused, 5, "one that asks too much at once is refused");
    assert_eq!(ask(other, gateway, "example.org", A), (0, vec![vec![192, 0, 2, 99]]), "others are served");
}

#[test]
fn hostile_packets_end_nothing() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    machine.network(&["create", "red"]);
    let web = machine.container(&on_networks("web", &["red"], &[]));
    let gateway = web.gateway(0);
    let before = machine.name_servers();
    let whole = question("web", A);
    web.process.inside(|| {
        let socket = std::net::UdpSocket::bind(("0.0.0.0", 0)).unwrap();
        let mut state = 1_u32;
        for round in 0..2000_usize {
            let mut packet = whole.clone();
            for _ in 0..=round % 7 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = (state >> 8) as usize % packet.len();
                packet[at] = state.to_be_bytes()[0];
            }
            packet.truncate(round % 40);
            socket.send_to(&packet, (gateway, 53)).unwrap();
        }
        for garbage in [&[0_u8, 0][..], &[255, 255, 1], &[0, 12, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]] {
            TcpStream::connect((gateway, 53)).unwrap().write_all(garbage).unwrap();
        }
        // More streams than one may have: they are closed, and the server goes on.
        let _idle: Vec<_> = (0..50).map(|_| TcpStream::connect((gateway, 53))).collect();
    });
    until("the name is answered so", || ask(&web.process, gateway, "web", A) == (0, vec![bytes(web.ip())]));
    assert_eq!(machine.name_servers(), before);
}

#[test]
fn the_usual_network_has_no_server_and_the_machines_resolver() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    std::fs::write(
        machine.store().with_file_name("resolv.conf"),
        "search a.example\nnameserver 127.0.0.1\nnameserver 192.0.2.53\n",
    )
    .unwrap();
    let web = machine.container(&on_networks("web", &["berth"], &[]));
    assert_eq!(web.process.shell("cat /etc/resolv.conf"), "search a.example\nnameserver 192.0.2.53\n");
    assert!(machine.name_servers().is_empty());
    let hosts =
        std::fs::read_to_string(machine.run_folder().join("containers").join(&web.id).join("etc/hosts"))
            .unwrap();
    assert!(hosts.contains(&format!("{}\t{} web\n", web.ip(), &web.id[..12])), "{hosts}");
    assert!(hosts.contains(&format!("{}\thost.containers.internal", web.gateway(0))), "{hosts}");
    let mut wants = on_networks("wants", &["berth"], &[]);
    wants["network"]["dns"] = json!(["198.51.100.53"]);
    wants["network"]["dns_search"] = json!(["."]);
    wants["network"]["dns_options"] = json!(["ndots:0"]);
    wants["network"]["hosts"] = json!([["far", "198.51.100.1"], ["machine", null]]);
    let wants = machine.container(&wants);
    assert_eq!(wants.process.shell("cat /etc/resolv.conf"), "nameserver 198.51.100.53\noptions ndots:0\n");
    let hosts =
        std::fs::read_to_string(machine.run_folder().join("containers").join(&wants.id).join("etc/hosts"))
            .unwrap();
    assert!(hosts.starts_with(&format!("198.51.100.1\tfar\n{}\tmachine\n", wants.gateway(0))), "{hosts}");
}
