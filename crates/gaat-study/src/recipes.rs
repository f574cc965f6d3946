//! Recipes from files, the differences of two, and where a run of one usually lies.

use crate::error::{Error, Result};
use gaat_spec::{CheckedRecipe, Recipe};
use std::path::{Path, PathBuf};

/// The recipe in `file`; an empty one where none is given.
///
/// # Errors
/// When there is no such file, or the file holds no recipe; the message names the file.
pub fn read(file: Option<&Path>) -> Result<Recipe> {
    let Some(path) = file else { return Ok(Recipe::default()) };
    if path.is_dir() {
        return Err(Error::NotARecipe { path: path.to_owned() });
    }
    if !path.exists() {
        return Err(Error::NoRecipe { path: path.to_owned() });
    }
    let text = gaat_files::read_text(path)?;
    Recipe::from_toml(&text).map_err(|error| Error::File { path: path.to_owned(), reason: error.to_string() })
}

/// Where a run of `recipe` goes unless another place is named: `runs/digits-convnet-gaat-s0`.
pub fn usual_directory(recipe: &CheckedRecipe) -> PathBuf {
    let CheckedRecipe { dataset, model, method_name, .. } = recipe;
    let seed = recipe.plan.seed();
    PathBuf::from(format!("runs/{dataset}-{model}-{method_name}-s{seed}"))
}

/// Refuses a place of images that is gone, where the place comes from the recipe of a run.
///
/// # Errors
/// [`Error::DataGone`].
pub fn check_data_dir(remembered: &Recipe) -> Result<()> {
    match &remembered.data_dir {
        Some(place) if !place.exists() => Err(Error::DataGone { path: place.clone() }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_recipe_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("recipe.toml");
        fs_err::write(&path, "epochs = 3\nseed = 5").unwrap();
        assert_eq!(read(Some(&path)).unwrap().epochs, Some(3));
        assert_eq!(read(None).unwrap(), Recipe::default());
        fs_err::write(&path, "epoch = 3").unwrap();
        let error = read(Some(&path)).unwrap_err().to_string();
        assert!(error.contains("recipe.toml") && error.contains("did you mean `epochs`"), "{error}");
        let error = read(Some(directory.path())).unwrap_err().to_string();
        assert!(error.contains("is a directory, not a recipe"), "{error}");
        let error = read(Some(Path::new("absent.toml"))).unwrap_err().to_string();
        assert!(error.contains("absent.toml: nothing there"), "{error}");
    }

    #[test]
    fn a_place_that_a_run_remembers_and_is_gone_is_named() {
        let gone = Recipe { data_dir: Some("photos-of-another-place".into()), ..Recipe::default() };
        let error = check_data_dir(&gone).unwrap_err().to_string();
        assert!(error.contains("photos-of-another-place: nothing there"), "{error}");
        assert!(check_data_dir(&Recipe { data_dir: Some(".".into()), ..gone }).is_ok());
        assert!(check_data_dir(&Recipe::default()).is_ok());
    }
}
