//! The two ends of a sync as they are: registries, folders, layouts.

use std::{fs, path::Path};

use async_trait::async_trait;
use berth_oci::{Descriptor, Digest, Manifest, Reference, Tag, manifest::Kind};

use super::{
    access::{Access, Comparison},
    folders,
    place::Place,
    plan::Item,
    request::Request,
    run::check_folder,
};
use crate::copy::{platform, retry::pause};
use crate::{
    Error, Event, ImageName, Progress, RawManifest, Result, Session, Side, Source, copy, error::ResultExt,
    name::LayoutImage, source::Instances,
};

/// Everything that goes through one session.
pub(super) struct Ends<'a> {
    session: &'a Session,
    request: &'a Request,
}

impl<'a> Ends<'a> {
    pub(super) const fn new(session: &'a Session, request: &'a Request) -> Self {
        Self { session, request }
    }

    /// What the destination has under a name, without making anything there.
    async fn current(&self, image: &ImageName) -> Result<Option<Digest>> {
        let side = &self.request.destination;
        match image {
            ImageName::Docker { reference, .. } => {
                let Some(target) = reference.target() else { return Ok(None) };
                let repository = self.session.remote().repository(reference, side)?;
                return Ok(repository.head_manifest(&target).await?.map(|found| found.digest));
            }
            // An interrupted copy may have left a folder, but no manifest.
            ImageName::Dir(path) if !path.join(folders::MANIFEST).is_file() => return Ok(None),
            ImageName::Oci { path, .. } if !path.join("index.json").is_file() => return Ok(None),
            ImageName::Oci { path, image: LayoutImage::Named(named) } => {
                let images = folders::images_of_layout(path)?;
                if images.iter().all(|(_, name)| name != named) {
                    return Ok(None);
                }
            }
            _ => {}
        }
        let source = self.session.source(image, side).await?;
        Ok(Some(source.manifest(None).await?.digest))
    }

    async fn copy_once(&self, item: &Item) -> Result<copy::Report> {
        if let ImageName::Dir(path) = &item.destination
            && path.join(folders::MANIFEST).is_file()
        {
            let found = check_folder(self.request, &item.destination, self.compare(item).await?)?;
            if found.present {
                return self.unchanged(item).await;
            }
        }
        let sink = self
            .session
            .sink(&item.destination, &self.request.destination)
            .await
            .context(format!("initializing destination {}", item.destination))?;
        let source = self
            .session
            .source(&item.source, &item.manner.side)
            .await
            .context(format!("initializing source {}", item.source))?;
        copy::run(self.session, source.as_ref(), sink.as_ref(), &item.manner.options, &Warnings(item)).await
    }

    /// The report of a folder that holds the image already.
    async fn unchanged(&self, item: &Item) -> Result<copy::Report> {
        let there = self.session.source(&item.destination, &self.request.destination).await?;
        let manifest = there.manifest(None).await?;
        Ok(copy::Report {
            source: item.source.to_string(),
            destination: item.destination.to_string(),
            media_type: manifest.descriptor()?.media_type,
            digest: manifest.digest,
            source_digest: None,
            unchanged: true,
            manifests: 0,
            blobs: Vec::new(),
            bytes_copied: 0,
            manifest: manifest.raw,
        })
    }
}

/// Lets through what people should know of one image among many.
struct Warnings<'a>(&'a Item);

impl Progress for Warnings<'_> {
    fn event(&self, event: Event) {
        if let Event::Warning(text) = event {
            tracing::warn!(image = %self.0.source, "{text}");
        }
    }
}

