//! What to open, checked.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use url::{Host, Url};

use super::{Credentials, Encryption, Storage, StorageKind};
use crate::config::{
    Faults,
    human::Size,
    secret::{Secret, either},
};

/// Where blobs are, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// A folder in the data directory.
    #[default]
    Filesystem,
    /// A bucket that speaks S3.
    S3(Bucket, S3),
    /// A bucket of Google Cloud Storage.
    Gcs(Bucket, Gcs),
    /// A container of Azure Blob Storage.
    Azure(Bucket, Azure),
}

/// What all kinds of buckets have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// A folder in it; empty for its root.
    pub prefix: String,
    /// The service's address; the usual one when `None`.
    pub endpoint: Option<String>,
    /// The service's address for clients; the same when `None`.
    pub public_endpoint: Option<String>,
    /// Whether the endpoint may be plain http.
    pub allow_http: bool,
    /// Certificates to trust, in PEM.
    pub ca: Option<Vec<u8>>,
    /// How long a request may take.
    pub timeout: Duration,
    /// What uploads may keep in memory.
    pub upload_memory: Size,
    /// Where they go on beyond that.
    pub spill_dir: Option<PathBuf>,
}

/// What S3 needs beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3 {
    /// The region.
    pub region: String,
    /// Whether the bucket's name is part of the host's.
    pub virtual_host_style: bool,
    /// Who asks.
    pub identity: S3Identity,
    /// How the server encrypts; and with which key.
    pub encryption: (Encryption, Option<String>),
}

/// Who asks an S3 server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum S3Identity {
    /// An access key and its secret.
    Keys(Secret, Secret),
    /// Whatever AWS's own tools would find.
    Auto,
    /// The machine's role; the metadata service's address.
    Instance(Option<String>),
    /// The role of a token in a file.
    WebIdentity {
        /// The file.
        token_file: PathBuf,
        /// The role.
        role_arn: String,
        /// The token service's address.
        sts_endpoint: Option<String>,
    },
}

/// What Google Cloud Storage needs beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gcs {
    /// A service account's key.
    pub credentials_file: Option<PathBuf>,
}

/// What Azure Blob Storage needs beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Azure {
    /// The storage account.
    pub account: String,
    /// Who asks.
    pub identity: AzureIdentity,
}

/// Who asks Azure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AzureIdentity {
    /// The account's key.
    Key(Secret),
    /// An application in a directory, by its secret.
    Secret {
        /// The directory.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Its secret.
        secret: Secret,
    },
    /// An application in a directory, by a token in a file.
    Workload {
        /// The directory.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// The file.
        token_file: PathBuf,
    },
    /// The machine's identity.
    Managed(Option<String>),
}

impl Storage {
    /// What to open. After a fault, what is given back is not used.
    pub(super) fn checked(&self, faults: &mut Faults) -> Backend {
        self.check_meaning(faults);
        if self.timeout < Duration::from_secs(1) {
            faults.add("storage.timeout", "must be 1s at least");
        }
        match self.kind {
            StorageKind::Filesystem => Backend::Filesystem,
            StorageKind::S3 => Backend::S3(self.bucket(faults), self.s3(faults)),
            StorageKind::Gcs => {
                if let Some(file) = self.credentials_file.as_deref()
                    && let Err(error) = std::fs::read(file)
                {
                    faults.add("storage.credentials_file", format!("{}: {error}", file.display()));
                }
                Backend::Gcs(self.bucket(faults), Gcs { credentials_file: self.credentials_file.clone() })
            }
            StorageKind::Azure => Backend::Azure(self.bucket(faults), self.azure(faults)),
        }
    }

