//! What earlier starts of a comparison left: finished runs are kept, the others continue.

use super::plan::Job;
use crate::error::{Error, Result};
use crate::files::{read_json, write_json};
use gaat_report::Judging;
use gaat_spec::{Checkpoint, Evaluation, RunRecord, Status};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

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
        write_json(&path(&job.directory), &judgement)
    }

    /// The saved verdict; one that cannot be read is as good as none, since judging again costs no training.
    fn read(directory: &Path) -> Option<Self> {
        read_json(&path(directory)).ok().flatten()
    }
}

/// The verdict kept in `directory`, and which weights it is on.
pub(crate) fn judgement(directory: &Path) -> Option<(Checkpoint, Evaluation)> {
    Judgement::read(directory).map(|found| (found.judging.checkpoint, found.evaluation))
}

fn path(directory: &Path) -> PathBuf {
    directory.join("judgement.json")
}

/// Where a verdict on the run in `directory` is kept while it comes about.
pub(super) fn state(directory: &Path) -> PathBuf {
    directory.join("judgement-state.json")
}

/// Removes the state of a verdict that is finished or no longer wanted.
pub(super) fn remove_state(directory: &Path) -> Result<()> {
    match fs_err::remove_file(state(directory)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Looks at the directory of `job`.
pub(super) fn find(job: &Job, judging: &Judging) -> Result<Found> {
    let directory = &job.directory;
    if gaat::run::is_vacant(directory)? {
        return Ok(Found::Unfinished);
    }
    let taken = |reason: String| Err(Error::Taken { path: directory.clone(), reason });
    let Some(there) = gaat::run::recipe(directory)? else {
        return taken("is not a run directory (it has no recipe.toml); choose another directory".to_owned());
    };
    let differences = there.differences(&job.recipe.resolved)?;
    if !differences.is_empty() {
        let listed: Vec<String> = differences.iter().map(ToString::to_string).collect();
        return taken(format!(
            "was trained with another recipe: {}; choose another directory, or remove this one",
            listed.join(", ")
        ));
    }
    // The record of a run that was cut off may lack what a whole one has; it is the library's to continue with it.
    let Some(record) = gaat::run::record(directory).ok().filter(|record| record.status == Status::Done)
    else {
        return Ok(Found::Unfinished);
    };
    Ok(match Judgement::read(directory).filter(|judgement| judgement.judging == *judging) {
        Some(judgement) => {
            remove_state(directory)?;
            Found::Judged(Box::new((record, judgement.evaluation)))
        }
        None => Found::Trained,
    })
}
