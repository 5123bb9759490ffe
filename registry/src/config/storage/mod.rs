//! `[storage]`: where blobs are.

use std::{path::PathBuf, time::Duration};

use super::{
    faults::Faults,
    human::Size,
    secret::Secret,
    section::{Keys, Section},
    value::{Tables, choice},
};

mod bucket;
mod redirect;

pub use bucket::{Azure, AzureIdentity, Backend, Bucket, Gcs, S3, S3Identity};
pub use redirect::{Redirect, RedirectRule};

choice! {
    /// Kinds of storage.
    StorageKind {
        /// A folder in the data directory.
        #[default]
        Filesystem = "filesystem",
        /// A bucket that speaks S3.
        S3 = "s3",
        /// A bucket of Google Cloud Storage.
        Gcs = "gcs",
        /// A container of Azure Blob Storage.
        Azure = "azure",
    }
}

choice! {
    /// Who an S3 server is asked as, when no keys are given.
    Credentials {
        /// Whatever AWS's own tools would find.
        #[default]
        Auto = "auto",
        /// The machine's role.
        Instance = "instance",
        /// The role of a token in a file.
        WebIdentity = "web_identity",
    }
}

choice! {
    /// How the server encrypts objects at rest.
    Encryption {
        /// As the bucket is set up.
        #[default]
        Bucket = "bucket",
        /// With the server's own keys.
        Aes256 = "AES256",
        /// With keys of the key service.
        Kms = "aws:kms",
    }
}

/// Where blobs are, as the file says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Which kind.
    pub kind: StorageKind,
    /// Free space in the folder that uploads leave alone.
    pub reserve: Size,
    /// The bucket's or container's name.
    pub bucket: Option<String>,
    /// A folder in the bucket.
    pub prefix: Option<String>,
    /// The service's address, where it is not the usual one.
    pub endpoint: Option<String>,
    /// The service's address for clients.
    pub public_endpoint: Option<String>,
    /// Whether the endpoint may be plain http.
    pub allow_http: bool,
    /// File with certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// How long a request may take.
    pub timeout: Duration,
    /// What uploads may keep in memory together.
    pub upload_memory: Size,
    /// Where uploads go on beyond that.
    pub spill_dir: Option<PathBuf>,
    /// Whether clients are sent to the bucket for blobs.
    pub redirect: Redirect,
    /// For how long an address is good that a client is sent to.
    pub redirect_life: Duration,
    /// Who is sent to the bucket, and for which blobs.
    pub redirects: Tables<RedirectRule>,
    /// The bucket's region.
    pub region: Option<String>,
    /// Whether the bucket's name is part of the host's.
    pub virtual_host_style: bool,
    /// Access key.
    pub access_key_id: Option<Secret>,
    /// File with the access key.
    pub access_key_id_file: Option<PathBuf>,
    /// Secret key.
    pub secret_access_key: Option<Secret>,
    /// File with the secret key.
    pub secret_access_key_file: Option<PathBuf>,
    /// Who the server is asked as without keys.
    pub credentials: Credentials,
    /// The role of a web identity.
    pub role_arn: Option<String>,
    /// The file with a web identity's token; for Azure, a workload identity's.
    pub token_file: Option<PathBuf>,
    /// The token service's address.
    pub sts_endpoint: Option<String>,
    /// The metadata service's address.
    pub metadata_endpoint: Option<String>,
    /// How the server encrypts objects.
    pub encryption: Encryption,
    /// With which key of the key service.
    pub kms_key: Option<String>,
    /// A Google service account's key.
    pub credentials_file: Option<PathBuf>,
    /// An Azure storage account.
    pub account: Option<String>,
    /// Its key.
    pub account_key: Option<Secret>,
    /// File with its key.
    pub account_key_file: Option<PathBuf>,
    /// The directory of an Azure application.
    pub tenant_id: Option<String>,
    /// An Azure application or identity.
    pub client_id: Option<String>,
    /// The application's secret.
    pub client_secret: Option<Secret>,
    /// File with the application's secret.
    pub client_secret_file: Option<PathBuf>,
    backend: Backend,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            kind: StorageKind::default(),
            reserve: Size(16 << 20),
            bucket: None,
            prefix: None,
            endpoint: None,
            public_endpoint: None,
            allow_http: false,
            ca_file: None,
            timeout: Duration::from_secs(20),
            upload_memory: Size(48 << 20),
            spill_dir: None,
            redirect: Redirect::default(),
            redirect_life: Duration::from_mins(5),
            redirects: Tables::default(),
            region: None,
            virtual_host_style: false,
            access_key_id: None,
            access_key_id_file: None,
            secret_access_key: None,
            secret_access_key_file: None,
            credentials: Credentials::default(),
            role_arn: None,
            token_file: None,
            sts_endpoint: None,
            metadata_endpoint: None,
            encryption: Encryption::default(),
            kms_key: None,
            credentials_file: None,
            account: None,
            account_key: None,
            account_key_file: None,
            tenant_id: None,
            client_id: None,
            client_secret: None,
            client_secret_file: None,
            backend: Backend::default(),
        }
    }
}

impl Storage {
    /// What to open.
    #[must_use]
    pub fn backend(&self) -> &Backend {
        &self.backend
    }
}

