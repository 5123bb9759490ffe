//! Tags as parameters of a push by digest (end-7b, development version).

use std::sync::Arc;

use berth_oci::{Algorithm, Digest, ErrorCode};

use super::push::{given_image, manifest_at, unpushed_image};
use crate::{
    case::{Stop, Verdict, ensure},
    data::Manifest,
    http::{Answer, Cx},
};

async fn put(cx: &Cx, manifest: &Manifest, reference: &str, tags: &[String]) -> Result<Answer, Stop> {
    let mut call = cx.put(manifest_at(cx.repo(), reference))?.header("content-type", &manifest.media_type);
    for tag in tags {
        call = call.query("tag", tag);
    }
    call.body(manifest.bytes.clone()).send().await
}

/// Every tag that OCI-Tag headers name, in lines or separated by commas.
fn accepted(answer: &Answer) -> Vec<&str> {
    let lines = answer.headers.get_all("oci-tag").iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).collect()
}

/// So many tags in one push: each is named in the answer and points at the manifest.
pub(super) async fn are_set(cx: Arc<Cx>, algorithm: Algorithm, count: usize) -> Verdict {
    let manifest = unpushed_image(&cx, cx.repo(), algorithm, |_| ()).await?;
    let tags: Vec<String> = (0..count).map(|number| format!("v1.{number}")).collect();
    let answer = put(&cx, &manifest, manifest.digest.as_str(), &tags).await?;
    let names = accepted(answer.expect(&[201])?);
    if names.is_empty() {
        return Err(Stop::Skip("no OCI-Tag: the registry does not know tag parameters".to_owned()));
    }
    for tag in &tags {
        ensure(names.contains(&tag.as_str()), || format!("OCI-Tag does not name {tag}"))?;
        let there = cx.get(manifest_at(cx.repo(), tag))?.send().await?;
        there.expect(&[200])?.body_is(&manifest.bytes)?;
        there.header_is("docker-content-digest", manifest.digest.as_str())?;
    }
    let listed = cx.get(format!("/v2/{}/tags/list", cx.repo()))?.send().await?;
    let listed = listed.expect(&[200])?.json()?;
    ensure(listed["tags"].as_array().is_some_and(|all| all.len() == count), || {
        format!("{count} tags were set, listed are {}", listed["tags"])
    })
}

/// A tag that was elsewhere moves.
pub(super) async fn move_tags(cx: Arc<Cx>) -> Verdict {
    given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    let second = unpushed_image(&cx, cx.repo(), Algorithm::Sha256, |_| ()).await?;
    let answer = put(&cx, &second, second.digest.as_str(), &["v1".to_owned()]).await?;
    if accepted(answer.expect(&[201])?).is_empty() {
        return Err(Stop::Skip("no OCI-Tag: the registry does not know tag parameters".to_owned()));
    }
    cx.get(manifest_at(cx.repo(), "v1"))?.send().await?.expect(&[200])?.body_is(&second.bytes)
}

/// A tag that is none fails the whole push, or is not among those accepted.
pub(super) async fn invalid_tag(cx: Arc<Cx>) -> Verdict {
    let manifest = unpushed_image(&cx, cx.repo(), Algorithm::Sha256, |_| ()).await?;
    let tags = ["good".to_owned(), "-bad/tag".to_owned()];
    let answer = put(&cx, &manifest, manifest.digest.as_str(), &tags).await?;
    answer.error(400, ErrorCode::ManifestInvalid)?;
    cx.head(manifest_at(cx.repo(), "good"))?.send().await?.expect(&[404]).map(drop)
}

/// A mismatched digest sets no tag.
pub(super) async fn nothing_on_failure(cx: Arc<Cx>) -> Verdict {
    let manifest = unpushed_image(&cx, cx.repo(), Algorithm::Sha256, |_| ()).await?;
    let wrong = Digest::from_hash(Algorithm::Sha256, &[7; 32]);
    let answer = put(&cx, &manifest, wrong.as_str(), &["v1".to_owned()]).await?;
    answer.expect(&[400])?;
    cx.head(manifest_at(cx.repo(), "v1"))?.send().await?.expect(&[404]).map(drop)
}

/// Without the parameter there is nothing to confirm.
pub(super) async fn none_no_header(cx: Arc<Cx>) -> Verdict {
    let manifest = unpushed_image(&cx, cx.repo(), Algorithm::Sha256, |_| ()).await?;
    let answer = put(&cx, &manifest, manifest.digest.as_str(), &[]).await?;
    let names = accepted(answer.expect(&[201])?);
    ensure(names.is_empty(), || format!("OCI-Tag {names:?} though no tag was given"))
}
