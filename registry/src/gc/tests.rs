mod model;
mod power;
mod strangers;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicI64, Ordering},
    task::Poll,
};

use berth_oci::{Algorithm, Digest, MediaType, Tag};
use bytes::Bytes;
use futures_util::TryStreamExt;
use uuid::Uuid;

use super::*;
use crate::{
    catalog::{
        BlobRow, Burial, Lease, ManifestPut, ManifestRef, NewBlob, NewManifest, RecordName, RefKind,
        SqliteCatalog, SqliteOptions, UploadId, UploadProgress, UploadRow,
    },
    clock::Timestamp,
    storage::{Key, ObjectBackend, memory, read_whole},
};

const HOUR: Duration = Duration::from_secs(3600);
const LEASE: Duration = HOUR;

/// A clock that stands where it was set.
#[derive(Debug)]
struct Hand(AtomicI64);

impl Hand {
    fn at(time: Timestamp) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(time.0)))
    }

    fn forward(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

struct Place {
    _data: tempfile::TempDir,
    catalog: Arc<dyn Catalog>,
    store: ObjectBackend,
    /// The clock of whoever pushes.
    clock: Arc<Hand>,
}

fn settings() -> Settings {
    Settings {
        grace: Duration::ZERO,
        untagged: Some(Duration::ZERO),
        lease: LEASE,
        clock_skew: Duration::ZERO,
        undelete: HOUR * 4,
        rules: Vec::new(),
        immutable: Immutable::default(),
    }
}

fn repo(name: &str) -> RepoName {
    name.parse().unwrap()
}

fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

impl Place {
    async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let catalog = SqliteCatalog::open(data.path(), SqliteOptions::default()).await.unwrap();
        // The bucket in memory tells real times, so the clock begins there.
        let now = crate::clock::SystemClock.now();
        Self { _data: data, catalog: Arc::new(catalog), store: memory(), clock: Hand::at(now) }
    }

    fn collector(&self, clock: Arc<Hand>, settings: Settings) -> Collector {
        let store = Arc::new(self.store.clone());
        let records = Records::new(self.catalog.clone(), store.clone());
        Collector::new(self.catalog.clone(), store, records, clock, settings)
    }

    fn lease(&self) -> Lease {
        Lease { now: self.clock.now(), length: LEASE }
    }

    async fn collect(&self, settings: Settings) -> Report {
        let collector = self.collector(self.clock.clone(), settings);
        collector.run(&CancellationToken::new(), &mut |_| ()).await.unwrap()
    }

    async fn blob(&self, of: &str, content: &str) -> BlobRow {
        let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
        // As every push: a session from before its object until its row.
        let id = UploadId(Uuid::new_v4());
        let (hash, staging, expires_at) = (Vec::new(), Vec::new(), self.clock.now() + LEASE);
        let progress = UploadProgress { offset: 0, hash, staging, expires_at };
        let (principal, created_at) = (String::new(), self.clock.now());
        let session = UploadRow { id, repo: repo(of), principal, created_at, progress };
        self.catalog.create_upload(&session).await.unwrap();
        let key = Key::Object(id).object();
        self.store.put(&key, Bytes::from(content.to_owned())).await.unwrap();
        let size = content.len() as u64;
        let blob = NewBlob { repo: repo(of), digest, size, key, upload: Some(id) };
        let committed =
            self.catalog.commit_blob(&blob, self.clock.now(), self.lease()).await.unwrap().unwrap();
        if committed.surplus {
            self.store.delete(&blob.key).await.unwrap();
        }
        committed.blob
    }

    /// Pushes a manifest that refers to these; its digest if it was taken.
    async fn manifest(
        &self,
        of: &str,
        body: &str,
        held: &[(Digest, RefKind)],
        tags: &[&str],
    ) -> Option<Digest> {
        let digest = Digest::of(Algorithm::Sha256, body.as_bytes());
        let references = held
            .iter()
            .map(|(digest, kind)| ManifestRef { digest: digest.clone(), kind: *kind, optional: false })
            .collect();
        let new = NewManifest {
            repo: repo(of),
            digest: digest.clone(),
            media_type: MediaType::new(MediaType::OCI_INDEX),
            body: Bytes::from(body.to_owned()),
            references,
            subject: None,
            artifact_type: None,
            annotations: BTreeMap::new(),
            tags: tags.iter().map(|name| tag(name)).collect(),
            fixed: Vec::new(),
            max_depth: 20,
        };
        match self.catalog.put_manifest(&new, self.clock.now(), self.lease()).await.unwrap() {
            ManifestPut::Stored { .. } => Some(digest),
            ManifestPut::Missing(_) => None,
            other => panic!("{other:?}"),
        }
    }

    async fn image(&self, of: &str, content: &str, tags: &[&str]) -> Digest {
        let blob = self.blob(of, content).await.digest;
        let body = format!("{{\"layer\":\"{blob}\"}}");
        self.manifest(of, &body, &[(blob, RefKind::Blob)], tags).await.unwrap()
    }

    async fn delete_tag(&self, of: &str, name: &str) -> bool {
        let burial = Burial { now: self.clock.now(), keep: true };
        self.catalog.delete_tag(&repo(of), &tag(name), burial).await.unwrap()
    }

    async fn objects(&self) -> Vec<ObjectKey> {
        self.store.list("").map_ok(|listed| listed.key).try_collect().await.unwrap()
    }

    /// No row leads nowhere: each blob's object holds its content, each reference is there.
    async fn check(&self, when: &str) {
        let mut after: Option<Digest> = None;
        loop {
            let page = self.catalog.blobs_after(after.as_ref(), 100).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.row.digest.clone());
            for blob in page {
                let bytes = read_whole(&self.store, &blob.row.key, 1 << 20).await.unwrap();
                let bytes = bytes.unwrap_or_else(|| panic!("{when}: {} has no object", blob.row.digest));
                assert_eq!(Digest::of(Algorithm::Sha256, &bytes), blob.row.digest, "{when}");
            }
        }
        assert_eq!(self.catalog.dangling_after(-1, 10).await.unwrap(), [], "{when}");
    }
}

