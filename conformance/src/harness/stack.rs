//! What the registry under test keeps its state in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Postgres, Result, S3};

/// Where the registry keeps what it is given.
#[derive(Debug, Clone)]
pub enum Stack {
    /// SQLite and a folder, the embedded default.
    Embedded,
    /// PostgreSQL and S3.
    Outside(OutsideStack),
}

/// One database and one bucket of shared servers. Clones are the same database and bucket: that is how two replicas
/// share everything.
#[derive(Debug, Clone)]
pub struct OutsideStack {
    postgres: Arc<Postgres>,
    s3: Arc<S3>,
    database: String,
    bucket: String,
}

impl OutsideStack {
    /// A fresh database and a fresh bucket on this process's shared PostgreSQL and S3.
    pub fn shared() -> Result<Self> {
        Self::on(Postgres::shared()?)
    }

    /// A fresh database on this PostgreSQL, which may be stopped without disturbing others, and a fresh bucket on the
    /// shared S3.
    pub fn on(postgres: Arc<Postgres>) -> Result<Self> {
        let s3 = S3::shared()?;
        let (database, bucket) = (postgres.new_database()?, s3.new_bucket()?);
        Ok(Self { postgres, s3, database, bucket })
    }

    /// The cluster.
    pub fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    /// Name of the database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The folder in which the objects lie.
    pub fn bucket_folder(&self) -> PathBuf {
        self.s3.bucket_folder(&self.bucket)
    }

    /// Throws the database away and makes an empty one of the same name.
    pub fn lose_database(&self) -> Result<()> {
        self.postgres.replace_database(&self.database)
    }

    /// Runs one statement in the database and returns what it prints.
    pub fn sql(&self, statement: &str) -> Result<String> {
        self.postgres.sql(&self.database, statement)
    }

    /// The address of the database.
    pub fn database_url(&self) -> String {
        self.postgres.url(&self.database)
    }

    /// A further empty database of the same cluster, by its address.
    pub fn other_database(&self) -> Result<String> {
        Ok(self.postgres.url(&self.postgres.new_database()?))
    }
}

impl Stack {
    /// A fresh database and a fresh bucket on this process's shared PostgreSQL and S3.
    pub fn outside() -> Result<Self> {
        Ok(Self::Outside(OutsideStack::shared()?))
    }

    /// Adds the keys of the configuration that choose this stack.
    pub(super) fn settings(&self, settings: &mut BTreeMap<String, String>) {
        let mut set = |key: &str, value: String| settings.insert(key.to_owned(), value);
        match self {
            Self::Embedded => {
                set("storage.kind", quoted("filesystem"));
                set("catalog.kind", quoted("sqlite"));
            }
            Self::Outside(stack) => {
                set("storage.kind", quoted("s3"));
                set("storage.bucket", quoted(&stack.bucket));
                set("storage.region", quoted("us-east-1"));
                set("storage.endpoint", quoted(&stack.s3.url()));
                set("storage.access_key_id", quoted(S3::ACCESS_KEY));
                set("storage.secret_access_key", quoted(S3::SECRET_KEY));
                set("storage.allow_http", "true".to_owned());
                set("catalog.kind", quoted("postgres"));
                set("catalog.url", quoted(&stack.postgres.url(&stack.database)));
            }
        }
    }
}

/// A string as TOML writes it: as JSON does, but for the delete character, which no setting here holds.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
