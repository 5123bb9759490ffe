//! A copy shown on a terminal: a bar per blob, with its bytes, rate and how it got there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use berth_copier::{Event, Progress, progress::Outcome};
use berth_oci::{Descriptor, Digest};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Level, Log};

const RUNNING: &str = "{prefix} {bar:24} {bytes:>10} / {total_bytes:<10} {binary_bytes_per_sec}";
const DONE: &str = "{prefix} {msg}";
const LINE: &str = "{msg}";

/// Bars on standard output.
pub(super) struct Bars {
    log: Arc<Log>,
    all: MultiProgress,
    blobs: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Bars {
    pub(super) fn new(log: Arc<Log>) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        Self { log, all, blobs: Mutex::default() }
    }

    fn bar(&self, digest: &Digest, make: impl FnOnce() -> ProgressBar) -> ProgressBar {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        blobs.entry(digest.clone()).or_insert_with(|| self.all.add(make())).clone()
    }

    fn begin(blob: &Descriptor, config: bool) -> ProgressBar {
        let bar = ProgressBar::new(blob.size).with_style(style(RUNNING));
        bar.with_prefix(label(&blob.digest, config))
    }

    /// A line above the bars, and below those that are there already.
    fn say(&self, text: String) {
        if self.blobs.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            let _unseen = self.all.println(text);
        } else {
            self.all.add(ProgressBar::new(0)).with_style(style(LINE)).finish_with_message(text);
        }
    }

    fn done(&self, digest: &Digest, how: &Outcome) {
        let bar = self.bar(digest, || ProgressBar::new(0).with_prefix(label(digest, false)));
        let bytes = indicatif::BinaryBytes(bar.length().unwrap_or_default());
        bar.set_style(style(DONE));
        bar.finish_with_message(match how {
            Outcome::Copied => format!("done  {bytes}"),
            Outcome::Present => "skipped: already exists".to_owned(),
            Outcome::Mounted(from) => format!("mounted from {from}"),
        });
    }
}

/// The templates are constants; a fault in one would show as indicatif's own form.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn label(digest: &Digest, config: bool) -> String {
    let short: String = digest.hex().chars().take(12).collect();
    format!("Copying {} {short}", if config { "config" } else { "blob" })
}

impl Progress for Bars {
    fn event(&self, event: Event) {
        match event {
            // A blob's own line; here it has a bar.
            Event::Step(text) if text.starts_with("Copying blob ") || text.starts_with("Copying config ") => {
            }
            Event::Step(text) => self.say(text),
            Event::BlobBegun { blob, config } => {
                self.bar(&blob.digest, || Self::begin(&blob, config)).tick();
            }
            Event::BlobBytes { digest, bytes } => {
                let blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(bar) = blobs.get(&digest) {
                    bar.inc(bytes);
                }
            }
            Event::BlobDone { digest, how } => self.done(&digest, &how),
            Event::Warning(text) => self.all.suspend(|| self.log.write(Level::Warning, &text)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_templates_are_sound() {
        for template in [RUNNING, DONE, LINE] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
