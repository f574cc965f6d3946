//! An analysis of a subject: its title, its files, and its place in the report.

use crate::error::Result;
use crate::files::{write_json, write_text};
use crate::judging::images;
use crate::subject::Subject;
use gaat::analyze::{AnalyzeOptions, Control, Progress, analyze};
use gaat_report::analysis_plots;
use gaat_spec::{Analysis, visible_path};
use std::path::{Path, PathBuf};

impl Subject {
    /// Compares Taylor models with the network on the test images.
    ///
    /// # Errors
    /// As [`analyze`]; [`Error::is_interruption`](crate::Error::is_interruption) where `observer` asked to stop.
    pub fn analyze(
        &self,
        options: &AnalyzeOptions,
        observer: &mut dyn FnMut(&Progress) -> Control,
    ) -> Result<Analysis> {
        Ok(analyze(self.opened.classifier.as_ref(), self.test.images(), options, observer)?)
    }

    /// What an analysis is of, in a line.
    pub fn analysis_title(&self, analysis: &Analysis) -> String {
        format!(
            "{}: {}, {} test images of {}, anchor {}",
            visible_path(&self.options.run),
            self.opened.classifier.name(),
            images(analysis.subset, analysis.examples),
            self.trained.dataset,
            analysis.anchor
        )
    }

    /// Where an analysis goes unless another place is named: into the run directory; beside a checkpoint that lies elsewhere.
    pub fn analysis_directory(&self) -> PathBuf {
        let run = &self.options.run;
        let root = if run.is_dir() { run } else { run.parent().unwrap_or(Path::new(".")) };
        root.join("analysis")
    }
}

/// Writes `analysis.json` and the plots, under `title`, into `out`.
///
/// # Errors
/// When a file cannot be written.
pub fn save_analysis(out: &Path, title: &str, analysis: &Analysis) -> Result<()> {
    write_json(&out.join("analysis.json"), analysis)?;
    for plot in analysis_plots(title, analysis) {
        write_text(&out.join(plot.file), &plot.svg)?;
    }
    Ok(())
}
