//! Configuration: a TOML file, `BERTH_…` variables over it, flags over both.
//!
//! Each section says once what its keys are called, what they do and what they hold; reading,
//! checking and printing go through the same list. Every fault is reported, not the first alone,
//! and a key that nobody knows is one.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
};

mod audit;
mod auth;
mod catalog;
mod cidr;
mod content;
mod data;
mod faults;
mod gc;
mod human;
mod issuers;
mod limits;
mod policy;
mod quotas;
mod scrub;
mod secret;
mod section;
mod server;
mod storage;
mod telemetry;
#[cfg(test)]
mod tests;
mod tokens;
mod value;

pub use audit::Audit;
pub use auth::Auth;
pub use catalog::{Catalog, CatalogKind, Database};
pub use cidr::Cidr;
pub use content::{Delete, Manifests, Tags, Uploads};
pub use data::Data;
pub use faults::Faults;
pub use gc::{Gc, Retention, RetentionRule};
pub use human::{Size, parse_time};
pub use issuers::{FederationEntry, IssuerEntry, OneOrMore};
pub use limits::Limits;
pub use policy::Policy;
pub use quotas::{Caps, Quotas, Rates};
pub use scrub::Scrub;
pub use secret::Secret;
pub use server::{Server, Tls};
pub use storage::{
    Azure, AzureIdentity, Backend, Bucket, Encryption as StorageEncryption, Gcs, Redirect, RedirectRule, S3,
    S3Identity, Storage, StorageKind,
};
pub use telemetry::{Log, LogFormat, Metrics};
pub use tokens::{TokenAlgorithm, Tokens};
pub use value::{MaybeAddress, Tables};

use section::{Environment, Printer, Reader, Section};

/// The whole configuration. Its default is the embedded one: loopback, a folder, SQLite.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[server.tls]`
    pub tls: Tls,
    /// `[server.limits]`
    pub limits: Limits,
    /// `[auth]`
    pub auth: Auth,
    /// `[auth.tokens]`
    pub tokens: Tokens,
    /// `[policy]`
    pub policy: Policy,
    /// `[audit]`
    pub audit: Audit,
    /// `[data]`
    pub data: Data,
    /// `[storage]`
    pub storage: Storage,
    /// `[catalog]`
    pub catalog: Catalog,
    /// `[uploads]`
    pub uploads: Uploads,
    /// `[manifests]`
    pub manifests: Manifests,
    /// `[tags]`
    pub tags: Tags,
    /// `[delete]`
    pub delete: Delete,
    /// `[gc]`
    pub gc: Gc,
    /// `[retention]`
    pub retention: Retention,
    /// `[scrub]`
    pub scrub: Scrub,
    /// `[limits]`
    pub caps: Caps,
    /// `[limits.rate]`
    pub rates: Rates,
    /// `[quotas]`
    pub quotas: Quotas,
    /// `[log]`
    pub log: Log,
    /// `[metrics]`
    pub metrics: Metrics,
}

/// What flags say; it goes over file and environment.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The file. Without one, `BERTH_CONFIG` names it; without either there is none.
    pub file: Option<PathBuf>,
    /// Instead of `server.listen`, when not empty.
    pub listen: Vec<SocketAddr>,
    /// Instead of `data.dir`.
    pub data: Option<PathBuf>,
    /// Sets `server.insecure_open`.
    pub insecure_open: bool,
}

