//! Archives for tests, hostile ones too: every field is written as told.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// An archive that is being made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Archive(Vec<u8>);

/// One header, with ordinary values to begin with.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    block: [u8; 512],
}

impl Member {
    pub(crate) fn new(kind: u8, name: &str) -> Self {
        let mut block = [0; 512];
        block[257..263].copy_from_slice(b"ustar\0");
        block[263..265].copy_from_slice(b"00");
        block[156] = kind;
        let member = Self { block };
        let mode = if kind == b'5' { 0o755 } else { 0o644 };
        member
            .field(0, name.as_bytes())
            .octal(100, 8, mode)
            .octal(108, 8, 0)
            .octal(116, 8, 0)
            .octal(124, 12, 0)
            .octal(136, 12, 1_600_000_000)
    }

    pub(crate) fn field(mut self, at: usize, bytes: &[u8]) -> Self {
        self.block[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(crate) fn octal(self, at: usize, width: usize, value: u64) -> Self {
        let text = format!("{value:0width$o}\0", width = width - 1);
        self.field(at, text.as_bytes())
    }

    pub(crate) fn mode(self, mode: u64) -> Self {
        self.octal(100, 8, mode)
    }

    pub(crate) fn owner(self, uid: u64, gid: u64) -> Self {
        self.octal(108, 8, uid).octal(116, 8, gid)
    }

    pub(crate) fn size(self, size: u64) -> Self {
        self.octal(124, 12, size)
    }

    pub(crate) fn link(self, target: &str) -> Self {
        self.field(157, target.as_bytes())
    }

    pub(crate) fn device(self, major: u64, minor: u64) -> Self {
        self.octal(329, 8, major).octal(337, 8, minor)
    }

    pub(crate) fn gnu(self) -> Self {
        self.field(257, b"ustar  \0")
    }

    fn sealed(mut self) -> [u8; 512] {
        self.block[148..156].fill(b' ');
        let sum: u64 = self.block.iter().map(|byte| u64::from(*byte)).sum();
        self.octal(148, 7, sum).block
    }
}

impl Archive {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A header alone.
    pub(crate) fn member(mut self, member: Member) -> Self {
        self.0.extend_from_slice(&member.sealed());
        self
    }

    /// Bytes, and zeros up to the next whole block.
    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn with(self, member: Member, content: &[u8]) -> Self {
        self.member(member.size(content.len() as u64)).bytes(content)
    }

    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        self.with(Member::new(b'0', name), content)
    }

    pub(crate) fn folder(self, name: &str) -> Self {
        self.member(Member::new(b'5', name))
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.member(Member::new(b'2', name).link(target))
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.member(Member::new(b'1', name).link(target))
    }

    /// An extended header of the next member.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut body = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            body.extend_from_slice(format!("{length} {key}=").as_bytes());
            body.extend_from_slice(value);
            body.push(b'\n');
        }
        self.with(Member::new(b'x', "pax"), &body)
    }

    /// With its end.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }

    /// As it is.
    pub(crate) fn cut(self) -> Vec<u8> {
        self.0
    }
}

/// Everything that can be seen of a tree: path, kind, mode, owner, size or target, time, names, attributes.
pub(crate) fn listing(root: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    fn walk(root: &Path, path: &Path, first: &mut HashMap<u64, PathBuf>, lines: &mut Vec<String>) {
        let found =
            std::fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let kind = found.mode() & 0o170_000;
        let target = if found.is_symlink() { std::fs::read_link(path).unwrap() } else { Default::default() };
        let mut buffer = vec![0; 65_536];
        let names = rustix::fs::llistxattr(path, &mut buffer).unwrap();
        let mut attributes: Vec<String> = buffer[..names]
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
            .map(|name| {
                let mut value = vec![0; 65_536];
                let length = rustix::fs::lgetxattr(path, name, &mut value).unwrap();
                format!("{}={:?}", String::from_utf8_lossy(name), String::from_utf8_lossy(&value[..length]))
            })
            .collect();
        attributes.sort();
        let size = if found.is_file() { found.len() } else { 0 };
        let names = first.entry(found.ino()).or_insert_with(|| path.to_owned());
        let names = names.strip_prefix(root).unwrap().display();
        lines.push(format!(
            "{} {kind:o} {:o} {}:{} {size} {}.{:09} {names} {:x} {} {attributes:?}",
            path.strip_prefix(root).unwrap().display(),
            found.mode() & 0o7777,
            found.uid(),
            found.gid(),
            found.mtime(),
            found.mtime_nsec(),
            found.rdev(),
            target.display(),
        ));
        if found.is_dir() {
            let mut entries: Vec<_> =
                std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
            entries.sort();
            for entry in entries {
                walk(root, &entry, first, lines);
            }
        }
    }
    let mut lines = Vec::new();
    walk(root, root, &mut HashMap::new(), &mut lines);
    lines
}
