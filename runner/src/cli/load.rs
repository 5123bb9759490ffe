//! `load`.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Globals, output};
use crate::{
    error::{Result, RunnerError},
    image::{Access, Pull, Told, load::Archive},
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The file or folder to read [default: standard input]
    #[arg(long, short, value_name = "PATH")]
    input: Option<PathBuf>,

    /// Print nothing but the images' names
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let path = arguments.input.as_deref().unwrap_or(Path::new("-"));
    if path.as_os_str() == "-" && io::stdin().is_terminal() {
        return Err(RunnerError::Usage("name a file with --input, or pipe an archive in".into()));
    }
    let archive = Archive::open(path)?;
    let access = Access { policy: context.signature_policy.clone(), ..Access::default() };
    let told = Told::new(arguments.quiet);
    let pull = Pull { store: &context.store, access: &access, platform: None, told };
    for (image, names) in pull.places(archive.items()?)? {
        let called = if names.is_empty() { image.id.to_string() } else { names.join(", ") };
        output::line(format!("Loaded image: {called}"))?;
    }
    Ok(0)
}
