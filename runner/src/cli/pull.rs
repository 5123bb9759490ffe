//! `pull`.

use clap::Args;

use super::{Globals, PullOptions, output};
use crate::{
    error::Result,
    image::{self, Pull, PullPolicy, Told},
};

/// Its arguments.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// A name, or a place: docker://, oci:, oci-archive:, docker-archive:, dir:
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,

    /// Every tag of the repository
    #[arg(long, short = 'a')]
    all_tags: bool,

    /// always, missing, never or newer
    #[arg(long, value_name = "WHEN", default_value = "always", value_parser = |text: &str| text.parse::<PullPolicy>())]
    policy: PullPolicy,

    #[command(flatten)]
    how: PullOptions,
}

const EXAMPLES: &str = "\
Examples:
  berth-runner pull registry.example.org/app:1.0
  berth-runner pull --platform linux/arm64 registry.example.org/app
  berth-runner pull docker-archive:app.tar";

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let access = arguments.how.access.access(&context)?;
    let platform = arguments.how.platform.platform()?;
    let told = Told::new(arguments.how.quiet);
    let pull = Pull { store: &context.store, access: &access, platform: platform.as_ref(), told };
    for text in &arguments.images {
        if arguments.all_tags {
            for image in pull.pull_all_tags(text)? {
                output::line(image.id.hex())?;
            }
            continue;
        }
        let image = match arguments.policy {
            PullPolicy::Always => pull.pull(text)?,
            policy => image::ensure(&pull, text, policy)?,
        };
        output::line(image.id.hex())?;
    }
    Ok(0)
}