#[async_trait]
impl Access for Ends<'_> {
    async fn tags(&self, repository: &Reference, side: &Side) -> Result<Vec<Tag>> {
        let asked = self.session.remote().repository(repository, side)?;
        let mut attempt = 0;
        loop {
            match asked.tags().await {
                Err(error) => pause(self.session.settings().retry, &mut attempt, error)
                    .await
                    .context(format!("Error determining repository tags for repo {repository}"))?,
                found => return found,
            }
        }
    }

    async fn existing(&self, place: &Place) -> Result<Vec<Tag>> {
        match place {
            Place::Docker(repository) => match self.tags(repository, &self.request.destination).await {
                Err(error) if matches!(error.root(), Error::NotFound { .. }) => Ok(Vec::new()),
                answer => answer,
            },
            Place::Dir { folder, stem } => folder_tags(folder, stem),
            Place::Oci { layout, stem } if layout.join("index.json").is_file() => {
                let images = folders::images_of_layout(layout)?;
                let tag = |name: &str| name.strip_prefix(stem.as_str())?.parse().ok();
                Ok(images.iter().filter_map(|(_, name)| tag(name)).collect())
            }
            Place::Oci { .. } => Ok(Vec::new()),
        }
    }

    async fn compare(&self, item: &Item) -> Result<Comparison> {
        let source = self.session.source(&item.source, &item.manner.side).await?;
        let other = self.current(&item.destination).await?;
        let top = match source.head().await? {
            Some(head) => head.digest,
            None => source.manifest(None).await?.digest,
        };
        if other.as_ref() == Some(&top) {
            return Ok(Comparison { digest: top, present: true, other, bytes: None });
        }
        let wanted = self.wanted(source.as_ref(), &item.manner.options.instances).await?;
        let present = other.as_ref() == Some(&wanted.digest);
        Ok(Comparison { digest: wanted.digest, present, other, bytes: (!present).then_some(wanted.bytes) })
    }

    async fn copy(&self, item: &Item) -> Result<copy::Report> {
        let mut attempt = 0;
        loop {
            match self.copy_once(item).await {
                Err(error) => pause(self.session.settings().retry, &mut attempt, error).await?,
                done => return done,
            }
        }
    }

    async fn digest(&self, image: &ImageName) -> Result<Option<Digest>> {
        self.current(image).await
    }

    async fn delete(&self, image: &ImageName) -> Result<()> {
        match image {
            ImageName::Docker { reference, .. } => {
                let Some(target) = reference.target() else { return Ok(()) };
                let repository = self.session.remote().repository(reference, &self.request.destination)?;
                repository.delete_manifest(&target).await
            }
            ImageName::Dir(path) => remove_image(path),
            other => Err(Error::Unsupported(format!("{other}: images of this transport are not deleted"))),
        }
    }
}

/// What a copy would bring.
struct WantedImage {
    digest: Digest,
    bytes: u64,
}

impl Ends<'_> {
    async fn wanted(&self, source: &dyn Source, instances: &Instances) -> Result<WantedImage> {
        let raw = source.manifest(None).await?;
        let top = raw.parse()?;
        if top.kind != Kind::Index {
            return Ok(WantedImage { digest: raw.digest, bytes: sum(&[top]) });
        }
        let place = source.name().to_string();
        let entries: Vec<Descriptor> = match instances {
            Instances::System => {
                let wanted = platform::wanted(&self.session.settings().platform, &platform::host());
                let child = platform::choose(&top, &wanted, &place)?;
                let child = source.manifest(Some(&child.digest)).await?;
                return Ok(WantedImage { bytes: sum(&[child.parse()?]), digest: child.digest });
            }
            Instances::All => top.manifests.clone(),
            Instances::IndexOnly => Vec::new(),
            Instances::Platforms(asked) => {
                let is_asked =
                    |entry: &&Descriptor| asked.iter().any(|platform| platform::named(entry, platform));
                top.manifests.iter().filter(is_asked).cloned().collect()
            }
        };
        let mut children: Vec<Manifest> = Vec::new();
        for entry in entries {
            let child: RawManifest = source.manifest(Some(&entry.digest)).await?;
            children.push(child.parse()?);
        }
        Ok(WantedImage { digest: raw.digest, bytes: sum(&children) })
    }
}

/// Bytes of configurations and layers, each blob once.
fn sum(images: &[Manifest]) -> u64 {
    let mut seen = std::collections::HashSet::new();
    images
        .iter()
        .flat_map(|image| image.config.iter().chain(&image.layers))
        .filter(|blob| seen.insert(&blob.digest))
        .fold(0, |sum, blob| sum.saturating_add(blob.size))
}

fn folder_tags(folder: &Path, stem: &str) -> Result<Vec<Tag>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::file(folder))? {
        let entry = entry.map_err(Error::file(folder))?;
        let name = entry.file_name();
        let tag = name.to_str().and_then(|name| name.strip_prefix(stem)).and_then(|tag| tag.parse().ok());
        let is_folder = entry.file_type().map_err(Error::file(entry.path()))?.is_dir();
        out.extend(tag.filter(|_| is_folder && entry.path().join(folders::MANIFEST).is_file()));
    }
    out.sort();
    Ok(out)
}

/// Removes a `dir:` image and nothing else: its manifest first, so that what is left by a crash is no image, then the
/// files that such an image has, then the folder, which must be empty by then.
fn remove_image(path: &Path) -> Result<()> {
    fs::remove_file(path.join(folders::MANIFEST)).map_err(Error::file(path.join(folders::MANIFEST)))?;
    for entry in fs::read_dir(path).map_err(Error::file(path))? {
        let entry = entry.map_err(Error::file(path))?;
        if is_part(&entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path()).map_err(Error::file(entry.path()))?;
        }
    }
    fs::remove_dir(path).map_err(Error::file(path))
}

/// `version`, `signature-N`, blobs by their hash, and `HASH.manifest.json`.
fn is_part(name: &str) -> bool {
    let hash = |text: &str| text.len() >= 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    name == "version"
        || hash(name.strip_suffix(".manifest.json").unwrap_or(name))
        || name
            .split_once("signature-")
            .is_some_and(|(before, _)| before.is_empty() || hash(before.trim_end_matches('-')))
}
