//! `cp`.

use std::{
    io::{self, IsTerminal},
    path::Path,
    process::Stdio,
};

use clap::Args;

use super::{Context, Globals};
use crate::{
    error::{Result, RunnerError, While},
    record::Desired,
    stop::Stop,
    transfer::{Helper, Owners, Packed, Place, Target, Wants, pack, unpack},
};

/// Its arguments.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// What to copy: PATH, CONTAINER:PATH, or `-` for a tar on standard input
    #[arg(value_name = "SOURCE")]
    source: String,

    /// Where to: PATH, CONTAINER:PATH, or `-` for a tar on standard output
    #[arg(value_name = "DESTINATION")]
    destination: String,

    /// Keep owners; without it files are its user's in a container, and yours outside
    #[arg(long, short)]
    archive: bool,

    /// Copy what a link leads to
    #[arg(long, short = 'L')]
    follow_link: bool,

    /// Replace a folder by a file, or a file by a folder; without it that is an error
    #[arg(long)]
    overwrite: bool,
}

const EXAMPLES: &str = "\
Examples:
  berth-runner cp web:/etc/nginx/. ./nginx
  berth-runner cp index.html web:/srv/
  berth-runner cp web:/var/log - | tar t";

/// One end of a copy.
enum End {
    Here(String),
    Stream,
    There(Box<Desired>, String),
}

impl End {
    /// What stands before the first colon is a container, unless a slash or a dot says that it is a path.
    fn of(context: &Context, text: &str) -> Result<Self> {
        if text == "-" {
            return Ok(Self::Stream);
        }
        match text.split_once(':') {
            Some((name, path))
                if !name.is_empty() && !name.starts_with(['/', '.']) && !name.contains('/') =>
            {
                if path.is_empty() {
                    return Err(RunnerError::Usage(format!("{text}: a path is missing behind the colon")));
                }
                Ok(Self::There(Box::new(context.records.find(name)?), path.to_owned()))
            }
            _ => {
                // As the shell means it: from where it stands.
                let folder = std::env::current_dir().doing("asking for", "the current folder")?;
                let mut path = folder.join(text).display().to_string();
                for behind in ["/.", "/"] {
                    if (text.ends_with(behind) || (text == "." && behind == "/.")) && !path.ends_with(behind)
                    {
                        path.push_str(behind);
                        break;
                    }
                }
                Ok(Self::Here(path))
            }
        }
    }
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let (from, to) = (End::of(&context, &arguments.source)?, End::of(&context, &arguments.destination)?);
    let owners = if arguments.archive { Owners::Kept } else { Owners::Caller };
    let packing =
        |path: &str| Wants::Pack { path: path.to_owned(), follow: arguments.follow_link, bare: false };
    let unpacking = |path: &str, target| Wants::Unpack { path: path.to_owned(), target, owners };
    let target = if arguments.overwrite { Target::Replace } else { Target::Copy };
    let stop = Stop::collect()?;
    match (from, to) {
        (End::There(container, path), End::Stream) => {
            if io::stdout().is_terminal() {
                return Err(RunnerError::Usage("a tar is not for a terminal: pipe it".into()));
            }
            let folders = &context.folders;
            Helper::start(folders, &container, &packing(&path), Stdio::null(), Stdio::inherit())?
                .finish(&stop)?;
        }
        (End::Stream, End::There(container, path)) => {
            let wants = unpacking(&path, Target::Into);
            Helper::start(&context.folders, &container, &wants, Stdio::inherit(), Stdio::null())?
                .finish(&stop)?;
        }
        (End::There(container, path), End::Here(here)) => {
            let mut helper =
                Helper::start(&context.folders, &container, &packing(&path), Stdio::null(), Stdio::piped())?;
            let done = match helper.output() {
                Some(tar) => unpack(&Place::open(Path::new("/"))?, &here, target, owners, stop.checked(tar)),
                None => Ok(()),
            };
            // Why it sent no whole tar says more than that it did not.
            stop.or(helper.finish(&stop).and(done))?;
        }
        (End::Here(here), End::There(container, path)) => {
            let wants = unpacking(&path, target);
            let mut helper =
                Helper::start(&context.folders, &container, &wants, Stdio::piped(), Stdio::null())?;
            let done = match helper.input() {
                Some(tar) => {
                    let tar = stop.checked(tar);
                    pack(&Place::open(Path::new("/"))?, &here, arguments.follow_link, Packed::Named, tar)
                }
                None => Ok(()),
            };
            match (stop.or(done), helper.finish(&stop)) {
                // The other side went away, and says why.
                (Err(RunnerError::Io { .. }), Err(error)) => return Err(error),
                (done, finished) => done.and(finished)?,
            }
        }
        (End::There(one, source), End::There(other, path)) => {
            let mut reader =
                Helper::start(&context.folders, &one, &packing(&source), Stdio::null(), Stdio::piped())?;
            let pipe = reader.output().map_or_else(Stdio::null, Stdio::from);
            let writer =
                Helper::start(&context.folders, &other, &unpacking(&path, target), pipe, Stdio::null())?;
            let written = writer.finish(&stop);
            stop.or(reader.finish(&stop).and(written))?;
        }
        (End::Here(_) | End::Stream, End::Here(_) | End::Stream) => {
            return Err(RunnerError::Usage(
                "one of the two has to be a container: write CONTAINER:PATH".into(),
            ));
        }
    }
    Ok(0)
}
