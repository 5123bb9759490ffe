//! `push`.

use std::path::PathBuf;

use berth_copier::{
    ImageName,
    copy::{CompressionFormat, ManifestFormat},
};
use clap::{Args, ValueEnum};

use super::{AccessOptions, Globals, output};
use crate::{
    error::{Result, RunnerError, While},
    image::{self, Push, Told, name},
};

/// Its arguments.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The image: a name or an id
    #[arg(value_name = "IMAGE")]
    image: String,

    /// Where to: a name, or docker://, oci:, oci-archive:, docker-archive:, dir: [default: the image's name]
    #[arg(value_name = "DESTINATION")]
    destination: Option<String>,

    /// Print nothing
    #[arg(long, short)]
    quiet: bool,

    /// Write the digest of the image at the destination into this file
    #[arg(long, value_name = "PATH")]
    digestfile: Option<PathBuf>,

    /// Convert the manifest [default: as it came]
    #[arg(long, short, value_name = "FORMAT")]
    format: Option<Format>,

    /// Compress layers so; those in another compression are packed anew
    #[arg(long, value_name = "FORMAT")]
    compression_format: Option<Compression>,

    /// Level of the compression
    #[arg(long, value_name = "N")]
    compression_level: Option<i32>,

    /// Pack layers anew even where the destination has them in another compression
    #[arg(long)]
    force_compression: bool,

    #[command(flatten)]
    access: AccessOptions,
}

const EXAMPLES: &str = "\
Examples:
  berth-runner push registry.example.org/app:1.0
  berth-runner push --creds me:secret app registry.example.org/team/app:1.0
  berth-runner push --compression-format zstd app oci-archive:app.tar:app:latest";

/// Formats of manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// OCI's
    Oci,
    /// Docker's schema 2
    #[value(alias = "v2s2")]
    Docker,
}

impl Format {
    pub(super) fn manifest(self) -> ManifestFormat {
        match self {
            Self::Oci => ManifestFormat::Oci,
            Self::Docker => ManifestFormat::V2s2,
        }
    }
}

/// Compressions of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Compression {
    /// gzip
    Gzip,
    /// zstd
    Zstd,
    /// zstd whose files can be fetched one by one
    #[value(name = "zstd:chunked")]
    ZstdChunked,
}

impl Compression {
    fn layers(self) -> CompressionFormat {
        match self {
            Self::Gzip => CompressionFormat::Gzip,
            Self::Zstd => CompressionFormat::Zstd,
            Self::ZstdChunked => CompressionFormat::ZstdChunked,
        }
    }
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let access = arguments.access.access(&context)?;
    let image = image::find(&context.store, &arguments.image, &access)?.ok_or_else(|| {
        RunnerError::NotFound(format!("no image {}: `berth-runner images` lists them", arguments.image))
    })?;
    let to = destination(arguments.destination.as_deref(), &arguments.image, &image.names)?;
    let options = image::push_options(
        arguments.format.map(Format::manifest),
        arguments.compression_format.map(Compression::layers),
        arguments.compression_level,
        arguments.force_compression,
    );
    let told = Told::new(arguments.quiet);
    let push =
        Push { store: &context.store, access: &access, options, uncompressed: false, told: told.clone() };
    let report = push.push(&image, &to)?;
    if let Some(path) = &arguments.digestfile {
        std::fs::write(path, report.digest.as_str()).doing("writing", path)?;
    }
    if let Some(was) = &report.source_digest {
        told.line(&format!("Layers were packed anew: the image is {} here and {} there", was, report.digest));
    }
    if !arguments.quiet {
        output::line(report.digest.as_str())?;
    }
    Ok(0)
}

/// The place that was named, or the one that the image is named after.
fn destination(given: Option<&str>, image: &str, names: &[String]) -> Result<ImageName> {
    let text = match given {
        Some(given) if name::has_transport(given) => given.to_owned(),
        Some(given) => format!("docker://{given}"),
        None => {
            // The name that was typed, in full, is one of the image's.
            let typed = names.iter().find(|name| {
                *name == image
                    || name.parse().is_ok_and(|name: berth_oci::Reference| {
                        image.parse().is_ok_and(|typed: berth_oci::Reference| name == typed.or_latest())
                    })
            });
            let name = typed.or(names.first().filter(|_| names.len() == 1)).ok_or_else(|| {
                RunnerError::Usage(format!(
                    "{image} has no single name to be pushed to: write the destination behind it"
                ))
            })?;
            format!("docker://{name}")
        }
    };
    text.parse().map_err(|error: berth_copier::Error| RunnerError::Usage(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_goes_where_its_name_says_or_where_it_is_told() {
        let names = ["x.org/a:1".to_owned(), "x.org/b:1".to_owned()];
        let to = |given: Option<&str>, image: &str, names: &[String]| {
            destination(given, image, names).map(|name| name.to_string())
        };
        assert_eq!(to(None, "x.org/b:1", &names).unwrap(), "docker://x.org/b:1");
        assert_eq!(to(Some("y.org/z"), "x.org/b:1", &names).unwrap(), "docker://y.org/z:latest");
        assert_eq!(to(Some("oci:/tmp/x:1"), "a", &names).unwrap(), "oci:/tmp/x:1");
        assert_eq!(to(None, "0123", &names[..1]).unwrap(), "docker://x.org/a:1");
        assert_eq!(to(None, "0123", &names).unwrap_err().exit_code(), 2);
    }
}
