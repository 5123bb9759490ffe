//! Options of what a copy makes of an image, shared by `copy` and `sync`.

use std::path::PathBuf;

use berth_copier::{
    Error, ImageName, Result, Side,
    copy::{Compression, CompressionFormat, ManifestFormat, Options},
    source::Instances,
};
use clap::Args;

/// Which platforms of a multi-platform image.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "What to copy")]
pub(crate) struct PlatformOptions {
    /// Copy every platform of a multi-platform image, and its index
    #[arg(long, short)]
    pub(crate) all: bool,

    /// Copy `system` (this machine's platform), `all`, `index-only`, or platforms like linux/amd64,linux/arm64/v8
    #[arg(long, value_name = "WHICH", conflicts_with = "all")]
    pub(crate) multi_arch: Option<String>,
}

impl PlatformOptions {
    /// The children that are wanted.
    ///
    /// # Errors
    /// For what is neither a word nor a list of platforms.
    pub(crate) fn instances(&self) -> Result<Instances> {
        match self.multi_arch.as_deref() {
            None if self.all => Ok(Instances::All),
            None => Ok(Instances::System),
            Some(text) => instances(text),
        }
    }
}

fn instances(text: &str) -> Result<Instances> {
    match text {
        "system" => Ok(Instances::System),
        "all" => Ok(Instances::All),
        "index-only" => Ok(Instances::IndexOnly),
        list if list.contains('/') => {
            let parse = |word: &str| {
                word.parse()
                    .map_err(|fault| Error::Usage(format!("--multi-arch \"{text}\": \"{word}\": {fault}")))
            };
            list.split(',').map(parse).collect::<Result<_>>().map(Instances::Platforms)
        }
        _ => Err(Error::Usage(format!(
            "unknown multi-arch option \"{text}\". Choose one of the supported options: 'system', 'all', 'index-only', or \
             platforms like 'linux/amd64,linux/arm64/v8'"
        ))),
    }
}

/// Manifests and signatures.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Manifests and signatures")]
pub(crate) struct ManifestOptions {
    /// Convert manifests to oci or v2s2 [default: as they are, unless the destination cannot hold them]
    #[arg(long, short, value_name = "TYPE")]
    pub(crate) format: Option<String>,

    /// Fail rather than change a digest
    #[arg(long)]
    pub(crate) preserve_digests: bool,

    /// Do not copy signatures
    #[arg(long)]
    pub(crate) remove_signatures: bool,

    /// Sign with this GPG key
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) sign_by: Option<String>,

    /// Sign as this sigstore parameter file says (containers-sigstore-signing-params.yaml)
    #[arg(long, value_name = "PATH")]
    pub(crate) sign_by_sigstore: Option<PathBuf>,

    /// Sign with this sigstore private key
    #[arg(long, value_name = "PATH")]
    pub(crate) sign_by_sigstore_private_key: Option<PathBuf>,

    /// Read the signing key's passphrase from the first line of this file
    #[arg(long, value_name = "PATH")]
    pub(crate) sign_passphrase_file: Option<PathBuf>,
}

impl ManifestOptions {
    /// Sets what these options ask for.
    ///
    /// # Errors
    /// For an unknown format and for one that is not made here, and for keys that cannot be used.
    pub(crate) fn add_to(&self, options: &mut Options) -> Result<()> {
        options.format = self.format.as_deref().map(format).transpose()?;
        options.preserve_digests = self.preserve_digests;
        options.remove_signatures = self.remove_signatures;
        options.signers = self.signers()?;
        Ok(())
    }
}

fn format(text: &str) -> Result<ManifestFormat> {
    match text {
        "oci" => Ok(ManifestFormat::Oci),
        "v2s2" => Ok(ManifestFormat::V2s2),
        "v2s1" => Err(Error::Unsupported(
            "--format v2s1: manifests of Docker's first schema are not written, since no registry has asked for them since 2015 \
             and their digests cannot be verified; use v2s2 or oci"
                .to_owned(),
        )),
        _ => Err(Error::Usage(format!(
            "unknown format \"{text}\". Choose one of the supported formats: 'oci', 'v2s1', or 'v2s2'"
        ))),
    }
}

/// Layers at the destination.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Layers at the destination")]
pub(crate) struct LayerOptions {
    /// Compress layers, where the destination is dir:
    #[arg(long)]
    dest_compress: bool,

    /// Unpack layers, where the destination is dir:
    #[arg(long)]
    dest_decompress: bool,

    /// Compress plain layers with gzip, zstd or zstd:chunked
    #[arg(long, value_name = "FORMAT")]
    dest_compress_format: Option<String>,

    /// Compress at this level: 1 to 9 for gzip, 1 to 22 for zstd
    #[arg(long, value_name = "LEVEL")]
    dest_compress_level: Option<i32>,

    /// Recompress layers of any other format too
    #[arg(long)]
    dest_force_compress_format: bool,

    /// Leave plain layers plain in an OCI layout
    #[arg(long)]
    dest_oci_accept_uncompressed_layers: bool,

