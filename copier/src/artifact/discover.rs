//! What is attached to an image (distribution-spec, "Listing Referrers"), and to that, and so on.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use berth_oci::{Descriptor, Digest, MediaType, Platform};
use serde::Serialize;

use crate::{Error, ImageName, Result, Session, Side, Source, error::ResultExt};

/// Most referrers that are looked at in all (C9).
const MAX_NODES: usize = 10_000;

/// An image and what is attached to it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Discovered {
    /// The image, by its digest.
    pub reference: String,
    /// Type of its manifest.
    pub media_type: MediaType,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Bytes of its manifest.
    pub size: u64,
    /// What is attached to it.
    pub referrers: Vec<Referrer>,
}

/// One thing that is attached.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Referrer {
    /// Where it is.
    pub reference: String,
    /// Type of its manifest.
    pub media_type: MediaType,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Bytes of its manifest.
    pub size: u64,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// What its maker says of it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What is attached to it in turn.
    pub referrers: Vec<Referrer>,
}

/// Finds what is attached to an image, `depth` levels deep; 0 is all levels. Where a type is given, others are left out
/// of the first level, and all of what is attached to the rest is shown.
///
/// # Errors
/// As the source; `Error::Integrity` where there is more than anybody would attach.
pub async fn discover(
    session: &Session,
    name: &ImageName,
    side: &Side,
    artifact_type: Option<&str>,
    platform: Option<&Platform>,
    depth: usize,
) -> Result<Discovered> {
    let source = session.source(name, side).await.context(format!("opening {name}"))?;
    let subject = match (platform, source.head().await?) {
        (None, Some(head)) => head,
        (None, None) => source.manifest(None).await?.descriptor()?,
        (Some(platform), _) => {
            let top = source.manifest(None).await?;
            super::pull::child(session, source.as_ref(), &top, Some(platform)).await?.descriptor()?
        }
    };
    let place = place(name);
    let mut walk = Walk { source: source.as_ref(), place: &place, seen: BTreeSet::new() };
    walk.seen.insert(subject.digest.clone());
    let referrers = walk.level(&subject.digest, artifact_type, depth, 1).await?;
    Ok(Discovered {
        reference: format!("{place}@{}", subject.digest),
        media_type: subject.media_type,
        digest: subject.digest,
        size: subject.size,
        referrers,
    })
}

/// The repository or layout.
fn place(name: &ImageName) -> String {
    match name {
        ImageName::Docker { reference, .. } => reference.clone().with_tag(None).with_digest(None).to_string(),
        ImageName::Oci { path, .. } => path.display().to_string(),
        other => other.to_string(),
    }
}

struct Walk<'a> {
    source: &'a dyn Source,
    place: &'a str,
    seen: BTreeSet<Digest>,
}

impl Walk<'_> {
    async fn level(
        &mut self,
        subject: &Digest,
        artifact_type: Option<&str>,
        depth: usize,
        at: usize,
    ) -> Result<Vec<Referrer>> {
        let mut found: Vec<Descriptor> = self.source.referrers(subject).await?;
        found.retain(|one| {
            artifact_type
                .is_none_or(|wanted| one.artifact_type.as_ref().is_some_and(|t| t.as_str() == wanted))
        });
        let mut out = Vec::new();
        for one in found {
            // A circle cannot be made of digests, but a lying server can list one.
            if !self.seen.insert(one.digest.clone()) {
                continue;
            }
            if self.seen.len() > MAX_NODES {
                return Err(Error::Integrity(format!("{}: more than {MAX_NODES} referrers", self.place)));
            }
            let referrers = match depth {
                1.. if at >= depth => Vec::new(),
                _ if at >= berth_oci::manifest::MAX_INDEX_DEPTH => Vec::new(),
                _ => Box::pin(self.level(&one.digest, None, depth, at + 1)).await?,
            };
            out.push(Referrer {
                reference: format!("{}@{}", self.place, one.digest),
                media_type: one.media_type,
                digest: one.digest,
                size: one.size,
                artifact_type: one.artifact_type,
                annotations: one.annotations,
                referrers,
            });
        }
        Ok(out)
    }
}

impl Discovered {
    /// Draws the tree that oras draws: a branch per type, under it the digests.
    ///
    /// # Errors
    /// As the writer.
    pub fn write_tree(&self, to: &mut dyn Write, verbose: bool) -> io::Result<()> {
        writeln!(to, "{}", self.reference)?;
        branches(to, &self.referrers, "", verbose)
    }

