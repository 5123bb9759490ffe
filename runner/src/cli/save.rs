//! `save`.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use berth_copier::{ImageName, name::LayoutImage};
use clap::{Args, ValueEnum};
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, linkat, openat},
    io::Errno,
};
use tempfile::TempPath;

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
        let file = File::options().write(true).open(path).doing("opening", path)?;
        return save::docker_archive(store, images, BufWriter::with_capacity(256 << 10, file));
    }
    let mut out = BufWriter::with_capacity(256 << 10, begun(path)?);
    save::docker_archive(store, images, &mut out)?;
    whole(out.into_inner().map_err(|error| error.into_error()).doing("writing", path)?, path)
}

/// A file that is being written and has no name yet: where this process is killed, nothing of it stays. File systems that
/// have no such files get one beside, which goes unless it gets its name.
#[derive(Debug)]
pub(super) struct Begun {
    file: File,
    beside: Option<TempPath>,
}

impl Begun {
    /// The file, for another process to write.
    pub(super) fn as_file(&self) -> &File {
        &self.file
    }
}

impl Write for Begun {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

const BESIDE: &str = ".berth-save-";

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Begins a file for this path.
pub(super) fn begun(path: &Path) -> Result<Begun> {
    let folder = folder_of(path);
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match openat(CWD, folder, flags, Mode::from_raw_mode(0o600)) {
        Ok(file) if link_of(&file).exists() => Ok(Begun { file: file.into(), beside: None }),
        // Without /proc it could get no name.
        Ok(_) | Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
            let made = tempfile::Builder::new().prefix(BESIDE).tempfile_in(folder);
            let (file, beside) = made.doing("writing into", folder)?.into_parts();
            Ok(Begun { file, beside: Some(beside) })
        }
        Err(error) => Err(error).doing("writing into", folder),
    }
}

/// Gives it its name, in place of what may have that.
pub(super) fn whole(begun: Begun, path: &Path) -> Result<()> {
    let Begun { file, beside } = begun;
    readable(&file, path)?;
    let beside = match beside {
        Some(beside) => beside,
        None if linked(&file, path).doing("writing", path)? => return Ok(()),
        // A name can be taken over by a rename alone.
        None => {
            let folder = folder_of(path);
            let link = |name: &Path| match linked(&file, name) {
                Ok(false) => Err(io::ErrorKind::AlreadyExists.into()),
                Ok(true) => Ok(()),
                Err(error) => Err(error.into()),
            };
            let named = tempfile::Builder::new().prefix(BESIDE).make_in(folder, link);
            named.doing("writing into", folder)?.into_temp_path()
        }
    };
    beside.persist(path).map_err(|error| error.error).doing("writing", path)
}

/// Links it to a name; whether that was free.
fn linked(file: &File, name: &Path) -> rustix::io::Result<bool> {
    match linkat(CWD, link_of(file), CWD, name, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where a file without a name can be reached.
fn link_of(file: &impl AsRawFd) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// As any file that a program writes: what the umask leaves of 0644.
fn readable(file: &File, path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let umask = rustix::process::umask(Mode::empty());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn what_is_being_saved_has_no_name_until_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.tar");
        for content in [b"first".as_slice(), b"in its place"] {
            let before = names(folder.path());
            let mut file = begun(&path).unwrap();
            file.write_all(content).unwrap();
            assert_eq!(names(folder.path()), before, "a killed process leaves nothing");
            whole(file, &path).unwrap();
            assert_eq!(names(folder.path()), ["app.tar"]);
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
        drop(begun(&path).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"in its place");
    }
}