#[tokio::test]
async fn a_run_removes_what_nothing_needs_and_says_what() {
    let place = Place::new().await;
    place.image("a", "kept", &["x"]).await;
    place.image("a", "untagged", &[]).await;
    place.blob("b", "nobody's").await;
    let orphan = Key::Object(UploadId(Uuid::new_v4())).object();
    place.store.put(&orphan, Bytes::from_static(b"of a crash")).await.unwrap();
    place.clock.forward(HOUR * 2);
    let would = place.collector(place.clock.clone(), settings()).estimate().await.unwrap();
    let report = place.collect(settings()).await;
    let expected = Report {
        manifests: 1,
        links: 2,
        blobs: 2,
        orphans: 1,
        bytes: 8 + 8 + 10,
        repositories: 1,
        finished: true,
        started_at: report.started_at,
        milliseconds: report.milliseconds,
        ..Report::default()
    };
    assert_eq!(report, expected);
    assert_eq!((would.manifests, would.blobs), (1, 2));
    assert_eq!(place.collector(place.clock.clone(), settings()).last_report().await.unwrap(), Some(report));
    assert_eq!(place.objects().await.len(), 1);
    place.check("after the run").await;
}

#[tokio::test]
async fn records_of_removed_manifests_go_with_them() {
    let place = Place::new().await;
    let records = Records::new(place.catalog.clone(), Arc::new(place.store.clone()));
    let mut digests = Vec::new();
    for n in 0..5 {
        digests.push(place.image("a", &format!("layer {n}"), &[]).await);
    }
    digests.push(place.image("a", "kept", &["x"]).await);
    let names = digests.iter().map(|digest| RecordName::Manifest(repo("a"), digest.clone()));
    records.settle(names).await.unwrap();
    records.flush().await.unwrap();
    let recorded =
        async || place.objects().await.iter().filter(|key| key.0.starts_with("manifests/")).count();
    assert_eq!(recorded().await, 6);
    place.clock.forward(HOUR * 2);
    assert_eq!(place.collect(settings()).await.manifests, 5);
    assert_eq!(recorded().await, 1);
    // The tag was never put on record; of removals nothing is left to do.
    let noted = place.catalog.unrecorded(i64::MAX, 100).await.unwrap();
    let names: Vec<_> = noted.into_iter().map(|note| note.name).collect();
    assert_eq!(names, [RecordName::Tag(repo("a"), tag("x"))]);
}

