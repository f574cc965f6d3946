//! The parts of an evaluation, which machines that do not see each other have judged, put together.

use super::ledger::{Entry, Ledger};
use super::plan::Planned;
use super::saved::read;
use crate::error::{Error, Result};
use gaat_spec::Shard;
use std::path::{Path, PathBuf};

/// The whole ledger of the evaluation that is `judged`, of `stages` over `batches`, out of the files `states` of its parts. A
/// directory stands for every `.json` file in it.
///
/// # Errors
/// When a part is missing, twice there, not done, or of another evaluation.
pub(super) fn merged(states: &[PathBuf], judged: &str, stages: &[Planned], batches: usize) -> Result<Ledger> {
    let mut parts: Vec<(PathBuf, Shard, Ledger)> = Vec::new();
    for path in files(states)? {
        let missing = || Error::File { path: path.clone(), reason: "is not there".to_owned() };
        let (shard, ledger) = read(&path, judged)?.ok_or_else(missing)?;
        check_done(&path, shard, &ledger, stages, batches)?;
        if let Some((other, known, _)) =
            parts.iter().find(|(_, known, _)| known.of != shard.of || *known == shard)
        {
            let (path, other) = (path.clone(), gaat_spec::visible_path(other));
            let reason = format!(
                "is part {shard}, and {other} is part {known}: each part is needed once, of one division"
            );
            return Err(Error::File { path, reason });
        }
        parts.push((path, shard, ledger));
    }
    let of = parts.first().map_or(1, |(_, shard, _)| shard.of);
    parts.sort_by_key(|(_, shard, _)| shard.index);
    if parts.len() != of || parts.is_empty() {
        let missing = (1..=of).filter(|index| parts.iter().all(|(_, shard, _)| shard.index != *index));
        let missing: Vec<String> = missing.map(|index| Shard { index, of }.to_string()).collect();
        return Err(Error::Usage(format!(
            "of the parts of the evaluation {} are missing",
            missing.join(", ")
        )));
    }
    let mut whole = Ledger { stages: vec![Entry::default(); stages.len()] };
    for (stage, entry) in whole.stages.iter_mut().enumerate() {
        for (_, _, ledger) in &parts {
            entry.passes += ledger.stages[stage].passes;
            entry.seconds += ledger.stages[stage].seconds;
        }
        entry.survivors = (0..batches)
            .map(|batch| parts[batch % of].2.stages[stage].survivors[batch / of].clone())
            .collect();
    }
    Ok(whole)
}

/// The files that `paths` name.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let before = found.len();
        for entry in fs_err::read_dir(path)? {
            found
                .extend(Some(entry?.path()).filter(|path| path.extension().is_some_and(|end| end == "json")));
        }
        if found.len() == before {
            let reason = "holds no file that ends with .json, as a part of an evaluation does".to_owned();
            return Err(Error::File { path: path.clone(), reason });
        }
    }
    Ok(found)
}

/// Refuses a part of which something is still to be judged.
fn check_done(path: &Path, shard: Shard, ledger: &Ledger, stages: &[Planned], batches: usize) -> Result<()> {
    let needed = shard.batches(batches).count();
    for (stage, planned) in stages.iter().enumerate() {
        let done = ledger.stages.get(stage).map_or(0, |entry| entry.survivors.len());
        if done != needed {
            let reason = format!(
                "part {shard} is not done: {done} of {needed} batches under {}; the command that has begun it continues with it",
                planned.name
            );
            return Err(Error::File { path: path.to_owned(), reason });
        }
    }
    Ok(())
}
