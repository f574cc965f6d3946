//! The state of a run, from which a training continues for a step.

use crate::signed::signed;
use crate::{put, told};
use gaat::train::{Control, TrainOptions, train};
use gaat_spec::{CheckedRecipe, Event, Recipe};
use std::path::Path;

const STATE: &str = "checkpoints/state.safetensors";

/// Memory of method, optimiser and guard, and an average: whatever a state holds.
fn recipe() -> CheckedRecipe {
    let text = "dataset = \"digits\"\nmodel = \"mlp\"\nmethod = \"fgsm-mep\"\nlimit = 24\nbatch-size = 10\nepochs = 3\nprecision = \"fp32\"\n\
                threads = 1\noptimizer = \"adam\"\nweight-averaging = 0.9\non-collapse = \"rollback\"\nvalidation-steps = 1\n";
    Recipe::from_toml(text).unwrap().check().unwrap()
}

/// Trains in `folder`, from the state there, until `is_last`.
fn go_on(folder: &Path, is_last: impl Fn(&Event) -> bool) -> Result<(), String> {
    let options = TrainOptions { run_dir: folder.to_owned(), resume: true };
    let observer = &mut |event: &Event| if is_last(event) { Control::Stop } else { Control::Continue };
    told(train(&recipe(), &options, observer))
}

pub(crate) fn training_state(bytes: &[u8], scratch: &Path) -> Result<(), String> {
    let folder = scratch.join("run");
    if folder.exists() {
        fs_err::remove_dir_all(&folder).unwrap();
    }
    put(&folder, STATE, &signed(bytes));
    go_on(&folder, |event| matches!(event, Event::Step { .. }))
}

/// In the middle of an epoch, at the end of one, and at the end of the run.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let saved = |is_last: fn(&Event) -> bool| {
        let scratch = tempfile::tempdir().unwrap();
        go_on(scratch.path(), is_last).unwrap();
        fs_err::read(scratch.path().join(STATE)).unwrap()
    };
    vec![
        saved(|event| matches!(event, Event::Step { step: 4, .. })),
        saved(|event| matches!(event, Event::Epoch { .. })),
        saved(|_| false),
    ]
}
