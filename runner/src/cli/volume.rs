//! `volume`: named volumes.

use std::{
    fs::File,
    io::{self, BufRead, IsTerminal, Write},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Context, Globals,
    output::{self, Value},
};
use crate::{
    error::{Result, RunnerError, While},
    record::parse,
    volume::{Volume, Volumes},
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a volume
    Create(Create),
    /// Say by the exit code whether there is a volume
    Exists {
        /// Its name
        volume: String,
    },
    /// Write a volume's files as a tar
    Export {
        /// Write to this file and not to standard output
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Its name
        volume: String,
    },
    /// Add the files of a tar to a volume
    Import {
        /// Its name
        volume: String,
        /// The tar; - is standard input
        source: PathBuf,
    },
    /// Show all of volumes as JSON
    Inspect {
        /// `json`, or a Go template
        #[arg(long, short, value_name = "TEMPLATE")]
        format: Option<String>,
        /// Names
        #[arg(required = true)]
        volumes: Vec<String>,
    },
    /// List volumes
    #[command(visible_alias = "list")]
    Ls(output::Listing),
    /// Remove volumes that no container has
    Prune {
        /// Do not ask
        #[arg(long, short)]
        force: bool,
        /// Only those that match, like label=a=b
        #[arg(long, value_name = "KEY=VALUE")]
        filter: Vec<String>,
    },
    /// Remove volumes
    #[command(visible_alias = "remove")]
    Rm {
        /// Remove all
        #[arg(long, short)]
        all: bool,
        /// No error for one that is not there
        #[arg(long, short)]
        force: bool,
        /// Names
        #[arg(required_unless_present = "all")]
        volumes: Vec<String>,
    },
}

#[derive(Args, Debug)]
struct Create {
    /// Label it
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    label: Vec<String>,
    /// `local` is what there is
    #[arg(long, short, value_name = "NAME", default_value = "local")]
    driver: String,
    /// There is no error where it exists
    #[arg(long)]
    ignore: bool,
    /// Its name; one is made up where none is given
    name: Option<String>,
}

/// What is shown of one.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    name: String,
    driver: &'static str,
    mountpoint: PathBuf,
    created_at: String,
    labels: std::collections::BTreeMap<String, String>,
    scope: &'static str,
    anonymous: bool,
}

fn shown(volumes: &Volumes, volume: Volume) -> Result<Shown> {
    let mountpoint = volumes.data(&volume.name)?;
    Ok(Shown {
        name: volume.name,
        driver: "local",
        mountpoint,
        created_at: volume.created.to_string(),
        labels: volume.labels,
        scope: "local",
        anonymous: volume.anonymous,
    })
}

/// Filters of `ls` and `prune`.
const FILTERS: [&str; 5] = ["name", "label", "label!", "dangling", "driver"];

/// Volumes that match.
fn matching(volumes: &Volumes, filter: &[String]) -> Result<Vec<Volume>> {
    let filters = output::Filters::parse(filter, &FILTERS)?;
    let dangling = filters.truth("dangling")?;
    let mut found = Vec::new();
    for volume in volumes.all()? {
        let unused = match dangling {
            None => true,
            Some(wanted) => volumes.users(&volume.name)?.is_empty() == wanted,
        };
        if unused
            && filters.any("name", |name| volume.name.contains(name))
            && filters.any("driver", |driver| driver == "local")
            && filters.labels(|label| volume.labels.get(label).map(String::as_str))
        {
            found.push(volume);
        }
    }
    Ok(found)
}

