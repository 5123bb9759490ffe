//! F7 to F10: buckets and disks that misbehave.

use berth_conformance::faults::{
    bucket_flips_bits, bucket_goes_wrong, bucket_stalls, disk_stalls, parts_are_purged,
};
use berth_conformance::harness::{S3, require};

#[test]
fn f7_a_bucket_that_hangs_is_503_in_time() {
    if require(S3::TOOLS) {
        println!("{}", bucket_stalls().unwrap());
    }
}

#[test]
fn f7_a_disk_that_hangs_is_503_in_time() {
    if require(&["strace", "setpriv"]) {
        println!("{}", disk_stalls().unwrap());
    }
}

#[test]
fn f8_nothing_acknowledged_is_lost_and_nothing_wrong_is_served_while_the_bucket_goes_wrong() {
    if require(S3::TOOLS) {
        println!("{}", bucket_goes_wrong(60).unwrap());
    }
}

#[test]
fn f9_a_bit_that_the_bucket_flips_never_reaches_a_client() {
    if require(S3::TOOLS) {
        println!("{}", bucket_flips_bits(50).unwrap());
    }
}

#[test]
fn f10_no_parts_of_an_interrupted_upload_are_left_after_the_purge() {
    if require(S3::TOOLS) && require(&["python3"]) {
        println!("{}", parts_are_purged().unwrap());
    }
}