    /// Keys that are given and mean nothing for this kind.
    fn check_meaning(&self, faults: &mut Faults) {
        use StorageKind::{Azure, Gcs, S3};
        const BUCKETS: &[StorageKind] = &[S3, Gcs, Azure];
        let given: [(&str, bool, &[StorageKind]); 27] = [
            ("bucket", self.bucket.is_some(), BUCKETS),
            ("prefix", self.prefix.is_some(), BUCKETS),
            ("endpoint", self.endpoint.is_some(), BUCKETS),
            ("public_endpoint", self.public_endpoint.is_some(), BUCKETS),
            ("allow_http", self.allow_http, BUCKETS),
            ("ca_file", self.ca_file.is_some(), BUCKETS),
            ("spill_dir", self.spill_dir.is_some(), BUCKETS),
            ("region", self.region.is_some(), &[S3]),
            ("virtual_host_style", self.virtual_host_style, &[S3]),
            ("access_key_id", self.access_key_id.is_some(), &[S3]),
            ("access_key_id_file", self.access_key_id_file.is_some(), &[S3]),
            ("secret_access_key", self.secret_access_key.is_some(), &[S3]),
            ("secret_access_key_file", self.secret_access_key_file.is_some(), &[S3]),
            ("credentials", self.credentials != Credentials::Auto, &[S3]),
            ("role_arn", self.role_arn.is_some(), &[S3]),
            ("token_file", self.token_file.is_some(), &[S3, Azure]),
            ("sts_endpoint", self.sts_endpoint.is_some(), &[S3]),
            ("metadata_endpoint", self.metadata_endpoint.is_some(), &[S3]),
            ("encryption", self.encryption != Encryption::Bucket, &[S3]),
            ("kms_key", self.kms_key.is_some(), &[S3]),
            ("credentials_file", self.credentials_file.is_some(), &[Gcs]),
            ("account", self.account.is_some(), &[Azure]),
            ("account_key", self.account_key.is_some() || self.account_key_file.is_some(), &[Azure]),
            ("tenant_id", self.tenant_id.is_some(), &[Azure]),
            ("client_id", self.client_id.is_some(), &[Azure]),
            ("client_secret", self.client_secret.is_some(), &[Azure]),
            ("client_secret_file", self.client_secret_file.is_some(), &[Azure]),
        ];
        for (key, _, kinds) in given.iter().filter(|(_, given, kinds)| *given && !kinds.contains(&self.kind))
        {
            let kinds: Vec<_> = kinds.iter().map(|kind| format!("{:?}", kind.text())).collect();
            let sentence = format!("means nothing unless storage.kind = {}", kinds.join(" or "));
            faults.add(format!("storage.{key}"), sentence);
        }
    }

    fn bucket(&self, faults: &mut Faults) -> Bucket {
        let name = self.bucket.clone().unwrap_or_default();
        if name.is_empty() {
            faults.add("storage.bucket", format!("required when storage.kind = {:?}", self.kind.text()));
        }
        self.check_address("storage.endpoint", self.endpoint.as_deref(), faults);
        self.check_address("storage.public_endpoint", self.public_endpoint.as_deref(), faults);
        let ca = self.ca_file.as_deref().and_then(|file| match std::fs::read(file) {
            Ok(pem) if pem.windows(11).any(|part| part == b"-----BEGIN ") => Some(pem),
            Ok(_) => {
                faults.add("storage.ca_file", format!("{} holds no certificates in PEM", file.display()));
                None
            }
            Err(error) => {
                faults.add("storage.ca_file", format!("{}: {error}", file.display()));
                None
            }
        });
        Bucket {
            name,
            prefix: self.prefix.as_deref().unwrap_or_default().trim_matches('/').to_owned(),
            endpoint: self.endpoint.clone(),
            public_endpoint: self.public_endpoint.clone(),
            allow_http: self.allow_http,
            ca,
            timeout: self.timeout,
            upload_memory: self.upload_memory,
            spill_dir: self.spill_dir.clone(),
        }
    }

