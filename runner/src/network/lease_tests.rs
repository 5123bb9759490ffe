use super::*;
use crate::network::definition::Options;

fn id(n: u64) -> ContainerId {
    format!("{n:064x}").parse().unwrap()
}

fn network(subnet: &str, leases: Option<&str>) -> Network {
    let subnet: super::super::subnet::Subnet = subnet.parse().unwrap();
    Network {
        name: "n".into(),
        id: "ab".into(),
        interface: "berth9".into(),
        created: jiff::Timestamp::UNIX_EPOCH,
        ranges: vec![Range {
            subnet,
            gateway: subnet.nth(1).unwrap(),
            leases: leases.map(|text| text.parse().unwrap()),
        }],
        internal: false,
        dns: true,
        labels: Default::default(),
        options: Options::default(),
    }
}

fn folders() -> (tempfile::TempDir, Folders) {
    let folder = tempfile::tempdir().unwrap();
    let folders = Folders { store: folder.path().join("store"), run: folder.path().join("run") };
    (folder, folders)
}

fn lease(id: ContainerId, held: Held) -> Lease {
    Lease {
        name: format!("c{}", &id.as_str()[60..]),
        id,
        holder: Process::own().unwrap(),
        init: None,
        links: vec![held],
        ports: Vec::new(),
        dns: Vec::new(),
    }
}

#[test]
fn every_address_of_a_range_is_given_out_once_and_then_none() {
    let (_folder, folders) = folders();
    let mut leases = Leases::open(&folders).unwrap();
    let network = network("10.1.0.0/28", None);
    let mut seen = BTreeSet::new();
    for n in 0..13 {
        let held = leases.choose(&network, &id(n), &Attach::default(), "eth0".into()).unwrap();
        assert!(seen.insert(held.link.addresses.clone()), "{held:?}");
        leases.put(lease(id(n), held)).unwrap();
    }
    let full = leases.choose(&network, &id(99), &Attach::default(), "eth0".into());
    assert!(matches!(full, Err(RunnerError::Conflict(_))), "{full:?}");
    leases.remove(&id(4)).unwrap();
    assert!(leases.choose(&network, &id(99), &Attach::default(), "eth0".into()).is_ok());
}

#[test]
fn addresses_come_from_the_range_for_leases_and_are_the_same_at_the_next_start() {
    let (_folder, folders) = folders();
    let leases = Leases::open(&folders).unwrap();
    let network = network("10.1.0.0/16", Some("10.1.7.0/29"));
    let choose = || leases.choose(&network, &id(5), &Attach::default(), "eth0".into()).unwrap();
    assert!(choose().link.addresses[0].0.to_string().starts_with("10.1.7."));
    assert_eq!(choose(), choose());
}

#[test]
fn a_wanted_address_is_given_or_refused_with_the_reason() {
    let (_folder, folders) = folders();
    let mut leases = Leases::open(&folders).unwrap();
    let network = network("10.1.0.0/24", None);
    let wants = |ip: &str| Attach { ip: Some(ip.parse().unwrap()), ..Attach::default() };
    let held = leases.choose(&network, &id(1), &wants("10.1.0.77"), "eth0".into()).unwrap();
    assert_eq!(held.link.addresses[0].0.to_string(), "10.1.0.77");
    assert_eq!(held.link.mac, "02:be:0a:01:00:4d");
    leases.put(lease(id(1), held)).unwrap();
    let refused =
        |ip: &str| leases.choose(&network, &id(2), &wants(ip), "eth0".into()).unwrap_err().to_string();
    assert!(refused("10.1.0.77").contains("container c0001"), "{}", refused("10.1.0.77"));
    assert!(refused("10.1.0.1").contains("machine's own"));
    assert!(refused("10.1.0.255").contains("last address"));
    assert!(refused("10.9.0.4").contains("10.1.0.0/24"));
}

#[test]
fn leases_of_processes_that_are_gone_are_given_back() {
    let (_folder, folders) = folders();
    let network = network("10.1.0.0/24", None);
    let mut leases = Leases::open(&folders).unwrap();
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    for n in 0..2 {
        let held = leases.choose(&network, &id(n), &Attach::default(), "eth0".into()).unwrap();
        let mut lease = lease(id(n), held);
        if n == 0 {
            lease.holder = Process::of(i32::try_from(child.id()).unwrap()).unwrap();
        }
        leases.put(lease).unwrap();
    }
    drop(leases);
    assert_eq!(Leases::open(&folders).unwrap().all().len(), 2);
    child.kill().unwrap();
    child.wait().unwrap();
    let leases = Leases::open(&folders).unwrap();
    assert_eq!(leases.all().iter().map(|lease| &lease.id).collect::<Vec<_>>(), [&id(1)]);
}

#[test]
fn hardware_addresses_are_those_of_one_interface() {
    assert_eq!(parse_mac("02:00:5e:10:00:ff").unwrap(), [2, 0, 0x5e, 0x10, 0, 0xff]);
    for text in [
        "",
        "02",
        "01:00:5e:10:00:ff",
        "02:00:5e:10:00:ff:00",
        "02:00:5e:10:00:f",
        "00:00:00:00:00:00",
        "+2:00:5e:10:00:ff",
    ] {
        assert!(parse_mac(text).is_err(), "{text}");
    }
}
