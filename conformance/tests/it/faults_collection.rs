//! F1, F15, F16 and F17 for collection.

use berth_conformance::faults::{
    delete_in_mid_pull, head_then_manifest, kill_in_mid_collection, push_beside_collection,
};
use berth_conformance::harness::{Stack, require};

#[test]
fn f15_no_push_is_refused_or_lost_while_collection_runs_in_a_loop() {
    println!("{}", push_beside_collection(Stack::Embedded, 3000).unwrap());
}

#[test]
fn f15_no_push_is_refused_or_lost_beside_collection_on_postgresql_and_s3() {
    if require(super::OUTSIDE_TOOLS) {
        println!("{}", push_beside_collection(Stack::outside().unwrap(), 600).unwrap());
    }
}

#[test]
fn f16_a_blob_that_head_has_seen_is_there_for_its_manifest() {
    println!("{}", head_then_manifest(Stack::Embedded, 300).unwrap());
}

#[test]
fn f17_r12_a_pull_ends_whole_or_cut_off_when_its_blob_is_deleted_and_collected() {
    println!("{}", delete_in_mid_pull(Stack::Embedded, 3).unwrap());
}

#[test]
fn f17_a_pull_from_a_bucket_ends_whole_or_cut_off() {
    if require(super::OUTSIDE_TOOLS) {
        println!("{}", delete_in_mid_pull(Stack::outside().unwrap(), 2).unwrap());
    }
}

#[test]
fn f1_a_process_that_is_killed_while_it_collects_loses_nothing_and_leaves_nothing() {
    println!("{}", kill_in_mid_collection(Stack::Embedded, 10).unwrap());
}
