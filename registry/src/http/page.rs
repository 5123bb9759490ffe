//! Pages: `n` and `last` in the query, `Link` in the answer (distribution-spec, "Listing tags").

use http::{HeaderMap, Uri, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{error::ApiError, headers};

/// The most entries of one page; larger wishes are clamped.
pub const MAX_ENTRIES: u32 = 1000;

const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Entries, [`MAX_ENTRIES`] at most; 0 is an empty list.
    pub size: u32,
    /// Only entries after this one.
    pub last: Option<String>,
}

/// Values of `key` in the query, decoded; what is not UTF-8 reads as absent.
pub fn query<'a>(uri: &'a Uri, key: &'a str) -> impl Iterator<Item = String> + 'a {
    uri.query().unwrap_or_default().split('&').filter_map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name != key {
            return None;
        }
        let spaced = value.replace('+', "%20");
        Some(percent_decode_str(&spaced).decode_utf8().ok()?.into_owned())
    })
}

/// Encodes a value for a query.
#[must_use]
pub fn encode(value: &str) -> String {
    utf8_percent_encode(value, QUERY).to_string()
}

impl Page {
    /// Reads `n` and `last`.
    ///
    /// # Errors
    /// When `n` is no whole number of 0 or more.
    pub fn of(uri: &Uri) -> Result<Self, ApiError> {
        let size = match query(uri, "n").next() {
            None => MAX_ENTRIES,
            Some(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                // More digits than a number holds is just a large wish.
                text.parse::<u32>().map_or(MAX_ENTRIES, |n| n.min(MAX_ENTRIES))
            }
            Some(_) => return Err(ApiError::PageSizeInvalid),
        };
        let last = query(uri, "last").next().filter(|last| !last.is_empty());
        Ok(Self { size, last })
    }

    /// Asks for one entry more than fits, so that the last page knows that it is the last.
    #[must_use]
    pub fn fetch(&self) -> u32 {
        self.size + 1
    }

    /// Cuts `entries` to the page and says where the next one begins.
    pub fn cut<T: AsRef<str>>(&self, entries: &mut Vec<T>) -> Option<String> {
        let size = self.size as usize;
        let more = entries.len() > size;
        entries.truncate(size);
        if more { entries.last().map(|entry| entry.as_ref().to_owned()) } else { None }
    }
}

/// `Link: <path?n=…&last=…>; rel="next"` (RFC 8288).
pub fn link_next(headers: &mut HeaderMap, path: &str, size: u32, last: &str, also: &str) {
    let last = encode(last);
    headers::insert(headers, header::LINK, &format!("<{path}?n={size}&last={last}{also}>; rel=\"next\""));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Page, ApiError> {
        Page::of(&text.parse().unwrap())
    }

    #[test]
    fn r18_page_sizes_are_clamped_or_refused() {
        assert_eq!(of("/x").unwrap().size, MAX_ENTRIES);
        assert_eq!(of("/x?n=0").unwrap().size, 0);
        for large in ["1001", "4294967295", "1000000000000"] {
            assert_eq!(of(&format!("/x?n={large}")).unwrap().size, MAX_ENTRIES, "{large}");
        }
        assert_eq!(of("/x?n=99999999999999999999999999").unwrap().size, MAX_ENTRIES);
        for bad in ["/x?n=-1", "/x?n=abc", "/x?n=", "/x?n=1.5", "/x?n=%31x"] {
            assert!(matches!(of(bad), Err(ApiError::PageSizeInvalid)), "{bad}");
        }
    }

    #[test]
    fn a_full_page_that_is_the_last_has_no_link() {
        let page = Page { size: 2, last: None };
        let mut two = vec!["a", "b"];
        assert_eq!(page.cut(&mut two), None);
        let mut three = vec!["a", "b", "c"];
        assert_eq!(page.cut(&mut three), Some("b".to_owned()));
        assert_eq!(three, ["a", "b"]);
        let mut none = vec!["a"];
        assert_eq!(Page { size: 0, last: None }.cut(&mut none), None);
    }

    proptest::proptest! {
        #[test]
        fn what_a_link_says_is_read_from_it(last in ".{1,40}", n: u32, query_text in "[n=last&+%0-9A-Fa-f]{0,40}") {
            let size = n.min(MAX_ENTRIES);
            let page = of(&format!("/x?n={n}&last={}", encode(&last))).unwrap();
            proptest::prop_assert_eq!(page, Page { size, last: Some(last) });
            if let Ok(page) = of(&format!("/x?{query_text}")) {
                proptest::prop_assert!(page.size <= MAX_ENTRIES && page.last.is_none_or(|last| !last.is_empty()));
            }
        }
    }
}
