//! Many at once, and deaths at every step (F24).

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    net::IpAddr,
    time::{Duration, Instant},
};

use super::machine::{Machine, on_networks, publish, root};

#[test]
fn twenty_containers_at_once_have_twenty_addresses() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    machine.network(&["create", "--subnet", "10.201.0.0/27", "small"]);
    let containers: Vec<_> = std::thread::scope(|scope| {
        let machine = &machine;
        let start = |n| {
            machine.container(&on_networks(
                &format!("c{n}"),
                &["small"],
                &[publish("127.0.0.1", 0, 80, "tcp")],
            ))
        };
        let threads: Vec<_> = (0..20).map(|n| scope.spawn(move || start(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let addresses: BTreeSet<IpAddr> = containers.iter().map(super::machine::Container::ip).collect();
    let ports: BTreeSet<u16> = containers.iter().map(|container| container.port(0)).collect();
    assert_eq!((addresses.len(), ports.len()), (20, 20));
    let any: IpAddr = [0; 4].into();
    for (n, container) in containers.iter().enumerate() {
        let _service = container.process.serve((any, 80), &format!("c{n}"));
        let said = machine.host.tcp(([127, 0, 0, 1], container.port(0))).unwrap();
        assert!(said.starts_with(&format!("c{n} ")), "{said}");
        assert!(containers[(n + 1) % 20].process.tcp((container.ip(), 80)).is_ok());
    }
    assert_eq!(machine.name_servers().len(), 1);
    containers.into_iter().for_each(super::machine::Container::end);
    machine.network(&["rm", "small"]);
    settled(&machine);
}

/// Waits until nothing is left, or says what is.
fn settled(machine: &Machine) {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        machine.network(&["reload"]);
        let (left, servers) = (machine.left(), machine.name_servers());
        if left.is_empty() && servers.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "{left}\nname servers {servers:?}");
        // Namespaces of processes that died are taken apart by the kernel in its own time.
        std::thread::yield_now();
    }
}

#[test]
fn f24_a_kill_at_any_step_leaves_nothing() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    machine.network(&["create", "--ipv6", "red"]);
    let ports = [publish("127.0.0.1", 8080, 80, "tcp"), publish("0.0.0.0", 8081, 80, "udp")];
    let record = on_networks("web", &["red", "berth"], &ports);
    let mut cut_short = 0;
    for round in 0..60_u32 {
        let process = machine.process();
        let mut companion = machine.companion(&record, &process);
        let out = companion.stdout.take().unwrap();
        // Every half millisecond of the way from the first step to the last.
        std::thread::sleep(Duration::from_micros(500) * round);
        companion.kill().unwrap();
        companion.wait().unwrap();
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).unwrap();
        cut_short += u32::from(line.is_empty());
        if round % 2 == 0 {
            // The next container of the same name and ports, while the process of the one before still lives.
            drop(machine.try_container(&on_networks("next", &["red"], &ports)));
        }
        drop(process);
    }
    assert!(cut_short > 5, "the kills came too late: {cut_short}");
    // The next operation after the last death finds and takes away all that is left.
    let web = machine.container(&record);
    web.end();
    settled(&machine);
}

#[test]
fn a_container_whose_supervisor_died_keeps_its_network() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    let ports = [publish("127.0.0.1", 8080, 80, "tcp")];
    let mut web = machine.container(&on_networks("web", &["berth"], &ports));
    let any: IpAddr = [0; 4].into();
    let service = web.process.serve((any, 80), "web");
    web.companion.kill().unwrap();
    web.companion.wait().unwrap();
    // Others come and go, and the rules are made anew each time.
    machine.container(&on_networks("other", &["berth"], &[])).end();
    assert!(machine.host.tcp(([127, 0, 0, 1], 8080)).is_ok());
    let taken = machine.try_container(&on_networks("thief", &["berth"], &ports));
    assert!(taken.err().unwrap().contains("in use by container web"));
    drop(service);
    drop(web);
    machine.container(&on_networks("thief", &["berth"], &ports)).end();
    settled(&machine);
}

#[test]
fn what_a_firewall_took_away_is_made_anew() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    let web = machine.container(&on_networks("web", &["berth"], &[publish("127.0.0.1", 8080, 80, "tcp")]));
    let any: IpAddr = [0; 4].into();
    let _service = web.process.serve((any, 80), "web");
    let before = machine.host.shell("nft list ruleset");
    machine.host.shell("nft add table inet foreign && nft add chain inet foreign c");
    machine.host.shell("nft delete table inet $(nft list tables | grep -o 'berth_runner.*')");
    assert!(machine.host.tcp(([127, 0, 0, 1], 8080)).is_err());
    machine.network(&["reload"]);
    assert!(machine.host.tcp(([127, 0, 0, 1], 8080)).is_ok());
    let after = machine.host.shell("nft list ruleset");
    assert!(after.contains("table inet foreign"), "{after}");
    assert!(after.contains(before.trim()), "{after}");
    // Also the bridge, with the container's end.
    machine.host.shell("ip link del $(ip -o link show type bridge | cut -d: -f2)");
    machine.network(&["reload"]);
    assert!(machine.host.tcp(([127, 0, 0, 1], 8080)).is_ok());
}
