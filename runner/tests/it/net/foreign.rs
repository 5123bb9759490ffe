//! Interfaces that are somebody else's: another runner's on this machine, or a person's.

use super::machine::{Machine, on_networks, root};

#[test]
fn a_bridge_of_the_same_name_that_is_somebody_elses_is_neither_used_nor_taken_down() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    machine.network(&["create", "--interface-name", "front0", "front"]);
    machine.host.shell("ip link add front0 type bridge && ip link set front0 up");
    let refused = machine.try_container(&on_networks("web", &["front"], &[])).err().unwrap();
    assert!(refused.contains("front0") && refused.contains("network rm front"), "{refused}");
    let is_there = || machine.host.try_shell("ip link show front0").status.success();
    machine.network(&["reload"]);
    assert!(is_there(), "what nobody of ours needs is not always ours");
    machine.network(&["rm", "front"]);
    assert!(is_there());
    machine.host.shell("ip link del front0");
}

#[test]
fn addresses_that_became_another_interfaces_are_refused_with_whose_they_are() {
    if !root() {
        return;
    }
    let machine = Machine::new();
    machine.network(&["create", "--subnet", "10.77.0.0/24", "front"]);
    // A way that leads further is not in the way.
    machine
        .host
        .shell("ip link add wide0 type bridge && ip link set wide0 up && ip addr add 10.1.2.3/8 dev wide0");
    machine.container(&on_networks("web", &["front"], &[])).end();
    machine.host.shell(
        "ip link add taken0 type bridge && ip link set taken0 up && ip addr add 10.77.0.9/24 dev taken0",
    );
    let refused = machine.try_container(&on_networks("web", &["front"], &[])).err().unwrap();
    assert!(refused.contains("taken0") && refused.contains("10.77.0.0/24"), "{refused}");
    machine.host.shell("ip link del taken0");
    machine.container(&on_networks("web", &["front"], &[])).end();
    machine.host.shell("ip link del wide0");
}
