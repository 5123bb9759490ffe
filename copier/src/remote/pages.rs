//! Lists that come in pages (distribution-spec, "Listing Tags"; RFC 8288).

use std::collections::HashSet;

use berth_oci::Tag;
use bytes::Bytes;
use serde::Deserialize;
use url::Url;

use super::{
    Repository,
    escape::escaped,
    registry::{Ask, Lane, Target},
    repository::Place,
    trust,
};
use crate::{Error, Result};

/// Pages of one list (C7).
const MAX_PAGES: usize = 1000;
/// Bytes of one page: as much as a registry may say of 10,000 entries.
pub(super) const MAX_PAGE: usize = 16 * 1024 * 1024;
/// Bytes of all pages of one list.
const MAX_LIST: usize = 256 * 1024 * 1024;
/// Tags of one repository.
const MAX_TAGS: usize = 1_000_000;

#[derive(Deserialize)]
struct Page {
    /// `null` where there is none.
    tags: Option<Vec<String>>,
}

impl Repository {
    /// All tags, page by page, at most 1,000 pages (C7).
    ///
    /// # Errors
    /// As every request.
    pub async fn tags(&self) -> Result<Vec<Tag>> {
        self.anywhere(false, |place| self.tags_at(place)).await
    }

    async fn tags_at(&self, place: &Place) -> Result<Vec<Tag>> {
        let mut tags = Vec::new();
        let first = place.path("tags/list?n=1000");
        let take = |page: Bytes| {
            let fault = |fault| Error::Other {
                what: format!("listing tags in {}: a page is no list of tags", place.place()),
                source: Box::new(fault),
            };
            let page: Page = serde_json::from_slice(&page).map_err(fault)?;
            let listed = page.tags.unwrap_or_default();
            if listed.len() > MAX_TAGS.saturating_sub(tags.len()) {
                return Err(oversized("fetching tags list", place, &format!("{MAX_TAGS} tags")));
            }
            for tag in listed {
                match tag.parse() {
                    Ok(tag) => tags.push(tag),
                    Err(_) => tracing::warn!("{}: \"{}\" is no tag", place.place(), escaped(&tag, 256)),
                }
            }
            Ok(())
        };
        self.pages(place, first, "fetching tags list", "repository name not known to registry", take).await?;
        Ok(tags)
    }

    /// Reads a list page by page.
    ///
    /// # Errors
    /// If it has no end: pages that come again, more pages or more bytes than a list may have.
    pub(super) async fn pages(
        &self,
        place: &Place,
        first: Target,
        what: &str,
        absent: &str,
        mut take: impl FnMut(Bytes) -> Result<()>,
    ) -> Result<()> {
        let mut seen = HashSet::new();
        let mut next = first;
        let mut left = MAX_LIST;
        for _ in 0..MAX_PAGES {
            let ask = Ask::get(next, what, Lane::Brief);
            let answer = place.send(&ask, self.access(), None).await?;
            let answer = place.accept(answer, what, absent).await?;
            seen.insert(answer.url().clone());
            let following = answer.header("link").and_then(next_link);
            let following = following.map(|link| trust::follow(answer.url(), &link, "the next page"));
            let page = answer.bytes(MAX_PAGE, what).await?;
            left = left_of(left, &page)
                .ok_or_else(|| oversized(what, place, &format!("{} MiB", MAX_LIST / 1024 / 1024)))?;
            take(page)?;
            let Some(following) = following else { return Ok(()) };
            let following: Url = following?;
            if seen.contains(&following) {
                let shown = escaped(following.as_str(), 512);
                return Err(endless(what, place, &format!("its page {shown} comes twice")));
            }
            next = Target::Url(following);
        }
        Err(endless(what, place, &format!("it has more than {MAX_PAGES} pages")))
    }
}

fn endless(what: &str, place: &Place, why: &str) -> Error {
    Error::Other {
        what: format!("{what} in {}", place.place()),
        source: format!("the list has no end: {why}").into(),
    }
}

fn oversized(what: &str, place: &Place, most: &str) -> Error {
    Error::Other {
        what: format!("{what} in {}", place.place()),
        source: format!("the list is too long: it has more than {most}").into(),
    }
}

/// What remains of a list's bytes once this page is taken; nothing where it does not fit.
fn left_of(left: usize, page: &[u8]) -> Option<usize> {
    left.checked_sub(page.len())
}

/// The target of `rel="next"` in a `Link` header.
pub(super) fn next_link(header: &str) -> Option<String> {
    let mut rest = header;
    loop {
        let (_, behind) = rest.split_once('<')?;
        let (target, behind) = behind.split_once('>')?;
        let end = behind.find('<').map_or(behind.len(), |at| behind[..at].rfind(',').unwrap_or(at));
        let (parameters, following) = behind.split_at(end);
        let is_next = parameters.split(';').any(|parameter| {
            let Some((name, value)) = parameter.split_once('=') else { return false };
            let value = value.trim().trim_end_matches(',').trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel")
                && value.split_ascii_whitespace().any(|relation| relation.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target.trim().to_owned());
        }
        rest = following;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{left_of, next_link};

    #[test]
    fn the_next_page_is_found_among_links() {
        for (header, next) in [
            (r#"</v2/a/tags/list?last=b&n=2>; rel="next""#, Some("/v2/a/tags/list?last=b&n=2")),
            ("<x>;rel=next", Some("x")),
            (r#"<x>; rel="prev", <y>; rel="next""#, Some("y")),
            (r#"<x,1>; title="a"; REL="last Next""#, Some("x,1")),
            (r#"<x>; rel="prev""#, None),
            ("x; rel=next", None),
            ("<x; rel=next", None),
            ("", None),
        ] {
            assert_eq!(next_link(header).as_deref(), next, "{header}");
        }
    }

    #[test]
    fn the_pages_of_a_list_share_one_bound() {
        let page = [0; 40];
        let left = left_of(100, &page).and_then(|left| left_of(left, &page));
        assert_eq!(left, Some(20));
        assert_eq!(left.and_then(|left| left_of(left, &page)), None);
        assert_eq!(left_of(40, &page), Some(0));
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic_or_loop(header in any::<String>(), pieces in "[<>;,=a\"relnxt ]{0,64}") {
            let _any = (next_link(&header), next_link(&pieces));
        }
    }
}
