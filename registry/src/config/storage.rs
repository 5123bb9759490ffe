//! `[storage]`: where blobs are.

use std::path::PathBuf;

use super::{
    faults::Faults,
    human::Size,
    secret::{Secret, either},
    section::{Keys, Section},
    value::choice,
};

choice! {
    /// Kinds of storage.
    StorageKind {
        /// A folder in the data directory.
        #[default]
        Filesystem = "filesystem",
        /// A bucket that speaks S3.
        S3 = "s3",
    }
}

/// Where blobs are, as the file says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Which kind.
    pub kind: StorageKind,
    /// Free space in the folder that uploads leave alone.
    pub reserve: Size,
    /// The bucket's name.
    pub bucket: Option<String>,
    /// The bucket's region.
    pub region: Option<String>,
    /// The service's address, where it is not AWS.
    pub endpoint: Option<String>,
    /// A folder in the bucket.
    pub prefix: Option<String>,
    /// Access key.
    pub access_key_id: Option<Secret>,
    /// File with the access key.
    pub access_key_id_file: Option<PathBuf>,
    /// Secret key.
    pub secret_access_key: Option<Secret>,
    /// File with the secret key.
    pub secret_access_key_file: Option<PathBuf>,
    /// Whether the bucket's name is part of the host's.
    pub virtual_host_style: bool,
    /// Whether the endpoint may be plain http.
    pub allow_http: bool,
    backend: Backend,
}

/// Where blobs are, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// A folder in the data directory.
    #[default]
    Filesystem,
    /// A bucket.
    S3(S3),
}

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3 {
    /// Its name.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// The service's address; AWS's for the region when `None`.
    pub endpoint: Option<String>,
    /// A folder in the bucket; empty for its root.
    pub prefix: String,
    /// Access key and secret key; the machine's own credentials when `None`.
    pub credentials: Option<(Secret, Secret)>,
    /// Whether the bucket's name is part of the host's.
    pub virtual_host_style: bool,
    /// Whether the endpoint may be plain http.
    pub allow_http: bool,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            kind: StorageKind::default(),
            reserve: Size(16 << 20),
            bucket: None,
            region: None,
            endpoint: None,
            prefix: None,
            access_key_id: None,
            access_key_id_file: None,
            secret_access_key: None,
            secret_access_key_file: None,
            virtual_host_style: false,
            allow_http: false,
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

    fn s3(&self, faults: &mut Faults) -> Option<S3> {
        let id = either(
            "storage.access_key_id",
            self.access_key_id.as_ref(),
            self.access_key_id_file.as_deref(),
            faults,
        );
        let secret = either(
            "storage.secret_access_key",
            self.secret_access_key.as_ref(),
            self.secret_access_key_file.as_deref(),
            faults,
        );
        let has_id = self.access_key_id.is_some() || self.access_key_id_file.is_some();
        let has_secret = self.secret_access_key.is_some() || self.secret_access_key_file.is_some();
        if has_id && !has_secret {
            faults.add("storage.secret_access_key", "required when storage.access_key_id is set");
        }
        if has_secret && !has_id {
            faults.add("storage.access_key_id", "required when storage.secret_access_key is set");
        }
        if self.endpoint.as_deref().is_some_and(|endpoint| endpoint.contains('@')) {
            // It is printed and logged, so nothing secret may be in it; nor is it repeated here.
            faults.add(
                "storage.endpoint",
                "must not hold a user: credentials are storage.access_key_id and those below",
            );
        } else if let Some(endpoint) = &self.endpoint {
            match endpoint.split_once("://").map(|(scheme, _)| scheme) {
                Some("https") => {}
                Some("http") if self.allow_http => {}
                Some("http") => {
                    faults.add("storage.endpoint", "is plain http: set storage.allow_http = true")
                }
                Some(_) | None => faults.add(
                    "storage.endpoint",
                    format!("{endpoint:?} is not an address like \"https://s3.example\""),
                ),
            }
        }
        let Some(bucket) = self.bucket.clone().filter(|bucket| !bucket.is_empty()) else {
            faults.add("storage.bucket", "required when storage.kind = \"s3\"");
            return None;
        };
        Some(S3 {
            bucket,
            region: self.region.clone().unwrap_or_else(|| "us-east-1".to_owned()),
            endpoint: self.endpoint.clone(),
            prefix: self.prefix.as_deref().unwrap_or_default().trim_matches('/').to_owned(),
            credentials: id.zip(secret),
            virtual_host_style: self.virtual_host_style,
            allow_http: self.allow_http,
        })
    }
}

impl Section for Storage {
    fn name(&self) -> &'static str {
        "storage"
    }

    fn about(&self) -> &'static str {
        "Where blobs are: \"filesystem\" (in data.dir), or \"s3\" (any service that speaks S3)."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key("kind", "\"filesystem\" or \"s3\".", &mut self.kind);
        keys.key(
            "reserve",
            "For \"filesystem\": uploads are refused (507) while less than this is free, so that a full disk stops\n\
             pushes before it stops the catalog. The keys below are for \"s3\".",
            &mut self.reserve,
        );
        keys.key("bucket", "The bucket, as \"berth\".", &mut self.bucket);
        keys.key("region", "Its region; \"us-east-1\" unless set.", &mut self.region);
        keys.key(
            "endpoint",
            "The service's address where it is not AWS, as \"https://s3.example\".",
            &mut self.endpoint,
        );
        keys.key("prefix", "A folder in the bucket, as \"registry\".", &mut self.prefix);
        keys.key(
            "access_key_id",
            "Credentials, each as it is or in a file. Without them, those of the machine are used.",
            &mut self.access_key_id,
        );
        keys.key("access_key_id_file", "", &mut self.access_key_id_file);
        keys.key("secret_access_key", "", &mut self.secret_access_key);
        keys.key("secret_access_key_file", "", &mut self.secret_access_key_file);
        keys.key(
            "virtual_host_style",
            "Address the bucket as bucket.host instead of host/bucket.",
            &mut self.virtual_host_style,
        );
        keys.key("allow_http", "Allow an endpoint without TLS.", &mut self.allow_http);
    }

    fn check(&mut self, faults: &mut Faults) {
        match self.kind {
            StorageKind::S3 => {
                if let Some(s3) = self.s3(faults) {
                    self.backend = Backend::S3(s3);
                }
            }
            StorageKind::Filesystem => {
                self.backend = Backend::Filesystem;
                let given = [
                    ("bucket", self.bucket.is_some()),
                    ("region", self.region.is_some()),
                    ("endpoint", self.endpoint.is_some()),
                    ("prefix", self.prefix.is_some()),
                    ("access_key_id", self.access_key_id.is_some()),
                    ("access_key_id_file", self.access_key_id_file.is_some()),
                    ("secret_access_key", self.secret_access_key.is_some()),
                    ("secret_access_key_file", self.secret_access_key_file.is_some()),
                    ("virtual_host_style", self.virtual_host_style),
                    ("allow_http", self.allow_http),
                ];
                for (key, _) in given.iter().filter(|(_, given)| *given) {
                    faults.add(format!("storage.{key}"), "means nothing unless storage.kind = \"s3\"");
                }
            }
        }
    }
}
