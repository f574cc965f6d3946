//! A natural network made robust in a few epochs, beside the same epochs from scratch: `cargo run --example fine_tune`.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

use gaat::nn::Catalogue;
use gaat::prelude::*;
use gaat::train::{GivenWeights, Head, Nothing, Start, Training};

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    prepare_process(Some(1))?;
    let folder = tempfile::tempdir()?;
    let run_dir = folder.path().join("natural");
    let natural = Recipe::from_toml("dataset = \"digits\"\nmethod = \"natural\"\nepochs = 20\nthreads = 1")?;
    train(&natural.check()?, &TrainOptions { run_dir: run_dir.clone(), resume: false }, &mut Quiet)?;

    for epochs in [2, 5] {
        let text = format!("dataset = \"digits\"\nmethod = \"gaat\"\nepochs = {epochs}\nthreads = 1");
        let recipe = Recipe::from_toml(&text)?.check()?;
        let weights = GivenWeights::open(&run_dir.join("checkpoints/best.safetensors"))?;
        let given = Start::From { weights, head: Head::Keep };
        for (name, start) in [("from the natural network", given), ("from scratch", Start::Fresh)] {
            let training = Training::starting(&recipe, &Catalogue::standard(), start)?;
            let record = training.run(&mut Nothing, &mut Quiet)?;
            let last = record.epochs.last().ok_or("no epoch")?;
            println!(
                "{epochs} epochs of gaat {name}: validation clean {:.3}, under PGD-10 {:.3}",
                last.validation_clean.unwrap_or(f64::NAN),
                last.validation_robust.unwrap_or(f64::NAN),
            );
        }
    }
    Ok(())
}