/// Asks on standard error; what is no yes is a no.
///
/// # Errors
/// [`RunnerError::Usage`] where nobody is there to answer.
pub(super) fn confirmed(what: &str) -> Result<bool> {
    let mut err = io::stderr();
    let _asked = write!(err, "{what} Go on? [y/N] ").and_then(|()| err.flush());
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line).doing("reading", "standard input")? == 0 {
        let _whole_line = writeln!(err);
        return Err(RunnerError::Usage("nobody answers: say --force, or y on standard input".into()));
    }
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// What a volume is.
///
/// # Errors
/// [`RunnerError::NotFound`]; [`RunnerError::Usage`] for what is no name of one.
pub(super) fn found(context: &Context, name: &str) -> Result<Value> {
    let volumes = Volumes::new(&context.folders);
    output::value(&shown(&volumes, volumes.inspect(name)?)?)
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let volumes = Volumes::new(&context.folders);
    match &arguments.command {
        Command::Create(arguments) => create(&volumes, arguments)?,
        Command::Exists { volume } => {
            return match volumes.inspect(volume) {
                Ok(_) => Ok(0),
                Err(RunnerError::NotFound(_) | RunnerError::Usage(_)) => Ok(1),
                Err(error) => Err(error),
            };
        }
        Command::Export { output, volume } => export(&volumes, volume, output.as_deref())?,
        Command::Import { volume, source } if source.as_os_str() == "-" => {
            volumes.import(volume, io::stdin().lock())?;
        }
        Command::Import { volume, source } => {
            volumes.import(volume, io::BufReader::new(File::open(source).doing("opening", source)?))?;
        }
        Command::Inspect { format, volumes: names } => {
            let one = |name: &String| found(&context, name);
            let found = names.iter().map(one).collect::<Result<Vec<_>>>()?;
            output::inspect(format.as_deref(), &found)?;
        }
        Command::Ls(listing) => {
            let row = |volume: Volume| {
                let quiet = volume.name.clone();
                Ok(output::Row { quiet, shown: output::value(&shown(&volumes, volume)?)?, json: None })
            };
            let rows =
                matching(&volumes, &listing.filter)?.into_iter().map(row).collect::<Result<Vec<_>>>()?;
            let columns =
                output::Columns { template: "{{.Driver}}\t{{.Name}}", headings: &[("Name", "VOLUME NAME")] };
            output::list(listing, columns, &rows)?;
        }
        Command::Prune { force, filter } => {
            if !force && !confirmed("This removes all volumes that no container has, with their files.")? {
                return Ok(0);
            }
            for volume in matching(&volumes, filter)? {
                match volumes.remove(&volume.name) {
                    Ok(()) => output::line(&volume.name)?,
                    // Used, or removed by somebody else this moment.
                    Err(RunnerError::Conflict(_) | RunnerError::NotFound(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Command::Rm { all, force, volumes: names } => {
            let names =
                if *all { volumes.all()?.into_iter().map(|one| one.name).collect() } else { names.clone() };
            for name in names {
                match volumes.remove(&name) {
                    Err(RunnerError::NotFound(_)) if *force => {}
                    Err(error) => return Err(error),
                    Ok(()) => output::line(&name)?,
                }
            }
        }
    }
    Ok(0)
}

fn create(volumes: &Volumes, arguments: &Create) -> Result<()> {
    if arguments.driver != "local" {
        return Err(RunnerError::Usage(format!(
            "--driver {}: is not built: volumes are folders here (local)",
            arguments.driver
        )));
    }
    let labels = arguments.label.iter().map(|text| parse::pair(text));
    let labels =
        labels.collect::<Result<_, _>>().map_err(|what| RunnerError::Usage(format!("--label: {what}")))?;
    let made = match volumes.create(arguments.name.as_deref(), labels, false) {
        Err(RunnerError::Conflict(_)) if arguments.ignore => {
            return output::line(arguments.name.as_deref().unwrap_or_default());
        }
        other => other?,
    };
    output::line(&made.name)
}

fn export(volumes: &Volumes, name: &str, to: Option<&std::path::Path>) -> Result<()> {
    let Some(path) = to else {
        if io::stdout().is_terminal() {
            return Err(RunnerError::Usage(
                "a tar is nothing for a terminal: say --output FILE, or pipe it".into(),
            ));
        }
        return volumes.export(name, io::stdout().lock());
    };
    volumes.inspect(name)?;
    let file = File::create(path).doing("making", path)?;
    volumes.export(name, io::BufWriter::new(file))
}
