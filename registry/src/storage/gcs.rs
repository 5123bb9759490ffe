//! Blobs in a bucket of Google Cloud Storage.

use std::{path::PathBuf, sync::Arc};

use object_store::gcp::GoogleCloudStorageBuilder;

use super::{
    Connection, ObjectBackend, Result,
    begun::{Asker, Lister},
    object::object_error,
};

/// Where a bucket is and who may use it.
#[derive(Clone, Debug)]
pub struct GcsOptions {
    /// The bucket.
    pub bucket: String,
    /// The server, when it is not Google's.
    pub endpoint: Option<String>,
    /// The server under the address that clients reach it by, when that is another.
    pub public_endpoint: Option<String>,
    /// A service account's key. Without, credentials are looked for where Google's own tools look, which ends at the
    /// machine's or the pod's identity.
    pub credentials_file: Option<PathBuf>,
    /// How it is reached.
    pub connection: Connection,
}

/// A bucket of Google Cloud Storage. Nothing is asked of it here.
///
/// # Errors
/// [`super::StorageError::Unavailable`] when credentials cannot be read.
pub fn gcs(options: &GcsOptions) -> Result<ObjectBackend> {
    let connection = &options.connection;
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&options.bucket)
        .with_client_options(connection.reading()?)
        .with_retry(Connection::retries());
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_base_url(endpoint.trim_end_matches('/'));
    }
    if let Some(file) = &options.credentials_file {
        builder = builder.with_service_account_path(file.to_string_lossy());
    }
    let store = Arc::new(builder.clone().build().map_err(object_error)?);
    let builder = builder.with_credentials(store.credentials().clone());
    let parts = builder.clone().with_client_options(connection.sending()?).build();
    let parts = Arc::new(parts.map_err(object_error)?);
    let signer = match &options.public_endpoint {
        None => store.clone(),
        Some(public) => {
            let signer = builder
                .with_base_url(public.trim_end_matches('/'))
                .with_signing_credentials(store.signing_credentials().clone());
            Arc::new(signer.build().map_err(object_error)?)
        }
    };
    let base = options.endpoint.as_deref().unwrap_or("https://storage.googleapis.com");
    let address = format!("{}/{}/", base.trim_end_matches('/'), options.bucket);
    // By the token, since the machine's identity may not be allowed to sign.
    let asker = Asker::Bearer(store.credentials().clone(), address);
    let begun = Lister::new(asker, &connection.reading()?, connection.patience())?;
    let bucket =
        ObjectBackend::new(store, parts, &connection.prefix).with_signer(signer).with_begun(Arc::new(begun));
    Ok(connection.equip(bucket))
}
