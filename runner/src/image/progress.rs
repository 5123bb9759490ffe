//! What people see of a copy: a bar per layer on a terminal, lines off it, nothing for the quiet.

use std::{
    collections::HashMap,
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
};

use berth_copier::{Event, Progress, progress::Outcome};
use berth_oci::{Descriptor, Digest};
use indicatif::{BinaryBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

const RUNNING: &str = "{prefix} {bar:24} {bytes:>10} / {total_bytes:<10} {binary_bytes_per_sec}";
const DONE: &str = "{prefix} {msg}";

/// What is told, on standard error: standard output is for ids and archives.
#[derive(Clone)]
pub(crate) struct Told {
    quiet: bool,
    bars: Option<Arc<Bars>>,
}

struct Bars {
    all: MultiProgress,
    blobs: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Told {
    /// Bars on a terminal, lines off it; of `quiet` warnings alone.
    pub(crate) fn new(quiet: bool) -> Self {
        let bars = (!quiet && io::stderr().is_terminal()).then(|| {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            Arc::new(Bars { all, blobs: Mutex::default() })
        });
        Self { quiet, bars }
    }

    /// A line for people.
    pub(crate) fn line(&self, text: &str) {
        if !self.quiet {
            self.write(text);
        }
    }

    /// A warning, for the quiet as well.
    pub(crate) fn warning(&self, text: &str) {
        self.write(&format!("warning: {text}"));
    }

    fn write(&self, text: &str) {
        let write = || {
            // Where nobody reads, the copy goes on.
            let _unread = writeln!(io::stderr().lock(), "{text}");
        };
        match &self.bars {
            Some(bars) => bars.all.suspend(write),
            None => write(),
        }
    }
}

impl Progress for Told {
    fn event(&self, event: Event) {
        match (event, &self.bars) {
            (Event::Warning(text), _) => self.warning(&text),
            // A blob's own line; there it has a bar.
            (Event::Step(text), Some(_)) if text.starts_with("Copying ") && text.contains("sha256:") => {}
            (Event::Step(text), _) => self.line(&text),
            (event, Some(bars)) => bars.event(event),
            _ => {}
        }
    }
}

impl Bars {
    fn bar(&self, digest: &Digest, make: impl FnOnce() -> ProgressBar) -> ProgressBar {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        blobs.entry(digest.clone()).or_insert_with(|| self.all.add(make())).clone()
    }

    fn begin(blob: &Descriptor, config: bool) -> ProgressBar {
        let bar = ProgressBar::new(blob.size).with_style(style(RUNNING));
        bar.with_prefix(label(&blob.digest, config))
    }

    fn event(&self, event: Event) {
        match event {
            Event::BlobBegun { blob, config } => {
                self.bar(&blob.digest, || Self::begin(&blob, config)).tick();
            }
            Event::BlobBytes { digest, bytes } => {
                let blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(bar) = blobs.get(&digest) {
                    bar.inc(bytes);
                }
            }
            Event::BlobDone { digest, how } => {
                let bar = self.bar(&digest, || ProgressBar::new(0).with_prefix(label(&digest, false)));
                let bytes = BinaryBytes(bar.length().unwrap_or_default());
                bar.set_style(style(DONE));
                bar.finish_with_message(match how {
                    Outcome::Copied => format!("done  {bytes}"),
                    Outcome::Present => "here already".to_owned(),
                    Outcome::Mounted(from) => format!("mounted from {from}"),
                });
            }
            _ => {}
        }
    }
}

/// The templates are constants; a fault in one would show as indicatif's own form.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn label(digest: &Digest, config: bool) -> String {
    let short: String = digest.hex().chars().take(12).collect();
    format!("{} {short}", if config { "config" } else { "layer " })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_templates_are_sound() {
        for template in [RUNNING, DONE] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
