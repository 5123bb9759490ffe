//! Extended headers (POSIX.1-2017, pax, "pax Extended Header").

/// The fields that matter for finding content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    /// Whether the content is stored with holes left out (GNU.sparse.…).
    pub(crate) sparse: bool,
}

impl Fields {
    /// Takes the records `LENGTH KEY=VALUE\n`.
    ///
    /// # Errors
    /// A sentence, for what is no such record.
    pub(crate) fn parse(mut content: &[u8]) -> Result<Self, &'static str> {
        let mut fields = Self::default();
        while !content.is_empty() {
            let space = content.iter().position(|byte| *byte == b' ').ok_or("a record without a length")?;
            let length = std::str::from_utf8(&content[..space]).ok().filter(|text| text.len() <= 9);
            let length: usize =
                length.and_then(|text| text.parse().ok()).ok_or("a length that is no number")?;
            if length <= space + 1 || length > content.len() {
                return Err("a record's length is out of bounds");
            }
            let (record, rest) = content.split_at(length);
            content = rest;
            let record = record[space + 1..].strip_suffix(b"\n").ok_or("a record without its end")?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or("a record without =")?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => fields.path = Some(value.to_vec()),
                b"linkpath" => fields.link = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|text| text.parse::<i64>().ok());
                    let size =
                        size.and_then(|size| u64::try_from(size).ok()).ok_or("a size that is no number")?;
                    fields.size = Some(size);
                }
                key if key.starts_with(b"GNU.sparse.") => fields.sparse = true,
                _ => {}
            }
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn records_give_names_links_and_sizes() {
        let fields = Fields::parse(b"12 path=a/b\n14 linkpath=c\n11 size=42\n25 mtime=1350244992.0239\n");
        let expected =
            Fields { path: Some(b"a/b".to_vec()), link: Some(b"c".to_vec()), size: Some(42), sparse: false };
        assert_eq!(fields, Ok(expected));
        assert!(Fields::parse(b"22 GNU.sparse.major=1\n").unwrap().sparse);
    }

    #[test]
    fn broken_records_are_refused() {
        for broken in [
            &b"x"[..],
            b"5 a=b",
            b"99 a=b\n",
            b"0 a=b\n",
            b"2 a=b\n",
            b"4 a\n\n",
            b"99999999999999999999 a=b\n",
            b"11 size=-1\n",
            b"31 size=99999999999999999999999\n",
        ] {
            assert!(Fields::parse(broken).is_err(), "{} was taken", broken.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _fields = Fields::parse(&content);
        }

        #[test]
        fn no_near_records_make_it_panic(content in "[0-9 a-z=\n]{0,60}") {
            let _fields = Fields::parse(content.as_bytes());
        }
    }
}