#[tokio::test]
async fn an_orphan_is_left_alone_until_it_is_old() {
    let place = Place::new().await;
    let young = Key::Object(UploadId(Uuid::new_v4())).object();
    place.store.put(&young, Bytes::from_static(b"in mid-push")).await.unwrap();
    let patient = || Settings { grace: HOUR, ..settings() };
    place.clock.forward(HOUR / 2);
    assert_eq!(place.collect(patient()).await.orphans, 0);
    place.clock.forward(HOUR);
    assert_eq!(place.collect(patient()).await.orphans, 1);
    assert_eq!(place.objects().await, []);
}

#[tokio::test]
async fn what_has_a_name_that_is_not_ours_stays() {
    let place = Place::new().await;
    let foreign = ObjectKey("blobs/notes".to_owned());
    place.store.put(&foreign, Bytes::from_static(b"of somebody")).await.unwrap();
    place.clock.forward(HOUR * 9);
    assert_eq!(place.collect(settings()).await.orphans, 0);
    assert_eq!(place.objects().await, [foreign]);
}

#[tokio::test]
async fn f19_clocks_an_hour_apart_free_nothing_early() {
    for (ahead, behind) in [(HOUR, Duration::ZERO), (Duration::ZERO, HOUR)] {
        let place = Place::new().await;
        place.blob("a", "pushed just now").await;
        place.image("a", "untagged just now", &[]).await;
        let clock = Hand::at(place.clock.now() + ahead - behind);
        let careful = || Settings { clock_skew: HOUR, ..settings() };
        // A moment before the lease is over, by the clock of whoever pushed.
        clock.forward(LEASE - Duration::from_millis(1));
        let collector = place.collector(clock.clone(), careful());
        let none = collector.run(&CancellationToken::new(), &mut |_| ()).await.unwrap();
        assert_eq!((none.blobs, none.links, none.orphans), (0, 0, 0), "{none:?}");
        if ahead > behind {
            // The same without care is early: the guard is what is tested.
            let hasty = place.collector(clock.clone(), settings());
            assert!(hasty.run(&CancellationToken::new(), &mut |_| ()).await.unwrap().blobs > 0);
        }
        clock.forward(HOUR * 3);
        collector.run(&CancellationToken::new(), &mut |_| ()).await.unwrap();
        assert_eq!(place.objects().await, [], "in the end it goes");
    }
}

