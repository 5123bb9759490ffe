//! Blobs in an object store: what S3 and the memory of tests share.

use std::{ops::Range, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use http::Method;
use object_store::{
    Error, GetOptions, GetRange, GetResult, MultipartId, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload,
    multipart::MultipartStore, path::Path, signer::Signer,
};
use tracing::warn;

use super::{
    BlobBody, BlobStore, Listed, Result, StageWriter, Staged, StorageError,
    begun::Begun,
    filling::Memory,
    key,
    key::Key,
    multipart::{MultipartWriter, Session},
    patience::Patience,
};
use crate::{
    catalog::{ObjectKey, UploadId},
    clock::Timestamp,
};

/// A bucket that holds blobs. Bytes go straight to their final object by a multipart upload, so
/// that nothing is copied or moved at the end.
#[derive(Clone)]
pub struct ObjectBackend {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) parts: Arc<dyn MultipartStore>,
    prefix: Arc<str>,
    // The same store, to delete so many objects with one request, where it can.
    bulk: Option<(Arc<dyn ObjectStore>, usize)>,
    // The same store under the address that clients use, to sign for them.
    signer: Option<Arc<dyn Signer>>,
    // Who can say which multipart uploads were begun and not ended.
    pub(super) begun: Option<Arc<dyn Begun>>,
    pub(super) memory: Memory,
    pub(super) patience: Patience,
    // The store has nothing to throw a multipart upload away with. That a session has ended is then told by its tail, which it
    // always leaves, an empty one if need be.
    pub(super) keeps_parts: bool,
}

/// How often an object is asked for whose size is not what it should be, before it is called wrong.
const SIZES: usize = 3;

/// Keys that are deleted beside each other where there is no request for many.
const BULK: usize = 1000;
/// Requests for one object each that are under way at a time.
const SINGLES: usize = 16;

impl std::fmt::Debug for ObjectBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ObjectBackend({}, prefix {:?})", self.objects, self.prefix)
    }
}

/// What an object store's error means to whoever pushes or pulls.
pub(super) fn object_error(error: Error) -> StorageError {
    // There is no common code for a full bucket; these are the ones that S3-compatible servers use.
    let text = error.to_string();
    if ["507 ", "StorageFull", "QuotaExceeded", "InsufficientStorage"].iter().any(|code| text.contains(code))
    {
        return StorageError::Full;
    }
    StorageError::Unavailable(error.into())
}

/// Turns "there is none" into success, for deletions.
pub(super) fn gone_is_well(result: object_store::Result<()>) -> Result<()> {
    match result {
        Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(object_error(error)),
    }
}

impl ObjectBackend {
    /// A bucket, or the part of it below `prefix` (empty for all of it). The two are one store
    /// seen through two interfaces.
    pub fn new(objects: Arc<dyn ObjectStore>, parts: Arc<dyn MultipartStore>, prefix: &str) -> Self {
        Self {
            objects,
            parts,
            prefix: prefix.trim_matches('/').into(),
            bulk: None,
            signer: None,
            begun: None,
            memory: Memory::new(u64::MAX, None),
            patience: Patience::default(),
            keeps_parts: false,
        }
    }

    /// Bounds what uploads keep in memory together to so many bytes; beyond, they go on in files of `spill`.
    #[must_use]
    pub fn with_memory(mut self, bytes: u64, spill: PathBuf) -> Self {
        self.memory = Memory::new(bytes, Some(spill));
        self
    }

    pub(super) fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    pub(super) fn with_signer(mut self, signer: Arc<dyn Signer>) -> Self {
        self.signer = Some(signer);
        self
    }

    pub(super) fn with_begun(mut self, begun: Arc<dyn Begun>) -> Self {
        self.begun = Some(begun);
        self
    }

    pub(super) fn keeping_parts(mut self) -> Self {
        self.keeps_parts = true;
        self
    }

    /// A listed object's key.
    pub(super) fn key(&self, location: &Path) -> ObjectKey {
        let key = location.as_ref().strip_prefix(&*self.prefix).unwrap_or_default();
        ObjectKey(key.trim_start_matches('/').to_owned())
    }

