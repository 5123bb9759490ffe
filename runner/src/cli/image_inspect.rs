//! `image inspect` and `image exists`.

use clap::Args;

use super::{
    Context, Globals,
    output::{self, Value},
};
use crate::{
    error::{Result, RunnerError},
    image::{self, tell},
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Images: names or ids
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,

    /// `json`, or a Go template like '{{.Id}} {{.Config.Env}}'
    #[arg(long, short, value_name = "TEMPLATE")]
    format: Option<String>,
}

/// Arguments of `image exists`.
#[derive(Args, Debug)]
pub(crate) struct Exists {
    /// The image: a name or an id
    #[arg(value_name = "IMAGE")]
    image: String,
}

/// What an image is.
///
/// # Errors
/// [`RunnerError::NotFound`].
pub(super) fn found(context: &Context, text: &str) -> Result<Value> {
    tell::inspected(&context.store, &image::here(&context.store, text)?)
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let mut found = Vec::new();
    let mut missing = None;
    for text in &arguments.images {
        match self::found(&context, text) {
            Ok(image) => found.push(image),
            Err(error @ RunnerError::NotFound(_)) => {
                missing.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    output::inspect(arguments.format.as_deref(), &found)?;
    missing.map_or(Ok(0), Err)
}

pub(super) fn exists(globals: &Globals, arguments: &Exists) -> Result<u8> {
    let context = globals.open()?;
    let here = image::find(&context.store, &arguments.image, &image::Access::default())?;
    Ok(u8::from(here.is_none()))
}
