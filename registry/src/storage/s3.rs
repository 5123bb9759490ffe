//! Blobs in an S3-compatible bucket.

use std::{fmt, sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, ClientOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
};

use super::{ObjectBackend, Result, object::object_error};

/// Where a bucket is and who may use it.
#[derive(Clone, Default)]
pub struct S3Options {
    /// The server, for one that is not AWS's: `https://garage.example:3900`.
    pub endpoint: Option<String>,
    /// The region; AWS and its imitators sign with it.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// What all keys begin with; empty for nothing.
    pub prefix: String,
    /// The access key's id and its secret. Without, they are looked for where AWS's own tools
    /// look: the environment, a web identity token, the container's or machine's role.
    pub credentials: Option<(String, String)>,
    /// Whether the bucket is a part of the host's name and not of the path.
    pub virtual_hosted_style: bool,
}

impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Options")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("access_key_id", &self.credentials.as_ref().map(|(id, _)| id))
            .field("virtual_hosted_style", &self.virtual_hosted_style)
            .finish_non_exhaustive()
    }
}

/// Objects that S3 deletes with one request, at most.
const BULK: usize = 1000;
/// Waits for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Waits for the next byte of an answer, the sending of one part included. The whole request has
/// no limit: a big blob that flows is well.
const READ: Duration = Duration::from_secs(60);

/// A few tries within a minute; then the client is told, and tries later.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 6,
        retry_timeout: Duration::from_secs(60),
    }
}

/// A bucket of an S3-compatible server. Nothing is asked of it here; [`super::BlobStore::ping`] does.
///
/// # Errors
/// [`super::StorageError::Unavailable`] when the options contradict each other.
pub fn s3(options: &S3Options) -> Result<ObjectBackend> {
    let plain = options.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let client = ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT)
        .with_read_timeout(READ)
        .with_allow_http(plain);
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(&options.bucket)
        .with_region(&options.region)
        .with_virtual_hosted_style_request(options.virtual_hosted_style)
        // Under TLS the payload is safe as it is; without, its hash is part of the signature.
        .with_unsigned_payload(!plain)
        .with_client_options(client)
        .with_retry(retries());
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some((id, secret)) = &options.credentials {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret);
    }
    // One object is deleted by a plain request, which every server can; many at a time where the server can.
    let single = builder.clone().with_disable_bulk_delete(true).build();
    let single: Arc<AmazonS3> = Arc::new(single.map_err(object_error)?);
    let bulk = Arc::new(builder.build().map_err(object_error)?);
    Ok(ObjectBackend::new(single.clone(), single, &options.prefix).with_bulk_delete(bulk, BULK))
}
