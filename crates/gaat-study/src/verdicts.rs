//! The verdicts on a run, in `evaluations.json` of its directory: the latest of each kind.

use crate::error::Result;
use crate::files::{read_json, write_json};
use gaat::lock::Writer;
use gaat_report::Judged;
use gaat_spec::Evaluation;
use std::path::Path;

const FILE: &str = "evaluations.json";

/// Whether `new` judged the same as `old` in the same way and tells all that `old` does, so that it takes its place.
fn replaces(new: &Judged, old: &Judged) -> bool {
    let how = |verdict: &Judged| {
        let Evaluation { threat, examples, attacks, .. } = &verdict.evaluation;
        let attacks: Vec<_> = attacks.iter().map(|result| result.attack).collect();
        (verdict.checkpoint, *threat, *examples, attacks)
    };
    how(new) == how(old) && (!new.evaluation.curve.is_empty() || old.evaluation.curve.is_empty())
}

/// The verdicts kept in the run directory `run`, oldest first.
///
/// # Errors
/// When the file cannot be read.
pub fn read(run: &Path) -> Result<Vec<Judged>> {
    Ok(read_json(&run.join(FILE))?.unwrap_or_default())
}

/// `old` verdicts and `new` ones, which take the places of their kind.
pub(crate) fn joined(mut old: Vec<Judged>, new: Vec<Judged>) -> Vec<Judged> {
    old.retain(|old| !new.iter().any(|new| replaces(new, old)));
    old.extend(new);
    old
}

/// Adds `verdict` to those of `run`, in the place of one of its kind.
///
/// # Errors
/// When the file cannot be read or written.
pub fn keep(run: &Path, verdict: Judged) -> Result<()> {
    let _turn = Writer::in_directory(run)?;
    let kept = joined(read(run)?, vec![verdict]);
    write_json(&run.join(FILE), &kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is added to it, so that what can still be saved of it stays; repeating the command alone would not help.
    #[test]
    fn damaged_verdicts_are_told_with_what_helps() {
        let run = tempfile::tempdir().unwrap();
        assert!(read(run.path()).unwrap().is_empty());
        fs_err::write(run.path().join(FILE), "[{").unwrap();
        let error = read(run.path()).unwrap_err().to_string();
        assert!(error.contains("evaluations.json: is damaged (EOF"), "{error}");
        assert!(error.ends_with("or remove it and repeat the command that wrote it"), "{error}");
    }
}
