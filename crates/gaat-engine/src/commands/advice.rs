//! What to type about an error of the engine, by its variant.

use gaat_cli::advice::{of_recipe, of_remedy};
use gaat_spec::{visible, visible_path};
use gaat_study::Error as StudyError;
use std::error::Error;

/// The advice for `cause`, where it is an error of a library that has some.
pub(crate) fn of_engine(cause: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = cause.downcast_ref::<gaat::Error>() {
        return of_gaat(error);
    }
    // A source is boxed.
    let boxed = cause.downcast_ref::<Box<StudyError>>().map(Box::as_ref);
    of_study(cause.downcast_ref::<StudyError>().or(boxed)?)
}

fn of_gaat(error: &gaat::Error) -> Option<String> {
    let text = match error {
        gaat::Error::Data(error) => return error.remedy().map(of_remedy),
        gaat::Error::Spec(error) => return of_recipe(error),
        gaat::Error::NoCuda { .. } => {
            "--device cpu, or a libtorch with CUDA (`cargo xtask setup --cuda`); `gaat doctor` tells what is missing"
        }
        gaat::Error::OutOfMemory { .. } => "a smaller --batch-size or --model needs less",
        gaat::Error::Occupied { .. } => "--resume resumes the run there, --out chooses another directory",
        gaat::Error::Choice { keys, .. } => return keys.first().map(|key| format!("--key {}", visible(key))),
        gaat::Error::InUse { .. } | gaat::Error::StateGone { .. } => "--out chooses another directory",
        gaat::Error::Lost { .. } => "--resume, for all of them, continues from the last checkpoint",
        gaat::Error::OtherEvaluation { .. } => "--state names another file",
        gaat::Error::Foreign { path } => {
            return Some(format!(
                "`gaat import {} --model MODEL --out WEIGHTS.safetensors` makes weights of the file",
                visible_path(path)
            ));
        }
        _ => return None,
    };
    Some(text.to_owned())
}

fn of_study(error: &StudyError) -> Option<String> {
    let text = match error {
        StudyError::Engine(error) => return of_gaat(error),
        StudyError::Data(error) => return error.remedy().map(of_remedy),
        StudyError::Spec(error) => return of_recipe(error),
        StudyError::NotARecipe { .. } => "to resume a run there, add --resume",
        StudyError::NoRecipe { .. } => "with --resume, the directory of a run can stand in place of a recipe",
        StudyError::NoDataset { .. } => "--dataset names the data set",
        StudyError::DataGone { .. } => "--data-dir says where the images are now",
        StudyError::Classes(_) => {
            "--dataset and --data-dir choose the images; `gaat import` takes names from --dataset or --classes"
        }
        StudyError::Epsilon { example, .. } => return Some(format!("--epsilon {example}")),
        StudyError::Taken { .. } => "--out chooses another place",
        _ => return None,
    };
    Some(text.to_owned())
}
