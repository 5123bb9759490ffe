//! F3 to F6: power and disks.

use berth_conformance::faults::{
    Cell, Database, PowerOptions, Shim, catalog_disk_full, data_disk_full, failing_syncs, power_loss,
};
use berth_conformance::harness::{Postgres, require};

const SNAPSHOTS: usize = 20;

#[test]
fn f3_nothing_acknowledged_is_lost_when_the_power_fails_with_sqlite() {
    if Cell::possible() {
        let options = PowerOptions { database: Database::Sqlite, snapshots: SNAPSHOTS, syncs: true };
        println!("{}", power_loss(options).unwrap());
    }
}

#[test]
fn f3_nothing_acknowledged_is_lost_when_the_power_fails_with_postgresql() {
    if Cell::possible() && require(Postgres::TOOLS) {
        let options = PowerOptions { database: Database::Postgres, snapshots: SNAPSHOTS, syncs: true };
        println!("{}", power_loss(options).unwrap());
    }
}

#[test]
fn f3_without_syncs_the_test_of_power_loss_finds_losses() {
    if Cell::possible() && require(Shim::TOOLS) && require(Postgres::TOOLS) {
        for database in [Database::Sqlite, Database::Postgres] {
            let options = PowerOptions { database, snapshots: 5, syncs: false };
            let error = power_loss(options).unwrap_err();
            let findings = error.findings();
            assert!(findings.iter().any(|finding| finding.starts_with("I1")), "{database:?}: {error}");
        }
    }
}

#[test]
fn f4_a_push_whose_sync_fails_is_void_and_never_a_success() {
    if require(Shim::TOOLS) {
        println!("{}", failing_syncs().unwrap());
    }
}

#[test]
fn f5_a_full_disk_is_507_and_not_ready_and_pulls_go_on() {
    if Cell::possible() {
        println!("{}", data_disk_full(3).unwrap());
    }
}

#[test]
fn f6_a_catalog_on_a_full_disk_stays_whole() {
    if Cell::possible() && require(&["python3"]) {
        println!("{}", catalog_disk_full(4).unwrap());
    }
}
