//! Keys in which two resolved recipes differ, as far as they make two runs different ones.

use super::Recipe;
use std::fmt;

/// Keys that say where a run computes and where its images and its network lie, and not what it is.
const FREE_KEYS: [&str; 8] =
    ["data-dir", "device", "eval-program", "extra-data", "from", "images", "model-file", "threads"];

/// A key with its value in both recipes, as TOML; `None` where it is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key.
    pub key: String,
    /// Its value in the recipe that was compared.
    pub there: Option<String>,
    /// Its value in the other one.
    pub here: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "absent".to_owned());
        write!(f, "{} = {} there, {} here", self.key, shown(&self.there), shown(&self.here))
    }
}

impl Recipe {
    /// What makes a run of `self`, which is there, another one than a run of `here`, in the order of the alphabet.
    ///
    /// # Errors
    /// When a recipe cannot be written as TOML.
    pub fn differences(&self, here: &Self) -> crate::Result<Vec<Difference>> {
        let table = |recipe: &Self| {
            toml::Table::try_from(recipe).map_err(|error| crate::Error::Document(error.to_string()))
        };
        let (there, here) = (table(self)?, table(here)?);
        let mut keys: Vec<&String> = there.keys().chain(here.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let differing = keys.into_iter().filter(|key| !FREE_KEYS.contains(&key.as_str()));
        let differing = differing.filter(|key| there.get(*key) != here.get(*key));
        let shown = |table: &toml::Table, key: &str| table.get(key).map(ToString::to_string);
        let difference = |key: &String| Difference {
            key: key.clone(),
            there: shown(&there, key),
            here: shown(&here, key),
        };
        Ok(differing.map(difference).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_key_and_both_values_and_leave_out_where_a_run_computes() {
        let there = Recipe { epochs: Some(3), threads: Some(1), ..Recipe::default() };
        let here = Recipe { epochs: Some(4), seed: Some(1), ..Recipe::default() };
        let shown: Vec<String> = there.differences(&here).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["epochs = 3 there, 4 here", "seed = absent there, 1 here"]);
        assert!(here.differences(&here).unwrap().is_empty());
    }
}
