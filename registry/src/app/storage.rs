//! Opens storage as the configuration says.

use std::{io, sync::Arc};

use super::StartError;
use crate::{
    config::{Azure, AzureIdentity, Backend, Bucket, Config, Gcs, S3, S3Identity, StorageEncryption},
    storage::{
        AzureCredentials, AzureOptions, BlobStore, Connection, Encryption, Filesystem, GcsOptions,
        S3Credentials, S3Options, azure, gcs, s3,
    },
};

/// Opens the folder or bucket. A bucket is not asked anything yet.
pub(super) async fn open(config: &Config) -> Result<Arc<dyn BlobStore>, StartError> {
    let store: Arc<dyn BlobStore> = match config.storage.backend() {
        Backend::Filesystem => {
            let (root, reserve) = (config.data.dir.join("storage"), config.storage.reserve.0);
            // It makes and syncs folders, which blocks.
            let timeout = config.storage.timeout;
            let open = tokio::task::spawn_blocking(move || Filesystem::open_with(root, reserve, timeout));
            Arc::new(open.await.map_err(io::Error::other)??)
        }
        Backend::S3(bucket, options) => Arc::new(s3(&of_s3(config, bucket, options))?),
        Backend::Gcs(bucket, Gcs { credentials_file }) => Arc::new(gcs(&GcsOptions {
            bucket: bucket.name.clone(),
            endpoint: bucket.endpoint.clone(),
            public_endpoint: bucket.public_endpoint.clone(),
            credentials_file: credentials_file.clone(),
            connection: connection(config, bucket),
        })?),
        Backend::Azure(container, options) => Arc::new(azure(&of_azure(config, container, options))?),
    };
    Ok(store)
}

fn connection(config: &Config, bucket: &Bucket) -> Connection {
    Connection {
        prefix: bucket.prefix.clone(),
        timeout: bucket.timeout,
        ca: bucket.ca.clone(),
        allow_http: bucket.allow_http,
        memory: bucket.upload_memory.0,
        spill: bucket.spill_dir.clone().unwrap_or_else(|| config.data.dir.join("spill")),
    }
}

fn of_s3(config: &Config, bucket: &Bucket, options: &S3) -> S3Options {
    S3Options {
        bucket: bucket.name.clone(),
        region: options.region.clone(),
        endpoint: bucket.endpoint.clone(),
        public_endpoint: bucket.public_endpoint.clone(),
        virtual_hosted_style: options.virtual_host_style,
        credentials: match &options.identity {
            S3Identity::Keys(id, secret) => {
                S3Credentials::Keys(id.reveal().to_owned(), secret.reveal().to_owned())
            }
            S3Identity::Auto => S3Credentials::Auto,
            S3Identity::Instance(endpoint) => S3Credentials::Instance { metadata_endpoint: endpoint.clone() },
            S3Identity::WebIdentity { token_file, role_arn, sts_endpoint } => S3Credentials::WebIdentity {
                token_file: token_file.clone(),
                role_arn: role_arn.clone(),
                sts_endpoint: sts_endpoint.clone(),
            },
        },
        encryption: match &options.encryption {
            (StorageEncryption::Bucket, _) => None,
            (StorageEncryption::Aes256, _) => Some(Encryption::Aes256),
            (StorageEncryption::Kms, key) => Some(Encryption::Kms(key.clone())),
        },
        connection: connection(config, bucket),
    }
}

fn of_azure(config: &Config, container: &Bucket, options: &Azure) -> AzureOptions {
    AzureOptions {
        account: options.account.clone(),
        container: container.name.clone(),
        endpoint: container.endpoint.clone(),
        public_endpoint: container.public_endpoint.clone(),
        credentials: match options.identity.clone() {
            AzureIdentity::Key(key) => AzureCredentials::Key(key.reveal().to_owned()),
            AzureIdentity::Secret { tenant_id, client_id, secret } => {
                AzureCredentials::Secret { tenant_id, client_id, secret: secret.reveal().to_owned() }
            }
            AzureIdentity::Workload { tenant_id, client_id, token_file } => {
                AzureCredentials::WorkloadIdentity { tenant_id, client_id, token_file }
            }
            AzureIdentity::Managed(client_id) => AzureCredentials::ManagedIdentity(client_id),
        },
        connection: connection(config, container),
    }
}
