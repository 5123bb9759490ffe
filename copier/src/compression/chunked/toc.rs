//! The table of contents: JSON with an entry for each member and for each chunk of a file.

use std::{collections::BTreeMap, io};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use berth_oci::Digest;
use serde::Serialize;

use super::{
    frames::{self, Table},
    header::Member,
    payload,
};
use crate::compression::Level;

/// An entry, with the names and the order of fields that its readers have.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    link_name: String,
    #[serde(skip_serializing_if = "is_zero")]
    mode: i64,
    #[serde(skip_serializing_if = "is_zero")]
    size: i64,
    #[serde(skip_serializing_if = "is_zero")]
    uid: i64,
    #[serde(skip_serializing_if = "is_zero")]
    gid: i64,
    #[serde(rename = "modtime", skip_serializing_if = "Option::is_none")]
    modified: Option<String>,
    #[serde(rename = "accesstime", skip_serializing_if = "Option::is_none")]
    accessed: Option<String>,
    #[serde(rename = "changetime", skip_serializing_if = "Option::is_none")]
    changed: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    dev_major: i64,
    #[serde(skip_serializing_if = "is_zero")]
    dev_minor: i64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    #[serde(skip_serializing_if = "none")]
    offset: u64,
    #[serde(skip_serializing_if = "none")]
    end_offset: u64,
    #[serde(skip_serializing_if = "none")]
    chunk_size: u64,
    #[serde(skip_serializing_if = "none")]
    chunk_offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk_digest: Option<Digest>,
    #[serde(skip_serializing_if = "str::is_empty")]
    chunk_type: &'static str,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn none(number: &u64) -> bool {
    *number == 0
}

impl Entry {
    /// A member's entry, and those of its chunks where it has more than one. The member's own entry describes its first
    /// chunk besides.
    pub(super) fn of(member: &Member, packed: payload::Packed) -> Vec<Self> {
        let time = |time: Option<jiff::Timestamp>| time.map(|time| time.to_string());
        let mut entries = vec![Self {
            kind: member.kind,
            name: member.name.clone(),
            link_name: member.link.clone(),
            mode: member.mode,
            size: member.size,
            uid: member.uid,
            gid: member.gid,
            modified: time(member.modified),
            accessed: time(member.accessed),
            changed: time(member.changed),
            dev_major: member.device.0,
            dev_minor: member.device.1,
            xattrs: member.xattrs.iter().map(|(key, value)| (key.clone(), STANDARD.encode(value))).collect(),
            digest: packed.digest,
            offset: packed.chunks.first().map_or(0, |chunk| chunk.offset),
            end_offset: packed.end,
            ..Self::default()
        }];
        if packed.chunks.len() < 2 {
            return entries;
        }
        for (place, chunk) in packed.chunks.into_iter().enumerate() {
            if place > 0 {
                entries.push(Self {
                    kind: "chunk",
                    name: member.name.clone(),
                    chunk_offset: chunk.from,
                    ..Self::default()
                });
            }
            let entry = &mut entries[place];
            entry.offset = chunk.offset;
            entry.chunk_size = chunk.size;
            entry.chunk_digest = Some(chunk.digest);
            entry.chunk_type = if chunk.zeros { "zeros" } else { "" };
        }
        entries
    }
}

pub(super) struct Toc {
    table: Table,
    entries: u64,
}

impl Toc {
    pub(super) fn new(level: Level) -> io::Result<Self> {
        let mut table = Table::new(level)?;
        table.write(br#"{"version":1,"entries":["#)?;
        Ok(Self { table, entries: 0 })
    }

    pub(super) fn add(&mut self, entry: &Entry) -> io::Result<()> {
        if self.entries > 0 {
            self.table.write(b",")?;
        }
        self.entries += 1;
        self.table.write(&serde_json::to_vec(entry)?)
    }

    /// Names the tar-split that belongs to it.
    pub(super) fn finish(mut self, split: &Digest) -> io::Result<frames::Packed> {
        self.table.write(format!(r#"],"tarSplitDigest":"{split}"}}"#).as_bytes())?;
        self.table.finish()
    }
}