    /// Whether the object is as large as it should be; an answer that is an error in disguise is not.
    async fn get(&self, path: &Path, size: u64, options: &GetOptions) -> Result<Option<GetResult>> {
        let mut found = 0;
        for _ in 0..SIZES {
            let get = || self.objects.get_opts(path, options.clone());
            match self.patience.ask(0, get).await {
                Ok(got) if got.meta.size == size => return Ok(Some(got)),
                Ok(got) => found = got.meta.size,
                Err(Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(object_error(error)),
            }
        }
        Err(StorageError::Corrupt(format!("{path} has {found} bytes, not {size}")))
    }

    /// Deletes `most` objects with one request, through `store`, which is the same store.
    #[must_use]
    pub fn with_bulk_delete(mut self, store: Arc<dyn ObjectStore>, most: usize) -> Self {
        self.bulk = Some((store, most));
        self
    }

    /// Deletes objects with one request. `None` when that cannot be done, as a whole: the server does not know such
    /// requests, or failed.
    async fn delete_bulk(&self, keys: &[ObjectKey]) -> Option<Vec<Result<()>>> {
        let (store, _) = self.bulk.as_ref()?;
        if keys.iter().any(key::is_foreign) {
            return None;
        }
        let paths = keys.iter().map(|key| self.path(key)).collect::<Result<Vec<_>>>().ok()?;
        let paths = stream::iter(paths.into_iter().map(Ok)).boxed();
        let results: Vec<_> = store.delete_stream(paths).map_ok(drop).collect().await;
        (results.len() == keys.len()).then(|| results.into_iter().map(gone_is_well).collect())
    }

    /// Where `key` lies in the bucket.
    pub(super) fn path(&self, key: &ObjectKey) -> Result<Path> {
        let corrupt = || StorageError::Corrupt(format!("{:?} is no key", key.0));
        let components = key::components(key).ok_or_else(corrupt)?;
        let root = if key::is_foreign(key) { "" } else { &*self.prefix };
        let mut path = Path::parse(root).map_err(|_| corrupt())?;
        path.extend(components);
        Ok(path)
    }

    /// Throws away what a session has in the bucket but for its final object.
    pub(super) async fn forget(&self, id: UploadId, session: &Session) -> Result<()> {
        if let Some(multipart) = &session.multipart {
            let key = Key::Multipart(id, multipart.name).object();
            self.abort(&key, &multipart.id).await?;
        }
        // Listed, since a request that died may have left a tail that no row names.
        let mut tails = self.objects.list(Some(&self.path(&Key::Tails(id).object())?));
        while let Some(tail) = tails.try_next().await.map_err(object_error)? {
            self.delete(&self.key(&tail.location)).await?;
        }
        Ok(())
    }

    /// Throws the parts of a multipart upload away. Safe to repeat; an object that it has become stays.
    pub(super) async fn abort(&self, key: &ObjectKey, multipart: &MultipartId) -> Result<()> {
        let path = self.path(key)?;
        match self.patience.ask(0, || self.parts.abort_multipart(&path, multipart)).await {
            // So some servers say that there is no such upload. Where aborts are really
            // forbidden, trying again would not help, and the bucket's own rule must do it.
            Err(error @ Error::PermissionDenied { .. }) => {
                warn!(key = %key, "Parts of {key} may stay in the bucket: {error}");
                Ok(())
            }
            result => gone_is_well(result),
        }
    }

    /// Deletes what is not needed any more, as far as that can be done.
    pub(super) async fn tidy(&self, key: &ObjectKey) {
        if let Err(error) = self.delete(key).await {
            warn!(key = %key, "Object {key} stays until the next sweep: {error}");
        }
    }
}

#[async_trait]
impl BlobStore for ObjectBackend {
    async fn stage(&self, id: UploadId, staging: &[u8], offset: u64) -> Result<Box<dyn StageWriter>> {
        Ok(Box::new(MultipartWriter::open(self.clone(), id, staging, offset).await?))
    }

    async fn discard(&self, id: UploadId, staging: &[u8]) -> Result<()> {
        self.forget(id, &Session::parse(id, staging)?).await
    }

