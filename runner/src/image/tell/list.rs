//! Lists of images.

use std::{cmp::Reverse, collections::BTreeSet};

use berth_oci::Reference;
use jiff::Timestamp;
use serde_json::Value as Json;

use super::{config, created, digests, parts, tags};
use crate::{
    cli::{
        Context,
        output::{self, Field, Filters, Row, Value},
    },
    error::{Result, RunnerError},
    image,
    store::Image,
};

/// Keys of `--filter`.
pub(crate) const FILTERS: &[&str] = &[
    "after",
    "before",
    "containers",
    "dangling",
    "digest",
    "id",
    "intermediate",
    "label",
    "label!",
    "readonly",
    "reference",
    "since",
    "until",
];

/// What a list goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sort {
    /// The newest first
    Created,
    /// By id
    Id,
    /// By repository
    Repository,
    /// The largest last
    Size,
    /// By tag
    Tag,
}

/// Which images, and how.
pub(crate) struct Listed<'a> {
    /// The store and the containers.
    pub(crate) context: &'a Context,
    /// `--filter`.
    pub(crate) filters: &'a Filters,
    /// A repository, name or pattern.
    pub(crate) reference: Option<&'a str>,
    /// `--sort`.
    pub(crate) sort: Sort,
    /// `--no-trunc`.
    pub(crate) full: bool,
    /// The time.
    pub(crate) now: Timestamp,
}

/// An image with what its configuration says.
struct Told {
    image: Image,
    config: Json,
    created: Option<Timestamp>,
    containers: usize,
}

