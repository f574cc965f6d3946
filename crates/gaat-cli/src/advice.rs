//! What to type about an error: flags and commands are known here alone, the libraries say what is wrong.

use gaat_data::Remedy;
use gaat_spec::DatasetName;
use std::error::Error;

/// The advice for the first cause of `error` that has any, as `known` and this module see it.
pub fn about(error: &anyhow::Error, known: fn(&(dyn Error + 'static)) -> Option<String>) -> Option<String> {
    error.chain().find_map(|cause| known(cause).or_else(|| of_files(cause)))
}

/// About data sets, downloads and recipes, which both binaries meet.
fn of_files(cause: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = cause.downcast_ref::<gaat_data::Error>() {
        return error.remedy().map(of_remedy);
    }
    if let Some(error) = cause.downcast_ref::<gaat_spec::Error>() {
        return of_recipe(error);
    }
    match cause.downcast_ref::<gaat_fetch::Error>()? {
        gaat_fetch::Error::Data(error) => error.remedy().map(of_remedy),
        gaat_fetch::Error::Occupied { .. } | gaat_fetch::Error::Taken { .. } => {
            Some("--data-dir chooses another directory".to_owned())
        }
        gaat_fetch::Error::Failed { .. } => {
            Some("--mirror URL names another server with the file".to_owned())
        }
        gaat_fetch::Error::NotPublished { dataset: DatasetName::Folder } => {
            Some("--data-dir names the directory of images of your own".to_owned())
        }
        _ => None,
    }
}

/// About a data set that cannot be read.
pub fn of_remedy(remedy: Remedy) -> String {
    match remedy {
        Remedy::Download(dataset) => format!(
            "`gaat data fetch {dataset}` downloads them (with the same --data-dir, where there is one)"
        ),
        Remedy::Directory => "--data-dir names their directory".to_owned(),
        Remedy::Resize => "--resize SIDE brings all images to one size".to_owned(),
    }
}

/// About a value of a recipe.
pub fn of_recipe(error: &gaat_spec::Error) -> Option<String> {
    match error {
        gaat_spec::Error::Value { key, .. } if ["data-dir", "resize"].contains(&key.as_str()) => {
            Some("--dataset folder is for images of your own".to_owned())
        }
        gaat_spec::Error::Value { key, value, .. } if key == "attack" && value == "carlini-wagner" => {
            Some("--attack pgd-margin, or --norm l2".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn advice_is_found_below_context_and_absent_where_there_is_none() {
        let missing = |dataset| gaat_data::Error::Missing {
            dataset,
            searched: Vec::new(),
            expected: "files".to_owned(),
            seen: Vec::new(),
        };
        let error = Err::<(), _>(missing(DatasetName::Cifar10)).context("while training").unwrap_err();
        assert!(about(&error, |_| None).unwrap().contains("`gaat data fetch cifar10`"));
        let error = anyhow::Error::from(missing(DatasetName::Folder));
        assert!(about(&error, |_| None).unwrap().contains("--data-dir"));
        assert_eq!(about(&anyhow::anyhow!("anything"), |_| None), None);
        assert_eq!(about(&anyhow::anyhow!("anything"), |_| Some("first".into())).as_deref(), Some("first"));
    }
}
