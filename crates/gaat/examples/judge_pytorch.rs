//! AutoAttack on a network that was trained in PyTorch:
//! `cargo run --release --example judge_pytorch -- WEIGHTS.pth convnet mnist DATA_DIR 0.3`.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

use gaat::exchange::{ImportOptions, Imported, import};
use gaat::prelude::*;
use gaat::spec::AttackName;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    prepare_process(None)?;
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [weights, model, dataset, data_dir, epsilon] = words.as_slice() else {
        return Err("usage: judge_pytorch WEIGHTS.pth MODEL DATASET DATA_DIR EPSILON".into());
    };
    // The file is read, never run. Notes say which network in it was taken, and what was assumed.
    let Imported { classifier, notes, .. } = import(weights.as_ref(), &ImportOptions::new(model.parse()?))?;
    for note in notes {
        println!("note: {note}");
    }
    let mut recipe = Recipe::from_toml(&format!("dataset = \"{dataset}\""))?;
    recipe.data_dir = Some(data_dir.into());
    let test = test_images(&recipe, None)?;
    let threat = ThreatModel::new(Norm::Linf, epsilon.parse()?)?;
    let attacks = vec![AttackSpec::customary(AttackName::AutoAttack, &threat)?];
    // The first 200 images, in batches of 100.
    let options = EvaluateOptions { limit: Some(200), ..EvaluateOptions::new(threat, attacks, 100) };
    let verdict = evaluate(classifier.as_ref(), test.images(), &options, &mut |_| Control::Continue)?;
    println!("clean {:.3}, under AutoAttack {:.3}", verdict.clean_accuracy, verdict.robust_accuracy);
    for part in &verdict.attacks[0].parts {
        println!("  after {}: {:.3}", part.name, part.robust_accuracy);
    }
    for alarm in &verdict.alarms {
        println!("alarm: {alarm}");
    }
    Ok(())
}
