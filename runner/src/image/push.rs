//! From the store to a registry, or to another transport's place.
//!
//! A layer that the destination has as it came is not sent: it is asked for by the digest that the original manifest
//! gives, or mounted. Where all are there, that manifest goes out byte for byte. The others are packed anew.

use std::collections::BTreeSet;

use berth_copier::{
    Error, ImageName, Reuse, Side,
    copy::{self, Compression, Options, Report, retry::retry},
    error::ResultExt,
    sink::Sink,
};
use berth_oci::{Descriptor, Digest, Reference};

use super::{access::Access, progress::Told, runtime::block_on, source::Stored};
use crate::{
    error::Result,
    store::{Image, Store},
};

/// How an image goes out.
pub(crate) struct Push<'a> {
    /// Where from.
    pub(crate) store: &'a Store,
    /// How registries are spoken to.
    pub(crate) access: &'a Access,
    /// Formats and compression that were asked for.
    pub(crate) options: Options,
    /// `--uncompressed` of layouts.
    pub(crate) uncompressed: bool,
    /// What people see.
    pub(crate) told: Told,
}

impl Push<'_> {
    /// Copies an image to a place. The report says whether its digest is another there.
    ///
    /// # Errors
    /// The copier's; where a layer cannot be read.
    pub(crate) fn push(&self, image: &Image, to: &ImageName) -> Result<Report> {
        let session = self.access.outward_session()?;
        let side = Side { accept_uncompressed_layers: self.uncompressed, ..self.access.side() };
        let stored = Stored::read(self.store, image)?;
        let original = stored.manifest.digest.clone();
        let mut report = block_on(async {
            let again = session.settings().retry;
            let open =
                async || session.sink(to, &side).await.context(format_args!("initializing destination {to}"));
            let sink = retry(again, open).await?;
            let kept =
                retry(again, async || self.kept(image, &stored.parsed.layers, sink.as_ref()).await).await?;
            let store = self.store.clone();
            let source = tokio::task::spawn_blocking(move || {
                stored.source(&store, |layer| kept.contains(&layer.digest))
            });
            let source = source.await.map_err(|gone| Error::Other {
                what: "reading the image".to_owned(),
                source: gone.to_string().into(),
            })??;
            // An archive is written once: what was begun of it cannot be begun again.
            let again = if matches!(to, ImageName::Docker { .. }) { again } else { Default::default() };
            let copied = retry(again, async || {
                copy::run(&session, &source, sink.as_ref(), &self.options, &self.told).await
            })
            .await;
            if copied.is_err() {
                session.remote().settled().await;
            }
            Ok(copied?)
        })?;
        report.source_digest = (report.digest != original).then_some(original);
        Ok(report)
    }

    /// Layers that the destination has as they came, or takes from another of its repositories.
    async fn kept(
        &self,
        image: &Image,
        layers: &[Descriptor],
        sink: &dyn Sink,
    ) -> Result<BTreeSet<Digest>, Error> {
        let mut kept = BTreeSet::new();
        // What is asked to be packed otherwise is packed anew, and other transports have nothing yet.
        let Some(repository) =
            sink.repository().filter(|_| self.options.compression == Compression::default())
        else {
            return Ok(kept);
        };
        let own = repository.reference();
        let names = image.names.iter().filter_map(|name| name.parse::<Reference>().ok());
        let siblings: Vec<_> = names
            .filter(|name| name.host() == own.host() && name.name() != own.name())
            .map(|name| name.name().clone())
            .collect();
        for layer in layers {
            if kept.contains(&layer.digest) {
                continue;
            }
            match sink.reuse(layer, &siblings).await {
                Ok(Reuse::Present | Reuse::Mounted(_)) => {
                    kept.insert(layer.digest.clone());
                }
                Ok(Reuse::Absent(_)) => {}
                Err(error) => return Err(error.context("asking the destination for layers")),
            }
        }
        Ok(kept)
    }
}

/// What `--format` and `--compression-*` ask for.
pub(crate) fn options(
    format: Option<copy::ManifestFormat>,
    compression: Option<copy::CompressionFormat>,
    level: Option<i32>,
    force: bool,
) -> Options {
    Options {
        format,
        compression: Compression { format: compression, level, force, ..Compression::default() },
        ..Options::default()
    }
}
