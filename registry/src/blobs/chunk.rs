//! What a request says about the bytes that it brings.

use std::str::FromStr;

use super::UploadError;

/// `Content-Range` of a chunk: `<first>-<last>`, both inclusive (distribution-spec, "Pushing a
/// blob in chunks"; not the form of RFC 9110).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    first: u64,
    // Its length fits too: at most 2^64 - 1.
    len: u64,
}

impl ContentRange {
    /// The first byte's place in the blob.
    #[must_use]
    pub const fn first(self) -> u64 {
        self.first
    }

    /// How many bytes it spans; at least one.
    #[must_use]
    pub const fn size(self) -> u64 {
        self.len
    }
}

impl FromStr for ContentRange {
    type Err = UploadError;

    fn from_str(s: &str) -> Result<Self, UploadError> {
        let form = || UploadError::Invalid("Content-Range has the form <first>-<last>, in bytes");
        let number = |text: &str| {
            // `parse` would take a sign.
            if text.bytes().all(|b| b.is_ascii_digit()) { text.parse::<u64>().ok() } else { None }
        };
        let (first, last) = s.split_once('-').ok_or_else(form)?;
        let (first, last) = (number(first).ok_or_else(form)?, number(last).ok_or_else(form)?);
        let len = last.checked_sub(first).and_then(|len| len.checked_add(1));
        let len = len.ok_or(UploadError::Invalid("Content-Range ends before it begins"))?;
        Ok(Self { first, len })
    }
}

/// What a request announces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// `Content-Range`, where there is one.
    pub range: Option<ContentRange>,
    /// `Content-Length`, where there is one.
    pub length: Option<u64>,
}

impl Chunk {
    /// How many bytes must come, if that is known.
    ///
    /// # Errors
    /// [`UploadError::Size`] when the two headers contradict each other.
    pub(super) fn size(self) -> Result<Option<u64>, UploadError> {
        match (self.range.map(ContentRange::size), self.length) {
            (Some(range), Some(length)) if range != length => {
                Err(UploadError::Size { announced: range, received: length })
            }
            (range, length) => Ok(range.or(length)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r7_what_is_no_range_is_an_invalid_upload() {
        for text in [
            "",
            "-",
            "5",
            "5-",
            "-5",
            "5-2",
            "bytes 0-5",
            "bytes=0-5",
            "0-5/10",
            "0-18446744073709551616",
            "18446744073709551616-18446744073709551617",
            "0-18446744073709551615",
            "+0-5",
            "0-+5",
            " 0-5",
            "0-5 ",
            "0-5-9",
            "a-b",
        ] {
            assert!(matches!(text.parse::<ContentRange>(), Err(UploadError::Invalid(_))), "{text:?}");
        }
    }

    #[test]
    fn r5_two_lengths_that_differ_are_a_bad_size() {
        let chunk = Chunk { range: Some("0-9".parse().unwrap()), length: Some(9) };
        assert!(matches!(chunk.size(), Err(UploadError::Size { announced: 10, received: 9 })));
        assert_eq!(Chunk { length: Some(10), ..chunk }.size().unwrap(), Some(10));
        assert_eq!(Chunk { length: None, ..chunk }.size().unwrap(), Some(10));
        assert_eq!(Chunk::default().size().unwrap(), None);
    }

    proptest! {
        #[test]
        fn every_range_that_is_one_is_read(first in 0..u64::MAX / 2, len in 1..u64::MAX / 2) {
            let range: ContentRange = format!("{first}-{}", first + len - 1).parse().unwrap();
            prop_assert_eq!((range.first(), range.size()), (first, len));
        }
    }
}
