//! Observers: whoever wants to know how a run goes, and may stop it.

pub use crate::control::Control;

use crate::Result;
use gaat_spec::Event;
use std::io::Write;
use std::path::Path;

/// Is told everything that happens in a run.
pub trait Observer {
    /// Takes note of `event`.
    ///
    /// # Errors
    /// An error ends the run with that error.
    fn on_event(&mut self, event: &Event) -> Result<Control>;
}

/// An observer that lets everything pass.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Observer for Quiet {
    fn on_event(&mut self, _event: &Event) -> Result<Control> {
        Ok(Control::Continue)
    }
}

/// Writes each event as one line of `events.jsonl`. A resumed run appends.
pub(super) struct JsonLines {
    file: std::io::BufWriter<fs_err::File>,
}

impl JsonLines {
    pub(super) fn append_to(path: &Path) -> Result<Self> {
        let file = fs_err::OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file: std::io::BufWriter::new(file) })
    }
}

impl Observer for JsonLines {
    fn on_event(&mut self, event: &Event) -> Result<Control> {
        serde_json::to_writer(&mut self.file, event).map_err(std::io::Error::from)?;
        self.file.write_all(b"\n")?;
        // Steps may wait in the buffer; whatever a reader would act on may not.
        if !matches!(event, Event::Step { .. }) {
            self.file.flush()?;
        }
        Ok(Control::Continue)
    }
}