impl Config {
    /// Reads file and environment, puts `overrides` over them and checks the whole.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(overrides: &Overrides) -> Result<Self, Faults> {
        Self::from_parts(overrides, env::vars_os())
    }

    fn from_parts(
        overrides: &Overrides,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Faults> {
        let mut environment = environment(variables);
        let from_environment =
            environment.remove("CONFIG").filter(|file| !file.is_empty()).map(PathBuf::from);
        let file = overrides.file.clone().or(from_environment);
        let mut faults = Faults::new(
            file.as_deref().map_or_else(|| "configuration".to_owned(), |file| file.display().to_string()),
        );
        let mut tables = match file.as_deref().map_or(Ok(toml::Table::new()), read) {
            Ok(table) => table,
            Err(sentence) => {
                faults.add("file", sentence);
                return faults.or(Self::default());
            }
        };
        let mut config = Self::default();
        for section in config.sections() {
            read_section(section, &mut tables, &mut environment, &mut faults);
        }
        let names: Vec<_> = config.sections().iter().map(|section| section.name()).collect();
        report_unknown("", &tables, &names, &mut faults);
        // A single underscore may be somebody else's: Kubernetes sets BERTH_PORT for a service called berth.
        for name in environment.keys().filter(|name| name.contains("__")) {
            faults.add(format!("BERTH_{name}"), "no such key");
        }
        config.override_with(overrides, &environment, &mut faults);
        for section in config.sections() {
            section.check(&mut faults);
        }
        config.server.check_listen(config.auth.enabled, &mut faults);
        config.tls.check_clients(config.auth.enabled, &mut faults);
        faults.or(config)
    }

    fn override_with(&mut self, overrides: &Overrides, environment: &Environment, faults: &mut Faults) {
        use value::Value as _;
        if let Some(text) = environment.get("LISTEN")
            && let Err(sentence) = self.server.listen.set_text(text)
        {
            faults.add("BERTH_LISTEN", sentence);
        }
        if let Some(text) = environment.get("DATA")
            && let Err(sentence) = self.data.dir.set_text(text)
        {
            faults.add("BERTH_DATA", sentence);
        }
        if !overrides.listen.is_empty() {
            self.server.listen.clone_from(&overrides.listen);
        }
        if let Some(data) = &overrides.data {
            self.data.dir.clone_from(data);
        }
        self.server.insecure_open |= overrides.insecure_open;
    }

    /// The configuration as TOML that loads again, each key with what it does. Secrets are left out.
    #[must_use]
    pub fn print(&self) -> String {
        let mut printer = Printer::default();
        for section in self.clone().sections() {
            printer.section(section);
        }
        printer.0
    }

    fn sections(&mut self) -> Vec<&mut dyn Section> {
        vec![
            &mut self.server,
            &mut self.tls,
            &mut self.limits,
            &mut self.auth,
            &mut self.tokens,
            &mut self.policy,
            &mut self.audit,
            &mut self.data,
            &mut self.storage,
            &mut self.catalog,
            &mut self.uploads,
            &mut self.manifests,
            &mut self.tags,
            &mut self.delete,
            &mut self.gc,
            &mut self.retention,
            &mut self.scrub,
            &mut self.caps,
            &mut self.rates,
            &mut self.quotas,
            &mut self.log,
            &mut self.metrics,
        ]
    }
}

fn environment(variables: impl Iterator<Item = (OsString, OsString)>) -> Environment {
    variables
        .filter_map(|(name, value)| {
            let name = name.to_str()?.strip_prefix("BERTH_")?.to_owned();
            Some((name, value.to_string_lossy().into_owned()))
        })
        .collect::<BTreeMap<_, _>>()
}

fn read(file: &Path) -> Result<toml::Table, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    text.parse::<toml::Table>().map_err(|error| {
        // Only the place and the fault: the line itself may hold a secret.
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        format!("line {line}: {}", error.message())
    })
}

/// Takes the section's keys out of `tables`; what stays behind is unknown.
fn read_section(
    section: &mut dyn Section,
    tables: &mut toml::Table,
    environment: &mut Environment,
    faults: &mut Faults,
) {
    let name = section.name();
    let mut none = toml::Table::new();
    let table = name.split('.').try_fold(&mut *tables, |table, part| table.get_mut(part)?.as_table_mut());
    let table = table.unwrap_or(&mut none);
    section.keys(&mut Reader { section: name, table, environment, faults });
}

/// The dotted names of all that is left, but for the tables that sections were in.
fn report_unknown(prefix: &str, table: &toml::Table, sections: &[&str], faults: &mut Faults) {
    for (key, value) in table {
        let name = format!("{prefix}{key}");
        match value {
            toml::Value::Table(table) if sections.contains(&name.as_str()) => {
                report_unknown(&format!("{name}."), table, sections, faults);
            }
            _ if sections.contains(&name.as_str()) => faults.add(name, "must be a section in brackets"),
            toml::Value::Table(_) => faults.add(name, "no such section"),
            _ => faults.add(name, "no such key"),
        }
    }
}