impl Section for Storage {
    fn name(&self) -> &'static str {
        "storage"
    }

    fn about(&self) -> &'static str {
        "Where blobs are: \"filesystem\" (in data.dir), \"s3\" (any service that speaks S3), \"gcs\" (Google Cloud\n\
         Storage) or \"azure\" (Azure Blob Storage)."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key("kind", "\"filesystem\", \"s3\", \"gcs\" or \"azure\".", &mut self.kind);
        keys.key(
            "reserve",
            "For \"filesystem\": uploads are refused (507) while less than this is free, so that a full disk stops\n\
             pushes before it stops the catalog.",
            &mut self.reserve,
        );
        keys.key(
            "timeout",
            "After so long without an answer clients are told that storage is not there (503); a second more for\n\
             each 2 MiB that are sent to a bucket. Bodies that flow have no limit. The keys below are for buckets.",
            &mut self.timeout,
        );
        keys.key("bucket", "The bucket (for \"azure\" the container), as \"berth\".", &mut self.bucket);
        keys.key("prefix", "A folder in the bucket, as \"registry\".", &mut self.prefix);
        self.connection_keys(keys);
        self.redirect_keys(keys);
        self.s3_keys(keys);
        keys.key(
            "credentials_file",
            "For \"gcs\": a service account's key. Without it: GOOGLE_APPLICATION_CREDENTIALS, gcloud's own file, or the\n\
             machine's or pod's identity.",
            &mut self.credentials_file,
        );
        self.azure_keys(keys);
    }

    fn check(&mut self, faults: &mut Faults) {
        self.backend = self.checked(faults);
        self.check_redirects(faults);
    }
}

impl Storage {
    fn connection_keys(&mut self, keys: &mut dyn Keys) {
        keys.key(
            "endpoint",
            "The service's address where it is not AWS's, Google's or Azure's, as \"https://s3.example\".",
            &mut self.endpoint,
        );
        keys.key("allow_http", "Allow an endpoint without TLS.", &mut self.allow_http);
        keys.key("ca_file", "Certificates (PEM) to trust beside the system's.", &mut self.ca_file);
        keys.key(
            "upload_memory",
            "What all uploads together keep in memory of parts that fill or are on their way. Beyond it they go on in\n\
             files without a name in spill_dir, \"spill\" in data.dir unless set.",
            &mut self.upload_memory,
        );
        keys.key("spill_dir", "", &mut self.spill_dir);
    }

    fn redirect_keys(&mut self, keys: &mut dyn Keys) {
        keys.key(
            "redirect",
            "Who is sent to the bucket for a blob, by a signed address for that object alone: \"never\" (blobs are streamed,\n\
             and verified on their way), \"always\", or \"rules\": those that a [[storage.redirects]] names by networks\n\
             (empty: all) and min_size of the blob.",
            &mut self.redirect,
        );
        keys.key("redirect_life", "For how long such an address is good.", &mut self.redirect_life);
        keys.key(
            "redirects",
            "As { networks = [\"10.0.0.0/8\"], min_size = \"1MiB\" }.",
            &mut self.redirects,
        );
        keys.key(
            "public_endpoint",
            "The service's address for clients, where that is another than endpoint.",
            &mut self.public_endpoint,
        );
    }

    fn s3_keys(&mut self, keys: &mut dyn Keys) {
        keys.key("region", "For \"s3\": the region; \"us-east-1\" unless set.", &mut self.region);
        keys.key(
            "virtual_host_style",
            "For \"s3\": address the bucket as bucket.host instead of host/bucket.",
            &mut self.virtual_host_style,
        );
        keys.key(
            "access_key_id",
            "For \"s3\": credentials, each as it is or in a file.",
            &mut self.access_key_id,
        );
        keys.key("access_key_id_file", "", &mut self.access_key_id_file);
        keys.key("secret_access_key", "", &mut self.secret_access_key);
        keys.key("secret_access_key_file", "", &mut self.secret_access_key_file);
        keys.key(
            "credentials",
            "For \"s3\" without keys: \"auto\" (AWS's own variables, then the container's or machine's role), \"instance\" (the\n\
             machine's role) or \"web_identity\" (role_arn, for the token in token_file).",
            &mut self.credentials,
        );
        keys.key("role_arn", "", &mut self.role_arn);
        keys.key("token_file", "", &mut self.token_file);
        keys.key("sts_endpoint", "The token service, where it is not AWS's.", &mut self.sts_endpoint);
        keys.key(
            "metadata_endpoint",
            "The metadata service, where it is not the usual one.",
            &mut self.metadata_endpoint,
        );
        keys.key(
            "encryption",
            "For \"s3\": encryption at rest, as the \"bucket\" is set up, \"AES256\" or \"aws:kms\" (with kms_key, or the\n\
             bucket's default key).",
            &mut self.encryption,
        );
        keys.key("kms_key", "", &mut self.kms_key);
    }

    fn azure_keys(&mut self, keys: &mut dyn Keys) {
        keys.key(
            "account",
            "For \"azure\": the storage account. It is asked with account_key; or as client_id in tenant_id, with\n\
             client_secret or for the token in token_file; or as the machine's identity (client_id, if it has several).",
            &mut self.account,
        );
        keys.key("account_key", "", &mut self.account_key);
        keys.key("account_key_file", "", &mut self.account_key_file);
        keys.key("tenant_id", "", &mut self.tenant_id);
        keys.key("client_id", "", &mut self.client_id);
        keys.key("client_secret", "", &mut self.client_secret);
        keys.key("client_secret_file", "", &mut self.client_secret_file);
    }
}