    /// Find out the digests of recompressed layers before the upload; what is there is not sent again
    #[arg(long)]
    dest_precompute_digests: bool,
}

impl LayerOptions {
    /// Sets what these options ask for, and says which of them have no effect on this destination.
    ///
    /// # Errors
    /// For contradictions, unknown formats and levels out of range.
    pub(crate) fn add_to(
        &self,
        options: &mut Options,
        side: &mut Side,
        destination: &ImageName,
    ) -> Result<Vec<String>> {
        if self.dest_compress && self.dest_decompress {
            return Err(Error::Usage("--dest-compress and --dest-decompress exclude each other".to_owned()));
        }
        let format = self.dest_compress_format.as_deref().map(compression).transpose()?;
        if self.dest_force_compress_format && format.is_none() {
            return Err(Error::Usage(
                "--dest-force-compress-format needs a format from --dest-compress-format".to_owned(),
            ));
        }
        if let Some(level) = self.dest_compress_level {
            check_level(level, format)?;
        }
        let folder = matches!(destination, ImageName::Dir(_));
        options.compression = Compression {
            compress: self.dest_compress && folder,
            decompress: self.dest_decompress && folder,
            format,
            level: self.dest_compress_level,
            force: self.dest_force_compress_format,
        };
        options.precompute_digests = self.dest_precompute_digests;
        side.accept_uncompressed_layers = self.dest_oci_accept_uncompressed_layers;
        Ok([("compress", self.dest_compress), ("decompress", self.dest_decompress)]
            .into_iter()
            .filter(|(_, asked)| *asked && !folder)
            .map(|(flag, _)| format!("--dest-{flag} can only be used if the destination transport is 'dir'"))
            .collect())
    }
}

fn compression(text: &str) -> Result<CompressionFormat> {
    match text {
        "gzip" => Ok(CompressionFormat::Gzip),
        "zstd" => Ok(CompressionFormat::Zstd),
        "zstd:chunked" => Ok(CompressionFormat::ZstdChunked),
        "bzip2" | "xz" => Err(Error::Unsupported(format!(
            "--dest-compress-format {text}: layers are read from {text} and never written as it; use gzip, zstd or zstd:chunked"
        ))),
        _ => Err(Error::Usage(format!(
            "cannot find compressor for \"{text}\"; use gzip, zstd or zstd:chunked"
        ))),
    }
}

fn check_level(level: i32, format: Option<CompressionFormat>) -> Result<()> {
    let (most, name) = match format {
        None | Some(CompressionFormat::Gzip) => (9, "gzip"),
        Some(CompressionFormat::Zstd | CompressionFormat::ZstdChunked) => (20, "zstd"),
    };
    if (1..=most).contains(&level) {
        return Ok(());
    }
    Err(Error::Usage(format!("--dest-compress-level {level}: {name} has levels 1 to {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_a_word_or_a_list() {
        assert_eq!(instances("system").unwrap(), Instances::System);
        assert_eq!(instances("all").unwrap(), Instances::All);
        assert_eq!(instances("index-only").unwrap(), Instances::IndexOnly);
        let Instances::Platforms(list) = instances("linux/amd64,linux/arm64/v8").unwrap() else {
            panic!("a list")
        };
        assert_eq!(
            list.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["linux/amd64", "linux/arm64/v8"]
        );
        for text in ["", "amd64", "linux/", "linux/amd64,", "linux/amd64,all", "ALL"] {
            assert_eq!(instances(text).unwrap_err().exit_code(), 2, "{text}");
        }
    }

    #[test]
    fn what_is_not_made_here_says_why_not() {
        assert!(matches!(format("v2s1"), Err(Error::Unsupported(_))));
        assert!(matches!(compression("xz"), Err(Error::Unsupported(_))));
        assert!(matches!(format("v3"), Err(Error::Usage(_))));
        assert!(matches!(compression("lz4"), Err(Error::Usage(_))));
    }

    #[test]
    fn levels_belong_to_their_format() {
        let layers = LayerOptions { dest_compress_level: Some(12), ..LayerOptions::default() };
        let add = |layers: &LayerOptions| {
            layers.add_to(&mut Options::default(), &mut Side::default(), &ImageName::Dir("x".into()))
        };
        assert!(add(&layers).is_err());
        let layers = LayerOptions { dest_compress_format: Some("zstd".to_owned()), ..layers };
        assert!(add(&layers).is_ok());
    }

    #[test]
    fn compressing_a_registrys_layers_is_said_to_have_no_effect() {
        let layers = LayerOptions { dest_compress: true, ..LayerOptions::default() };
        let name = "docker://example.org/a".parse().unwrap();
        let mut options = Options::default();
        let warnings = layers.add_to(&mut options, &mut Side::default(), &name).unwrap();
        assert_eq!(warnings, ["--dest-compress can only be used if the destination transport is 'dir'"]);
        assert!(!options.compression.compress);
    }
}
