//! `secret`: what only one container is to know.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::{Globals, output};
use crate::{
    error::{Result, RunnerError, While},
    folders::Folders,
    record::parse,
    secret::{self, Secret},
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a secret of a file
    Create(Create),
    /// Say by the exit code whether there is a secret
    Exists {
        /// Its name
        secret: String,
    },
    /// Show what is known of secrets, but not themselves, as JSON
    Inspect {
        /// `json`, or a Go template
        #[arg(long, short, value_name = "TEMPLATE")]
        format: Option<String>,
        /// Names
        #[arg(required = true)]
        secrets: Vec<String>,
    },
    /// List secrets
    #[command(visible_alias = "list")]
    Ls(output::Listing),
    /// Remove secrets
    #[command(visible_alias = "remove")]
    Rm {
        /// Remove all
        #[arg(long, short)]
        all: bool,
        /// No error for one that is not there
        #[arg(long, short)]
        ignore: bool,
        /// Names
        #[arg(required_unless_present = "all")]
        secrets: Vec<String>,
    },
}

#[derive(Args, Debug)]
struct Create {
    /// Label it
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    label: Vec<String>,
    /// The source is the name of a variable
    #[arg(long)]
    env: bool,
    /// One of that name is replaced
    #[arg(long)]
    replace: bool,
    /// `file` is what there is
    #[arg(long, short, value_name = "NAME", default_value = "file")]
    driver: String,
    /// Its name
    name: String,
    /// File, or - for standard input
    source: PathBuf,
}

/// What is shown of one.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    driver: &'static str,
    created_at: String,
    labels: BTreeMap<String, String>,
}

/// What is shown of one in a list.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(flatten)]
    shown: Shown,
    created: String,
}

fn shown(secret: Secret) -> Shown {
    Shown {
        id: secret.name.clone(),
        name: secret.name,
        driver: "file",
        created_at: secret.created.to_string(),
        labels: secret.labels,
    }
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let folders = &context.folders;
    match &arguments.command {
        Command::Create(arguments) => create(folders, arguments)?,
        Command::Exists { secret } => {
            return match secret::inspect(folders, secret) {
                Ok(_) => Ok(0),
                Err(RunnerError::NotFound(_)) => Ok(1),
                Err(error) => Err(error),
            };
        }
        Command::Inspect { format, secrets } => {
            let one = |name: &String| output::value(&shown(secret::inspect(folders, name)?));
            let found = secrets.iter().map(one).collect::<Result<Vec<_>>>()?;
            output::inspect(format.as_deref(), &found)?;
        }
        Command::Ls(listing) => {
            let filters = output::Filters::parse(&listing.filter, &["name", "label", "label!"])?;
            let matches = |secret: &Secret| {
                filters.any("name", |name| secret.name.contains(name))
                    && filters.labels(|label| secret.labels.get(label).map(String::as_str))
            };
            let now = Timestamp::now();
            let row = |secret: Secret| {
                let quiet = secret.name.clone();
                let created = output::ago(secret.created, now);
                Ok(output::Row {
                    quiet,
                    shown: output::value(&Listed { shown: shown(secret), created })?,
                    json: None,
                })
            };
            let rows =
                secret::all(folders)?.into_iter().filter(matches).map(row).collect::<Result<Vec<_>>>()?;
            let columns = output::Columns { template: "{{.Name}}\t{{.Driver}}\t{{.Created}}", headings: &[] };
            output::list(listing, columns, &rows)?;
        }
        Command::Rm { all, ignore, secrets } => {
            let names: Vec<String> = if *all {
                secret::all(folders)?.into_iter().map(|one| one.name).collect()
            } else {
                secrets.clone()
            };
            for name in names {
                match secret::remove(folders, &name) {
                    Err(RunnerError::NotFound(_)) if *ignore => {}
                    Err(error) => return Err(error),
                    Ok(()) => output::line(&name)?,
                }
            }
        }
    }
    Ok(0)
}

fn create(folders: &Folders, arguments: &Create) -> Result<()> {
    if arguments.driver != "file" {
        return Err(RunnerError::Usage(format!("--driver {}: is not built: file", arguments.driver)));
    }
    let labels = arguments.label.iter().map(|text| parse::pair(text));
    let labels =
        labels.collect::<Result<_, _>>().map_err(|what| RunnerError::Usage(format!("--label: {what}")))?;
    let mut data = Vec::new();
    // One more than may be is read, so that too much is seen and no file fills the memory.
    let most = secret::MAX as u64 + 1;
    if arguments.env {
        let value = std::env::var_os(&arguments.source).ok_or_else(|| {
            RunnerError::Usage(format!("--env: no variable {} is set", arguments.source.display()))
        })?;
        data = value.into_encoded_bytes();
    } else if arguments.source.as_os_str() == "-" {
        io::stdin().lock().take(most).read_to_end(&mut data).doing("reading", "standard input")?;
    } else {
        let file = File::open(&arguments.source).doing("opening", &arguments.source)?;
        file.take(most).read_to_end(&mut data).doing("reading", &arguments.source)?;
    }
    let secret = Secret { name: arguments.name.clone(), created: Timestamp::now(), labels };
    secret::create(folders, &secret, &data, arguments.replace)?;
    output::line(&secret.name)
}
