//! Extended headers: records `length key=value\n` (POSIX.1-2017 pax, "pax Extended Header").

use super::{Fault, MAX_XATTRS, Segment};

/// What the records of one entry say. What is not listed here has no meaning for an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    /// Seconds and nanoseconds.
    pub(super) mtime: Option<(i64, u32)>,
    /// Extended attributes.
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: Option<SparseRecords>,
}

/// The records of a file with holes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SparseRecords {
    pub(super) version: (u32, u32),
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    /// Of the forms 0.0 and 0.1, where the map stands in the records.
    pub(super) map: Vec<Segment>,
    /// The offset whose length is to follow (0.0).
    offset: Option<u64>,
}

fn damaged() -> Fault {
    Fault::rule("its extended header is not made of records `length key=value`")
}

pub(super) fn decimal(value: &[u8], key: &str) -> Result<u64, Fault> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = digits.then(|| String::from_utf8_lossy(value));
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        Fault::rule(format!(
            "{key} in its extended header is {:?}, no number",
            String::from_utf8_lossy(value)
        ))
    })
}

/// `-12.5` is the moment 12.5 s before 1970: seconds -13 and half a billion nanoseconds.
fn time(value: &[u8]) -> Result<(i64, u32), Fault> {
    let bad = || {
        Fault::rule(format!("mtime in its extended header is {:?}, no time", String::from_utf8_lossy(value)))
    };
    let text = std::str::from_utf8(value).map_err(|_| bad())?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = whole.starts_with('-');
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) || whole.starts_with('+') {
        return Err(bad());
    }
    let seconds: i64 = whole.parse().map_err(|_| bad())?;
    let nanoseconds: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: u32 = nanoseconds.parse().map_err(|_| bad())?;
    if negative && nanoseconds > 0 {
        return Ok((seconds.checked_sub(1).ok_or_else(bad)?, 1_000_000_000 - nanoseconds));
    }
    Ok((seconds, nanoseconds))
}

impl Pax {
    /// Adds the records of one extended header; a later one wins, and one without a value takes the key away.
    pub(super) fn read(&mut self, mut records: &[u8]) -> Result<(), Fault> {
        while !records.is_empty() {
            let space =
                records.iter().position(|byte| *byte == b' ').filter(|at| *at < 20).ok_or_else(damaged)?;
            let length = decimal(&records[..space], "a length").map_err(|_| damaged())?;
            let length = usize::try_from(length).ok().filter(|length| *length <= records.len());
            let length = length.filter(|length| *length > space + 1).ok_or_else(damaged)?;
            let (record, rest) = records.split_at(length);
            let body = record[space + 1..].strip_suffix(b"\n").ok_or_else(damaged)?;
            let equals =
                body.iter().position(|byte| *byte == b'=').filter(|at| *at > 0).ok_or_else(damaged)?;
            self.record(&body[..equals], &body[equals + 1..])?;
            records = rest;
        }
        if self.sparse.as_ref().is_some_and(|sparse| sparse.offset.is_some()) {
            return Err(Fault::rule("its map of holes ends with an offset without a length"));
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        let text = |value: &[u8]| (!value.is_empty()).then(|| value.to_vec());
        let number = |value: &[u8], key: &str| {
            if value.is_empty() { Ok(None) } else { decimal(value, key).map(Some) }
        };
        match key {
            b"path" => self.path = text(value),
            b"linkpath" => self.link = text(value),
            b"size" => self.size = number(value, "size")?,
            b"uid" => self.uid = number(value, "uid")?,
            b"gid" => self.gid = number(value, "gid")?,
            b"mtime" => self.mtime = if value.is_empty() { None } else { Some(time(value)?) },
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.retain(|(known, _)| known != name);
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                    if self.xattrs.len() > MAX_XATTRS {
                        return Err(Fault::rule(format!(
                            "it has more than {MAX_XATTRS} extended attributes"
                        )));
                    }
                } else if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.get_or_insert_default().record(name, value)?;
                }
            }
        }
        Ok(())
    }
}

impl SparseRecords {
    fn record(&mut self, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        let number = |key| decimal(value, key);
        let version = |key| Ok::<u32, Fault>(u32::try_from(decimal(value, key)?).unwrap_or(u32::MAX));
        match name {
            b"major" => self.version.0 = version("GNU.sparse.major")?,
            b"minor" => self.version.1 = version("GNU.sparse.minor")?,
            b"name" => self.name = Some(value.to_vec()),
            b"realsize" | b"size" => self.real_size = Some(number("GNU.sparse.size")?),
            // Form 0.0: pairs of records in their order.
            b"offset" => match self.offset.replace(number("GNU.sparse.offset")?) {
                None => {}
                Some(_) => {
                    return Err(Fault::rule("its map of holes has two offsets without a length between"));
                }
            },
            b"numbytes" => {
                let length = number("GNU.sparse.numbytes")?;
                let offset = self.offset.take();
                let offset = offset.ok_or_else(|| {
                    Fault::rule("its map of holes has a length without an offset before it")
                })?;
                self.map.push(Segment { offset, length });
            }
            // Form 0.1: one record with all.
            b"map" => {
                self.map.clear();
                let numbers: Vec<u64> = match value {
                    b"" => Vec::new(),
                    _ => value
                        .split(|byte| *byte == b',')
                        .map(|number| decimal(number, "GNU.sparse.map"))
                        .collect::<Result<_, _>>()?,
                };
                for pair in numbers.chunks(2) {
                    let [offset, length] = *pair else {
                        return Err(Fault::rule("its map of holes ends with an offset without a length"));
                    };
                    self.map.push(Segment { offset, length });
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(records: &[u8]) -> Result<Pax, Fault> {
        let mut pax = Pax::default();
        pax.read(records).map(|()| pax)
    }

    #[test]
    fn u10_attributes_have_a_bound() {
        let many = |count: usize| -> Vec<u8> {
            (0..count).flat_map(|n| format!("27 SCHILY.xattr.user.{n:04}=\n").into_bytes()).collect()
        };
        assert_eq!(read(&many(MAX_XATTRS)).unwrap().xattrs.len(), MAX_XATTRS);
        assert!(matches!(read(&many(MAX_XATTRS + 1)), Err(Fault::Rule(rule)) if rule.contains("1024")));
    }

    #[test]
    fn records_are_read_and_later_ones_win() {
        let pax = read(b"12 path=one\n12 path=two\n20 mtime=12.5000001\n").unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"two"[..]));
        assert_eq!(pax.mtime, Some((12, 500_000_100)));
        assert_eq!(read(b"12 path=one\n8 path=\n").unwrap().path, None);
        assert_eq!(read(b"15 mtime=-12.5\n").unwrap().mtime, Some((-13, 500_000_000)));
        let pax = read(b"28 SCHILY.xattr.user.a=x=\ny\n").unwrap();
        assert_eq!(pax.xattrs, [(b"user.a".to_vec(), b"x=\ny".to_vec())]);
    }

    #[test]
    fn u9_bad_records_are_refused() {
        for bad in [
            &b"path=one\n"[..],
            b"99 path=one\n",
            b"12 path=one",
            b"11 path=one\n",
            b"3 \n",
            b"0 a=b\n",
            b"5 =b\n",
            b"-6 a=b\n",
            b"18446744073709551616 a=b\n",
            b"12 size=0x1\n",
            b"11 size=-1\n",
            b"28 size=18446744073709551616\n",
            b"11 mtime=.\n",
            b"26 GNU.sparse.numbytes=5\n",
            b"23 GNU.sparse.offset=0\n",
        ] {
            assert!(read(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
    }
}