    /// Writes one line per referrer: its type and its digest.
    ///
    /// # Errors
    /// As the writer.
    pub fn write_table(&self, to: &mut dyn Write) -> io::Result<()> {
        let mut rows = Vec::new();
        collect(&self.referrers, &mut rows);
        let kind = |one: &Referrer| shown(one.artifact_type.as_ref().map_or("", MediaType::as_str));
        let width = rows.iter().map(|one| kind(one).chars().count()).max().unwrap_or_default().max(13);
        writeln!(to, "{:width$}   Digest", "Artifact Type")?;
        for one in rows {
            writeln!(to, "{:width$}   {}", kind(one), one.digest)?;
        }
        Ok(())
    }
}

fn collect<'a>(referrers: &'a [Referrer], rows: &mut Vec<&'a Referrer>) {
    for one in referrers {
        rows.push(one);
        collect(&one.referrers, rows);
    }
}

fn branches(to: &mut dyn Write, referrers: &[Referrer], indent: &str, verbose: bool) -> io::Result<()> {
    let mut kinds: Vec<(&str, Vec<&Referrer>)> = Vec::new();
    for one in referrers {
        let kind = one.artifact_type.as_ref().map_or("", MediaType::as_str);
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, of_kind)) => of_kind.push(one),
            None => kinds.push((kind, vec![one])),
        }
    }
    let last_kind = kinds.len();
    for (place, (kind, of_kind)) in kinds.iter().enumerate() {
        let (mark, deeper) = marks(place + 1 == last_kind, indent);
        writeln!(to, "{indent}{mark}{}", shown(kind))?;
        for (place, one) in of_kind.iter().enumerate() {
            let (mark, deepest) = marks(place + 1 == of_kind.len(), &deeper);
            writeln!(to, "{deeper}{mark}{}", one.digest)?;
            let more = !one.referrers.is_empty();
            if verbose && !one.annotations.is_empty() {
                let (mark, inside) = marks(!more, &deepest);
                writeln!(to, "{deepest}{mark}[annotations]")?;
                for (place, (key, value)) in one.annotations.iter().enumerate() {
                    let (mark, _) = marks(place + 1 == one.annotations.len(), &inside);
                    writeln!(to, "{inside}{mark}{}: {}", shown(key), shown(value))?;
                }
            }
            branches(to, &one.referrers, &deepest, verbose)?;
        }
    }
    Ok(())
}

fn marks(last: bool, indent: &str) -> (&'static str, String) {
    if last { ("└── ", format!("{indent}    ")) } else { ("├── ", format!("{indent}│   ")) }
}

/// Others wrote it: control characters do not reach the terminal (C12).
fn shown(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use berth_oci::Algorithm;

    use super::*;

    fn referrer(kind: &str, content: &str, referrers: Vec<Referrer>) -> Referrer {
        Referrer {
            reference: "r.io/a".to_owned(),
            media_type: MediaType::OCI_MANIFEST.into(),
            digest: Digest::of(Algorithm::Sha256, content.as_bytes()),
            size: 1,
            artifact_type: Some(MediaType::new(kind)),
            annotations: [("k\u{1b}".to_owned(), "v".to_owned())].into(),
            referrers,
        }
    }

    #[test]
    fn the_tree_has_a_branch_per_type() {
        let sbom = referrer("sbom/x", "1", vec![referrer("sig/x", "2", Vec::new())]);
        let tree = Discovered {
            reference: "r.io/a@sha256:0".to_owned(),
            media_type: MediaType::OCI_MANIFEST.into(),
            digest: sbom.digest.clone(),
            size: 1,
            referrers: vec![sbom, referrer("sbom/x", "3", Vec::new()), referrer("doc/x", "4", Vec::new())],
        };
        let text = |verbose: bool| {
            let mut out = Vec::new();
            tree.write_tree(&mut out, verbose).unwrap();
            let digest = |n: &str| Digest::of(Algorithm::Sha256, n.as_bytes()).to_string();
            let mut text = String::from_utf8(out).unwrap();
            for n in ["1", "2", "3", "4"] {
                text = text.replace(&digest(n), &format!("#{n}"));
            }
            text
        };
        assert_eq!(
            text(false),
            "r.io/a@sha256:0\n├── sbom/x\n│   ├── #1\n│   │   └── sig/x\n│   │       └── #2\n│   └── #3\n└── doc/x\n    └── #4\n"
        );
        assert!(text(true).contains("│   └── #3\n│       └── [annotations]\n│           └── k\\u{1b}: v\n"));
        let mut table = Vec::new();
        tree.write_table(&mut table).unwrap();
        assert_eq!(String::from_utf8(table).unwrap().lines().count(), 5);
    }
}
