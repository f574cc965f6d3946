//! The verdicts on a run, in `evaluations.json` of its directory: the latest of each kind.

use crate::arguments::CheckpointChoice;
use crate::directory::write_whole;
use anyhow::{Context, Result};
use gaat_report::Judged;
use gaat_spec::{Evaluation, visible_path};
use serde::{Deserialize, Serialize};
use std::path::Path;

const FILE: &str = "evaluations.json";

/// A verdict, and how it came about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// As typed, where it is known.
    pub(crate) command: Option<String>,
    pub(crate) checkpoint: CheckpointChoice,
    pub(crate) evaluation: Evaluation,
}

impl Verdict {
    /// Whether `other` judged the same in the same way and tells nothing that this one does not, so that this one takes its
    /// place.
    fn replaces(&self, other: &Self) -> bool {
        let how = |verdict: &Self| {
            let Evaluation { threat, examples, attacks, .. } = &verdict.evaluation;
            let attacks: Vec<_> = attacks.iter().map(|result| result.attack).collect();
            (verdict.checkpoint, *threat, *examples, attacks)
        };
        how(self) == how(other) && (!self.evaluation.curve.is_empty() || other.evaluation.curve.is_empty())
    }
}

impl From<Verdict> for Judged {
    fn from(verdict: Verdict) -> Self {
        let Verdict { command, checkpoint, evaluation } = verdict;
        Self { command, checkpoint: checkpoint.name().to_owned(), evaluation }
    }
}

/// The verdicts kept in the run directory `run`, oldest first.
pub(crate) fn read(run: &Path) -> Result<Vec<Verdict>> {
    let path = run.join(FILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = gaat_data::files::read_text(&path)?;
    serde_json::from_str(&text)
        .with_context(|| format!("{}: holds no verdicts; remove it and judge again", visible_path(&path)))
}

/// `old` verdicts and `new` ones, which take the places of their kind.
pub(crate) fn joined(mut old: Vec<Verdict>, new: Vec<Verdict>) -> Vec<Verdict> {
    old.retain(|old| !new.iter().any(|new| new.replaces(old)));
    old.extend(new);
    old
}

/// Adds `verdict` to those of `run`, in the place of one of its kind.
pub(crate) fn keep(run: &Path, verdict: Verdict) -> Result<()> {
    let _turn = gaat::lock::Writer::in_directory(run)?;
    let kept = joined(read(run)?, vec![verdict]);
    write_whole(&run.join(FILE), &(serde_json::to_string_pretty(&kept)? + "\n"))
}
