//! Blobs in memory, for tests.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::{
    Error, MultipartId, ObjectStoreExt, PutPayload, PutResult, Result,
    memory::InMemory,
    multipart::{MultipartStore, PartId},
    path::Path,
};
use uuid::Uuid;

use super::{
    ObjectBackend,
    begun::{Begun, Multipart},
};
use crate::clock::{Clock, SystemClock, Timestamp};

/// Multipart uploads as S3 does them: what is completed is the parts that are named, and no other
/// part that some request uploaded and did not live to name.
#[derive(Debug)]
struct Parts {
    objects: Arc<InMemory>,
    uploads: Mutex<HashMap<MultipartId, Upload>>,
}

#[derive(Debug)]
struct Upload {
    path: Path,
    begun: Timestamp,
    parts: HashMap<String, Bytes>,
}

impl Parts {
    fn lock(&self) -> MutexGuard<'_, HashMap<MultipartId, Upload>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_found(path: &Path) -> Error {
    Error::NotFound { path: path.to_string(), source: "no such upload or part".into() }
}

#[async_trait]
impl MultipartStore for Parts {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        let id = Uuid::new_v4().to_string();
        let upload = Upload { path: path.clone(), begun: SystemClock.now(), parts: HashMap::new() };
        self.lock().insert(id.clone(), upload);
        Ok(id)
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, _: usize, data: PutPayload) -> Result<PartId> {
        let content_id = Uuid::new_v4().to_string();
        let mut uploads = self.lock();
        let upload = uploads.get_mut(id).ok_or_else(|| not_found(path))?;
        upload.parts.insert(content_id.clone(), data.into());
        Ok(PartId { content_id })
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        let mut stored = self.lock().remove(id).ok_or_else(|| not_found(path))?.parts;
        let pieces = parts.iter().map(|part| stored.remove(&part.content_id).ok_or_else(|| not_found(path)));
        let payload = pieces.collect::<Result<PutPayload>>()?;
        self.objects.put(path, payload).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.lock().remove(id).map(drop).ok_or_else(|| not_found(path))
    }
}

#[async_trait]
impl Begun for Parts {
    async fn list(&self, below: &Path) -> super::Result<Option<Vec<Multipart>>> {
        let uploads = self.lock();
        let found = uploads.iter().filter(|(_, upload)| upload.path.prefix_matches(below));
        let multipart = |(id, upload): (&String, &Upload)| Multipart {
            path: upload.path.clone(),
            id: id.clone(),
            begun: upload.begun,
        };
        Ok(Some(found.map(multipart).collect()))
    }
}

/// A bucket in memory.
#[must_use]
pub fn memory() -> ObjectBackend {
    let objects = Arc::new(InMemory::new());
    let parts = Arc::new(Parts { objects: objects.clone(), uploads: Mutex::default() });
    ObjectBackend::new(objects, parts.clone(), "").with_begun(parts)
}
