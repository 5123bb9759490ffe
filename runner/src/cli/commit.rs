//! `commit`.

use std::path::PathBuf;

use clap::Args;

use super::{Globals, output, push::Format};
use crate::{
    error::{Result, While},
    image::{commit, make::About, name},
};

/// Its arguments.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  berth-runner commit -c 'CMD [\"/bin/app\"]' -m 'with the fix' web localhost/web:2"
)]
pub(crate) struct Arguments {
    /// The container: a name or an id
    #[arg(value_name = "CONTAINER")]
    container: String,

    /// The image's name; without a registry it is localhost's
    #[arg(value_name = "IMAGE")]
    image: Option<String>,

    /// An instruction: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR
    #[arg(long, short, value_name = "INSTRUCTION")]
    change: Vec<String>,

    /// Who made it
    #[arg(long, short, value_name = "NAME")]
    author: Option<String>,

    /// What the history says of it
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,

    /// Processes stand still while the files are read; =false lets them run
    #[arg(long, short, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", hide_possible_values = true)]
    pause: bool,

    /// The manifest's format
    #[arg(long, short, value_name = "FORMAT", default_value = "oci")]
    format: Format,

    /// Write the image's id into this file
    #[arg(long, value_name = "PATH")]
    iidfile: Option<PathBuf>,

    /// Print nothing but the image's id
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let container = context.records.find(&arguments.container)?;
    let names: Vec<String> = arguments.image.as_deref().map(name::own).transpose()?.into_iter().collect();
    let about = About {
        changes: arguments.change.clone(),
        author: arguments.author.clone(),
        message: arguments.message.clone(),
        created_by: container.process.args.join(" "),
        platform: None,
        docker: arguments.format == Format::Docker,
    };
    let image = commit::commit(&context, &container, &about, &names, arguments.pause)?;
    if let Some(path) = &arguments.iidfile {
        std::fs::write(path, image.id.as_str()).doing("writing", path)?;
    }
    output::line(image.id.hex())?;
    Ok(0)
}
