//! `gaat attack`.

use super::Outcome;
use super::subject::{Subject, threat};
use crate::arguments::{AttackArguments, GradientChoice};
use crate::judging::Attacks;
use crate::printer::Printer;
use anyhow::{Result, bail};
use gaat::evaluate::{GradientSource, PerturbOptions, perturb};
use gaat_spec::Passes;
use serde::Serialize;
use std::path::PathBuf;

/// What the attack did.
#[derive(Serialize)]
struct Attacked {
    file: PathBuf,
    attack: String,
    gradient: &'static str,
    threat: String,
    examples: usize,
    clean_accuracy: f64,
    robust_accuracy: f64,
    passes: Passes,
}

pub(crate) fn run(arguments: &AttackArguments, printer: &Printer) -> Result<Outcome> {
    let attacked = &arguments.attacked;
    let Subject { opened, trained, test } = Subject::open(&attacked.subject)?;
    let threat = threat(attacked, &trained)?;
    let attacks = Attacks {
        names: &[arguments.attack],
        steps: arguments.steps,
        restarts: arguments.restarts,
        step_size: arguments.step_size,
    };
    let specs = attacks.specs(&threat, trained.dataset)?;
    let [attack] = specs.as_slice() else { bail!("one attack at a time") };
    let gradient = match (arguments.gradient, arguments.curvature) {
        (GradientChoice::Exact, None) => GradientSource::Exact,
        (GradientChoice::Exact, Some(_)) => bail!("--curvature is of --gradient taylor"),
        (GradientChoice::Taylor, curvature) => {
            GradientSource::Taylor(curvature.unwrap_or(gaat_spec::Curvature::None))
        }
    };
    let options = PerturbOptions {
        threat,
        attack: *attack,
        gradient,
        batch_size: attacked.batch_size,
        seed: attacked.seed,
    };
    let images = test.images();
    let count = attacked.limit.unwrap_or(images.len()).min(images.len());
    let chosen = images.select(&(0..count).collect::<Vec<_>>());
    let found = perturb(opened.classifier.as_ref(), &chosen, &options)?;
    gaat::npz::write(
        &arguments.out,
        &[
            ("clean", &found.clean),
            ("perturbed", &found.perturbed),
            ("labels", &found.labels),
            ("clean_predictions", &found.clean_predictions),
            ("predictions", &found.predictions),
        ],
    )?;
    if let Some(png) = &arguments.png {
        found.save_grid(png)?;
    }
    let (clean_accuracy, robust_accuracy) = found.accuracies()?;
    let attacked = Attacked {
        file: arguments.out.clone(),
        attack: attack.to_string(),
        gradient: if gradient == GradientSource::Exact { "exact" } else { "taylor" },
        threat: threat.to_string(),
        examples: count,
        clean_accuracy,
        robust_accuracy,
        passes: found.passes,
    };
    printer.result(&attacked, |attacked| {
        let Attacked { file, attack, gradient, threat, examples, .. } = attacked;
        format!(
            "{}: {examples} images under {attack}, {gradient} gradients, {threat}; accuracy {:.2} % clean, {:.2} % \
             perturbed\n",
            file.display(),
            100.0 * attacked.clean_accuracy,
            100.0 * attacked.robust_accuracy
        )
    })?;
    Ok(Outcome::Done)
}
