//! What was acknowledged, beside what is there, while everything happens at once.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// A generator whose numbers are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 % u64::from(sides)).unwrap()
    }
}

impl Dice {
    fn one_of<const N: usize>(&mut self, names: [&'static str; N]) -> &'static str {
        names[self.roll(u32::try_from(N).unwrap()) as usize]
    }
}

/// What was acknowledged: what each tag stands for, and which tags were deleted and may come back.
#[derive(Default)]
struct Model {
    tags: BTreeMap<(String, String), Digest>,
    deleted: BTreeMap<(String, String), (Digest, Timestamp)>,
    /// Digests whose blobs were acknowledged to a repository within half a lease.
    seen: BTreeMap<(String, Digest), Timestamp>,
}

impl Model {
    async fn act(&mut self, place: &Place, collector: &Collector, dice: &mut Dice) {
        let of = dice.one_of(["a", "b", "c"]).to_owned();
        let name = format!("t{}", dice.roll(4));
        let content = format!("content {}", dice.roll(6));
        let now = place.clock.now();
        let at = (of.clone(), name.clone());
        match dice.roll(8) {
            0..=2 => {
                let digest = place.image(&of, &content, &[&name]).await;
                self.tags.insert(at, digest);
            }
            3 => {
                let blob = place.blob(&of, &content).await.digest;
                self.seen.insert((of, blob), now);
            }
            4 => {
                // What was acknowledged lately must do for a manifest.
                let Some(((of, blob), when)) = self.seen.pop_first() else { return };
                let body = format!("{{\"of\":\"{blob}\",\"n\":{}}}", dice.roll(3));
                let put = place.manifest(&of, &body, &[(blob, RefKind::Blob)], &[&name]).await;
                if now.0 < (when + LEASE / 2).0 {
                    assert!(put.is_some(), "a blob was acknowledged and then missing");
                }
                if let Some(digest) = put {
                    self.tags.insert((of, name), digest);
                }
            }
            5 => {
                let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
                let from = repo(dice.one_of(["a", "b", "c"]));
                let mounted = place
                    .catalog
                    .mount_blob(Some(&from), &repo(&of), &digest, now, place.lease())
                    .await
                    .unwrap()
                    .unwrap();
                if mounted.is_some() {
                    self.seen.insert((of, digest), now);
                }
            }
            6 => {
                let there = place.delete_tag(&of, &name).await;
                assert_eq!(there, self.tags.contains_key(&at), "{at:?}");
                if let Some(digest) = self.tags.remove(&at) {
                    self.deleted.insert(at, (digest, now));
                }
            }
            _ => {
                let back = collector.undelete(&repo(&of), &name.parse().unwrap()).await.unwrap();
                let deleted = self.deleted.get(&at).filter(|(_, when)| *when + HOUR * 4 >= now).cloned();
                match (deleted, self.tags.contains_key(&at)) {
                    (None, _) => assert_eq!(back, Undeleted::Unknown),
                    (Some(_), true) => assert!(matches!(back, Undeleted::Taken(_)), "{back:?}"),
                    (Some((digest, _)), false) => {
                        assert!(matches!(back, Undeleted::Restored { .. }), "{at:?} {back:?}");
                        self.deleted.remove(&at);
                        self.tags.insert(at, digest);
                    }
                }
            }
        }
    }

    async fn holds(&self, place: &Place, when: &str) {
        place.check(when).await;
        for of in ["a", "b", "c"] {
            let listed = place.catalog.tags(&repo(of), None, 100).await.unwrap().unwrap_or_default();
            let listed: BTreeSet<_> = listed.iter().map(ToString::to_string).collect();
            let expected =
                self.tags.keys().filter(|(repo, _)| repo == of).map(|(_, tag)| tag.clone()).collect();
            assert_eq!(listed, expected, "{when}: {of}");
        }
        for ((of, name), digest) in &self.tags {
            let row = place.catalog.manifest(&repo(of), &name.parse().unwrap()).await.unwrap();
            assert_eq!(row.map(|row| row.digest).as_ref(), Some(digest), "{when}: {of}:{name}");
        }
    }
}

#[tokio::test]
async fn whatever_is_pushed_mounted_deleted_and_brought_back_beside_collection_the_invariants_hold() {
    for seed in 1..=12_u64 {
        let place = Place::new().await;
        let collector = place.collector(place.clock.clone(), settings());
        let (mut model, mut dice) = (Model::default(), Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        for round in 0..25 {
            let stop = CancellationToken::new();
            let acting = async {
                for _ in 0..8 {
                    model.act(&place, &collector, &mut dice).await;
                    tokio::task::yield_now().await;
                }
            };
            let mut unheard = |_: &Report| ();
            let (ran, ()) = tokio::join!(collector.run(&stop, &mut unheard), acting);
            ran.unwrap();
            model.holds(&place, &format!("seed {seed}, round {round}")).await;
            let minutes = dice.roll(90);
            place.clock.forward(Duration::from_secs(60) * minutes);
        }
        for (of, name) in model.tags.keys() {
            assert!(place.delete_tag(of, name).await);
        }
        place.clock.forward(HOUR * 10);
        place.collect(settings()).await;
        place.collect(settings()).await;
        assert_eq!(place.objects().await, [], "seed {seed}: orphans are left");
        assert_eq!(place.catalog.repositories(None, 10).await.unwrap(), []);
        place.catalog.close().await;
    }
}
