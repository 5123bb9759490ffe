//! `tag` and `untag`.

use clap::Args;

use super::Globals;
use crate::{
    error::{Result, RunnerError},
    image::{self, name},
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The image: a name or an id
    #[arg(value_name = "IMAGE")]
    image: String,

    /// A name more; without a registry it is localhost's
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// Arguments of `untag`.
#[derive(Args, Debug)]
pub(crate) struct Untag {
    /// The image: a name or an id
    #[arg(value_name = "IMAGE")]
    image: String,

    /// Names to take away [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let names = arguments.names.iter().map(|text| name::own(text)).collect::<Result<Vec<_>>>()?;
    let _hold = context.store.hold()?;
    let image = image::here(&context.store, &arguments.image)?;
    context.store.add_image(&image.manifest, &names)?;
    Ok(0)
}

pub(super) fn untag(globals: &Globals, arguments: &Untag) -> Result<u8> {
    let context = globals.open()?;
    let image = image::here(&context.store, &arguments.image)?;
    let mut names = Vec::new();
    for text in &arguments.names {
        let full = [name::own(text).ok(), text.parse().ok().map(|reference| name::full(&reference))];
        let known = image.names.iter().find(|known| full.iter().flatten().any(|full| full == *known));
        names.push(known.cloned().ok_or_else(|| {
            RunnerError::NotFound(format!(
                "{text} is no name of {}: it has {}",
                arguments.image,
                image.names.join(", ")
            ))
        })?);
    }
    if arguments.names.is_empty() {
        names = image.names;
    }
    for name in names {
        context.store.untag(&name)?;
    }
    Ok(0)
}
