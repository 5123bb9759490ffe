//! Builds a catalog anew from the records and blobs in storage.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use berth_oci::{Digest, RepoName, Tag};
use futures_util::{StreamExt, TryStreamExt};
use serde::Serialize;
use serde_json::json;

use super::{
    LARGEST_RECORD, Teller, UpkeepError,
    restore::{Candidate, Outcome, Restore},
};
use crate::{
    catalog::{BlobRow, Catalog, ManifestRecord, ObjectKey, Record},
    clock::{Clock, Timestamp},
    manifests::Manifests,
    records,
    storage::{BlobStore, blob_digest, is_foreign, read_whole},
};

/// Records that are read and put back at a time.
const ABREAST: usize = 32;

/// What was found, and what could not be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Recovered {
    /// Manifests that are back.
    pub manifests: u64,
    /// Tags that are back.
    pub tags: u64,
    /// Blobs that are back.
    pub blobs: u64,
    /// Objects that hold blobs which no manifest refers to; collection's.
    pub unused: u64,
    /// Manifests that are back but lack something, which is lost.
    pub incomplete: u64,
    /// Records that could not be used, and tags whose manifest is lost.
    pub lost: u64,
}

/// Rebuilds a catalog.
#[derive(Debug)]
pub struct Recovery<'a> {
    /// The catalog, which is to be filled.
    pub catalog: &'a dyn Catalog,
    /// Where blobs and records are.
    pub store: Arc<dyn BlobStore>,
    /// The rules of manifests.
    pub manifests: &'a Manifests,
    /// What time it is.
    pub clock: &'a dyn Clock,
    /// For how long collection leaves alone what comes back.
    pub lease: Duration,
}

/// Objects by name, and where storage's names tell it, by what is in them.
#[derive(Debug, Default)]
struct Objects {
    sizes: HashMap<String, u64>,
    by_digest: HashMap<Digest, ObjectKey>,
}

impl Objects {
    /// The object of a blob: the one that the record names, or another of the same content.
    fn of(&self, blob: &BlobRow) -> Option<BlobRow> {
        let is_it = |key: &ObjectKey| self.sizes.get(&key.0) == Some(&blob.size);
        let other = || self.by_digest.get(&blob.digest).filter(|key| is_it(key));
        let key = Some(&blob.key).filter(|key| is_it(key)).or_else(other)?;
        Some(BlobRow { key: key.clone(), ..blob.clone() })
    }
}

type Tags = HashMap<(RepoName, Digest), Vec<(Tag, Timestamp)>>;

