//! The command line: parse, call one function, print.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use crate::{
    abuse, bench,
    case::{Case, Options},
    faults::{self, FaultError},
    harness::HarnessError,
    http::{ConnectError, Credentials, Target, TargetOptions},
    report::Report,
    suite,
};

/// Black-box suites for any OCI registry by URL.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Every MUST and SHOULD of the distribution specification, 1.1 and its development version.
    Run(SuiteArgs),
    /// Bad input and abuse: what a registry must survive.
    Abuse(SuiteArgs),
    /// Speed, beside other registries on this machine; starts all of them itself.
    Bench(bench::BenchArgs),
    /// Faults, as many rounds as a night has room for; starts everything itself.
    Soak(faults::SoakArgs),
    /// Pushes until it is killed, and writes down what was acknowledged.
    #[command(hide = true)]
    Record(faults::RecorderArgs),
}

#[derive(Debug, Args)]
struct SuiteArgs {
    /// The registry; without a scheme, http for loopback and https elsewhere.
    #[arg(required_unless_present = "list")]
    url: Option<String>,
    /// User; for a registry that wants one.
    #[arg(long, requires = "password")]
    username: Option<String>,
    /// The user's password.
    #[arg(long, env = "BERTH_CONFORMANCE_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Only cases whose id or name contains this text.
    #[arg(long)]
    filter: Option<String>,
    /// List the cases and stop.
    #[arg(long)]
    list: bool,
    /// Write JUnit XML here.
    #[arg(long)]
    junit: Option<PathBuf>,
    /// Write the results as JSON here.
    #[arg(long)]
    json: Option<PathBuf>,
    /// First component of every repository that is made.
    #[arg(long, default_value = "conformance")]
    repo_prefix: String,
    /// Take any TLS certificate.
    #[arg(long)]
    insecure: bool,
    /// The registry is configured to accept indexes that lack children and images that lack layers.
    #[arg(long)]
    sparse: bool,
    /// Where the specification leaves a choice, another than Berth's is a failure.
    #[arg(long)]
    strict: bool,
    /// Cases under way at once.
    #[arg(long, default_value_t = 8)]
    concurrency: usize,
    /// Entries that the rows on long lists make.
    #[arg(long, default_value_t = 60)]
    scale: usize,
}

#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{0}: {1}")]
    Write(PathBuf, #[source] io::Error),
    #[error("stdout: {0}")]
    Stdout(#[from] io::Error),
    #[error("the report does not become JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Bench(#[from] HarnessError),
    #[error(transparent)]
    Fault(#[from] FaultError),
    #[error("the measurement broke off: {0}")]
    BrokenOff(#[from] tokio::task::JoinError),
    #[error("no URL was given")]
    NoUrl,
}

impl Cli {
    /// Does what the command says. 0: everything passed; 1: something failed; 2: nothing could be
    /// tested.
    pub async fn run(self) -> ExitCode {
        let result = match self.command {
            Command::Run(args) => args.run("specification", suite::catalogue()).await,
            Command::Abuse(args) => args.run("abuse", abuse::catalogue()).await,
            Command::Bench(args) => run_bench(args).await,
            Command::Soak(args) => run_soak(args).await,
            Command::Record(args) => faults::record(args).await.map_err(CliError::from),
        };
        result.unwrap_or_else(|error| {
            // Without a stderr there is nobody left to tell.
            let _ = writeln!(io::stderr(), "berth-conformance: {error}");
            ExitCode::from(2)
        })
    }
}

/// The benchmark blocks and has a runtime of its own, which may not stand inside this one.
async fn run_bench(args: bench::BenchArgs) -> Result<ExitCode, CliError> {
    tokio::task::spawn_blocking(move || bench::run(args, &mut io::stdout())).await??;
    Ok(ExitCode::SUCCESS)
}

/// As the benchmark.
async fn run_soak(args: faults::SoakArgs) -> Result<ExitCode, CliError> {
    Ok(tokio::task::spawn_blocking(move || faults::soak(&args, &mut io::stdout())).await??)
}

impl SuiteArgs {
    async fn run(self, suite: &str, cases: Vec<Case>) -> Result<ExitCode, CliError> {
        let options = Options {
            filter: self.filter,
            repo_prefix: self.repo_prefix,
            concurrency: self.concurrency,
            sparse: self.sparse,
            strict: self.strict,
            scale: self.scale,
            ..Options::default()
        };
        let mut out = io::stdout().lock();
        if self.list {
            for case in cases.iter().filter(|case| options.selects(case)) {
                writeln!(out, "{:<48} {:<7} {}", case.id, case.level, case.name)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let credentials = match (self.username, self.password) {
            (Some(username), Some(password)) => Some(Credentials { username, password }),
            _ => None,
        };
        let url = self.url.ok_or(CliError::NoUrl)?;
        let target = Target::connect(&url, &TargetOptions { credentials, insecure: self.insecure }).await?;
        let report = crate::case::run(suite, cases, &target, &options).await;
        write_files(&report, self.junit, self.json)?;
        out.write_all(report.to_text().as_bytes())?;
        Ok(ExitCode::from(report.exit_code()))
    }
}

fn write_files(report: &Report, junit: Option<PathBuf>, json: Option<PathBuf>) -> Result<(), CliError> {
    if let Some(path) = junit {
        std::fs::write(&path, report.to_junit()).map_err(|error| CliError::Write(path, error))?;
    }
    if let Some(path) = json {
        let text = serde_json::to_vec_pretty(report)?;
        std::fs::write(&path, text).map_err(|error| CliError::Write(path, error))?;
    }
    Ok(())
}
