//! An engine's own images (`docker-daemon:`), through its interface: what it saves and loads are docker-archives.

mod engine;
mod sink;
#[cfg(test)]
mod tests;

use berth_oci::Digest;

use self::engine::Engine;
use crate::{
    Error, ImageName, Result, Settings, Side, Sink, Source,
    archive::{
        TarIndex,
        docker::{DockerSource, Names},
        input,
    },
    disk::{blocking, fill},
    name::{ArchiveImage, DaemonImage},
};

/// Opens an engine's image. The engine writes it out as an archive, which lies in a temporary file from then on.
pub(crate) async fn source(
    name: &ImageName,
    image: &DaemonImage,
    side: &Side,
    settings: &Settings,
) -> Result<Box<dyn Source>> {
    let engine = Engine::connect(side)?;
    let wanted = match image {
        DaemonImage::Named(reference) => reference.familiar(),
        DaemonImage::Id(id) => Digest::to_string(id),
    };
    let saved = engine.save(&wanted).await?;
    let folder = input::temporary_folder(settings);
    let file = tempfile::tempfile_in(&folder).map_err(Error::file(&folder))?;
    let file = fill(file, folder, saved, None).await?.file;
    let name = name.clone();
    let source = blocking(move || {
        let tar = TarIndex::read(file, std::path::Path::new("the engine's archive"))?;
        DockerSource::open(name, tar, &ArchiveImage::Only)
    });
    Ok(Box::new(source.await?))
}

/// Opens a name in an engine to write. The engine loads the archive while it is made.
pub(crate) async fn sink(
    name: &ImageName,
    image: &DaemonImage,
    side: &Side,
    settings: &Settings,
) -> Result<Box<dyn Sink>> {
    let reference = match image {
        DaemonImage::Named(reference) if reference.digest().is_none() => reference.clone(),
        DaemonImage::Named(_) | DaemonImage::Id(_) => {
            return Err(Error::Usage(format!(
                "Invalid destination {name}: a destination must be a name:tag"
            )));
        }
    };
    let engine = Engine::connect(side)?;
    let names = Names::new(std::iter::once(reference).chain(side.additional_tags.iter().cloned()));
    Ok(Box::new(sink::DaemonSink::new(name, engine, names, input::temporary_folder(settings))))
}