    fn check_address(&self, key: &str, address: Option<&str>, faults: &mut Faults) {
        let Some(address) = address else { return };
        if address.contains('@') {
            // It is printed and logged, so nothing secret may be in it; nor is it repeated here.
            faults.add(key, "must not hold a user: credentials have keys of their own");
            return;
        }
        let url = Url::parse(address).ok().filter(|url| url.has_host() && url.query().is_none());
        let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https")) else {
            faults.add(key, format!("{address:?} is not an address like \"https://s3.example\""));
            return;
        };
        if url.scheme() == "http" && !self.allow_http {
            faults.add(key, "is plain http: set storage.allow_http = true");
        }
        let is_ip = match url.host() {
            Some(Host::Domain(name)) => name.parse::<IpAddr>().is_ok(),
            Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => true,
        };
        if self.virtual_host_style && is_ip {
            faults.add(
                key,
                "is an IP address, before which no bucket can stand: unset storage.virtual_host_style",
            );
        }
    }

    fn s3(&self, faults: &mut Faults) -> S3 {
        let secret = |key: &str, value: &Option<Secret>, file: &Option<PathBuf>, faults: &mut Faults| {
            let read = either(&format!("storage.{key}"), value.as_ref(), file.as_deref(), faults);
            (read, value.is_some() || file.is_some())
        };
        let (id, has_id) = secret("access_key_id", &self.access_key_id, &self.access_key_id_file, faults);
        let (secret, has_secret) =
            secret("secret_access_key", &self.secret_access_key, &self.secret_access_key_file, faults);
        if has_id && !has_secret {
            faults.add("storage.secret_access_key", "required when storage.access_key_id is set");
        }
        if has_secret && !has_id {
            faults.add("storage.access_key_id", "required when storage.secret_access_key is set");
        }
        if self.kms_key.is_some() && self.encryption != Encryption::Kms {
            faults.add("storage.kms_key", "means nothing unless storage.encryption = \"aws:kms\"");
        }
        S3 {
            region: self.region.clone().unwrap_or_else(|| "us-east-1".to_owned()),
            virtual_host_style: self.virtual_host_style,
            identity: match id.zip(secret) {
                Some((id, secret)) => {
                    if self.credentials != Credentials::Auto {
                        faults.add(
                            "storage.credentials",
                            "given beside storage.access_key_id; only one can count",
                        );
                    }
                    S3Identity::Keys(id, secret)
                }
                None => self.s3_identity(faults),
            },
            encryption: (self.encryption, self.kms_key.clone()),
        }
    }

    fn s3_identity(&self, faults: &mut Faults) -> S3Identity {
        let of_web = self.role_arn.is_some() || self.token_file.is_some() || self.sts_endpoint.is_some();
        match self.credentials {
            Credentials::Auto | Credentials::Instance if of_web => faults.add(
                "storage.credentials",
                "must be \"web_identity\" for role_arn, token_file and sts_endpoint to mean something",
            ),
            Credentials::Auto | Credentials::WebIdentity if self.metadata_endpoint.is_some() => faults
                .add("storage.credentials", "must be \"instance\" for metadata_endpoint to mean something"),
            Credentials::Auto | Credentials::Instance | Credentials::WebIdentity => {}
        }
        match self.credentials {
            Credentials::Auto => S3Identity::Auto,
            Credentials::Instance => S3Identity::Instance(self.metadata_endpoint.clone()),
            Credentials::WebIdentity => {
                let needed = "required when storage.credentials = \"web_identity\"";
                if self.token_file.is_none() {
                    faults.add("storage.token_file", needed);
                }
                if self.role_arn.is_none() {
                    faults.add("storage.role_arn", needed);
                }
                if self.sts_endpoint.as_deref().is_some_and(|url| !url.starts_with("https://")) {
                    faults.add("storage.sts_endpoint", "must begin with https://: a token is sent there");
                }
                S3Identity::WebIdentity {
                    token_file: self.token_file.clone().unwrap_or_default(),
                    role_arn: self.role_arn.clone().unwrap_or_default(),
                    sts_endpoint: self.sts_endpoint.clone(),
                }
            }
        }
    }

    fn azure(&self, faults: &mut Faults) -> Azure {
        if self.account.as_deref().unwrap_or_default().is_empty() {
            faults.add("storage.account", "required when storage.kind = \"azure\"");
        }
        let key = either(
            "storage.account_key",
            self.account_key.as_ref(),
            self.account_key_file.as_deref(),
            faults,
        );
        let secret = either(
            "storage.client_secret",
            self.client_secret.as_ref(),
            self.client_secret_file.as_deref(),
            faults,
        );
        let (tenant, client) = (self.tenant_id.clone(), self.client_id.clone());
        let ways = [key.is_some(), secret.is_some(), self.token_file.is_some()];
        if ways.iter().filter(|given| **given).count() > 1 {
            faults.add(
                "storage.account_key",
                "only one of storage.account_key, storage.client_secret and storage.token_file can count",
            );
        }
        if secret.is_some() || self.token_file.is_some() {
            for (name, value) in [("tenant_id", &tenant), ("client_id", &client)] {
                if value.is_none() {
                    faults.add(
                        format!("storage.{name}"),
                        "required with storage.client_secret and with storage.token_file",
                    );
                }
            }
        }
        let (tenant_id, client_id) = (tenant.unwrap_or_default(), client.clone().unwrap_or_default());
        let identity = match (key, secret, self.token_file.clone()) {
            (Some(key), ..) => AzureIdentity::Key(key),
            (None, Some(secret), _) => AzureIdentity::Secret { tenant_id, client_id, secret },
            (None, None, Some(token_file)) => AzureIdentity::Workload { tenant_id, client_id, token_file },
            (None, None, None) => AzureIdentity::Managed(client),
        };
        Azure { account: self.account.clone().unwrap_or_default(), identity }
    }
}