impl Listed<'_> {
    /// One row per image.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub(crate) fn images(&self) -> Result<Vec<Row>> {
        Ok(self
            .chosen()?
            .iter()
            .map(|told| self.row(told, told.image.names.first().map(String::as_str)))
            .collect())
    }

    /// One row per name; images without one have a row, too.
    ///
    /// # Errors
    /// As [`Self::images`].
    pub(crate) fn names(&self) -> Result<Vec<Row>> {
        let mut rows: Vec<(String, String, Row)> = Vec::new();
        for told in &self.chosen()? {
            let names: Vec<_> =
                told.image.names.iter().filter(|name| self.names_it(name, &told.image)).collect();
            for name in &names {
                let (repository, tag) = parts(name);
                rows.push((repository, tag, self.row(told, Some(name))));
            }
            if names.is_empty() {
                rows.push((String::new(), String::new(), self.row(told, None)));
            }
        }
        match self.sort {
            Sort::Repository => rows.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1))),
            Sort::Tag => rows.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0))),
            Sort::Created | Sort::Id | Sort::Size => {}
        }
        Ok(rows.into_iter().map(|(_, _, row)| row).collect())
    }

    fn chosen(&self) -> Result<Vec<Told>> {
        let (containers, _damaged) = self.context.records.all()?;
        let mut all = Vec::new();
        let images = self.context.store.images()?;
        let named: BTreeSet<_> =
            images.iter().filter(|i| !i.names.is_empty()).map(|i| i.id.clone()).collect();
        for image in images {
            // An older manifest of an image that has its name by another one now.
            if image.names.is_empty() && named.contains(&image.id) {
                continue;
            }
            let config = config(&self.context.store, &image)?;
            let uses = |one: &&crate::record::Desired| one.image.as_ref().is_some_and(|of| of.id == image.id);
            let containers = containers.iter().filter(uses).count();
            all.push(Told { created: created(&config), config, containers, image });
        }
        let before = self.times("before", &[])?;
        let since = self.times("since", &["after"])?;
        let until = self.until()?;
        let mut chosen = Vec::new();
        for told in all {
            let at = told.created.unwrap_or(Timestamp::UNIX_EPOCH);
            let timely = before.iter().all(|limit| at < *limit)
                && since.iter().all(|limit| at > *limit)
                && until.is_none_or(|limit| at < limit);
            if timely && self.matches(&told)? {
                chosen.push(told);
            }
        }
        match self.sort {
            Sort::Created => chosen.sort_by_key(|told| Reverse(told.created)),
            Sort::Id => chosen.sort_by(|a, b| a.image.id.cmp(&b.image.id)),
            Sort::Size => chosen.sort_by_key(|told| told.image.size),
            Sort::Repository | Sort::Tag => chosen.sort_by(|a, b| a.image.names.cmp(&b.image.names)),
        }
        Ok(chosen)
    }

    /// When the images were made that a filter names.
    fn times(&self, key: &str, others: &[&str]) -> Result<Vec<Timestamp>> {
        let keys = std::iter::once(&key).chain(others);
        let mut times = Vec::new();
        for text in keys.flat_map(|key| self.filters.values(key)) {
            let image = image::here(&self.context.store, text)?;
            times.push(created(&config(&self.context.store, &image)?).unwrap_or(Timestamp::UNIX_EPOCH));
        }
        Ok(times)
    }

    fn until(&self) -> Result<Option<Timestamp>> {
        let Some(text) = self.filters.values("until").last() else { return Ok(None) };
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(Some(at));
        }
        let past = crate::record::parse::milliseconds(text).ok();
        let past =
            past.and_then(|ms| jiff::SignedDuration::try_from(std::time::Duration::from_millis(ms)).ok());
        let at = past.and_then(|past| self.now.checked_sub(past).ok());
        let rule = || {
            RunnerError::Usage(format!(
                "--filter until={text}: write a time like 2026-01-31T00:00:00Z, or an age like 24h"
            ))
        };
        at.map(Some).ok_or_else(rule)
    }

    fn matches(&self, told: &Told) -> Result<bool> {
        let image = &told.image;
        let labels = &told.config["config"]["Labels"];
        let is = |key: &str, truth: bool| {
            Ok::<_, RunnerError>(self.filters.truth(key)?.is_none_or(|asked| asked == truth))
        };
        let begins = |digest: &berth_oci::Digest, text: &str| {
            digest.hex().starts_with(text.strip_prefix("sha256:").unwrap_or(text))
        };
        Ok(self.filters.labels(|name| labels[name].as_str())
            && is("dangling", image.names.is_empty())?
            && is("containers", told.containers > 0)?
            // There are none of either kind here.
            && is("intermediate", false)?
            && is("readonly", false)?
            && self.filters.any("id", |text| begins(&image.id, text))
            && self.filters.any("digest", |text| begins(&image.manifest, text))
            && self.filters.any("reference", |pattern| image.names.iter().any(|name| fits(pattern, name)))
            && self.reference.is_none_or(|pattern| {
                image.names.iter().any(|name| fits(pattern, name)) || begins(&image.id, pattern)
            }))
    }

    /// Whether a name of an image that was chosen is one of those that were asked for.
    fn names_it(&self, name: &str, image: &Image) -> bool {
        let asked =
            self.reference.into_iter().chain(self.filters.values("reference").iter().map(String::as_str));
        let asked: Vec<_> = asked.collect();
        asked.is_empty()
            || asked.iter().any(|pattern| fits(pattern, name))
            || !image.names.iter().any(|name| asked.iter().any(|pattern| fits(pattern, name)))
    }

    fn row(&self, told: &Told, name: Option<&str>) -> Row {
        let image = &told.image;
        let (repository, tag) = name.map_or_else(|| ("<none>".into(), "<none>".into()), parts);
        let id = image.id.to_string();
        let shown_id = if self.full { id.as_str() } else { output::short_id(&id) };
        let at = told.created.unwrap_or(Timestamp::UNIX_EPOCH);
        let labels = || output::value(&told.config["config"]["Labels"]).unwrap_or(Value::Nothing);
        let bytes = i64::try_from(image.size).unwrap_or(i64::MAX);
        let count = i64::try_from(told.containers).unwrap_or(i64::MAX);
        let hex = image.id.hex();
        Row {
            quiet: if self.full { id.clone() } else { output::short_id(&id).to_owned() },
            shown: Value::fields([
                Field::new("ID", Value::text(shown_id)),
                Field::new("Repository", Value::text(repository)),
                Field::new("Tag", Value::text(tag)),
                Field::new("Digest", Value::text(image.manifest.as_str())),
                Field::new("Created", Value::text(output::ago(at, self.now))),
                Field::new("CreatedSince", Value::text(output::ago(at, self.now))),
                Field::new("CreatedAt", output::time(at)),
                Field::new("CreatedTime", output::time(at)),
                Field::new("Size", Value::text(output::size(image.size))),
                Field::new("VirtualSize", Value::text(output::size(image.size))),
                Field::new("Containers", Value::Int(count)),
                Field::new("Labels", labels()),
                Field::new("Names", Value::texts(&image.names)),
                Field::new("RepoTags", Value::texts(tags(image))),
                Field::new("RepoDigests", Value::texts(digests(image))),
                Field::new("ReadOnly", Value::Bool(false)),
                Field::new("Id", Value::text(hex)),
            ]),
            json: Some(Value::fields([
                Field::new("Id", Value::text(hex)),
                Field::new("ParentId", Value::text("")),
                Field::new("RepoTags", Value::texts(tags(image))),
                Field::new("RepoDigests", Value::texts(digests(image))),
                Field::new("Size", Value::Int(bytes)),
                Field::new("SharedSize", Value::Int(0)),
                Field::new("VirtualSize", Value::Int(bytes)),
                Field::new("Labels", labels()),
                Field::new("Containers", Value::Int(count)),
                Field::new("Names", Value::texts(&image.names)),
                Field::new("Digest", Value::text(image.manifest.as_str())),
                Field::new("Created", Value::Int(at.as_second())),
                Field::new("CreatedAt", output::time(at)),
            ])),
        }
    }
}

