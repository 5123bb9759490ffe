//! Blobs in an S3-compatible bucket.

use std::{fmt, path::PathBuf, sync::Arc};

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use url::Url;

use super::{
    Connection, ObjectBackend, Result, StorageError,
    begun::{Asker, Lister},
    object::object_error,
};

/// Where a bucket is and who may use it.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// The bucket.
    pub bucket: String,
    /// The region; AWS and its imitators sign with it.
    pub region: String,
    /// The server, for one that is not AWS's: `https://garage.example:3900`.
    pub endpoint: Option<String>,
    /// The server under the address that clients reach it by, when that is another.
    pub public_endpoint: Option<String>,
    /// Whether the bucket is a part of the host's name and not of the path.
    pub virtual_hosted_style: bool,
    /// Who asks.
    pub credentials: S3Credentials,
    /// What the server is asked to encrypt objects with; its own default when `None`.
    pub encryption: Option<Encryption>,
    /// How it is reached.
    pub connection: Connection,
}

/// Where credentials come from.
#[derive(Clone)]
pub enum S3Credentials {
    /// An access key's id and its secret.
    Keys(String, String),
    /// Where AWS's own tools look: variables, a web identity's token, the container's or the machine's role.
    Auto,
    /// The machine's role, from its metadata service.
    Instance {
        /// The service's address, when it is not the usual one.
        metadata_endpoint: Option<String>,
    },
    /// A role, for a token in a file, as Kubernetes gives service accounts one.
    WebIdentity {
        /// The file.
        token_file: PathBuf,
        /// The role's ARN.
        role_arn: String,
        /// The token service's address, when it is not AWS's of the region.
        sts_endpoint: Option<String>,
    },
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys(..) => "Keys",
            Self::Auto => "Auto",
            Self::Instance { .. } => "Instance",
            Self::WebIdentity { .. } => "WebIdentity",
        })
    }
}

/// How the server encrypts objects at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// With keys of the server's own (SSE-S3).
    Aes256,
    /// With keys of the key service (SSE-KMS): this one, or the bucket's default.
    Kms(Option<String>),
}

/// Objects that S3 deletes with one request, at most.
const BULK: usize = 1000;

/// A bucket of an S3-compatible server. Nothing is asked of it here; [`super::BlobStore::ping`] does.
///
/// # Errors
/// [`super::StorageError::Unavailable`] when the options contradict each other.
pub fn s3(options: &S3Options) -> Result<ObjectBackend> {
    let connection = &options.connection;
    let endpoint = options.endpoint.as_deref().map(|url| address(options, url)).transpose()?;
    let plain = endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut builder = credentials(options)
        .with_bucket_name(&options.bucket)
        .with_region(&options.region)
        .with_virtual_hosted_style_request(options.virtual_hosted_style)
        // Under TLS the payload is safe as it is; without, its hash is part of the signature.
        .with_unsigned_payload(!plain)
        .with_client_options(connection.reading()?)
        .with_retry(Connection::retries());
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(encryption) = &options.encryption {
        builder = encrypted(builder, encryption)?;
    }
    // One object is deleted by a plain request, which every server can; many at a time where the server can.
    let single = builder.clone().with_disable_bulk_delete(true).build();
    let single = Arc::new(single.map_err(object_error)?);
    let builder = builder.with_credentials(single.credentials().clone());
    let bulk = Arc::new(builder.clone().build().map_err(object_error)?);
    let parts = builder.clone().with_client_options(connection.sending()?).build();
    let parts = Arc::new(parts.map_err(object_error)?);
    let signer = match &options.public_endpoint {
        None => single.clone(),
        Some(public) => {
            let signer = builder.with_endpoint(address(options, public)?).build();
            Arc::new(signer.map_err(object_error)?)
        }
    };
    let asker = Asker::Signer(single.clone());
    let begun = Lister::new(asker, &connection.reading()?, connection.patience())?;
    let bucket = ObjectBackend::new(single, parts, &connection.prefix)
        .with_bulk_delete(bulk, BULK)
        .with_signer(signer)
        .with_begun(Arc::new(begun));
    Ok(connection.equip(bucket))
}

/// The address that the library is to use: with the bucket in the host's name where that is wanted, which it leaves to us
/// for every server that is not AWS's.
fn address(options: &S3Options, endpoint: &str) -> Result<String> {
    if !options.virtual_hosted_style {
        return Ok(endpoint.to_owned());
    }
    let hosted = || {
        let mut url = Url::parse(endpoint).ok()?;
        let host = format!("{}.{}", options.bucket, url.domain()?);
        url.set_host(Some(&host)).ok()?;
        Some(url.as_str().trim_end_matches('/').to_owned())
    };
    let why = format!("{endpoint} has no name that a bucket could stand before");
    hosted().ok_or_else(|| StorageError::Unavailable(why.into()))
}

fn credentials(options: &S3Options) -> AmazonS3Builder {
    let builder = AmazonS3Builder::new();
    match &options.credentials {
        S3Credentials::Keys(id, secret) => builder.with_access_key_id(id).with_secret_access_key(secret),
        S3Credentials::Auto => {
            // Of AWS's variables those alone that say who asks: where the bucket is, the configuration says.
            let told = std::env::vars().filter_map(|(name, value)| {
                let key: AmazonS3ConfigKey =
                    name.strip_prefix("AWS_").map(|_| name.to_lowercase())?.parse().ok()?;
                says_who(&key).then_some((key, value))
            });
            told.fold(builder, |builder, (key, value)| builder.with_config(key, value))
        }
        S3Credentials::Instance { metadata_endpoint: None } => builder,
        S3Credentials::Instance { metadata_endpoint: Some(url) } => builder.with_metadata_endpoint(url),
        S3Credentials::WebIdentity { token_file, role_arn, sts_endpoint } => {
            let builder = builder
                .with_config(AmazonS3ConfigKey::WebIdentityTokenFile, token_file.to_string_lossy())
                .with_config(AmazonS3ConfigKey::RoleArn, role_arn)
                .with_config(AmazonS3ConfigKey::RoleSessionName, "berth-registry");
            match sts_endpoint {
                Some(url) => builder.with_config(AmazonS3ConfigKey::StsEndpoint, url),
                None => builder,
            }
        }
    }
}

fn says_who(key: &AmazonS3ConfigKey) -> bool {
    use AmazonS3ConfigKey as Key;
    matches!(
        key,
        Key::AccessKeyId
            | Key::SecretAccessKey
            | Key::Token
            | Key::WebIdentityTokenFile
            | Key::RoleArn
            | Key::RoleSessionName
            | Key::StsEndpoint
            | Key::ContainerCredentialsRelativeUri
            | Key::ContainerCredentialsFullUri
            | Key::ContainerAuthorizationTokenFile
            | Key::MetadataEndpoint
    )
}

fn encrypted(builder: AmazonS3Builder, encryption: &Encryption) -> Result<AmazonS3Builder> {
    // The library does not name these keys but by their text.
    let with = |value| {
        let key: AmazonS3ConfigKey = "aws_server_side_encryption".parse().map_err(object_error)?;
        Ok(builder.clone().with_config(key, value))
    };
    match encryption {
        Encryption::Aes256 => with("AES256"),
        Encryption::Kms(None) => with("aws:kms"),
        Encryption::Kms(Some(id)) => Ok(builder.with_sse_kms_encryption(id)),
    }
}

#[cfg(test)]
mod tests;