    async fn open(&self, key: &ObjectKey, size: u64, range: Range<u64>) -> Result<Option<BlobBody>> {
        let path = self.path(key)?;
        let mut options = GetOptions::default();
        if range.is_empty() {
            // No range of HTTP is empty: ask whether the object is there, and send nothing.
            options.head = true;
        } else if range != (0..size) {
            options.range = Some(GetRange::Bounded(range.clone()));
        }
        let Some(found) = self.get(&path, size, &options).await? else { return Ok(None) };
        Ok(Some(BlobBody::Stream(if range.is_empty() {
            stream::empty().boxed()
        } else {
            found.into_stream().map_err(object_error).boxed()
        })))
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<()> {
        let path = self.path(key)?;
        let put = || self.objects.put(&path, PutPayload::from(bytes.clone()));
        self.patience.ask(bytes.len() as u64, put).await.map_err(object_error)?;
        Ok(())
    }

    async fn delete(&self, key: &ObjectKey) -> Result<()> {
        let path = self.path(key)?;
        if key::is_foreign(key) {
            // Another registry's, which may still serve it.
            return Ok(());
        }
        gone_is_well(self.patience.ask(0, || self.objects.delete(&path)).await)
    }

    async fn delete_many(&self, keys: &[ObjectKey]) -> Vec<Result<()>> {
        let mut results = Vec::with_capacity(keys.len());
        for keys in keys.chunks(self.bulk.as_ref().map_or(BULK, |(_, most)| *most)) {
            results.extend(match self.delete_bulk(keys).await {
                Some(results) => results,
                None => {
                    let each = stream::iter(keys.to_vec()).map(async |key| self.delete(&key).await);
                    each.buffered(SINGLES).collect().await
                }
            });
        }
        results
    }

    fn list(&self, below: &str) -> BoxStream<'static, Result<Listed>> {
        let below = below.trim_matches('/');
        let under = match below {
            "" => Path::parse(&*self.prefix).map_err(|error| object_error(error.into())),
            below => self.path(&ObjectKey(below.to_owned())),
        };
        let under = match under {
            Ok(under) => under,
            Err(error) => return stream::once(async { Err(error) }).boxed(),
        };
        let this = self.clone();
        let listed = move |object: ObjectMeta| Listed {
            key: this.key(&object.location),
            size: object.size,
            modified: Timestamp(object.last_modified.timestamp_micros()),
        };
        self.objects.list(Some(&under)).map_ok(listed).map_err(object_error).boxed()
    }

    async fn size(&self, key: &ObjectKey) -> Result<Option<u64>> {
        let path = self.path(key)?;
        match self.patience.ask(0, || self.objects.head(&path)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(object_error(error)),
        }
    }

    async fn begun(&self, before: Timestamp) -> Result<Option<Vec<Staged>>> {
        let Some(begun) = &self.begun else { return Ok(None) };
        let below = self.path(&ObjectKey("blobs".to_owned()))?;
        let Some(found) = begun.list(&below).await? else { return Ok(None) };
        let old = found.into_iter().filter(|multipart| multipart.begun < before).filter_map(|multipart| {
            let key = self.key(&multipart.path);
            Some(Staged { session: key::session_of(&key)?, key, multipart: multipart.id })
        });
        Ok(Some(old.collect()))
    }

    async fn abort(&self, staged: &Staged) -> Result<()> {
        Self::abort(self, &staged.key, &staged.multipart).await
    }

    async fn signed_url(&self, key: &ObjectKey, life: Duration) -> Result<Option<String>> {
        let Some(signer) = &self.signer else { return Ok(None) };
        let path = self.path(key)?;
        let signed = self.patience.ask(0, || signer.signed_url(Method::GET, &path, life)).await;
        Ok(Some(signed.map_err(object_error)?.to_string()))
    }

    fn beside(&self, root: &str) -> Option<Arc<dyn BlobStore>> {
        Some(Arc::new(Self { prefix: root.trim_matches('/').into(), ..self.clone() }))
    }

    fn is_far(&self) -> bool {
        true
    }

    async fn ping(&self) -> Result<()> {
        self.put(&Key::Probe.object(), Bytes::from_static(b"probe")).await
    }
}
