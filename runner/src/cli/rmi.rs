//! `rmi`.

use clap::Args;

use super::{Globals, output};
use crate::{
    error::{Result, RunnerError},
    image::{self, remove},
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Images: names or ids
    #[arg(value_name = "IMAGE", required_unless_present = "all")]
    images: Vec<String>,

    /// All images; one that a container uses stays, unless --force is said
    #[arg(long, short, conflicts_with = "images")]
    all: bool,

    /// Also one with several names that is given by its id, and with it the containers that use it, which are stopped
    #[arg(long, short)]
    force: bool,

    /// One that is not here is no error
    #[arg(long, short)]
    ignore: bool,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let mut images = arguments.images.clone();
    if arguments.all {
        images = context.store.images()?.into_iter().map(|image| image.id.to_string()).collect();
    }
    let mut first = None;
    for text in &images {
        let found = image::find(&context.store, text, &image::Access::default())?;
        let Some(image) = found else {
            if !arguments.ignore && !arguments.all {
                let error =
                    RunnerError::NotFound(format!("no image {text}: `berth-runner images` lists them"));
                first = note(first, error);
            }
            continue;
        };
        let removal = remove::Removal { context: &context, all: arguments.all, force: arguments.force };
        match removal.remove(text, &image) {
            Ok(said) => said.iter().try_for_each(output::line)?,
            Err(error) => first = note(first, error),
        }
    }
    first.map_or(Ok(0), Err)
}

/// The first error is the command's; those behind it are told, too.
fn note(first: Option<RunnerError>, error: RunnerError) -> Option<RunnerError> {
    match first {
        None => Some(error),
        Some(first) => {
            image::Told::new(false).line(&format!("berth-runner: {error}"));
            Some(first)
        }
    }
}
