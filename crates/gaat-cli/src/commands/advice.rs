//! What to type about an error of the engine, by its variant.

use crate::advice::{of_recipe, of_remedy};
use gaat_spec::{visible, visible_path};
use std::error::Error;

/// The advice for `cause`, where it is an error of the library that has some.
pub(crate) fn of_engine(cause: &(dyn Error + 'static)) -> Option<String> {
    let text = match cause.downcast_ref::<gaat::Error>()? {
        gaat::Error::Data(error) => return error.remedy().map(of_remedy),
        gaat::Error::Spec(error) => return of_recipe(error),
        gaat::Error::NoCuda { .. } => {
            "--device cpu, or a libtorch with CUDA (`cargo xtask setup --cuda`); `gaat doctor` tells what is missing"
        }
        gaat::Error::OutOfMemory { .. } => "a smaller --batch-size or --model needs less",
        gaat::Error::Occupied { .. } => "--resume resumes the run there, --out chooses another directory",
        gaat::Error::Choice { keys, .. } => return keys.first().map(|key| format!("--key {}", visible(key))),
        gaat::Error::InUse { .. } | gaat::Error::StateGone { .. } => "--out chooses another directory",
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
