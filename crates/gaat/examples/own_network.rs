//! A network of one's own: registered, trained, stopped, resumed, opened and judged. `cargo run --example own_network`.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

use gaat::nn::{Activation, Architecture, Body, Builder, Catalogue, ComputePrecision, Flow, Initial, Linear};
use gaat::prelude::*;
use gaat::run::open_of;
use gaat::train::train_of;

/// One hidden layer of 64.
struct OneHidden {
    hidden: Linear,
}

impl Body for OneHidden {
    fn features<F: Flow>(&self, flow: &F, input: F::Value) -> Result<F::Value> {
        let hidden = flow.linear(&self.hidden, &flow.flatten(&input)?)?;
        flow.activate(Activation::Silu, hidden)
    }
}

struct MyNets;

impl Architecture for MyNets {
    fn claims(&self, name: &str) -> bool {
        name == "one-hidden"
    }

    fn build(&self, mut builder: Builder) -> Result<Box<dyn Classifier>> {
        let hidden = builder.linear("hidden", builder.input().size(), 64, Initial::Default)?;
        let head = builder.linear("head", 64, builder.classes(), Initial::Default)?;
        builder.network(OneHidden { hidden }, head, false)
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    prepare_process(Some(1))?;
    let folder = tempfile::tempdir()?;
    let catalogue = Catalogue::standard().with(MyNets);
    let text = "model = \"one-hidden\"\nmethod = \"gaat\"\nepochs = 8";
    let recipe = catalogue.check(&Recipe::from_toml(text)?)?;
    let options = TrainOptions { run_dir: folder.path().join("run"), resume: true };
    let mut three_epochs = |event: &Event| match event {
        Event::Checkpoint { epoch: 3, .. } => Control::Stop,
        _ => Control::Continue,
    };
    train_of(&catalogue, &recipe, &options, &mut three_epochs)?;
    let record = train_of(&catalogue, &recipe, &options, &mut Quiet)?;
    println!(
        "{} of {} parameters, {} epochs",
        record.model.name,
        record.model.parameters,
        record.epochs.len()
    );

    let run = open_of(&catalogue, &options.run_dir, Checkpoint::Best, None, ComputePrecision::Fp32)?;
    let threat = recipe.plan.threat();
    let judging = EvaluateOptions::new(threat, vec![AttackSpec::pgd(&threat, 10, 1, None)?], 500);
    let test = test_images(&recipe.resolved, None)?;
    let verdict = evaluate(run.classifier.as_ref(), test.images(), &judging, &mut |_| Control::Continue)?;
    println!("clean {:.2}, under PGD {:.2}", verdict.clean_accuracy, verdict.robust_accuracy);
    Ok(())
}
