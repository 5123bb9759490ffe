//! Listing tags (end-8).

use std::sync::Arc;

use berth_oci::Algorithm;
use futures_util::future;

use super::push::{given_image, manifest_at, put_manifest};
use crate::{
    case::{Stop, Verdict, ensure, fail},
    http::{Answer, Cx, link_next},
};

/// Tags in ASCII order, of which lexical order would make another.
const TAGS: [&str; 9] = ["0", "1.10", "1.9", "A", "Z", "_x", "a", "a-b", "z"];

/// One image under all [`TAGS`], pushed in no order.
async fn tagged(cx: &Cx) -> Verdict {
    let manifest = given_image(cx, cx.repo(), Algorithm::Sha256, None).await?;
    for index in [4, 0, 8, 2, 6, 1, 7, 5, 3] {
        put_manifest(cx, cx.repo(), TAGS[index], &manifest).await?.expect(&[201])?;
    }
    Ok(())
}

async fn listed(cx: &Cx, query: &str) -> Result<Answer, Stop> {
    cx.get(format!("/v2/{}/tags/list{query}", cx.repo()))?.send().await
}

/// The names in a page.
fn names(answer: &Answer) -> Result<Vec<String>, Stop> {
    let body = answer.expect(&[200])?.json()?;
    let Some(tags) = body["tags"].as_array() else {
        return if body["tags"].is_null() { Ok(Vec::new()) } else { fail("tags is no list") };
    };
    tags.iter()
        .map(|tag| tag.as_str().map(str::to_owned).ok_or_else(|| Stop::Fail(format!("{tag} is no tag"))))
        .collect()
}

/// Whether the order is ASCII's, or that of letters alone.
fn is_sorted(names: &[String]) -> bool {
    names.is_sorted() || names.is_sorted_by_key(|name| name.to_lowercase())
}

pub(super) async fn all(cx: Arc<Cx>) -> Verdict {
    tagged(&cx).await?;
    let answer = listed(&cx, "").await?;
    let mut names = names(&answer)?;
    names.sort();
    ensure(names == TAGS, || format!("listed are {names:?} where {TAGS:?} were pushed"))?;
    let body = answer.json()?;
    ensure(body["name"] == cx.repo(), || format!("name is {} where {} is due", body["name"], cx.repo()))
}

pub(super) async fn in_order(cx: Arc<Cx>) -> Verdict {
    tagged(&cx).await?;
    let names = names(&listed(&cx, "").await?)?;
    ensure(is_sorted(&names), || format!("{names:?} is in no order"))
}

pub(super) async fn are_json(cx: Arc<Cx>) -> Verdict {
    tagged(&cx).await?;
    let answer = listed(&cx, "").await?;
    let media_type = answer.expect(&[200])?.require("content-type")?;
    ensure(media_type.starts_with("application/json"), || format!("Content-Type is {media_type:?}"))
}

pub(super) async fn first_n(cx: Arc<Cx>, n: usize) -> Verdict {
    tagged(&cx).await?;
    let answer = listed(&cx, &format!("?n={n}")).await?;
    let names = names(&answer)?;
    let due = n.min(TAGS.len());
    // Fewer are allowed where a Link leads to the rest.
    let complete = names.len() == due || (names.len() < due && answer.header("link").is_some());
    ensure(complete && is_sorted(&names), || format!("{names:?} for n={n}"))
}

pub(super) async fn none(cx: Arc<Cx>) -> Verdict {
    tagged(&cx).await?;
    let answer = listed(&cx, "?n=0").await?;
    let names = names(&answer)?;
    ensure(names.is_empty(), || format!("{names:?} for n=0"))?;
    ensure(answer.header("link").is_none(), || "a Link for n=0".to_owned())
}

pub(super) async fn after(cx: Arc<Cx>) -> Verdict {
    tagged(&cx).await?;
    let all = names(&listed(&cx, "").await?)?;
    for (at, last) in all.iter().enumerate() {
        let rest = names(&listed(&cx, &format!("?last={last}")).await?)?;
        ensure(rest == all[at + 1..], || format!("{rest:?} behind {last:?} of {all:?}"))?;
    }
    Ok(())
}

pub(super) async fn n_after(cx: Arc<Cx>) -> Verdict {
    tagged(&cx).await?;
    let all = names(&listed(&cx, "").await?)?;
    ensure(all.len() == TAGS.len(), || format!("{all:?}"))?;
    let page = names(&listed(&cx, &format!("?n=3&last={}", all[1])).await?)?;
    ensure(page == all[2..5], || format!("{page:?} behind {:?} of {all:?}", all[1]))
}

