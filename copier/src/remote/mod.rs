//! The registry client (distribution-spec 1.1).
//!
//! A [`Client`] is what a process shares: connections, tokens, limits, and what is known of blobs. A [`Repository`] is
//! every request that concerns one repository. What a request goes through, from the inside out:
//!
//! | part | what it does |
//! |---|---|
//! | `tls`, `resolver`, `address` | which certificates count, and which addresses a server may send us to (C2) |
//! | `hops` | redirects; HTTPS first, and HTTP where that is allowed |
//! | `registry`, `limit`, `wait` | limits, pauses, passing faults |
//! | `trust` | who gets to see credentials and bodies (C1, C3, C4) |
//! | `auth`, `token` | challenges, and tokens by scope |
//! | `answer`, `escape`, `network` | bodies within bounds (C8), and errors in words that people know (C12) |
//! | `repository`, `manifests`, `pages`, `referrers`, `blobs`, `download`, `upload` | the requests of the specification |

mod address;
mod answer;
mod auth;
mod blobs;
mod client;
mod clock;
mod download;
mod elsewhere;
mod escape;
pub(crate) mod fuzzing;
mod hops;
mod known;
mod limit;
mod manifests;
mod network;
mod pages;
mod payload;
mod referrers;
mod registry;
mod repository;
mod resolver;
mod suffix;
mod tls;
mod token;
mod transport;
mod trust;
mod upload;
mod upload_session;
mod wait;

use berth_oci::Reference;

use crate::{ImageName, Result, Session, Side, Sink, Source};

pub use client::Client;
pub use clock::{Clock, SystemClock, Tuning};
pub use repository::{Mount, Repository};

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
    let repository = session.remote().repository(reference, side)?.for_writing();
    Ok(Box::new(transport::RegistrySink::new(name.clone(), reference.clone(), repository)))
}
