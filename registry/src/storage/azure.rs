//! Blobs in a container of Azure Blob Storage.
//!
//! A multipart upload is a list of blocks there: nothing begins one and nothing throws its blocks away, which the service does by
//! itself after a week.

use std::{fmt, path::PathBuf, sync::Arc};

use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

use super::{Connection, ObjectBackend, Result, object::object_error};

/// Where a container is and who may use it.
#[derive(Clone, Debug)]
pub struct AzureOptions {
    /// The storage account.
    pub account: String,
    /// The container.
    pub container: String,
    /// The account's address, when it is not Azure's.
    pub endpoint: Option<String>,
    /// The account under the address that clients reach it by, when that is another.
    pub public_endpoint: Option<String>,
    /// Who asks.
    pub credentials: AzureCredentials,
    /// How it is reached.
    pub connection: Connection,
}

/// Where credentials come from.
#[derive(Clone)]
pub enum AzureCredentials {
    /// The account's key.
    Key(String),
    /// An application and its secret.
    Secret {
        /// The directory.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Its secret.
        secret: String,
    },
    /// An application, for a token in a file, as Kubernetes gives service accounts one.
    WorkloadIdentity {
        /// The directory.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// The file.
        token_file: PathBuf,
    },
    /// The machine's identity: its only one, or this.
    ManagedIdentity(Option<String>),
}

impl fmt::Debug for AzureCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "Key",
            Self::Secret { .. } => "Secret",
            Self::WorkloadIdentity { .. } => "WorkloadIdentity",
            Self::ManagedIdentity(_) => "ManagedIdentity",
        })
    }
}

/// Blobs that Azure deletes with one request, at most.
const BULK: usize = 256;

/// A container of Azure Blob Storage. Nothing is asked of it here.
///
/// # Errors
/// [`super::StorageError::Unavailable`] when the options contradict each other.
pub fn azure(options: &AzureOptions) -> Result<ObjectBackend> {
    let connection = &options.connection;
    let builder = MicrosoftAzureBuilder::new()
        .with_account(&options.account)
        .with_container_name(&options.container)
        .with_client_options(connection.reading()?)
        .with_retry(Connection::retries());
    let builder = identified(builder, &options.credentials);
    let at = |endpoint: &Option<String>, builder: MicrosoftAzureBuilder| match endpoint {
        Some(endpoint) => builder.with_endpoint(endpoint.trim_end_matches('/').to_owned()),
        None => builder,
    };
    let builder = at(&options.endpoint, builder);
    let store = Arc::new(builder.clone().build().map_err(object_error)?);
    let builder = builder.with_credentials(store.credentials().clone());
    let parts = builder.clone().with_client_options(connection.sending()?).build();
    let parts = Arc::new(parts.map_err(object_error)?);
    let signer = match &options.public_endpoint {
        None => store.clone(),
        public @ Some(_) => Arc::new(at(public, builder).build().map_err(object_error)?),
    };
    let container = ObjectBackend::new(store.clone(), parts, &connection.prefix)
        .with_bulk_delete(store, BULK)
        .with_signer(signer)
        .keeping_parts();
    Ok(connection.equip(container))
}

fn identified(builder: MicrosoftAzureBuilder, credentials: &AzureCredentials) -> MicrosoftAzureBuilder {
    let kind = |builder: MicrosoftAzureBuilder, kind: &str| builder.with_credential_type(kind);
    match credentials {
        AzureCredentials::Key(key) => kind(builder.with_access_key(key), "access_key"),
        AzureCredentials::Secret { tenant_id, client_id, secret } => {
            kind(builder.with_client_secret_authorization(client_id, secret, tenant_id), "client_secret")
        }
        AzureCredentials::WorkloadIdentity { tenant_id, client_id, token_file } => {
            let builder = builder
                .with_tenant_id(tenant_id)
                .with_client_id(client_id)
                .with_federated_token_file(token_file.to_string_lossy());
            // Kubernetes tells the authority of a sovereign cloud by a variable.
            let builder = match std::env::var("AZURE_AUTHORITY_HOST") {
                Ok(host) => builder.with_config(AzureConfigKey::AuthorityHost, host),
                Err(_unset) => builder,
            };
            kind(builder, "workload_identity")
        }
        AzureCredentials::ManagedIdentity(client_id) => {
            let builder = client_id.iter().fold(builder, |builder, id| builder.with_client_id(id));
            kind(builder, "managed_identity")
        }
    }
}
