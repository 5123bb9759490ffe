//! How bytes are packed, by their magic numbers and by their media type.

use berth_oci::MediaType;

/// A compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Form {
    /// None.
    #[default]
    Plain,
    /// gzip (RFC 1952), one member or several.
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// Zstandard (RFC 8878), one frame or several.
    Zstd,
}

impl Form {
    /// The name that people know it by.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Bytes that [`detect`] wants at most.
pub(super) const MAGIC_BYTES: usize = 6;

/// What the first bytes (six, or all there are) show. What shows no magic number is plain.
#[must_use]
pub fn detect(first: &[u8]) -> Form {
    match first {
        [0x1f, 0x8b, 8, ..] => Form::Gzip,
        [b'B', b'Z', b'h', ..] => Form::Bzip2,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Form::Xz,
        // A frame, or a skippable one, of which there may be some before the first (RFC 8878, 3.1.2).
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Form::Zstd,
        _ => Form::Plain,
    }
}

/// What a layer's media type says, or `None` where it says nothing: types of no layer, encrypted layers.
#[must_use]
pub fn form_of(media_type: &MediaType) -> Option<Form> {
    let text = media_type.as_str();
    if !text.starts_with("application/vnd.oci.image.layer.")
        && !text.starts_with("application/vnd.docker.image.rootfs.")
    {
        return None;
    }
    let (_, suffix) = text.rsplit_once(['.', '+'])?;
    match suffix {
        "tar" => Some(Form::Plain),
        "gzip" => Some(Form::Gzip),
        "zstd" => Some(Form::Zstd),
        _ => None,
    }
}
