//! What `docker save` and `podman save` write: `manifest.json`, configurations and layers (`docker-archive:`).

mod items;
mod sink;
mod source;

use std::path::Path;

use super::{input, output::TarOutput};
use crate::{Error, ImageName, Result, Settings, Side, Sink, Source, disk::blocking, name::ArchiveImage};

pub(crate) use sink::{DockerSink, Names};
pub(crate) use source::DockerSource;

/// The list of images.
const MANIFEST_FILE: &str = "manifest.json";
/// The list of names of Docker before 1.10, which some tools still look for.
const REPOSITORIES_FILE: &str = "repositories";

/// Opens an image of an archive.
pub(crate) async fn source(
    name: &ImageName,
    path: &Path,
    image: &ArchiveImage,
    settings: &Settings,
) -> Result<Box<dyn Source>> {
    let tar = input::open(path, settings).await?;
    let (name, image) = (name.clone(), image.clone());
    let source = blocking(move || DockerSource::open(name, tar, &image));
    Ok(Box::new(source.await?))
}

/// Opens an archive to write.
pub(crate) async fn sink(
    name: &ImageName,
    path: &Path,
    image: &ArchiveImage,
    side: &Side,
    settings: &Settings,
) -> Result<Box<dyn Sink>> {
    let named = match image {
        ArchiveImage::Only => None,
        ArchiveImage::Named(reference) => Some(reference.clone()),
        ArchiveImage::At(place) => {
            return Err(Error::Usage(format!(
                "{name}: @{place} chooses an image to read; name the one to write"
            )));
        }
    };
    let (path, folder) = (path.to_owned(), input::temporary_folder(settings));
    let output = blocking(move || {
        // Adding to an archive would mean to read, judge and rewrite it.
        if std::fs::metadata(&path).is_ok_and(|about| about.is_file() && about.len() > 0) {
            return Err(Error::Refused(format!(
                "{}: docker-archive doesn't support modifying existing images; remove the file or name another",
                path.display()
            )));
        }
        TarOutput::create(&path, folder)
    });
    let names = Names::new(named.into_iter().chain(side.additional_tags.iter().cloned()));
    Ok(Box::new(DockerSink::new(name.clone(), output.await?, names)))
}

/// The names of the images in an archive, in its order; of one without a name, its place (`@0`).
///
/// # Errors
/// As opening it.
pub(crate) async fn names(path: &Path, settings: &Settings) -> Result<Vec<String>> {
    let tar = input::open(path, settings).await?;
    blocking(move || {
        let items = items::read(&tar)?.into_iter().enumerate();
        Ok(items
            .flat_map(|(place, item)| {
                let tags = item.repo_tags.unwrap_or_default();
                if tags.is_empty() { vec![format!("@{place}")] } else { tags }
            })
            .collect())
    })
    .await
}