impl Recovery<'_> {
    /// Puts everything back that storage knows of. The catalog must be empty, unless `merge`: then
    /// what it has stays, and tags that it has set later than storage's records say stay where they are.
    ///
    /// # Errors
    /// When the catalog holds something, and when it or storage fails. It can be run again then, with `merge`.
    pub async fn run(&self, merge: bool, teller: &Teller) -> Result<Recovered, UpkeepError> {
        if !merge && !self.catalog.is_empty().await? {
            return Err(UpkeepError::Refused(
                "the catalog is not empty: recover is for one that was lost; --merge adds what it lacks"
                    .to_owned(),
            ));
        }
        let mut recovered = Recovered::default();
        let objects = self.objects().await?;
        teller.tell(&json!({ "progress": "objects", "count": objects.sizes.len() })).await;
        let tags = self.tags(&mut recovered, teller).await?;
        let tags = Mutex::new(tags);
        let restore = Restore::new(self.catalog, self.manifests, self.clock, self.lease);
        let keys: Vec<ObjectKey> =
            self.store.list("manifests").map_ok(|listed| listed.key).try_collect().await?;
        teller.tell(&json!({ "progress": "manifests", "count": keys.len() })).await;
        let mut waiting =
            self.round(&restore, &objects, &tags, keys, Pass::Images, &mut recovered, teller).await?;
        // Indexes of indexes need several rounds; each round puts back whatever has all its children.
        loop {
            let before = waiting.len();
            if before == 0 {
                break;
            }
            waiting =
                self.round(&restore, &objects, &tags, waiting, Pass::Whole, &mut recovered, teller).await?;
            if waiting.len() == before {
                break;
            }
        }
        self.round(&restore, &objects, &tags, waiting, Pass::AsTheyAre, &mut recovered, teller).await?;
        for ((repo, digest), tags) in tags.into_inner().unwrap_or_else(PoisonError::into_inner) {
            for (tag, _) in tags {
                recovered.lost += 1;
                let why = format!("its manifest {digest} is lost");
                teller.tell(&json!({ "lost": format!("{repo}:{tag}"), "why": why })).await;
            }
        }
        self.count_blobs(&objects, &mut recovered).await?;
        if !merge {
            self.catalog.all_recorded().await?;
        }
        Ok(recovered)
    }

    async fn objects(&self) -> Result<Objects, UpkeepError> {
        let mut objects = Objects::default();
        let mut listed = self.store.list("blobs");
        while let Some(object) = listed.try_next().await? {
            if let Some(digest) = blob_digest(&object.key) {
                objects.by_digest.insert(digest, object.key.clone());
            }
            objects.sizes.insert(object.key.0, object.size);
        }
        Ok(objects)
    }

    async fn count_blobs(&self, objects: &Objects, recovered: &mut Recovered) -> Result<(), UpkeepError> {
        let mut after = None;
        let mut used = 0;
        loop {
            let page = self.catalog.blobs_after(after.as_ref(), 1000).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.row.digest.clone());
            recovered.blobs += page.len() as u64;
            used += page.iter().filter(|blob| objects.sizes.contains_key(&blob.row.key.0)).count();
        }
        recovered.unused = objects.sizes.len().saturating_sub(used) as u64;
        Ok(())
    }

    /// The record that an object holds; tells where it holds none.
    async fn record(&self, key: &ObjectKey) -> Result<Result<Record, String>, UpkeepError> {
        let Some(bytes) = read_whole(&*self.store, key, LARGEST_RECORD).await? else {
            return Ok(Err("it is gone".to_owned()));
        };
        Ok(records::read(&bytes).map_err(|error| error.to_string()))
    }

    async fn tags(&self, recovered: &mut Recovered, teller: &Teller) -> Result<Tags, UpkeepError> {
        let mut tags = Tags::new();
        let listed = self.store.list("tags").map_err(UpkeepError::from);
        let mut read = listed
            .map_ok(|listed| async move { Ok((self.record(&listed.key).await?, listed.key)) })
            .try_buffer_unordered(ABREAST);
        while let Some((record, key)) = read.try_next().await? {
            match record {
                Ok(Record::Tag(tag)) => {
                    tags.entry((tag.repo, tag.digest)).or_default().push((tag.tag, tag.updated_at));
                }
                other => {
                    recovered.lost += 1;
                    let why = other.err().unwrap_or_else(|| "it is no tag's".to_owned());
                    teller.tell(&json!({ "lost": key.0, "why": why })).await;
                }
            }
        }
        Ok(tags)
    }

    #[expect(clippy::too_many_arguments, reason = "one step of one function, which has all of these")]
    async fn round(
        &self,
        restore: &Restore<'_>,
        objects: &Objects,
        tags: &Mutex<Tags>,
        keys: Vec<ObjectKey>,
        pass: Pass,
        recovered: &mut Recovered,
        teller: &Teller,
    ) -> Result<Vec<ObjectKey>, UpkeepError> {
        let mut waiting = Vec::new();
        let each = keys.into_iter().map(|key| async move {
            let end = self.one(restore, objects, tags, &key, pass).await?;
            Ok::<_, UpkeepError>((end, key))
        });
        let mut ends = futures_util::stream::iter(each).buffer_unordered(ABREAST);
        while let Some((end, key)) = ends.try_next().await? {
            match end {
                End::Back { tags, lacking } => {
                    recovered.manifests += 1;
                    recovered.tags += tags;
                    if !lacking.is_empty() {
                        recovered.incomplete += 1;
                        teller.tell(&json!({ "incomplete": key.0, "lacks": lacking })).await;
                    }
                }
                End::Waits => waiting.push(key),
                End::Lost(why) => {
                    recovered.lost += 1;
                    teller.tell(&json!({ "lost": key.0, "why": why })).await;
                }
            }
        }
        Ok(waiting)
    }

    async fn one(
        &self,
        restore: &Restore<'_>,
        objects: &Objects,
        tags: &Mutex<Tags>,
        key: &ObjectKey,
        pass: Pass,
    ) -> Result<End, UpkeepError> {
        let record = match self.record(key).await? {
            Ok(Record::Manifest(record)) => record,
            Ok(Record::Tag(_)) => return Ok(End::Lost("it is no manifest's".to_owned())),
            Err(why) => return Ok(End::Lost(why)),
        };
        let ManifestRecord { repo, digest, media_type, pushed_at, blobs, body } = record;
        let lock = || tags.lock().unwrap_or_else(PoisonError::into_inner);
        let of = (repo.clone(), digest.clone());
        let its_tags = lock().get(&of).cloned().unwrap_or_default();
        let candidate =
            Candidate { repo, digest, media_type: Some(media_type), pushed_at, body, tags: its_tags };
        match restore.is_parent(&candidate) {
            Ok(true) if pass == Pass::Images => return Ok(End::Waits),
            Ok(_) => {}
            Err(error) => return Ok(End::Lost(error.to_string())),
        }
        for blob in &blobs {
            if restore.is_linked(&candidate.repo, &blob.digest) {
                continue;
            }
            let found = match objects.of(blob) {
                None if is_foreign(&blob.key) && self.store.size(&blob.key).await? == Some(blob.size) => {
                    Some(blob.clone())
                }
                found => found,
            };
            if let Some(found) = found {
                // Nobody keeps quotas here, since no server runs.
                drop(restore.blob(&candidate.repo, &found, None).await?);
            }
        }
        let as_it_is = pass != Pass::Whole;
        let lacking = match restore.manifest(&candidate, as_it_is).await? {
            Outcome::Whole(_) => Vec::new(),
            Outcome::Lacking(_) if !as_it_is => return Ok(End::Waits),
            Outcome::Lacking(lacking) => lacking.into_iter().map(|reference| reference.digest).collect(),
            Outcome::Refused(why) => return Ok(End::Lost(why)),
        };
        lock().remove(&of);
        Ok(End::Back { tags: candidate.tags.len() as u64, lacking })
    }
}

/// Which manifests a round puts back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// Those that need no other.
    Images,
    /// Those whose children are all there.
    Whole,
    /// All.
    AsTheyAre,
}

/// How one record ended in a round.
enum End {
    Back { tags: u64, lacking: Vec<Digest> },
    Waits,
    Lost(String),
}