#[tokio::test]
async fn retention_keeps_the_last_the_young_the_matching_and_the_immutable() {
    let place = Place::new().await;
    for n in 0..6 {
        place.image("team/app", &format!("layer {n}"), &[&format!("build-{n}")]).await;
        place.clock.forward(HOUR);
    }
    place.image("team/app", "layer 0", &["v1", "stable"]).await;
    place.image("other/app", "alone", &["build-0"]).await;
    place.clock.forward(HOUR * 10);
    let rule = retention::Rule {
        repositories: vec!["team/*".to_owned()],
        keep_last: Some(3),
        keep_younger: Some(HOUR * 11),
        keep_tags: vec!["sta*".to_owned()],
    };
    let rules =
        vec![rule, retention::Rule { repositories: vec!["*".to_owned()], ..retention::Rule::default() }];
    let immutable = Immutable::new(vec!["v*".to_owned()]);
    let keeping = || Settings {
        rules: rules[..1].to_vec(),
        immutable: immutable.clone(),
        untagged: None,
        ..settings()
    };
    let collector = place.collector(place.clock.clone(), keeping());
    let preview = collector.preview().await.unwrap();
    let names: Vec<_> = preview.tags.iter().map(|(repo, tag)| format!("{repo}:{tag}")).collect();
    // Pushed last: v1 and stable at one time, build-5, which is also young.
    assert_eq!(
        names,
        ["team/app:build-0", "team/app:build-1", "team/app:build-2", "team/app:build-3", "team/app:build-4"]
    );
    assert_eq!((preview.freed.manifests, preview.freed.blobs), (4, 4), "build-0 is also v1");
    let report = place.collect(keeping()).await;
    assert_eq!((report.tags, report.manifests, report.blobs), (5, 4, 0), "they can be brought back");
    let kept = place.catalog.tags(&repo("team/app"), None, 10).await.unwrap().unwrap();
    assert_eq!(kept, [tag("build-5"), tag("stable"), tag("v1")]);
    place.check("after retention").await;
    let back = collector.undelete(&repo("team/app"), &"build-3".parse().unwrap()).await.unwrap();
    assert!(matches!(back, Undeleted::Restored { .. }), "{back:?}");
    place.check("after undelete").await;
    assert_eq!(collector.preview().await.unwrap().tags, [], "what was brought back counts as pushed now");
    assert_eq!(retention::rule_of(&rules, &repo("other/app")), Some(&rules[1]));
}

#[tokio::test]
async fn one_run_at_a_time_and_a_stopped_one_ends_well() {
    let place = Place::new().await;
    let collector = place.collector(place.clock.clone(), settings());
    let turn = collector.turn.clone().lock_owned().await;
    let busy = collector.run(&CancellationToken::new(), &mut |_| ()).await;
    assert!(matches!(busy, Err(GcError::Busy)));
    drop(turn);
    let stopped = CancellationToken::new();
    stopped.cancel();
    assert!(!collector.run(&stopped, &mut |_| ()).await.unwrap().finished);
}

/// Polls `run` so many times and drops it, as if the process had died there; whether it had ended.
async fn dies_after<F: Future>(polls: usize, run: F) -> bool {
    let mut run = Box::pin(run);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        run.as_mut().poll(context).map(|_| true)
    })
    .await
}

#[tokio::test]
async fn f1_a_collection_that_dies_at_any_step_leaves_only_work_to_repeat() {
    let mut steps = 0;
    loop {
        let place = Place::new().await;
        place.image("a", "kept", &["x"]).await;
        for n in 0..3 {
            let image = place.image("a", &format!("layer {n}"), &[]).await;
            place.manifest("a", &format!("index {n}"), &[(image, RefKind::Child)], &[]).await;
        }
        place.blob("b", "nobody's").await;
        place.clock.forward(HOUR * 2);
        let (collector, stop) = (place.collector(place.clock.clone(), settings()), CancellationToken::new());
        let ended = dies_after(steps, collector.run(&stop, &mut |_| ())).await;
        // What was sent to the writer is still written, as a commit under way would be.
        place.catalog.ping().await.unwrap();
        place.check(&format!("dead after {steps} steps")).await;
        // Somebody pushes the same again before the next run.
        place.image("a", "layer 1", &["again"]).await;
        place.check("pushed again").await;
        place.collect(settings()).await;
        place.check("after the next run").await;
        assert_eq!(place.objects().await.len(), 2, "dead after {steps} steps");
        assert_eq!(place.catalog.doomed_objects(10).await.unwrap(), []);
        place.catalog.close().await;
        if ended {
            break;
        }
        steps += 1;
    }
    assert!(steps > 10, "the run ended after {steps} steps: nothing was interrupted");
}
