//! Referrers (distribution-spec, "Listing Referrers", "Pushing Manifests with Subject").

use berth_oci::{
    Descriptor, Digest, Manifest, ManifestReference, MediaType, Tag,
    manifest::{MAX_DESCRIPTORS, referrers_index},
};
use bytes::Bytes;

use super::{Repository, repository::Place};
use crate::{Error, RawManifest, Result};

impl Repository {
    /// Manifests whose subject is this one; by the referrers tag where the registry has no such interface.
    ///
    /// # Errors
    /// As every request.
    pub async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> Result<Vec<Descriptor>> {
        let listed = self.anywhere(true, |place| self.referrers_at(place, subject, artifact_type)).await;
        let mut found = match listed {
            Ok(found) => found,
            Err(error) if matches!(error.root(), Error::NotFound { .. }) => self.by_tag(subject).await?.1,
            Err(error) => return Err(error),
        };
        // A registry may not filter, and need not.
        found.retain(|entry| artifact_type.is_none_or(|wanted| entry.artifact_type.as_ref() == Some(wanted)));
        Ok(found)
    }

    async fn referrers_at(
        &self,
        place: &Place,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> Result<Vec<Descriptor>> {
        let what = format!("listing referrers of {subject}");
        let filter = artifact_type.map_or_else(String::new, |kind| {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("artifactType", kind.as_str());
            format!("?{}", query.finish())
        });
        let mut found = Vec::new();
        let take = |page: Bytes| {
            found.extend(entries(page)?);
            if found.len() > MAX_DESCRIPTORS {
                return Err(Error::Integrity(format!("{what}: there are more than {MAX_DESCRIPTORS}")));
            }
            Ok(())
        };
        let first = place.path(&format!("referrers/{subject}{filter}"));
        self.pages(place, first, &what, "this registry lists no referrers", take).await?;
        Ok(found)
    }

    /// The list under the referrers tag: its digest, and what it lists. Nothing where there is none.
    async fn by_tag(&self, subject: &Digest) -> Result<(Option<Digest>, Vec<Descriptor>)> {
        match self.manifest(&ManifestReference::Tag(referrers_tag(subject)?)).await {
            Ok(list) => Ok((Some(list.digest), entries(list.raw)?)),
            Err(error) if matches!(error.root(), Error::NotFound { .. }) => Ok((None, Vec::new())),
            Err(error) => Err(error),
        }
    }

    /// Adds a manifest to the list under its subject's referrers tag. Others may write the list at the same time: it is
    /// read again, and written again as long as this entry is missing.
    pub(super) async fn note_referrer(
        &self,
        subject: &Digest,
        manifest: &Manifest,
        digest: &Digest,
    ) -> Result<()> {
        const TRIES: usize = 3;
        let own = self.for_writing();
        let tag = ManifestReference::Tag(referrers_tag(subject)?);
        let entry = Descriptor {
            annotations: manifest.annotations.clone(),
            artifact_type: manifest.referrer_type().cloned(),
            ..Descriptor::new(manifest.media_type.clone(), digest.clone(), manifest.raw.len() as u64)
        };
        for _ in 0..TRIES {
            let (_, mut listed) = own.by_tag(subject).await?;
            if listed.iter().any(|known| known.digest == *digest) {
                return Ok(());
            }
            listed.push(entry.clone());
            let list = Bytes::from(referrers_index(listed.into_iter()));
            let list = RawManifest::new(list, Some(MediaType::new(MediaType::OCI_INDEX)));
            // A list has no subject, so that this ends.
            Box::pin(own.put_manifest(&list, &tag)).await?;
        }
        let (_, listed) = own.by_tag(subject).await?;
        if listed.iter().any(|known| known.digest == *digest) {
            return Ok(());
        }
        Err(Error::Other {
            what: format!("listing {digest} as a referrer of {subject} in {}", self.primary().place()),
            source: "others write the list at the same time; try again".into(),
        })
    }
}

fn entries(index: Bytes) -> Result<Vec<Descriptor>> {
    let index = RawManifest::new(index, Some(MediaType::new(MediaType::OCI_INDEX)));
    Ok(index.parse()?.manifests)
}

/// `sha256-…`: "Referrers Tag Schema".
fn referrers_tag(subject: &Digest) -> Result<Tag> {
    let hex = subject.hex();
    format!("{}-{}", subject.algorithm(), &hex[..hex.len().min(64)])
        .parse()
        .map_err(|fault| Error::Usage(format!("{subject}: {fault}")))
}
