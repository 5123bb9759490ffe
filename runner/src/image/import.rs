//! An image of the files in a tar.

use std::io::{BufReader, ErrorKind, Read};

use berth_copier::compression::{Limits, Unpack, Unpacked};

use super::make::NewLayer;
use crate::{error::Result, store::Store};

const BUFFER: usize = 256 << 10;

/// Puts a tar, plain or packed, into the store as a layer; answers it with what was left out.
///
/// # Errors
/// [`crate::error::RunnerError::Content`] for what is no tar; where it cannot be read.
pub(crate) fn layer(store: &Store, from: impl Read + 'static) -> Result<(NewLayer, Vec<String>)> {
    let from = BufReader::with_capacity(BUFFER, from);
    let mut plain = Unpacked::open(from, Unpack::Detect, Limits::default())?;
    let mut writer = store.begin_unknown_layer()?;
    let mut buffer = vec![0; BUFFER];
    let mut size = 0;
    loop {
        match plain.read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) => {
                writer.take(&buffer[..bytes])?;
                size += bytes as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Unpacked::fault(error).into()),
        }
    }
    let warnings = writer.warnings().to_vec();
    Ok((NewLayer { diff_id: writer.finish()?, size }, warnings))
}
