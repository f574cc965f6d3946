//! Which run is meant: its recipe, its directory and its networks, out of a file, single keys and what an earlier run has saved.

use crate::error::Result;
use crate::recipes;
use gaat::nn::Catalogue;
use gaat::run::settled;
use gaat::train::with_given_model;
use gaat_spec::{CheckedRecipe, Recipe, Status};
use std::path::{Path, PathBuf};

/// What a user says of a run.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// A file with a recipe; with `resume` also the directory of the run.
    pub file: Option<&'a Path>,
    /// Keys that win over those of the file.
    pub keys: &'a Recipe,
    /// The directory of the run.
    pub out: Option<&'a Path>,
    /// Whether the run is to continue where an earlier one stopped.
    pub resume: bool,
}

/// A run that can begin.
pub struct Planned {
    /// The networks that there are, the recipe's own among them.
    pub catalogue: Catalogue,
    /// The recipe with every key filled in.
    pub recipe: CheckedRecipe,
    /// Where the run goes.
    pub run_dir: PathBuf,
}

impl Planned {
    /// The run that `wish` means. A run that continues without a recipe file takes the recipe that it was started with.
    ///
    /// # Errors
    /// When a recipe cannot be read or is wrong, or when the images of a run that continues are gone.
    pub fn of(wish: Wish<'_>) -> Result<Self> {
        let Wish { file, keys, out, resume } = wish;
        let read =
            |file| -> Result<Recipe> { Ok(with_given_model(recipes::read(file)?.overlaid_with(keys)?)?) };
        if !resume {
            let (recipe, catalogue) = settled(read(file)?, None)?;
            let recipe = catalogue.check(&recipe)?;
            let run_dir = out.map_or_else(|| recipes::usual_directory(&recipe), Path::to_path_buf);
            return Ok(Self { catalogue, recipe, run_dir });
        }
        let (named, file) = match file {
            Some(path) if path.is_dir() => (Some(path), None),
            file => (None, file),
        };
        let run_dir = if let Some(run_dir) = out.or(named) {
            run_dir.to_owned()
        } else {
            let (recipe, catalogue) = settled(read(file)?, None)?;
            recipes::usual_directory(&catalogue.check(&recipe)?)
        };
        let saved = if file.is_none() { gaat::run::recipe(&run_dir)? } else { None };
        let recipe = if let Some(saved) = saved {
            // A run that is done needs no images any more.
            let is_done = gaat::run::record(&run_dir).is_ok_and(|record| record.status == Status::Done);
            if keys.data_dir.is_none() && !is_done {
                recipes::check_data_dir(&saved)?;
            }
            saved.overlaid_with(keys)?
        } else {
            read(file)?
        };
        let (recipe, catalogue) = settled(recipe, Some(&run_dir))?;
        let recipe = catalogue.check(&recipe)?;
        Ok(Self { catalogue, recipe, run_dir })
    }
}
