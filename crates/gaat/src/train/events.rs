//! Observers: they are told how a run goes, and may stop it.

pub use crate::control::Control;

use crate::error::Result;
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

/// A closure is told everything, and says whether to continue.
impl<F: FnMut(&Event) -> Control> Observer for F {
    fn on_event(&mut self, event: &Event) -> Result<Control> {
        Ok(self(event))
    }
}

/// An observer that lets everything pass.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Observer for Quiet {
    fn on_event(&mut self, _event: &Event) -> Result<Control> {
        Ok(Control::Continue)
    }
}

/// Writes each event as one line of `events.jsonl`. A resumed run continues where its state was saved.
#[derive(Debug)]
pub(super) struct JsonLines {
    file: std::io::BufWriter<fs_err::File>,
    /// Lines that count.
    length: usize,
}

impl JsonLines {
    /// Continues after the first `length` lines that count.
    pub(super) fn append_to(path: &Path, length: usize) -> Result<Self> {
        let file = gaat_files::append(path)?;
        let (kept, length) = kept(&gaat_files::read(path)?, length);
        file.file().set_len(kept as u64)?;
        Ok(Self { file: std::io::BufWriter::new(file), length })
    }

    /// Lines that count: all but those that say that the run was started or stopped.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Brings all lines to the disk.
    pub(super) fn sync(&mut self) -> Result<()> {
        self.file.flush()?;
        Ok(self.file.get_ref().sync_data()?)
    }
}

/// Bytes of `written` up to the line that is the `most`-th to count, and how many count in them. What follows, half a line
/// that a killed process has left perhaps, comes again.
fn kept(written: &[u8], most: usize) -> (usize, usize) {
    let (mut bytes, mut kept, mut length) = (0, 0, 0);
    for line in written.split_inclusive(|byte| *byte == b'\n') {
        if length == most || !line.ends_with(b"\n") {
            break;
        }
        bytes += line.len();
        let event: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
        if event["event"] != "started" && event["event"] != "ended" {
            (kept, length) = (bytes, length + 1);
        }
    }
    (kept, length)
}

impl Observer for JsonLines {
    fn on_event(&mut self, event: &Event) -> Result<Control> {
        serde_json::to_writer(&mut self.file, event).map_err(std::io::Error::from)?;
        self.file.write_all(b"\n")?;
        self.length += usize::from(!matches!(event, Event::Started { .. } | Event::Ended { .. }));
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
    fn what_the_state_does_not_know_of_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let line = |text: &str| format!("{{\"event\":\"{text}\"}}\n");
        let written =
            [line("started"), line("step"), line("ended"), line("started"), line("step"), line("ended")]
                .concat();
        // Bytes of so many lines from the start.
        let bytes = |lines: usize| written.split_inclusive('\n').take(lines).map(str::len).sum::<usize>();
        for (most, lines, length) in [(0, 0, 0), (1, 2, 1), (2, 5, 2), (9, 5, 2)] {
            assert_eq!(kept(written.as_bytes(), most), (bytes(lines), length), "{most}");
        }
        fs_err::write(&path, line("step") + "{\"event\":\"st").unwrap();
        let mut lines = JsonLines::append_to(&path, 9).unwrap();
        lines.on_event(&Event::Validating { epoch: 2 }).unwrap();
        lines.sync().unwrap();
        assert_eq!(lines.length(), 2);
        let text = fs_err::read_to_string(&path).unwrap();
        assert_eq!(text, line("step") + "{\"event\":\"validating\",\"epoch\":2}\n");
    }
}
