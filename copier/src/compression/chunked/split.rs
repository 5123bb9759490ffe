//! The tar-split: the tar stream without its files' bytes, as JSON lines.

use std::{io, str};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::frames::{Packed, Table};
use crate::compression::Level;

const FILE: u8 = 1;
const SEGMENT: u8 = 2;
/// Bytes of one line's segment, so that no line grows with the layer.
const SEGMENT_BYTES: usize = 64 << 10;

#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    payload: Option<String>,
    position: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

pub(super) struct TarSplit {
    table: Table,
    position: u64,
}

impl TarSplit {
    pub(super) fn new(level: Level) -> io::Result<Self> {
        Ok(Self { table: Table::new(level)?, position: 0 })
    }

    /// Bytes that are no file's.
    pub(super) fn segment(&mut self, bytes: &[u8]) -> io::Result<()> {
        bytes
            .chunks(SEGMENT_BYTES)
            .try_for_each(|part| self.line(SEGMENT, "", 0, Some(STANDARD.encode(part))))
    }

    /// A member, with the checksum of its bytes if it has any.
    pub(super) fn file(&mut self, name: &str, size: u64, crc: Option<u64>) -> io::Result<()> {
        self.line(FILE, name, size, crc.map(|crc| STANDARD.encode(crc.to_be_bytes())))
    }

    fn line(&mut self, kind: u8, name: &str, size: u64, payload: Option<String>) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Line { kind, name, size, payload, position: self.position })?;
        line.push(b'\n');
        self.position += 1;
        self.table.write(&line)
    }

    pub(super) fn finish(self) -> io::Result<Packed> {
        self.table.finish()
    }
}
