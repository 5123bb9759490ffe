//! The copy engine: plan, graph, blobs, manifests, and the top last.

mod options;
mod report;

pub use options::{Compression, CompressionFormat, ManifestFormat, Options};
pub use report::{BlobReport, Report};

use crate::{Error, Progress, Result, Session, Sink, Source};

/// Copies what `source` means to `sink`. Children go before parents and the top goes last; content streams through
/// verified, and nothing is written to this machine's disk but the journal of [`Options::resume`].
///
/// # Errors
/// As the source and the sink; the policy's refusal; what a conversion cannot do. Whatever the error, nothing that the
/// destination's name meant before is changed.
pub async fn run(
    _session: &Session,
    _source: &dyn Source,
    _sink: &dyn Sink,
    _options: &Options,
    _progress: &dyn Progress,
) -> Result<Report> {
    Err(Error::Unsupported("copy".to_owned()))
}
