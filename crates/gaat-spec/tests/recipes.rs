//! Every recipe of the repository is one that this version runs.

use gaat_spec::{DatasetName, Recipe};
use std::path::Path;

#[test]
fn the_recipes_of_the_repository_can_be_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut recipe = Recipe::from_toml(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        // A folder of images is named on the command line.
        if recipe.dataset == Some(DatasetName::Folder) {
            recipe.data_dir = recipe.data_dir.or(Some("photos".into()));
        }
        let checked = recipe.check().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.contains(&format!("recipes/{name}")), "{name}: its command does not name it");
        assert!(checked.plan.epochs() > 0);
        names.push(name);
    }
    names.sort();
    for name in [
        "cifar10-resnet-18",
        "cifar10-wide-resnet-28-4",
        "digits",
        "fashion-mnist",
        "fine-tune",
        "your-images",
    ] {
        assert!(names.contains(&format!("{name}.toml")), "{name} is not in {names:?}");
    }
}
