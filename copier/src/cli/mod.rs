//! The command line: what can be written, and Skopeo's manners of writing it.

mod copying;
mod fault;
mod globals;
mod manners;
mod side;
mod signing;
mod value;

use clap::{ArgAction, Parser, Subcommand};

use crate::commands;

pub(crate) use copying::{LayerOptions, ManifestOptions, PlatformOptions};
pub(crate) use fault::Stop;
pub(crate) use globals::{Globals, RetryOptions};
pub(crate) use manners::parse;
pub(crate) use side::{
    AccessOptions, DeprecatedTls, DestinationAccessOptions, DestinationLocalOptions, ImageOptions,
    SharedOptions, SourceAccessOptions, SourceLocalOptions,
};
pub(crate) use signing::passphrase;
pub(crate) use value::duration;

/// Inspects, copies and signs container images, wherever they are.
#[derive(Parser)]
#[command(
    name = "berth-copier",
    version = VERSION,
    disable_version_flag = true,
    subcommand_help_heading = "Commands",
    after_help = EXAMPLES,
    after_long_help = IMAGE_NAMES
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,

    /// Print the version
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,

    #[arg(long = "tls-verify", id = "root-tls-verify", hide = true)]
    pub(crate) deprecated_tls_verify: Option<bool>,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Scripts ask for `skopeo version N` to learn what they may use.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (does what skopeo version 1.22.0 does)");

const EXAMPLES: &str = "\
Examples:
  berth-copier inspect docker://registry.example.org/app:1.0
  berth-copier copy docker://docker.io/library/alpine docker://registry.example.org/alpine
  berth-copier copy --all docker://registry.example.org/app:1.0 oci:app:1.0

`--help` shows the global options and the grammar of image names.";

const IMAGE_NAMES: &str = "\
Image names:
  docker://HOST/NAME[:TAG|@DIGEST]       an image in a registry; `latest` where nothing is said
  dir:PATH                               a folder with manifest.json and one file per blob
  oci:PATH[:NAME|@INDEX]                 an OCI image layout
  oci-archive:PATH[:NAME|@INDEX]         an OCI image layout in a tar file; - is standard input or output
  docker-archive:PATH[:NAME:TAG|@INDEX]  what `docker save` writes; - is standard input or output
  docker-daemon:NAME:TAG                 an image of the Docker engine; docker-daemon:sha256:ID to read one by its id

Exit status:
  0 done, 1 failed, 2 source image not found or wrong usage, 3 not authenticated, 4 content is not what it should be,
  5 refused by policy, 130 or 143 ended by SIGINT or SIGTERM

Examples:
  berth-copier inspect docker://registry.example.org/app:1.0
  berth-copier copy docker://docker.io/library/alpine docker://registry.example.org/alpine
  berth-copier copy --all docker://registry.example.org/app:1.0 oci:app:1.0";

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    Attach(Box<commands::attach::Attach>),
    Copy(Box<commands::copy::Copy>),
    Delete(commands::delete::Delete),
    Discover(Box<commands::discover::Discover>),
    GenerateSigstoreKey(commands::generate_sigstore_key::GenerateSigstoreKey),
    Inspect(commands::inspect::Inspect),
    ListTags(commands::list_tags::ListTags),
    Login(commands::login::Login),
    Logout(commands::logout::Logout),
    ManifestDigest(commands::manifest_digest::ManifestDigest),
    Pull(Box<commands::pull::Pull>),
    Push(Box<commands::push::Push>),
    StandaloneSign(commands::standalone_sign::StandaloneSign),
    StandaloneVerify(commands::standalone_verify::StandaloneVerify),
    Sync(Box<commands::sync::Sync>),
    #[command(hide = true)]
    UntrustedSignatureDumpWithoutVerification(commands::signature_dump::SignatureDump),
    #[command(hide = true)]
    ExperimentalImageProxy(commands::proxy::Proxy),
    Completion(commands::completion::Completion),
    Man(commands::man::Man),
}
