//! `import`.

use std::{
    fs::File,
    io::{self, IsTerminal},
    path::PathBuf,
};

use clap::Args;
use jiff::Timestamp;

use super::{Globals, PlatformOptions, output};
use crate::{
    error::{Result, RunnerError, While},
    image::{
        Access, Told, import,
        make::{About, make},
        name,
    },
};

/// Its arguments.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  berth-runner import -c 'CMD [\"/bin/sh\"]' root.tar app:1.0")]
pub(crate) struct Arguments {
    /// A tar, plain or packed; `-` is standard input
    #[arg(value_name = "PATH")]
    path: PathBuf,

    /// The image's name
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// An instruction: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR
    #[arg(long, short, value_name = "INSTRUCTION")]
    change: Vec<String>,

    /// What the history says of it
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,

    /// Print nothing but the image's id
    #[arg(long, short)]
    quiet: bool,

    #[command(flatten)]
    platform: PlatformOptions,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let platform = arguments.platform.platform()?;
    Access { policy: context.signature_policy.clone(), ..Access::default() }.judge_tar()?;
    let names = arguments.name.as_deref().map(name::own).transpose()?;
    let _hold = context.store.hold()?;
    let text = arguments.path.display().to_string();
    if text.starts_with("http://") || text.starts_with("https://") {
        return Err(RunnerError::Unsupported(format!(
            "{text} is not fetched: `curl {text} | berth-runner import -`"
        )));
    }
    let (layer, warnings) = if arguments.path.as_os_str() == "-" {
        if io::stdin().is_terminal() {
            return Err(RunnerError::Usage("name a file, or pipe a tar in".into()));
        }
        import::layer(&context.store, io::stdin())?
    } else {
        import::layer(&context.store, File::open(&arguments.path).doing("opening", &arguments.path)?)?
    };
    let told = Told::new(arguments.quiet);
    warnings.iter().for_each(|warning| told.warning(warning));
    let about = About {
        changes: arguments.change.clone(),
        message: arguments.message.clone().or_else(|| Some(format!("Imported from {text}"))),
        created_by: String::new(),
        platform,
        ..About::default()
    };
    let names: Vec<String> = names.into_iter().collect();
    let image = make(&context.store, None, &layer, &about, &names, Timestamp::now())?;
    output::line(&image.id)?;
    Ok(0)
}
