//! A training method of one's own beside two of the library: `cargo run --example own_method`.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

use gaat::nn::Catalogue;
use gaat::prelude::*;
use gaat::train::{Nothing, Objective, StepContext, StepReport, Training, TrainingMethod};
use tch::{Kind, Tensor};

/// Half of the loss on the images as they are, half on the same images under one step of PGD.
struct HalfAndHalf {
    attack: Pgd,
}

impl TrainingMethod for HalfAndHalf {
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        // Passes are counted by the context; the attack is scaled while a recipe warms it up.
        let perturbed = context.perturb(&self.attack.scaled(context.attack_scale()), batch)?;
        // For a part of the batch at a time, where a recipe accumulates.
        let descent = context.descend_on(batch, &mut |tape, part| {
            let clean = tape.logits(&part.of(&batch.pixels)?)?;
            let attacked = tape.logits(&part.of(perturbed.pixels())?)?;
            let labels = part.of(&batch.labels)?.f_unsqueeze(1)?;
            let loss = |logits: &Tensor| -> Result<Tensor> {
                let likely = logits.f_log_softmax(-1, Kind::Float)?;
                Ok(likely.f_gather(1, &labels, false)?.f_squeeze_dim(1)?.f_neg()?)
            };
            let losses = (loss(&clean)? + loss(&attacked)?) * 0.5;
            Ok(Objective { losses, attacked: None, logits: attacked, watched: None })
        })?;
        Ok(StepReport { loss: descent.loss, correct: descent.correct, gain: None, refreshes: 1.0 })
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    prepare_process(Some(1))?;
    for method in ["natural", "gaat", "half and half"] {
        let of_library = if method == "half and half" { "natural" } else { method };
        let text = format!("dataset = \"digits\"\nmethod = \"{of_library}\"\nepochs = 15\nthreads = 1");
        let recipe = Recipe::from_toml(&text)?.check()?;
        let epsilon = recipe.plan.threat().epsilon();
        let mut training = Training::of(&recipe, &Catalogue::standard())?;
        if method == "half and half" {
            let attack = Pgd::training(1, epsilon, gaat::attack::Start::Random);
            training.method = Box::new(HalfAndHalf { attack });
        }
        let record = training.run(&mut Nothing, &mut Quiet)?;
        let last = record.epochs.last().ok_or("no epoch")?;
        println!(
            "{method}: validation clean {:.3}, under PGD-10 {:.3}, {:.2} times the passes of natural training",
            last.validation_clean.unwrap_or(f64::NAN),
            last.validation_robust.unwrap_or(f64::NAN),
            record.cost_ratio,
        );
    }
    Ok(())
}
