//! `POST /api/v1/import`: what another registry has stored.

use std::path::PathBuf;

use axum::{extract::State, response::Response};
use serde::Deserialize;

use super::{Administrator, Error, Input, Result, lines};
use crate::{
    app::Services,
    auth::Subject,
    upkeep::import::{Import, Tree},
};

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Wanted {
    /// The other registry's folder on the registry's machine.
    #[serde(default)]
    folder: Option<PathBuf>,
    /// The other registry's root in the bucket that storage is in.
    #[serde(default)]
    bucket: Option<String>,
    /// Whether every blob is read first.
    #[serde(default)]
    verify: bool,
}

/// Takes it over, and answers with what happens as it does.
pub(super) async fn import(
    State(services): State<Services>,
    administrator: Administrator,
    Input(wanted): Input<Wanted>,
) -> Result<Response> {
    let tree = match (wanted.folder, wanted.bucket) {
        // A folder is named by whoever may use this machine, and by nobody over the network.
        (Some(_), None) if administrator.principal().subject != Subject::Local => {
            return Err(Error::Denied(
                "a folder is imported from the registry's own machine alone".to_owned(),
            ));
        }
        (Some(folder), None) if !folder.is_absolute() => {
            return Err(Error::Invalid("folder: must be an absolute path".to_owned()));
        }
        (Some(folder), None) => Tree::Folder(folder),
        (None, Some(root)) => match services.store.beside(&root) {
            Some(store) => Tree::Bucket(store, root),
            None => {
                let why = "bucket: storage is in a folder; give the other registry's folder instead";
                return Err(Error::Invalid(why.to_owned()));
            }
        },
        (Some(_), Some(_)) | (None, None) => {
            return Err(Error::Invalid("either folder or bucket says where to import from".to_owned()));
        }
    };
    Ok(lines::answer(|teller| async move {
        let lease = services.blobs.settings().lease;
        let Services { catalog, store, manifests, records, clock, .. } = services;
        let import = Import { catalog, store, manifests, records, clock, lease, verify: wanted.verify };
        import.run(&tree, &teller).await
    }))
}
