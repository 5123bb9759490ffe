//! The registry client (distribution-spec 1.1).

mod elsewhere;
mod repository;
mod transport;

use berth_oci::Reference;

use crate::{ImageName, Result, Session, Settings, Side, Sink, Source};

pub use repository::Repository;

/// The connections, tokens and limits of all registries that this process talks to.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
}

impl Client {
    /// A client with nothing open.
    ///
    /// # Errors
    /// If the system's certificates cannot be read.
    pub fn new(_settings: &Settings) -> Result<Self> {
        Ok(Self { http: reqwest::Client::new() })
    }

    /// A repository of a registry. No request is made.
    ///
    /// # Errors
    /// If a configuration file that concerns it is faulty, or registries.conf blocks it.
    pub fn repository(&self, reference: &Reference, _side: &Side) -> Result<Repository> {
        Ok(Repository::new(self.http.clone(), reference))
    }
}

pub(crate) async fn source(
    session: &Session,
    name: &ImageName,
    reference: &Reference,
    side: &Side,
) -> Result<Box<dyn Source>> {
    let repository = session.remote().repository(reference, side)?;
    Ok(Box::new(transport::RegistrySource::new(name.clone(), reference.clone(), repository)))
}

pub(crate) async fn sink(
    session: &Session,
    name: &ImageName,
    reference: &Reference,
    side: &Side,
) -> Result<Box<dyn Sink>> {
    let repository = session.remote().repository(reference, side)?;
    Ok(Box::new(transport::RegistrySink::new(name.clone(), reference.clone(), repository)))
}
