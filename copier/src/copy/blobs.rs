//! Blobs on their way: each once, several beside each other, verified.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use berth_oci::{Algorithm, Descriptor, Digest, Hasher, MediaType, RepoName};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Copy, flights::Key, making::Making, report::BlobReport, verified::Verified};
use crate::{
    Content, Error, Event, Result, Reuse,
    content::{Blob, Part},
    error::ResultExt,
    progress::Outcome,
};

/// Blobs of one copy that move at once, unless the user says otherwise: as many as keep a connection busy while others
/// begin or end, and few enough that their buffers stay small.
const AT_ONCE: usize = 6;

/// One blob to be had at the destination.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// As the source has it.
    pub(super) blob: Descriptor,
    /// What it is in the first image that names it.
    pub(super) part: Part,
    /// Whether it may lie elsewhere: then its absence is no error.
    pub(super) elsewhere: bool,
    /// What is made of it, and the type that it has then.
    pub(super) making: Option<(Making, MediaType)>,
}

/// A blob that is at the destination, or was left where its URLs say.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    /// As the destination has it.
    pub(super) blob: Descriptor,
    /// How it got there; `None` where it was left.
    pub(super) how: Option<Outcome>,
}

/// Every blob of a copy, by what is to be done.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    list: Vec<Task>,
    places: HashMap<(Digest, Option<(Making, MediaType)>), usize>,
    sizes: HashMap<Digest, u64>,
}

impl Tasks {
    /// The place of a task; the same for the same blob, if the same is made of it.
    ///
    /// # Errors
    /// `Error::Integrity` if the blob was named with another size (C6): one of the two is a lie, and only one is checked.
    pub(super) fn add(&mut self, task: Task) -> Result<usize> {
        let (digest, size) = (&task.blob.digest, task.blob.size);
        let known = *self.sizes.entry(digest.clone()).or_insert(size);
        if known != size {
            return Err(Error::Integrity(format!(
                "blob {digest} is named with {known} bytes and with {size}"
            )));
        }
        let next = self.list.len();
        let place = *self.places.entry((task.blob.digest.clone(), task.making.clone())).or_insert(next);
        match self.list.get_mut(place) {
            // One image may name without URLs what another leaves elsewhere.
            Some(known) => known.elsewhere &= task.elsewhere,
            None => self.list.push(task),
        }
        Ok(place)
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.list.iter().map(|task| task.blob.size).sum()
    }
}

