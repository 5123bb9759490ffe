//! zstd:chunked.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
};

use super::Level;
use crate::Error;

pub(super) fn write(
    _plain: &mut dyn Read,
    _out: &mut dyn Write,
    _level: Level,
) -> io::Result<BTreeMap<String, String>> {
    Err(io::Error::other(Error::Unsupported("zstd:chunked is not written yet".to_owned())))
}