/// Whether a name is what a person may have meant: the name in full or as it is familiar, its repository, or a pattern.
fn fits(pattern: &str, name: &str) -> bool {
    let mut forms = vec![name.to_owned(), parts(name).0];
    if let Ok(reference) = name.parse::<Reference>() {
        forms.push(reference.familiar());
        forms.push(reference.name().to_string());
        forms.push(parts(&reference.familiar()).0);
        forms.extend(reference.tag().map(|tag| format!("{}:{tag}", reference.name())));
        let last = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
        forms.push(last(name));
        forms.push(last(reference.name().as_str()));
    }
    forms.iter().any(|form| glob(pattern.as_bytes(), form.as_bytes()))
}

/// `*` is anything, `?` any one character.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// For the fuzz targets: see [`crate::fuzzing::pattern`].
pub(crate) fn glob_fuzzed(pattern: &[u8], text: &[u8]) {
    if pattern.len().saturating_mul(text.len()) > 1 << 16 {
        return;
    }
    // Which beginnings of the text the pattern's beginning fits.
    let mut fits = vec![false; text.len() + 1];
    fits[0] = true;
    for sign in pattern {
        let before = std::mem::replace(&mut fits, vec![false; text.len() + 1]);
        for at in 0..=text.len() {
            fits[at] = match sign {
                b'*' => before[at] || at > 0 && fits[at - 1],
                b'?' => at > 0 && before[at - 1],
                sign => at > 0 && before[at - 1] && text[at - 1] == *sign,
            };
        }
    }
    assert_eq!(glob(pattern, text), fits[text.len()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_the_name_as_people_write_it() {
        for (pattern, name, fit) in [
            ("docker.io/library/busybox:latest", "docker.io/library/busybox:latest", true),
            ("busybox", "docker.io/library/busybox:latest", true),
            ("busybox:latest", "docker.io/library/busybox:latest", true),
            ("busybox:1", "docker.io/library/busybox:latest", false),
            ("*busy*", "docker.io/library/busybox:latest", true),
            ("x.org/team/app", "x.org/team/app:1", true),
            ("team/app", "x.org/team/app:1", true),
            ("app", "x.org/team/app:1", true),
            ("ap", "x.org/team/app:1", false),
            ("x.org/*/app:?", "x.org/team/app:1", true),
        ] {
            assert_eq!(fits(pattern, name), fit, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_end() {
        assert!(!glob("*a".repeat(40).as_bytes(), "b".repeat(4000).as_bytes()));
        assert!(glob(b"**", b"") && glob(b"", b"") && !glob(b"?", b""));
    }
}
