//! What the names of both sides mean, read once: and whether there is anything to do.

use berth_oci::{Descriptor, manifest::Kind};

use super::{
    Compression, Copy, Options, Report, gate,
    graph::{self, Follow},
    platform,
};
use crate::{Error, Event, RawManifest, Result, error::ResultExt, source::Instances};

impl Copy<'_> {
    /// Whether nothing was asked that would change the image or add to it.
    fn is_plain(&self) -> bool {
        let Options { format, compression, referrers, digest_tags, signers, encrypt, decrypt, .. } =
            self.options;
        format.is_none()
            && *compression == Compression::default()
            && !referrers
            && !digest_tags
            && signers.is_empty()
            && encrypt.is_none()
            && decrypt.is_empty()
    }

    /// What the destination's name means now; `None` as well where it may be written and not read.
    pub(super) async fn current(&self) -> Result<Option<Descriptor>> {
        if !self.is_plain() || !self.traits.trust_current {
            return Ok(None);
        }
        match self.sink.current().await {
            Err(error) if matches!(error.root(), Error::Authentication { .. } | Error::Registry { .. }) => {
                tracing::debug!("{} cannot be read, so all is written: {error}", self.sink.name());
                Ok(None)
            }
            current => current.context(format_args!("reading {}", self.sink.name())),
        }
    }

    /// A report, if both sides name the same by their HEADs.
    pub(super) async fn unchanged(&self, current: &Descriptor) -> Result<Option<Report>> {
        if !gate::name(self.session, self.source).await? {
            return Ok(None);
        }
        let Some(head) = self.source.head().await.context(self.initializing())? else { return Ok(None) };
        let whole = self.options.instances == Instances::All || !graph::is_index(&head.media_type);
        let pin = self.source.name().reference().and_then(|reference| reference.digest());
        let same = head.digest == current.digest && pin.is_none_or(|pin| *pin == head.digest);
        if !whole || !same {
            return Ok(None);
        }
        self.done_already(&head, bytes::Bytes::new()).await
    }

    /// A report, if the one image that is wanted is what the destination's name means.
    pub(super) async fn unchanged_instance(
        &self,
        current: Option<&Descriptor>,
        top: &RawManifest,
    ) -> Result<Option<Report>> {
        match current {
            Some(current) if current.digest == top.digest && top.parse()?.kind != Kind::Index => {
                gate::image(self.session, self.source, top).await?;
                self.done_already(&top.descriptor()?, top.raw.clone()).await
            }
            _ => Ok(None),
        }
    }

    async fn done_already(&self, top: &Descriptor, manifest: bytes::Bytes) -> Result<Option<Report>> {
        let signatures = if self.options.remove_signatures {
            Vec::new()
        } else {
            self.source.signatures(&top.digest).await.context("reading signatures")?
        };
        if !signatures.is_empty() {
            return Ok(None);
        }
        self.progress.event(Event::Step("Skipping: image already present at destination".to_owned()));
        Ok(Some(self.report(top, manifest)))
    }

    fn initializing(&self) -> String {
        format!("initializing source {}", self.source.name())
    }

    /// Reads the top manifest, once, and finds what of it is wanted.
    pub(super) async fn top(&self) -> Result<(RawManifest, Follow<'_>)> {
        let top = self.source.manifest(None).await.context(self.initializing())?;
        let top = graph::pinned(self.source, top)?;
        let manifest = top.parse()?;
        if manifest.kind != Kind::Index {
            return Ok((top, Follow::None));
        }
        let follow = match &self.options.instances {
            Instances::System => {
                let wanted = platform::wanted(&self.session.settings().platform, &platform::host());
                return Ok((graph::instance(self.source, top, &wanted).await?, Follow::None));
            }
            Instances::All => Follow::All,
            Instances::IndexOnly => Follow::None,
            Instances::Platforms(platforms) => {
                platform::check_named(&manifest, platforms, &self.source.name().to_string())?;
                Follow::Platforms(platforms)
            }
        };
        if !self.traits.indexes {
            return Err(Error::Unsupported(format!(
                "copying multiple images: destination transport {:?} does not support copying multiple images as a group",
                self.sink.name().transport()
            )));
        }
        Ok((top, follow))
    }
}
