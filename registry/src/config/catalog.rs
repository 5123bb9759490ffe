//! `[catalog]`: where it is written what exists.

use std::path::PathBuf;

use super::{
    faults::Faults,
    secret::{Secret, either},
    section::{Keys, Section},
    value::choice,
};

choice! {
    /// Kinds of catalogs.
    CatalogKind {
        /// Embedded, one process.
        #[default]
        Sqlite = "sqlite",
        /// For several replicas.
        Postgres = "postgres",
    }
}

/// Where the catalog is, as the file says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    /// Which kind.
    pub kind: CatalogKind,
    /// Folder of the SQLite database; the data directory when `None`.
    pub dir: Option<PathBuf>,
    /// Address of the PostgreSQL database.
    pub url: Option<Secret>,
    /// File with the address.
    pub url_file: Option<PathBuf>,
    /// Connections to PostgreSQL.
    pub max_connections: u32,
    database: Database,
}

/// Where the catalog is, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Database {
    /// SQLite in [`Catalog::dir`] or the data directory.
    #[default]
    Sqlite,
    /// PostgreSQL at this address.
    Postgres(Secret),
}

impl Default for Catalog {
    fn default() -> Self {
        Self {
            kind: CatalogKind::default(),
            dir: None,
            url: None,
            url_file: None,
            max_connections: 16,
            database: Database::default(),
        }
    }
}

impl Catalog {
    /// What to open.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }
}

impl Section for Catalog {
    fn name(&self) -> &'static str {
        "catalog"
    }

    fn about(&self) -> &'static str {
        "Where it is written what exists: \"sqlite\" (embedded, one process) or \"postgres\" (several replicas)."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key("kind", "\"sqlite\" or \"postgres\".", &mut self.kind);
        keys.key("dir", "For \"sqlite\": the database's folder, where it is not data.dir.", &mut self.dir);
        keys.key(
            "url",
            "For \"postgres\": as \"postgres://berth:password@host/berth\", here or in a file.",
            &mut self.url,
        );
        keys.key("url_file", "", &mut self.url_file);
        keys.key(
            "max_connections",
            "For \"postgres\": connections of this replica.",
            &mut self.max_connections,
        );
    }

    fn check(&mut self, faults: &mut Faults) {
        match self.kind {
            CatalogKind::Sqlite => {
                self.database = Database::Sqlite;
                for (key, given) in [("url", self.url.is_some()), ("url_file", self.url_file.is_some())] {
                    if given {
                        faults.add(
                            format!("catalog.{key}"),
                            "means nothing unless catalog.kind = \"postgres\"",
                        );
                    }
                }
            }
            CatalogKind::Postgres => {
                if self.dir.is_some() {
                    faults.add("catalog.dir", "means nothing unless catalog.kind = \"sqlite\"");
                }
                if self.max_connections == 0 {
                    faults.add("catalog.max_connections", "must be at least 1");
                }
                let given = self.url.is_some() || self.url_file.is_some();
                match either("catalog.url", self.url.as_ref(), self.url_file.as_deref(), faults) {
                    Some(url) if is_address(url.reveal()) => self.database = Database::Postgres(url),
                    // The address is not repeated: it may hold a password.
                    Some(_) => faults.add("catalog.url", "must begin with postgres:// or postgresql://"),
                    None if given => {}
                    None => faults.add("catalog.url", "required when catalog.kind = \"postgres\""),
                }
            }
        }
    }
}

fn is_address(url: &str) -> bool {
    ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme))
}
