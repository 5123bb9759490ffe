//! `save`.

use std::{
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
};

use berth_copier::{ImageName, name::LayoutImage};
use clap::{Args, ValueEnum};

use tempfile::NamedTempFile;

use super::Globals;
use crate::{
    error::{Result, RunnerError, While},
    image::{self, Access, Push, Told, save},
    store::{Image, Store},
};

/// Its arguments.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Images: names or ids; several go into one docker-archive
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,

    /// The file or folder to write [default: standard output]
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,

    /// What to write
    #[arg(long, value_name = "FORMAT", default_value = "docker-archive")]
    format: Format,

    /// Several images in one archive; that they are several says it already
    #[arg(long, short = 'm', hide = true)]
    multi_image_archive: bool,

    /// Do not compress layers in OCI's formats
    #[arg(long)]
    uncompressed: bool,

    /// Print nothing
    #[arg(long, short)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  berth-runner save -o app.tar registry.example.org/app:1.0
  berth-runner save app db | ssh host podman load
  berth-runner save --format oci-archive -o app.tar app";

/// Formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// What docker and podman load
    DockerArchive,
    /// An OCI layout in a tar file
    OciArchive,
    /// An OCI layout in a folder
    OciDir,
    /// manifest.json and a file per blob in a folder
    DockerDir,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let store = &context.store;
    let mut images = Vec::new();
    for text in &arguments.images {
        let image = image::here(store, text)?;
        let names = image::name_of(text, &image).into_iter().collect::<Vec<_>>();
        images.push((image, names));
    }
    let output = match &arguments.output {
        Some(path) if path.as_os_str() != "-" => Some(path.as_path()),
        _ if io::stdout().is_terminal() => {
            return Err(RunnerError::Usage(
                "an archive is not for a terminal: write it to a file with --output, or into a pipe".into(),
            ));
        }
        _ => None,
    };
    match (arguments.format, images.as_slice()) {
        (Format::DockerArchive, _) => docker_archive(store, &images, output)?,
        (format, [(image, names)]) => {
            let to = place(format, output, names.first())?;
            let access = Access::default();
            // The archive may go to standard output.
            let told = Told::new(arguments.quiet);
            let options = image::push_options(None, None, None, false);
            let push = Push { store, access: &access, options, uncompressed: arguments.uncompressed, told };
            push.push(image, &to)?;
        }
        (_, _) => {
            return Err(RunnerError::Usage(
                "several images go into a docker-archive alone: leave --format out, or save them one by one"
                    .into(),
            ));
        }
    }
    Ok(0)
}

fn docker_archive(store: &Store, images: &[(Image, Vec<String>)], output: Option<&Path>) -> Result<()> {
    let Some(path) = output else {
        return save::docker_archive(store, images, BufWriter::with_capacity(256 << 10, io::stdout().lock()));
    };
    // A pipe or a device is written as it is; a file gets its name when it is whole.
    if std::fs::metadata(path).is_ok_and(|about| !about.is_file()) {
        let file = std::fs::File::options().write(true).open(path).doing("opening", path)?;
        return save::docker_archive(store, images, BufWriter::with_capacity(256 << 10, file));
    }
    let mut out = BufWriter::with_capacity(256 << 10, begun(path)?);
    save::docker_archive(store, images, &mut out)?;
    whole(out.into_inner().map_err(|error| error.into_error()).doing("writing", path)?, path)
}

/// A file beside, that goes unless it gets its name.
pub(super) fn begun(path: &Path) -> Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::Builder::new().prefix(".berth-save-").tempfile_in(folder).doing("writing into", folder)
}

/// Gives it its name.
pub(super) fn whole(file: NamedTempFile, path: &Path) -> Result<()> {
    file.as_file().flush().doing("writing", path)?;
    readable(file.as_file(), path)?;
    file.persist(path).map_err(|error| error.error).doing("writing", path).map(drop)
}

/// As any file that a program writes: what the umask leaves of 0644.
fn readable(file: &std::fs::File, path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(umask);
    let mode = 0o666 & !umask.as_raw_mode();
    file.set_permissions(std::fs::Permissions::from_mode(mode)).doing("writing", path)
}

fn place(format: Format, output: Option<&Path>, name: Option<&String>) -> Result<ImageName> {
    let image = name.map_or(LayoutImage::Only, |name| LayoutImage::Named(name.clone()));
    match (format, output) {
        (Format::OciArchive, path) => {
            Ok(ImageName::OciArchive { path: path.unwrap_or(Path::new("-")).to_owned(), image })
        }
        (Format::OciDir, Some(path)) => Ok(ImageName::Oci { path: path.to_owned(), image }),
        (Format::DockerDir, Some(path)) => Ok(ImageName::Dir(path.to_owned())),
        (Format::DockerArchive | Format::OciDir | Format::DockerDir, _) => {
            Err(RunnerError::Usage("a folder needs a name: give --output".into()))
        }
    }
}
