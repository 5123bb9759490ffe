//! Where it is written what exists, and where the bytes are.

use futures_util::TryStreamExt;

use super::Look;
use crate::{
    app,
    catalog::{
        inspect::{Inspection, inspect},
        transfer::Place,
    },
    clock::{Clock, Timestamp},
    config::{Backend, Config, Database},
    records::recorded,
    storage::{BlobStore, Key, Result},
};

/// Clocks further apart than this make tokens and leases wrong.
const SKEW: i64 = 5_000_000;

fn skew(about: &'static str, whose: &str, theirs: Timestamp, ours: Timestamp, coarse: i64) -> Look {
    let apart = (theirs.0 - ours.0).abs();
    let says = format!("{whose} is {} ms from this machine's", apart / 1000);
    if apart > SKEW + coarse {
        return Look::failure(about, format!("{says}: have both follow NTP"));
    }
    Look::ok(about, says)
}

/// Whether the catalog can be reached, and fits this version; and whether it is there and knows of nothing.
pub(super) async fn catalog(config: &Config, clock: &dyn Clock) -> (Vec<Look>, bool) {
    const ABOUT: &str = "catalog";
    let (place, named) = match config.catalog.database() {
        Database::Sqlite => {
            let folder = config.catalog.dir.clone().unwrap_or_else(|| config.data.dir.clone());
            let named = format!("SQLite in {}", folder.display());
            (Place::Sqlite(folder), named)
        }
        Database::Postgres(url) => (Place::Postgres(url.reveal().to_owned()), "PostgreSQL".to_owned()),
    };
    let Inspection { schema, newest, empty, clock: theirs } = match inspect(&place).await {
        Ok(inspection) => inspection,
        Err(error) => return (vec![Look::failure(ABOUT, format!("{named}: {error}"))], false),
    };
    let mut looks = vec![match schema {
        None => Look::ok(ABOUT, format!("{named}; nothing is in it, the first start makes its tables")),
        Some(schema) if schema > newest => {
            let why = format!(
                "{named} has schema {schema}, and this version knows {newest}: use the newer version"
            );
            Look::failure(ABOUT, why)
        }
        Some(schema) if schema < newest => {
            Look::ok(ABOUT, format!("{named}, schema {schema}; the next start brings it to {newest}"))
        }
        Some(schema) => Look::ok(ABOUT, format!("{named}, schema {schema}")),
    }];
    if let Some(theirs) = theirs {
        looks.push(skew("clock", "the database's clock", theirs, clock.now(), 0));
    }
    (looks, empty)
}

/// Whether storage can be written to, read from and deleted from; and whether it has what an empty catalog has lost.
pub(super) async fn storage(config: &Config, clock: &dyn Clock, empty: bool) -> Vec<Look> {
    const ABOUT: &str = "storage";
    let (named, is_bucket) = match config.storage.backend() {
        Backend::Filesystem => {
            let folder = config.data.dir.join("storage");
            let named = format!("folder {}", folder.display());
            if !folder.is_dir() {
                return vec![Look::ok(ABOUT, format!("{named}; the first start makes it"))];
            }
            (named, false)
        }
        Backend::S3(bucket, _) | Backend::Gcs(bucket, _) => (format!("bucket {}", bucket.name), true),
        Backend::Azure(container, _) => (format!("container {}", container.name), true),
    };
    let store = match app::open_storage(config).await {
        Ok(store) => store,
        Err(error) => return vec![Look::failure(ABOUT, format!("{named}: {error}"))],
    };
    match tried(&*store).await {
        Err(error) => vec![Look::failure(ABOUT, format!("{named}: {error}"))],
        Ok(None) => vec![Look::failure(ABOUT, format!("{named}: what was written is not listed"))],
        Ok(Some(written)) => {
            let mut looks =
                vec![Look::ok(ABOUT, format!("{named} can be written to, listed and deleted from"))];
            if is_bucket {
                // Of whole seconds.
                looks.push(skew("clock", "the bucket's clock", written, clock.now(), 1_000_000));
            }
            if empty {
                looks.extend(match recorded(&*store).await {
                    Ok(said) => said.map(|said| Look::failure("catalog and storage", said)),
                    Err(error) => Some(Look::failure("catalog and storage", error.to_string())),
                });
            }
            looks
        }
    }
}

/// Writes, lists and deletes an object; when it was written, by storage's clock.
async fn tried(store: &dyn BlobStore) -> Result<Option<Timestamp>> {
    let key = Key::Probe.object();
    store.ping().await?;
    let mut written = None;
    let mut listed = store.list("uploads");
    while let Some(object) = listed.try_next().await? {
        if object.key == key {
            written = Some(object.modified);
        }
    }
    store.delete(&key).await?;
    Ok(written)
}
