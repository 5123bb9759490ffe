//! Blobs in an object store: what S3 and the memory of tests share.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use object_store::{
    Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload,
    multipart::MultipartStore, path::Path,
};
use tracing::warn;

use super::{
    BlobBody, BlobStore, Listed, Result, StageWriter, StorageError, key,
    key::Key,
    multipart::{MultipartWriter, Session},
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
}

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
        Self { objects, parts, prefix: prefix.trim_matches('/').into(), bulk: None }
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
            let path = self.path(&Key::Object(id).object())?;
            match self.parts.abort_multipart(&path, multipart).await {
                // So some servers say that there is no such upload. Where aborts are really
                // forbidden, trying again would not help, and the bucket's own rule must do it.
                Err(error @ Error::PermissionDenied { .. }) => {
                    warn!(upload = %id, "Parts of upload {id} may stay in the bucket: {error}");
                }
                result => gone_is_well(result)?,
            }
        }
        // Listed, since a request that died may have left a tail that no row names.
        let mut tails = self.objects.list(Some(&self.path(&Key::Tails(id).object())?));
        while let Some(tail) = tails.try_next().await.map_err(object_error)? {
            gone_is_well(self.objects.delete(&tail.location).await)?;
        }
        Ok(())
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
        let found = match self.objects.get_opts(&path, options).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(object_error(error)),
        };
        if found.meta.size != size {
            let found = found.meta.size;
            return Err(StorageError::Corrupt(format!("{key} has {found} bytes, not {size}")));
        }
        Ok(Some(BlobBody::Stream(if range.is_empty() {
            stream::empty().boxed()
        } else {
            found.into_stream().map_err(object_error).boxed()
        })))
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<()> {
        let path = self.path(key)?;
        self.objects.put(&path, PutPayload::from(bytes)).await.map_err(object_error)?;
        Ok(())
    }

    async fn delete(&self, key: &ObjectKey) -> Result<()> {
        let path = self.path(key)?;
        if key::is_foreign(key) {
            // Another registry's, which may still serve it.
            return Ok(());
        }
        gone_is_well(self.objects.delete(&path).await)
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
        let prefix = self.prefix.clone();
        let listed = move |object: ObjectMeta| {
            let key = object.location.as_ref().strip_prefix(&*prefix).unwrap_or_default();
            Listed {
                key: ObjectKey(key.trim_start_matches('/').to_owned()),
                size: object.size,
                modified: Timestamp(object.last_modified.timestamp_micros()),
            }
        };
        self.objects.list(Some(&under)).map_ok(listed).map_err(object_error).boxed()
    }

    async fn size(&self, key: &ObjectKey) -> Result<Option<u64>> {
        match self.objects.head(&self.path(key)?).await {
            Ok(found) => Ok(Some(found.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(object_error(error)),
        }
    }

    fn beside(&self, root: &str) -> Option<Arc<dyn BlobStore>> {
        Some(Arc::new(Self { prefix: root.trim_matches('/').into(), ..self.clone() }))
    }

    async fn ping(&self) -> Result<()> {
        self.put(&Key::Probe.object(), Bytes::from_static(b"probe")).await
    }
}
