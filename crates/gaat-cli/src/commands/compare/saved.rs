//! What earlier starts of a comparison left: finished runs are kept, the others go on.

use super::plan::{Job, Judging};
use crate::arguments::CheckpointChoice;
use crate::directory::write_whole;
use crate::recipes;
use anyhow::{Result, bail};
use gaat_spec::{Evaluation, RunRecord, Status, visible_path};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Keys that say where a run computes and not what.
const FREE_KEYS: [&str; 3] = ["data-dir", "device", "threads"];

/// How a run stands before it is begun.
pub(super) enum Found {
    /// Trained and judged in the same way.
    Judged(Box<(RunRecord, Evaluation)>),
    /// Trained; judged otherwise or not at all.
    Trained,
    /// Not begun, or not ended.
    Unfinished,
}

/// The verdict on a run together with how it came about, in `judgement.json` of its directory.
#[derive(Serialize, Deserialize)]
pub(super) struct Judgement {
    judging: Judging,
    evaluation: Evaluation,
}

impl Judgement {
    pub(super) fn save(job: &Job, judging: &Judging, evaluation: &Evaluation) -> Result<()> {
        let judgement = Self { judging: judging.clone(), evaluation: evaluation.clone() };
        write_whole(&path(&job.directory), &(serde_json::to_string_pretty(&judgement)? + "\n"))
    }

    /// The saved verdict; one that cannot be read is as good as none, since judging again costs no training.
    fn read(directory: &Path) -> Option<Self> {
        serde_json::from_str(&gaat_data::files::read_text(&path(directory)).ok()?).ok()
    }
}

/// The verdict kept in `directory`, and which weights it is on.
pub(crate) fn judgement(directory: &Path) -> Option<(CheckpointChoice, Evaluation)> {
    Judgement::read(directory).map(|found| (found.judging.checkpoint, found.evaluation))
}

fn path(directory: &Path) -> PathBuf {
    directory.join("judgement.json")
}

/// Looks at the directory of `job`.
pub(super) fn find(job: &Job, judging: &Judging) -> Result<Found> {
    let directory = &job.directory;
    if gaat::run::is_vacant(directory)? {
        return Ok(Found::Unfinished);
    }
    let Some(there) = gaat::run::recipe(directory)? else {
        bail!("{} holds something else than a run; choose another --out", visible_path(directory));
    };
    let mut differences = recipes::differences(&there, &job.recipe.resolved)?;
    differences.retain(|difference| !FREE_KEYS.iter().any(|key| difference.starts_with(&format!("{key} "))));
    if !differences.is_empty() {
        bail!(
            "{} was trained with another recipe: {}; choose another --out, or remove it",
            visible_path(directory),
            differences.join(", ")
        );
    }
    // The record of a run that was cut off may lack what a whole one has; it is the library's to go on with it.
    let Some(record) = gaat::run::record(directory).ok().filter(|record| record.status == Status::Done)
    else {
        return Ok(Found::Unfinished);
    };
    Ok(match Judgement::read(directory).filter(|judgement| judgement.judging == *judging) {
        Some(judgement) => Found::Judged(Box::new((record, judgement.evaluation))),
        None => Found::Trained,
    })
}
