//! From a recipe file and flags to one recipe: flags over file, the rest from the defaults of `gaat-spec`.

use anyhow::{Result, anyhow, bail};
use gaat_spec::{Recipe, visible_path};
use std::path::Path;

/// Reads `file`, where one is given, and lays `flags` over it.
pub(crate) fn read(file: Option<&Path>, flags: &Recipe) -> Result<Recipe> {
    let base = match file {
        None => Recipe::default(),
        Some(path) if path.is_dir() => {
            bail!(
                "{} is a directory, not a recipe; to go on with a run there, add --resume",
                visible_path(path)
            )
        }
        Some(path) if !path.exists() => {
            bail!(
                "{}: nothing there; expected a recipe (.toml), or with --resume the directory of a run",
                visible_path(path)
            )
        }
        Some(path) => {
            let text = gaat_data::files::read_text(path)?;
            Recipe::from_toml(&text).map_err(|error| anyhow!("{}: {error}", visible_path(path)))?
        }
    };
    Ok(base.overlaid_with(flags)?)
}

/// Refuses a place of images that is not there and was not named now, but in the recipe of a run.
pub(crate) fn check_data_dir(remembered: &Recipe) -> Result<()> {
    match &remembered.data_dir {
        Some(place) if !place.exists() => bail!(
            "{}: nothing there; the recipe of the run names it as its data-dir, as it was typed in the directory of the \
             training; --data-dir says where the images are now",
            visible_path(place)
        ),
        _ => Ok(()),
    }
}

/// Keys that differ between two resolved recipes, each with both values.
pub(crate) fn differences(there: &Recipe, here: &Recipe) -> Result<Vec<String>> {
    let (there, here) = (toml::Table::try_from(there)?, toml::Table::try_from(here)?);
    let shown = |value: Option<&toml::Value>| value.map_or_else(|| "absent".to_owned(), ToString::to_string);
    let mut keys: Vec<&String> = there.keys().chain(here.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    Ok(keys
        .into_iter()
        .filter(|key| there.get(*key) != here.get(*key))
        .map(|key| format!("{key} = {} there, {} here", shown(there.get(key)), shown(here.get(key))))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_go_before_the_file_and_unknown_keys_name_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("recipe.toml");
        fs_err::write(&path, "epochs = 3\nseed = 5").unwrap();
        let flags = Recipe { epochs: Some(7), ..Recipe::default() };
        let recipe = read(Some(&path), &flags).unwrap();
        assert_eq!((recipe.epochs, recipe.seed), (Some(7), Some(5)));
        fs_err::write(&path, "epoch = 3").unwrap();
        let error = read(Some(&path), &flags).unwrap_err().to_string();
        assert!(error.contains("recipe.toml") && error.contains("did you mean `epochs`"), "{error}");
        let error = read(Some(directory.path()), &flags).unwrap_err().to_string();
        assert!(error.contains("--resume"), "{error}");
        let error = read(Some(Path::new("absent.toml")), &flags).unwrap_err().to_string();
        assert!(error.contains("absent.toml: nothing there"), "{error}");
    }

    #[test]
    fn a_place_that_a_run_remembers_and_is_gone_is_asked_for_anew() {
        let gone = Recipe { data_dir: Some("photos-of-another-place".into()), ..Recipe::default() };
        let error = check_data_dir(&gone).unwrap_err().to_string();
        assert!(error.contains("photos-of-another-place") && error.contains("--data-dir"), "{error}");
        assert!(check_data_dir(&Recipe { data_dir: Some(".".into()), ..gone }).is_ok());
        assert!(check_data_dir(&Recipe::default()).is_ok());
    }

    #[test]
    fn differences_name_key_and_both_values() {
        let there = Recipe { epochs: Some(3), ..Recipe::default() };
        let here = Recipe { epochs: Some(4), seed: Some(1), ..Recipe::default() };
        let expected = ["epochs = 3 there, 4 here", "seed = absent there, 1 here"];
        assert_eq!(differences(&there, &here).unwrap(), expected);
        assert!(differences(&here, &here).unwrap().is_empty());
    }
}
