//! Progress of a download: how much of which file, and what went wrong on the way.

use crate::interrupt;
use crate::printer::{PATIENCE, Printer};
use gaat_fetch::Progress;
use indicatif::ProgressBar;
use std::ops::ControlFlow;
use std::time::Instant;

/// Shows what arrives, and breaks off once the user wants it.
pub(crate) struct DownloadProgress<'a> {
    printer: &'a Printer,
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl<'a> DownloadProgress<'a> {
    pub(crate) fn new(printer: &'a Printer) -> Self {
        Self { printer, bar: None, last_line: Instant::now() }
    }

    /// Takes note of `progress`.
    pub(crate) fn update(&mut self, progress: &Progress<'_>) -> ControlFlow<()> {
        match progress {
            Progress::Asking { file, url } => {
                self.clear();
                self.bar = self.printer.live(file.bytes);
                match &self.bar {
                    Some(bar) => {
                        bar.set_prefix(file.name);
                        bar.set_message((*url).to_owned());
                    }
                    None => self.line(&format!("asking {url}")),
                }
            }
            Progress::Received { file, bytes } => {
                if let Some(bar) = &self.bar {
                    bar.set_position(*bytes);
                }
                if self.printer.shows_lines() && self.last_line.elapsed() >= PATIENCE {
                    self.line(&format!("{}: {} of {}", file.name, megabytes(*bytes), megabytes(file.bytes)));
                }
            }
            Progress::Setback { reason } => {
                self.clear();
                self.line(reason);
            }
        }
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn line(&mut self, text: &str) {
        self.printer.progress(text);
        self.last_line = Instant::now();
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for DownloadProgress<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
