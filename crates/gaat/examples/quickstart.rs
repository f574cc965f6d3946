//! Trains as a recipe says and judges the result: `cargo run --release --example quickstart -- RECIPE.toml OUT`.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

use gaat::device::prepare_process;
use gaat::evaluate::{EvaluateOptions, evaluate};
use gaat::nn::ComputePrecision;
use gaat::run::{Checkpoint, open, test_images};
use gaat::spec::{AttackSpec, Event, Recipe};
use gaat::train::{Control, Observer, TrainOptions, train};
use std::path::PathBuf;

/// Prints a line an epoch.
struct Lines;

impl Observer for Lines {
    fn on_event(&mut self, event: &Event) -> gaat::Result<Control> {
        if let Event::Epoch { record, .. } = event {
            println!("{record:?}");
        }
        Ok(Control::Continue)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    prepare_process(None)?;
    let mut arguments = std::env::args().skip(1);
    let text = arguments.next().map_or(Ok(String::new()), std::fs::read_to_string)?;
    let run_dir = PathBuf::from(arguments.next().unwrap_or_else(|| "runs/quickstart".to_owned()));
    let recipe = Recipe::from_toml(&text)?.check()?;
    train(&recipe, &TrainOptions { run_dir: run_dir.clone(), resume: false }, &mut Lines)?;

    let run = open(&run_dir, Checkpoint::Best, None, ComputePrecision::Fp32)?;
    let attacks =
        vec![AttackSpec::fgsm(&recipe.plan.threat()), AttackSpec::pgd(&recipe.plan.threat(), 50, 1, None)?];
    let options = EvaluateOptions::new(recipe.plan.threat(), attacks, 500);
    let test = test_images(&recipe.resolved, None)?;
    let verdict = evaluate(run.classifier.as_ref(), test.images(), &options, &mut |_| Control::Continue)?;
    println!("clean {:.2} %", 100.0 * verdict.clean_accuracy);
    for attack in &verdict.attacks {
        println!("{} {:.2} % in {:.1} s", attack.name, 100.0 * attack.robust_accuracy, attack.seconds);
    }
    Ok(())
}