/// A tag that is gone, or never was, still has a place in the order.
pub(super) async fn after_no_tag(cx: Arc<Cx>) -> Verdict {
    tagged(&cx).await?;
    let rest = names(&listed(&cx, "?last=ZZ").await?)?;
    let ascii: Vec<&str> = TAGS.into_iter().filter(|tag| *tag > "ZZ").collect();
    let letters: Vec<&str> = TAGS.into_iter().filter(|tag| tag.to_lowercase().as_str() > "zz").collect();
    let mut sorted = rest.clone();
    sorted.sort();
    ensure(sorted == ascii || sorted == letters, || format!("{rest:?} behind \"ZZ\""))
}

pub(super) async fn after_the_last(cx: Arc<Cx>) -> Verdict {
    tagged(&cx).await?;
    let answer = listed(&cx, "?n=5&last=zzzz").await?;
    let names = names(&answer)?;
    ensure(names.is_empty() && answer.header("link").is_none(), || format!("{names:?} behind the last tag"))
}

/// Page by page by the Link header: every tag once, in order, and an end.
pub(super) async fn by_link(cx: Arc<Cx>) -> Verdict {
    tagged(&cx).await?;
    let mut answer = listed(&cx, "?n=2").await?;
    let mut all = names(&answer)?;
    for _ in 0..TAGS.len() + 1 {
        let Some(link) = answer.header("link") else { break };
        let Some(next) = link_next(link) else { return fail(format!("Link {link:?} has no rel=\"next\"")) };
        answer = cx.get(answer.resolve(next)?)?.send().await?;
        let page = names(&answer)?;
        ensure(page.len() <= 2, || format!("{page:?} for n=2"))?;
        all.extend(page);
    }
    ensure(answer.header("link").is_none(), || "the pages have no end".to_owned())?;
    let mut sorted = all.clone();
    sorted.sort();
    ensure(sorted == TAGS && is_sorted(&all), || format!("the pages are {all:?}"))
}

/// There is a Link while there is more, and none behind the last full page.
pub(super) async fn link_while_more(cx: Arc<Cx>) -> Verdict {
    tagged(&cx).await?;
    let first = listed(&cx, "?n=3").await?;
    ensure(first.expect(&[200])?.header("link").is_some(), || "no Link though there is more".to_owned())?;
    let last = listed(&cx, &format!("?n={}", TAGS.len())).await?;
    ensure(last.expect(&[200])?.header("link").is_none(), || "a Link though there is no more".to_owned())
}

pub(super) async fn unknown_repository(cx: Arc<Cx>) -> Verdict {
    // Some registries make no difference between an empty repository and none.
    let answer = listed(&cx, "").await?;
    if answer.expect(&[200, 404])?.status == 404 { Ok(()) } else { names(&answer).map(drop) }
}

/// A repository of untagged manifests has a list, of nothing: a list, not null.
pub(super) async fn untagged(cx: Arc<Cx>) -> Verdict {
    given_image(&cx, cx.repo(), Algorithm::Sha256, None).await?;
    let answer = listed(&cx, "").await?;
    let body = answer.expect(&[200])?.json()?;
    ensure(body["tags"].as_array().is_some_and(Vec::is_empty), || format!("tags is {}", body["tags"]))
}

pub(super) async fn not_a_number(cx: Arc<Cx>, n: &'static str) -> Verdict {
    tagged(&cx).await?;
    listed(&cx, &format!("?n={n}")).await?.expect(&[400]).map(drop)
}

/// Tags set at once by many clients are all there.
pub(super) async fn at_once(cx: Arc<Cx>) -> Verdict {
    let manifest = given_image(&cx, cx.repo(), Algorithm::Sha256, None).await?;
    let tags: Vec<String> = (10..40).map(|number| format!("t{number}")).collect();
    let puts = tags.iter().map(|tag| put_manifest(&cx, cx.repo(), tag, &manifest));
    for answer in future::join_all(puts).await {
        answer?.expect(&[201])?;
    }
    let mut names = names(&listed(&cx, "").await?)?;
    names.sort();
    ensure(names == tags, || format!("{} of {} tags are listed: {names:?}", names.len(), tags.len()))?;
    cx.get(manifest_at(cx.repo(), "t17"))?.send().await?.expect(&[200]).map(drop)
}