impl Copy<'_> {
    /// Has all blobs at the destination. The first error ends it: what is on its way is dropped.
    pub(super) async fn blobs(&self, tasks: &Tasks) -> Result<Vec<Placed>> {
        let mut order: Vec<usize> = (0..tasks.list.len()).collect();
        let mut at_once = 1;
        if self.traits.concurrent {
            at_once = if self.options.parallel == 0 { AT_ONCE } else { self.options.parallel };
            // The longest first: no large one is left alone at the end.
            order.sort_by_key(|place| Reverse(tasks.list[*place].blob.size));
        }
        let is_first = |place: &usize| self.traits.unpacks && tasks.list[*place].part == Part::Config;
        let (first, rest): (Vec<usize>, Vec<usize>) = order.into_iter().partition(is_first);
        let mut placed = BTreeMap::new();
        for round in [first, rest] {
            let moves = round.into_iter().map(async |place| (place, self.one(&tasks.list[place]).await));
            let mut moves = stream::iter(moves).buffer_unordered(at_once);
            while let Some((place, result)) = moves.next().await {
                placed.insert(place, result?);
            }
        }
        Ok(placed.into_values().collect())
    }

    async fn one(&self, task: &Task) -> Result<Placed> {
        let digest = &task.blob.digest;
        if task.elsewhere {
            return self.foreign(task).await;
        }
        let kind = if task.part == Part::Config { "config" } else { "blob" };
        self.progress.event(Event::Step(format!("Copying {kind} {digest}")));
        let level = self.options.compression.level;
        let recipe = task.making.as_ref().map(|(making, media_type)| making.key(level, media_type));
        let key = Key {
            destination: self.destination.clone(),
            digest: digest.clone(),
            recipe: recipe.unwrap_or_default(),
        };
        let send = async || match &task.making {
            Some((making, media_type)) => self.make_once(task, making, media_type, &key.recipe).await,
            None => self.send(task).await,
        };
        let (blob, how) = match &task.making {
            // What is encrypted for somebody is nobody else's.
            Some((making, _)) if making.encrypt => send().await.map(|(blob, how)| (blob, Some(how)))?,
            // Who unpacks reads each image's configuration, also where an image before it had the same.
            None if self.traits.unpacks && task.part == Part::Config => {
                send().await.map(|(blob, how)| (blob, Some(how)))?
            }
            _ => self.session.flights().once(key.clone(), send).await?,
        };
        let how = how.unwrap_or(Outcome::Present);
        self.progress.event(Event::BlobDone { digest: digest.clone(), how: how.clone() });
        Ok(Placed { blob, how: Some(how) })
    }

    /// A layer that may lie elsewhere is taken along where that costs nothing, and left where it is otherwise.
    async fn foreign(&self, task: &Task) -> Result<Placed> {
        let how = match self.reuse(&task.blob).await? {
            Reuse::Present => Some(Outcome::Present),
            Reuse::Mounted(from) => Some(Outcome::Mounted(from)),
            Reuse::Absent(_) => None,
        };
        if let Some(how) = &how {
            self.progress.event(Event::BlobDone { digest: task.blob.digest.clone(), how: how.clone() });
        }
        Ok(Placed { blob: task.blob.clone(), how })
    }

    async fn reuse(&self, blob: &Descriptor) -> Result<Reuse> {
        let reuse = self.sink.reuse(blob, &self.mount_from()).await;
        reuse.context(format_args!("trying to reuse blob {} at destination", blob.digest))
    }

    /// Repositories of the destination's registry that hold this copy's blobs.
    fn mount_from(&self) -> Vec<RepoName> {
        match (self.source.repository(), self.sink.repository()) {
            (Some(source), Some(sink)) if source.same_registry(sink) => {
                vec![source.reference().name().clone()]
            }
            _ => Vec::new(),
        }
    }

    async fn send(&self, task: &Task) -> Result<(Descriptor, Outcome)> {
        let blob = &task.blob;
        let upload = match self.reuse(blob).await? {
            Reuse::Present => return Ok((blob.clone(), Outcome::Present)),
            Reuse::Mounted(from) => return Ok((blob.clone(), Outcome::Mounted(from))),
            Reuse::Absent(upload) => upload,
        };
        let (content, tally) = self.content(task).await?;
        let about = Blob { known: Some(blob.clone()), media_type: blob.media_type.clone(), part: task.part };
        let stored = self.put(task, &about, &content, &content, tally, upload).await?;
        if stored.digest != blob.digest || stored.size != blob.size {
            return Err(Error::Integrity(format!(
                "{} stored blob {} with {} bytes as {} with {}",
                self.sink.name(),
                blob.digest,
                blob.size,
                stored.digest,
                stored.size
            )));
        }
        Ok((blob.clone(), Outcome::Copied))
    }

    /// Sends what is made of a blob, unless an earlier process did.
    async fn make_once(
        &self,
        task: &Task,
        making: &Making,
        media_type: &MediaType,
        recipe: &str,
    ) -> Result<(Descriptor, Outcome)> {
        // What is encrypted differs each time.
        let Some(journal) = self.journal.as_ref().filter(|_| !making.encrypt) else {
            return self.make(task, making, media_type).await;
        };
        if let Some(made) = journal.made(&task.blob.digest, recipe)
            && matches!(self.reuse(&made).await?, Reuse::Present)
        {
            return Ok((made, Outcome::Present));
        }
        let (made, how) = self.make(task, making, media_type).await?;
        journal.note_made(&task.blob.digest, recipe, &made);
        Ok((made, how))
    }

    /// Sends what is made of a blob. The sink finds out what it is, unless digests are wanted beforehand.
    async fn make(
        &self,
        task: &Task,
        making: &Making,
        media_type: &MediaType,
    ) -> Result<(Descriptor, Outcome)> {
        let mut upload = None;
        if making.unless_there {
            match self.reuse(&task.blob).await? {
                Reuse::Present => return Ok((task.blob.clone(), Outcome::Present)),
                Reuse::Mounted(from) => return Ok((task.blob.clone(), Outcome::Mounted(from))),
                Reuse::Absent(begun) => upload = begun,
            }
        }
        let (verified, tally) = self.content(task).await?;
        let verified = Arc::new(verified);
        let made = making
            .content(&task.blob, Arc::clone(&verified), self.options)
            .context(format_args!("reading blob {}", task.blob.digest))?;
        let described = |stored| made.described(&task.blob, stored, media_type.clone());
        let mut about = Blob { known: None, media_type: media_type.clone(), part: task.part };
        // What is encrypted differs each time.
        if !self.options.precompute_digests || making.encrypt {
            let stored = self.put(task, &about, &made, &verified, tally, upload).await?;
            return Ok((described(stored), Outcome::Copied));
        }
        let (digest, size) = self.measured(task, &made, &verified).await?;
        let known = Descriptor::new(media_type.clone(), digest, size);
        let upload = match self.reuse(&known).await? {
            Reuse::Present => return Ok((described(known), Outcome::Present)),
            Reuse::Mounted(from) => return Ok((described(known), Outcome::Mounted(from))),
            Reuse::Absent(begun) => begun.or(upload),
        };
        about.known = Some(known.clone());
        let second = Verified::new(made.handle(), known, None);
        let stored = self.put(task, &about, &second, &verified, tally, upload).await?;
        Ok((described(stored), Outcome::Copied))
    }

    /// Digest and size of what is made, by making it once for nothing else.
    async fn measured(&self, task: &Task, made: &dyn Content, verified: &Verified) -> Result<(Digest, u64)> {
        let measure = async {
            let mut hasher = Hasher::new(Algorithm::Sha256.into());
            let mut pieces = made.open(0).await?;
            while let Some(piece) = pieces.try_next().await? {
                hasher.update(&piece);
            }
            let size = hasher.len();
            Ok((Digest::from_hasher(hasher), size))
        };
        measure.await.map_err(|error: Error| {
            verified.fault().unwrap_or(error).context(format_args!("reading blob {}", task.blob.digest))
        })
    }
}

/// What became of the blobs, for the report.
pub(super) fn reports(placed: &[Placed]) -> Vec<BlobReport> {
    placed
        .iter()
        .map(|Placed { blob, how }| {
            let (outcome, mounted_from) = match how {
                Some(Outcome::Copied) => ("copied", None),
                Some(Outcome::Present) => ("present", None),
                Some(Outcome::Mounted(from)) => ("mounted", Some(from.to_string())),
                None => ("skipped", None),
            };
            BlobReport { digest: blob.digest.clone(), size: blob.size, outcome, mounted_from }
        })
        .collect()
}

/// Bytes that were sent.
pub(super) fn bytes_copied(placed: &[Placed]) -> u64 {
    placed.iter().filter(|placed| placed.how == Some(Outcome::Copied)).map(|placed| placed.blob.size).sum()
}
