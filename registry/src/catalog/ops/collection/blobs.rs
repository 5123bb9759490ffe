//! Blobs that no manifest of a repository needs, and objects that no blob needs.

use berth_oci::Digest;

use super::{CollectionStatements, Columns, Result, Statements, json, parsed, statements};
use crate::catalog::{DoomedObject, Horizon, ObjectKey, Stretch, SweptBlobs, ops::unsigned};

/// Behind every digest in byte order.
const LAST: &str = "~";

/// See [`crate::catalog::Collection::collectable_blobs`].
pub(crate) async fn collectable(
    db: &mut impl Statements,
    after: &str,
    window: u32,
    horizon: Horizon,
) -> Result<Stretch<Digest, String>> {
    let end = db.row(statements::BLOB_STRETCH, &[after.into(), i64::from(window).into()]).await?;
    let next = end.map(|row| row.text(0)).transpose()?;
    let last = next.as_deref().unwrap_or(LAST);
    let rows =
        db.rows(statements::COLLECTABLE_BLOBS, &[after.into(), last.into(), horizon.now.into()]).await?;
    let found = rows.iter().map(|row| parsed(&row.text(0)?)).collect::<Result<_>>()?;
    Ok(Stretch { found, next })
}

/// See [`crate::catalog::Collection::sweep_blobs`].
pub(crate) async fn sweep<D: CollectionStatements>(
    db: &mut D,
    digests: &[Digest],
    horizon: Horizon,
) -> Result<SweptBlobs> {
    let mut list = json(digests)?;
    if D::LOCKS {
        // A push renews the lease before it looks for the link, so it either waits for this or is seen.
        let locked = db.rows(D::LOCK_BLOBS, &[(&list).into(), horizon.now.into()]).await?;
        list = json(&locked.iter().map(|row| row.text(0)).collect::<Result<Vec<_>>>()?)?;
    }
    let values = [(&list).into(), horizon.now.into()];
    let links = db.execute(D::UNLINK, &values).await?;
    let rows = db.rows(D::DROP_BLOBS, &values).await?;
    let objects = rows.iter().map(doomed_object).collect::<Result<Vec<_>>>()?;
    if !objects.is_empty() {
        let pairs: Vec<_> = objects.iter().map(|object| (&object.key.0, object.size)).collect();
        db.execute(D::DOOM, &[(&json(&pairs)?).into()]).await?;
    }
    Ok(SweptBlobs { links, objects })
}

fn doomed_object(row: &impl Columns) -> Result<DoomedObject> {
    Ok(DoomedObject { key: ObjectKey(row.text(0)?), size: unsigned(row.int(1)?)? })
}

/// See [`crate::catalog::Collection::doomed_objects`].
pub(crate) async fn doomed(db: &mut impl Statements, limit: u32) -> Result<Vec<DoomedObject>> {
    let rows = db.rows(statements::DOOMED, &[i64::from(limit).into()]).await?;
    rows.iter().map(doomed_object).collect()
}

/// See [`crate::catalog::Collection::forget_objects`].
pub(crate) async fn forget<D: CollectionStatements>(db: &mut D, keys: &[ObjectKey]) -> Result<()> {
    let keys: Vec<_> = keys.iter().map(|key| &key.0).collect();
    db.execute(D::FORGET_OBJECTS, &[(&json(&keys)?).into()]).await.map(drop)
}

/// See [`crate::catalog::Collection::orphans`].
pub(crate) async fn orphans<D: CollectionStatements>(
    db: &mut D,
    objects: &[(ObjectKey, String)],
) -> Result<Vec<ObjectKey>> {
    let pairs: Vec<_> = objects.iter().map(|(key, session)| (&key.0, session)).collect();
    let rows = db.rows(D::ORPHANS, &[(&json(&pairs)?).into()]).await?;
    rows.iter().map(|row| Ok(ObjectKey(row.text(0)?))).collect()
}
