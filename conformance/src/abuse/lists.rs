//! R18, R19: pages of a size that nobody should ask for, and long lists.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use berth_oci::{Algorithm, ErrorCode};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{
    case::{Stop, Verdict, ensure},
    harness::fair,
    http::{Cx, link_next},
    suite::push::{given_image, put_manifest},
};

/// Entries and bytes of a page, at most.
const MOST_ENTRIES: usize = 1000;
const MOST_BYTES: usize = 4 << 20;

/// The two lists that take `n`.
#[derive(Clone, Copy, Debug)]
pub(super) enum List {
    Tags,
    Catalog,
}

impl List {
    fn at(self, cx: &Cx) -> String {
        match self {
            Self::Tags => format!("/v2/{}/tags/list", cx.repo()),
            Self::Catalog => "/v2/_catalog".to_owned(),
        }
    }

    const fn field(self) -> &'static str {
        match self {
            Self::Tags => "tags",
            Self::Catalog => "repositories",
        }
    }
}

pub(super) async fn bad_n(cx: Arc<Cx>, list: List, n: &'static str) -> Verdict {
    given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    let answer = cx.get(list.at(&cx))?.query("n", n).send().await?;
    answer.error(400, ErrorCode::PaginationNumberInvalid)
}

pub(super) async fn zero(cx: Arc<Cx>, list: List) -> Verdict {
    given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    let answer = cx.get(list.at(&cx))?.query("n", "0").send().await?;
    let body = answer.expect(&[200])?.json()?;
    ensure(body[list.field()].as_array().is_some_and(Vec::is_empty), || "n=0 gives something".to_owned())?;
    ensure(answer.header("link").is_none(), || "n=0 gives a Link".to_owned())
}

pub(super) async fn huge(cx: Arc<Cx>, list: List, n: &'static str) -> Verdict {
    given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    let answer = cx.get(list.at(&cx))?.query("n", n).send().await?;
    let body = answer.expect(&[200])?.json()?;
    let entries = body[list.field()].as_array().map_or(0, Vec::len);
    ensure((1..=MOST_ENTRIES).contains(&entries), || format!("{entries} entries for n={n}"))
}

/// As many tags as the run's scale, in pages without `n`: none too long, none too slow, each tag
/// once.
pub(super) async fn many_tags(cx: Arc<Cx>) -> Verdict {
    let count = cx.options().scale;
    let manifest = given_image(&cx, cx.repo(), Algorithm::Sha256, None).await?;
    stream::iter(0..count)
        .map(|number| {
            let (cx, manifest) = (&cx, &manifest);
            async move {
                let tag = format!("t{number:08}");
                put_manifest(cx, cx.repo(), &tag, manifest).await?.expect(&[201]).map(drop)
            }
        })
        .buffer_unordered(16)
        .try_collect::<()>()
        .await?;
    let mut at = List::Tags.at(&cx);
    let mut found: Vec<String> = Vec::new();
    let mut slowest = std::time::Duration::ZERO;
    loop {
        let started = Instant::now();
        let answer = cx.get(&at)?.send().await?;
        slowest = slowest.max(started.elapsed());
        let body = answer.expect(&[200])?.json()?;
        let page = body["tags"].as_array().cloned().unwrap_or_default();
        ensure(page.len() <= MOST_ENTRIES && answer.body.len() <= MOST_BYTES, || {
            format!("a page of {} tags in {} bytes", page.len(), answer.body.len())
        })?;
        found.extend(page.iter().filter_map(|tag| tag.as_str().map(str::to_owned)));
        match answer.header("link").and_then(link_next) {
            Some(next) if found.len() <= count => at = answer.resolve(next)?.to_string(),
            _ => break,
        }
    }
    ensure(found.len() == count && found.is_sorted(), || {
        format!("{} of {count} tags, in order", found.len())
    })?;
    ensure(count < 1000 || slowest < fair(Duration::from_millis(200)), || format!("a page took {slowest:?}"))
}

/// `last` may be anything: it is only a place in the order.
pub(super) async fn odd_last(cx: Arc<Cx>, last: &'static str) -> Verdict {
    given_image(&cx, cx.repo(), Algorithm::Sha256, Some("v1")).await?;
    let answer = cx.get(List::Tags.at(&cx))?.query("last", last).send().await?;
    match answer.status {
        200 => answer.json().map(drop),
        400 => answer.errors().map(drop),
        other => Err(Stop::Fail(format!("status {other} for last={last:?}"))),
    }
}
