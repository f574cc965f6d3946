//! `gaat attack`.

use super::Outcome;
use super::subject::{Subject, threat};
use crate::arguments::{AttackArguments, GradientChoice};
use crate::judging::Attacks;
use crate::printer::Printer;
use anyhow::{Result, bail};
use gaat::evaluate::{GradientSource, PerturbOptions, perturb};
use gaat_report::format::duration;
use gaat_spec::{ComputePrecision, Curvature, Passes};
use serde::Serialize;
use std::path::PathBuf;

/// What the attack did.
#[derive(Serialize)]
struct Attempt {
    file: PathBuf,
    attack: String,
    gradient: &'static str,
    threat: String,
    precision: ComputePrecision,
    examples: usize,
    clean_accuracy: f64,
    robust_accuracy: f64,
    /// Images that were rightly classified clean.
    attacked: usize,
    /// Those of them that the attack fooled.
    fooled: usize,
    /// Mean length of the perturbations that fooled.
    mean_length: Option<f64>,
    passes: Passes,
    seconds: f64,
}

pub(crate) fn run(arguments: &AttackArguments, printer: &Printer) -> Result<Outcome> {
    let attacked = &arguments.attacked;
    let Subject { opened, trained, test, warnings } = Subject::open(&attacked.subject)?;
    printer.warnings(&warnings);
    let threat = threat(attacked, &trained)?;
    let attacks = Attacks { names: &[arguments.attack], budget: arguments.budget };
    let specs = attacks.specs(&threat, trained.dataset)?;
    let [attack] = specs.as_slice() else { bail!("one attack at a time") };
    let gradient = match (arguments.gradient, arguments.curvature, arguments.refreshes) {
        (GradientChoice::Exact, None, None) => GradientSource::Exact,
        (GradientChoice::Exact, ..) => bail!("--curvature and --refreshes are of --gradient taylor"),
        (GradientChoice::Taylor, curvature, refreshes) => GradientSource::Taylor {
            curvature: curvature.unwrap_or(Curvature::None),
            refreshes: refreshes.unwrap_or(1),
        },
    };
    let options = PerturbOptions {
        threat,
        attack: *attack,
        gradient,
        batch_size: attacked.batch_size,
        limit: attacked.limit,
        seed: attacked.seed,
    };
    let found = perturb(opened.classifier.as_ref(), test.images(), &options)?;
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
    let success = found.success(threat.norm())?;
    let attempt = Attempt {
        file: arguments.out.clone(),
        attack: attack.to_string(),
        gradient: if gradient == GradientSource::Exact { "exact" } else { "taylor" },
        threat: threat.to_string(),
        precision: opened.classifier.compute_precision(),
        examples: found.labels.numel(),
        clean_accuracy,
        robust_accuracy,
        attacked: success.attacked,
        fooled: success.fooled,
        mean_length: success.mean_length,
        passes: found.passes,
        seconds: found.seconds,
    };
    printer.result(&attempt, |attempt| {
        let Attempt { file, attack, gradient, threat, precision, examples, .. } = attempt;
        format!(
            "{}: {examples} images under {attack}, {gradient} gradients, {threat}, in {precision}; accuracy {:.2} % clean, {:.2} % \
             perturbed; {} of {} fooled{}, in {}\n",
            file.display(),
            100.0 * attempt.clean_accuracy,
            100.0 * attempt.robust_accuracy,
            attempt.fooled,
            attempt.attacked,
            attempt.mean_length.map(|length| format!(" at a mean length of {length:.4}")).unwrap_or_default(),
            duration(attempt.seconds)
        )
    })?;
    Ok(Outcome::Done)
}
