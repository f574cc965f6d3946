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
        // A killed process may have left half a line, to which the next one would be glued.
        let written = fs_err::read(path)?;
        let whole = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        file.file().set_len(whole as u64)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_is_dropped_and_whole_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        fs_err::write(&path, "{\"event\":\"validating\",\"epoch\":1}\n{\"event\":\"st").unwrap();
        JsonLines::append_to(&path).unwrap().on_event(&Event::Validating { epoch: 2 }).unwrap();
        let text = fs_err::read_to_string(&path).unwrap();
        let epochs: Vec<i64> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["epoch"].as_i64().unwrap())
            .collect();
        assert_eq!(epochs, [1, 2]);
    }
}
