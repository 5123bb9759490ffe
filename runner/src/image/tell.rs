//! What is told of images: lists, histories, everything.

mod history;
mod inspect;
mod list;

pub(crate) use history::history;
pub(crate) use inspect::inspected;
pub(crate) use list::{FILTERS, Listed, Sort, glob_fuzzed};

use berth_oci::{Digest, Reference};
use jiff::Timestamp;
use serde_json::Value as Json;

use crate::{
    error::{Result, RunnerError},
    store::{Image, Store},
};

/// The configuration of an image as JSON: fields that nobody here knows are there as well.
fn config(store: &Store, image: &Image) -> Result<Json> {
    serde_json::from_slice(&store.blob(&image.id)?).map_err(|fault| {
        RunnerError::Content(format!("the configuration of image {} is damaged: {fault}", image.id))
    })
}

/// When an image was made, as its configuration says.
fn created(config: &Json) -> Option<Timestamp> {
    config["created"].as_str()?.parse().ok()
}

/// `host/repository` and tag of a name; `<none>` for what it has not.
fn parts(name: &str) -> (String, String) {
    match name.parse::<Reference>() {
        Ok(reference) => {
            let tag = reference.tag().map_or_else(|| "<none>".to_owned(), ToString::to_string);
            (repository(&reference), tag)
        }
        Err(_) => (name.to_owned(), "<none>".to_owned()),
    }
}

fn repository(reference: &Reference) -> String {
    format!("{}/{}", reference.host(), reference.name())
}

/// Names with tags.
fn tags(image: &Image) -> Vec<String> {
    image.names.iter().filter(|name| !name.contains('@')).cloned().collect()
}

/// The image's names by digest: of its own manifest in each repository, and those that it was pulled by.
fn digests(image: &Image) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut add = |name: String| {
        if !found.contains(&name) {
            found.push(name);
        }
    };
    let at = |reference: &Reference, digest: &Digest| format!("{}@{digest}", repository(reference));
    for reference in image.names.iter().filter_map(|name| name.parse::<Reference>().ok()) {
        add(at(&reference, &image.manifest));
        if let Some(digest) = reference.digest() {
            add(at(&reference, digest));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_each_repository() {
        let digest = |c: &str| format!("sha256:{}", c.repeat(64)).parse::<Digest>().unwrap();
        let image = Image {
            manifest: digest("1"),
            id: digest("2"),
            names: vec!["x.org/a:1".into(), "x.org/a:2".into(), format!("y.org/b@{}", digest("3"))],
            layers: Vec::new(),
            size: 0,
            pulled: Timestamp::UNIX_EPOCH,
        };
        let expected = [
            format!("x.org/a@{}", digest("1")),
            format!("y.org/b@{}", digest("1")),
            format!("y.org/b@{}", digest("3")),
        ];
        assert_eq!(digests(&image), expected);
        assert_eq!(tags(&image), ["x.org/a:1", "x.org/a:2"]);
        assert_eq!(parts("x.org/a:1"), ("x.org/a".to_owned(), "1".to_owned()));
        assert_eq!(parts(&image.names[2]).1, "<none>");
    }
}
