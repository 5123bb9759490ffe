//! Berth under both suites, on both stacks: everything passes and nothing is skipped.

use berth_conformance::{
    Options, Target, TargetOptions, abuse,
    harness::{Berth, Stack, require},
    suite,
};

/// A choice that is not kept is a failure here: it is Berth's own.
fn options(sparse: bool) -> Options {
    Options { strict: true, sparse, ..Options::default() }
}

async fn judge(berth: &Berth, sparse: bool) {
    let target = Target::connect(&berth.url(), &TargetOptions::default()).await.expect("Berth answers");
    suite::run(&target, &options(sparse)).await.assert_all_passed();
    abuse::run(&target, &options(sparse)).await.assert_all_passed();
}

#[tokio::test(flavor = "multi_thread")]
async fn berth_passes_both_suites_on_sqlite_and_a_folder() {
    let berth = Berth::builder().start().unwrap();
    judge(&berth, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn berth_passes_both_suites_where_sparse_content_is_allowed() {
    let berth = Berth::builder()
        .set("manifests.sparse_indexes", "true")
        .set("manifests.sparse_images", "true")
        .start()
        .unwrap();
    judge(&berth, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn berth_passes_both_suites_on_postgresql_and_s3() {
    if !require(super::OUTSIDE_TOOLS) {
        return;
    }
    let berth = Berth::builder().stack(Stack::outside().unwrap()).start().unwrap();
    judge(&berth, false).await;
}
