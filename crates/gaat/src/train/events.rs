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

/// A closure is told everything, and says whether to go on.
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

/// Writes each event as one line of `events.jsonl`. A resumed run goes on after the steps that its state holds.
#[derive(Debug)]
pub(super) struct JsonLines {
    file: std::io::BufWriter<fs_err::File>,
}

impl JsonLines {
    /// Goes on after `steps_done` steps.
    pub(super) fn append_to(path: &Path, steps_done: usize) -> Result<Self> {
        let file = gaat_data::files::append(path)?;
        let kept = kept(&gaat_data::files::read(path)?, steps_done);
        file.file().set_len(kept as u64)?;
        Ok(Self { file: std::io::BufWriter::new(file) })
    }
}

/// Bytes of `written` to keep: whole lines up to the first step after `steps_done`. A killed process may have left half a
/// line, and steps that are done again.
fn kept(written: &[u8], steps_done: usize) -> usize {
    let is_kept = |line: &&[u8]| {
        let is_later = |event: serde_json::Value| {
            event["event"] == "step" && event["step"].as_u64().is_some_and(|step| step > steps_done as u64)
        };
        line.ends_with(b"\n") && !serde_json::from_slice(line).is_ok_and(is_later)
    };
    written.split_inclusive(|byte| *byte == b'\n').take_while(is_kept).map(<[u8]>::len).sum()
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
    fn half_a_line_and_steps_that_are_done_again_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        fs_err::write(&path, "{\"event\":\"validating\",\"epoch\":1}\n{\"event\":\"st").unwrap();
        JsonLines::append_to(&path, 9).unwrap().on_event(&Event::Validating { epoch: 2 }).unwrap();
        let text = fs_err::read_to_string(&path).unwrap();
        let epochs: Vec<i64> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["epoch"].as_i64().unwrap())
            .collect();
        assert_eq!(epochs, [1, 2]);

        let step = |step: usize| format!("{{\"event\":\"step\",\"step\":{step}}}\n");
        let text =
            [step(1), step(2), step(3), "{\"event\":\"validating\",\"epoch\":1}\n".to_owned()].concat();
        for (done, left) in [(0, 0), (2, 2), (3, 4)] {
            let bytes = kept(text.as_bytes(), done);
            assert_eq!(text[..bytes].lines().count(), left, "{done} steps done");
        }
    }
}
