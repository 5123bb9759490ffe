//! What comes before what, and how often.

use std::collections::HashSet;

use berth_oci::Digest;
use proptest::prelude::*;

use super::{
    all,
    fakes::{Call, Heap, Log, Shelf, digest},
    session,
};
use crate::{
    Role,
    copy::{Options, run},
};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// Images (by the layers they share) and indexes over what came before them.
fn graphs() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<Vec<usize>>)> {
    let images = prop::collection::vec(prop::collection::vec(0u8..12, 0..5), 1..6);
    let indexes = prop::collection::vec(prop::collection::vec(0usize..100, 0..5), 1..5);
    (images, indexes)
}

proptest! {
    #[test]
    fn children_come_before_parents_the_top_last_and_every_blob_once((images, indexes) in graphs(), concurrent: bool) {
        let (mut shelf, mut heap) = (Shelf::default(), Heap::default());
        heap.traits.concurrent = concurrent;
        let mut made: Vec<Digest> = Vec::new();
        for (at, layers) in images.iter().enumerate() {
            let layers: Vec<Vec<u8>> = layers.iter().map(|layer| vec![*layer; usize::from(*layer)]).collect();
            let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
            made.push(shelf.image(format!("{{\"n\":{at}}}").as_bytes(), &layers));
        }
        for children in &indexes {
            let children: Vec<Digest> = children.iter().map(|at| made[at % made.len()].clone()).collect();
            let entries: Vec<_> = children.iter().map(|child| (child, None)).collect();
            made.push(shelf.index(&entries));
        }
        let top = shelf.top.clone().unwrap();
        runtime().block_on(run(&session(), &shelf, &heap, &all(), &Log::default())).unwrap();

        let calls = heap.calls();
        let mut there: HashSet<Digest> = HashSet::new();
        for call in &calls[..calls.len() - 2] {
            match call {
                Call::Put(blob) => prop_assert!(there.insert(blob.clone()), "{blob} twice"),
                Call::Manifest(manifest, role) => {
                    prop_assert_eq!(*role, Role::Child);
                    let (raw, _) = &shelf.manifests[manifest];
                    let parsed = berth_oci::Manifest::parse(raw.clone(), None).unwrap();
                    for child in parsed.config.iter().chain(&parsed.layers).chain(&parsed.manifests) {
                        prop_assert!(there.contains(&child.digest), "{} before {}", manifest, child.digest);
                    }
                    prop_assert!(there.insert(manifest.clone()));
                }
                Call::Expect | Call::Reuse(_) | Call::Signatures(_) => {}
                Call::Commit => prop_assert!(false, "a commit before the end"),
            }
        }
        prop_assert_eq!(&calls[calls.len() - 2..], &[Call::Manifest(top, Role::Top), Call::Commit]);
    }
}

#[tokio::test]
async fn a_sink_that_takes_one_after_the_other_gets_layers_from_the_base_and_then_the_configuration() {
    let (mut shelf, mut heap) = (Shelf::default(), Heap::default());
    heap.traits.concurrent = false;
    shelf.image(b"{}", &[b"1", b"a longer one", b"3"]);
    run(&session(), &shelf, &heap, &Options::default(), &Log::default()).await.unwrap();
    let puts: Vec<Digest> = heap
        .calls()
        .into_iter()
        .filter_map(|call| if let Call::Put(digest) = call { Some(digest) } else { None })
        .collect();
    assert_eq!(puts, [&b"1"[..], b"a longer one", b"3", b"{}"].map(digest));
    assert_eq!(heap.state().most_at_once, 1);
}

#[tokio::test]
async fn no_more_blobs_move_at_once_than_asked() {
    for (parallel, most) in [(0, 6), (2, 2), (20, 11)] {
        let (mut shelf, mut heap) = (Shelf::default(), Heap::default());
        let layers: Vec<String> = (0..10).map(|at| format!("layer {at}")).collect();
        let layers: Vec<&[u8]> = layers.iter().map(String::as_bytes).collect();
        shelf.image(b"{}", &layers);
        heap.gate = Some(tokio::sync::Semaphore::new(0));
        let options = Options { parallel, ..Options::default() };
        let (session, log) = (session(), Log::default());
        let mut copying = Box::pin(run(&session, &shelf, &heap, &options, &log));
        for _ in 0..100 {
            assert!(futures_util::poll!(&mut copying).is_pending());
        }
        assert_eq!(heap.state().puts_at_once, most);
        heap.gate.as_ref().unwrap().add_permits(100);
        copying.await.unwrap();
        assert_eq!(heap.state().most_at_once, most);
    }
}

#[tokio::test]
async fn copies_of_one_session_send_a_blob_to_one_place_once() {
    let (mut one, mut two) = (Shelf::default(), Shelf::default());
    one.image(b"{\"n\":1}", &[b"shared", b"first"]);
    two.image(b"{\"n\":2}", &[b"shared", b"second"]);
    let heap = Heap::default();
    let (session, log, options) = (session(), Log::default(), Options::default());
    let (a, b) =
        tokio::join!(run(&session, &one, &heap, &options, &log), run(&session, &two, &heap, &options, &log));
    let outcomes: Vec<_> = [a, b].into_iter().flat_map(|report| report.unwrap().blobs).collect();
    let shared = outcomes.iter().filter(|blob| blob.digest == digest(b"shared"));
    let mut shared: Vec<_> = shared.map(|blob| blob.outcome).collect();
    shared.sort_unstable();
    assert_eq!(shared, ["copied", "present"]);
    let puts = heap.calls().into_iter().filter(|call| *call == Call::Put(digest(b"shared"))).count();
    assert_eq!(puts, 1);
}

#[tokio::test]
async fn a_copy_that_is_dropped_leaves_no_name_and_nothing_on_its_way() {
    let (mut shelf, mut heap) = (Shelf::default(), Heap::default());
    shelf.image(b"{}", &[b"one", b"hangs"]);
    heap.hangs.insert(digest(b"hangs"));
    let (session, log, options) = (session(), Log::default(), Options::default());
    {
        let mut copying = Box::pin(run(&session, &shelf, &heap, &options, &log));
        for _ in 0..100 {
            assert!(futures_util::poll!(&mut copying).is_pending());
        }
        assert_eq!(heap.state().puts_at_once, 1);
    }
    let state = heap.state();
    assert_eq!((state.puts_at_once, state.manifests.len(), state.top.is_none()), (0, 0, true));
}

#[tokio::test]
async fn a_sink_that_unpacks_learns_of_the_image_and_has_its_configuration_before_a_layer_is_asked_for() {
    let (mut shelf, mut heap) = (Shelf::default(), Heap::default());
    heap.traits.unpacks = true;
    shelf.image(b"{}", &[b"1", b"a longer one", b"3"]);
    run(&session(), &shelf, &heap, &Options::default(), &Log::default()).await.unwrap();
    let calls = heap.calls();
    let config = digest(b"{}");
    assert_eq!(calls[..3], [Call::Expect, Call::Reuse(config.clone()), Call::Put(config)]);
}
