//! An attack of one's own beside PGD: `cargo run --example own_attack`.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

use gaat::attack::survival::{standing_clean, survivors};
use gaat::prelude::*;
use tch::{Kind, Tensor};

/// Random search: of so many corners of the ball each image keeps the one with the highest loss. No gradient is asked for.
struct RandomCorners {
    draws: usize,
}

impl Attack for RandomCorners {
    fn propose(&self, oracle: &mut dyn GradientOracle, batch: UnderAttack<'_>) -> Result<Tensor> {
        let UnderAttack { clean, labels, threat, draws } = batch;
        let mut best = clean.f_zeros_like()?;
        let mut most = Tensor::f_full([labels.size()[0]], f64::NEG_INFINITY, (clean.kind(), clean.device()))?;
        for draw in 0..self.draws {
            let noise = draws.branch(&draw.to_string()).normal(
                &clean.size(),
                0.0,
                1.0,
                clean.kind(),
                clean.device(),
            )?;
            let delta = noise.f_sign()?.f_mul_scalar(threat.epsilon())?;
            let logits = oracle.logits(&clean.f_add(&delta)?.f_clamp(0.0, 1.0)?)?;
            let losses =
                logits.f_log_softmax(-1, clean.kind())?.f_gather(1, &labels.f_unsqueeze(1)?, false)?;
            let losses = losses.f_squeeze_dim(1)?.f_neg()?;
            let better = losses.f_gt_tensor(&most)?;
            best = delta.f_where_self(&better.f_view([-1, 1, 1, 1])?, &best)?;
            most = losses.f_maximum(&most)?;
        }
        Ok(best)
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    prepare_process(Some(1))?;
    let recipe = Recipe::from_toml("dataset = \"digits\"\nmethod = \"natural\"\nepochs = 10")?.check()?;
    let threat = recipe.plan.threat();
    let folder = tempfile::tempdir()?;
    let options = TrainOptions { run_dir: folder.path().join("run"), resume: false };
    train(&recipe, &options, &mut Quiet)?;
    let run = open(&options.run_dir, Checkpoint::Best, None, ComputePrecision::Fp32)?;
    let network = run.classifier.as_ref();

    let test = test_images(&recipe.resolved, None)?;
    let images = Images::upload(test.images(), tch::Device::Cpu)?;
    let batch = images.range(0, 300, Kind::Float)?;
    let clean = standing_clean(network, &batch)?;
    println!("{} of 300 digits are classified correctly", clean.size()[0]);
    let pgd = Pgd::judging(20, threat.epsilon() / 4.0, gaat::attack::Start::Random);
    let corners = RandomCorners { draws: 200 };
    for (name, attack) in [("200 random corners", &corners as &dyn Attack), ("PGD-20", &pgd)] {
        let draws = Rng::new(0).seeded(name, 0);
        let (left, passes) = survivors(network, &batch, &clean, attack, &threat, &draws)?;
        println!(
            "{name}: {} withstand it, after {} passes",
            left.size()[0],
            passes.forward + passes.input_backward
        );
    }
    Ok(())
}
