//! Manifests and tags against their records.

use std::collections::{HashMap, HashSet};

use berth_oci::Digest;
use futures_util::TryStreamExt;

use super::{Kind, Look, PAGE, named};
use crate::{
    catalog::{ObjectKey, Place, Record, RecordName},
    clock::Timestamp,
    records::{self, RecordError},
    storage::read_whole,
    upkeep::{LARGEST_RECORD, UpkeepError},
};

impl From<RecordError> for UpkeepError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Catalog(error) => Self::Catalog(error),
            RecordError::Storage(error) => Self::Storage(error),
        }
    }
}

impl Look<'_> {
    /// Looks at the record of everything, and for records of nothing.
    pub(super) async fn records(&mut self, damaged: &[Digest]) -> Result<(), UpkeepError> {
        self.begins("records").await;
        let mut kept: HashSet<(u64, u64)> = HashSet::new();
        for below in ["manifests", "tags"] {
            let mut listed = self.check.store.list(below);
            while let Some(object) = listed.try_next().await? {
                kept.insert(self.mark(&object.key.0));
            }
        }
        self.summary.objects += kept.len() as u64;
        let mut stray = kept.clone();
        let mut bodies: HashMap<&Digest, bool> = damaged.iter().map(|digest| (digest, false)).collect();
        let mut place = Place::START;
        loop {
            let page = self.check.catalog.names_after(&place, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            place = last.clone();
            self.summary.names += page.len() as u64;
            for (_, name) in page {
                let key = records::key(&name).object();
                let mark = self.mark(&key.0);
                stray.remove(&mark);
                if let RecordName::Manifest(_, digest) = &name
                    && bodies.get(digest) == Some(&false)
                {
                    // Before its record could be written again, from damaged bytes.
                    bodies.insert(digest_in(damaged, digest), self.mend(&name, digest).await?);
                    continue;
                }
                let why = if !kept.contains(&mark) {
                    self.missing_record(&key).await?
                } else if self.reads(&key) {
                    self.wrong_record(&name, &key).await?
                } else {
                    None
                };
                if let Some((kind, why)) = why {
                    self.wrong(name, kind, why).await?;
                }
            }
        }
        for (digest, mended) in bodies {
            self.found(Kind::ManifestDamaged, digest, "its bytes are not those of its digest", mended).await;
        }
        self.stray(&stray).await
    }

    fn reads(&self, key: &ObjectKey) -> bool {
        // By its name, since a tag has no digest of its own.
        let digest = Digest::of(berth_oci::Algorithm::Sha256, key.0.as_bytes());
        self.plan.read.is_some_and(|part| part.has(&digest))
    }

    async fn missing_record(&self, key: &ObjectKey) -> Result<Option<(Kind, String)>, UpkeepError> {
        let there = self.check.store.size(key).await?.is_some();
        Ok((!there).then(|| (Kind::RecordMissing, "its record is not there".to_owned())))
    }

    async fn wrong_record(
        &self,
        name: &RecordName,
        key: &ObjectKey,
    ) -> Result<Option<(Kind, String)>, UpkeepError> {
        let wrong = |why: String| Ok(Some((Kind::RecordWrong, why)));
        let Some(bytes) = read_whole(&*self.check.store, key, LARGEST_RECORD).await? else {
            return self.missing_record(key).await;
        };
        match records::read(&bytes) {
            Err(error) => wrong(format!("its record cannot be used: {error}")),
            Ok(record) => match self.check.catalog.record(name).await?.content {
                Some(now) if now != record => wrong("its record says something else".to_owned()),
                Some(_) | None => Ok(None),
            },
        }
    }

    /// Tells of a record that is not as it must be, unless that is known and being seen to.
    async fn wrong(&mut self, name: RecordName, kind: Kind, why: String) -> Result<(), UpkeepError> {
        let now = self.check.catalog.record(&name).await?;
        if now.sequence.is_some() || now.content.is_none() {
            return Ok(());
        }
        let what = match &name {
            RecordName::Manifest(repo, digest) => named(repo, digest),
            RecordName::Tag(repo, tag) => format!("{repo}:{tag}"),
        };
        if self.plan.repair {
            self.check.records.settle([name]).await?;
        }
        self.found(kind, what, why, self.plan.repair).await;
        Ok(())
    }

    /// Puts a manifest's bytes back from its record; whether that was possible.
    async fn mend(&self, name: &RecordName, digest: &Digest) -> Result<bool, UpkeepError> {
        if !self.plan.repair {
            return Ok(false);
        }
        let key = records::key(name).object();
        let Some(bytes) = read_whole(&*self.check.store, &key, LARGEST_RECORD).await? else {
            return Ok(false);
        };
        match records::read(&bytes) {
            Ok(Record::Manifest(record)) if record.digest == *digest => {
                Ok(self.check.catalog.mend_body(digest, &record.body).await?)
            }
            Ok(_) | Err(_) => Ok(false),
        }
    }

    /// Records whose manifest or tag was not there when the catalog was read.
    async fn stray(&mut self, stray: &HashSet<(u64, u64)>) -> Result<(), UpkeepError> {
        if stray.is_empty() {
            return Ok(());
        }
        let mut found: Vec<(ObjectKey, Timestamp)> = Vec::new();
        for below in ["manifests", "tags"] {
            let mut listed = self.check.store.list(below);
            while let Some(object) = listed.try_next().await? {
                if stray.contains(&self.mark(&object.key.0)) && self.is_old(object.modified) {
                    found.push((object.key, object.modified));
                }
            }
        }
        for (key, _) in found {
            let read = read_whole(&*self.check.store, &key, LARGEST_RECORD).await?;
            let Some(bytes) = read else { continue };
            let name = match records::read(&bytes) {
                Ok(Record::Manifest(record)) => Some(RecordName::Manifest(record.repo, record.digest)),
                Ok(Record::Tag(record)) => Some(RecordName::Tag(record.repo, record.tag)),
                Err(_) => None,
            };
            // Of something that came since, or that is being seen to.
            let name = name.filter(|name| records::key(name).object() == key);
            if let Some(name) = &name {
                let now = self.check.catalog.record(name).await?;
                if now.content.is_some() || now.sequence.is_some() {
                    continue;
                }
            }
            if self.plan.repair {
                match name {
                    Some(name) => self.check.records.settle([name]).await?,
                    None => self.check.store.delete(&key).await?,
                }
            }
            let why = "what it is about is not in the catalog";
            self.found(Kind::RecordStray, key, why, self.plan.repair).await;
        }
        Ok(())
    }
}

/// The one of `digests` that equals `digest`.
fn digest_in<'a>(digests: &'a [Digest], digest: &Digest) -> &'a Digest {
    digests.iter().find(|other| *other == digest).unwrap_or(&digests[0])
}
