//! F1, F2, F14 and F25: processes that die, race, or are one too many.

use std::time::Duration;

use berth_conformance::faults::{Shim, kill_at_each_call, kill_in_mid_push, one_blob_by_many};
use berth_conformance::harness::{Berth, Stack, require};

#[test]
fn f1_nothing_acknowledged_is_lost_when_the_process_is_killed_in_mid_push() {
    println!("{}", kill_in_mid_push(Stack::Embedded, 30, 500).unwrap());
}

#[test]
fn f1_nothing_acknowledged_is_lost_when_a_process_on_postgresql_and_s3_is_killed() {
    if require(super::OUTSIDE_TOOLS) {
        println!("{}", kill_in_mid_push(Stack::outside().unwrap(), 4, 500).unwrap());
    }
}

#[test]
fn f2_nothing_acknowledged_is_lost_at_whichever_call_the_process_is_killed() {
    if require(Shim::TOOLS) {
        println!("{}", kill_at_each_call().unwrap());
    }
}

#[test]
fn f14_fifty_pushers_of_one_blob_are_all_told_201_and_leave_one_object() {
    println!("{}", one_blob_by_many(Stack::Embedded, 20, 50, 5).unwrap());
}

#[test]
fn f14_fifty_pushers_of_one_blob_leave_one_object_in_a_bucket() {
    if require(super::OUTSIDE_TOOLS) {
        println!("{}", one_blob_by_many(Stack::outside().unwrap(), 5, 50, 5).unwrap());
    }
}

#[test]
fn f25_a_second_server_on_the_same_data_ends_with_75_and_says_why() {
    let first = Berth::builder().start().unwrap();
    let mut second = Berth::builder().data(first.data()).prepare().unwrap();
    second.launch().unwrap();
    assert_eq!(second.wait(Duration::from_secs(60)).unwrap().code(), Some(75), "{}", second.logs());
    assert!(second.logs().contains("locked"), "{}", second.logs());
    // The first goes on, and when it is gone another may come.
    let mut first = first;
    first.wait_ready().unwrap();
    first.kill().unwrap();
    second.start().unwrap();
}
