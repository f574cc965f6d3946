//! `gaat attack`.

use super::Outcome;
use super::subject::{Subject, selection, threat};
use crate::arguments::{AttackArguments, GradientChoice};
use crate::directory::is_free;
use crate::judging::Attacks;
use crate::printer::Printer;
use anyhow::{Result, bail};
use gaat::evaluate::{GradientSource, PerturbOptions, PerturbedImages, Success, perturb};
use gaat_report::format::duration;
use gaat_spec::{ComputePrecision, Curvature, Passes, Subset, long_step, visible_path};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What the attack did.
#[derive(Serialize)]
struct Attempt {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    attack: String,
    gradient: &'static str,
    threat: String,
    precision: ComputePrecision,
    examples: usize,
    /// Which images these are, where they are not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    subset: Option<Subset>,
    clean_accuracy: f64,
    robust_accuracy: f64,
    /// Images that were correctly classified clean.
    attacked: usize,
    /// Those of them that the attack fooled.
    fooled: usize,
    /// Mean length of the perturbations that fooled.
    mean_length: Option<f64>,
    passes: Passes,
    seconds: f64,
    /// The images as files hold them, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    eight_bit: Option<Written>,
    /// What should be known of how it was done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// What became of the images when they were written with 8 bits.
#[derive(Serialize)]
struct Written {
    directory: PathBuf,
    listing: PathBuf,
    robust_accuracy: f64,
    fooled: usize,
    mean_length: Option<f64>,
}

pub(crate) fn run(arguments: &AttackArguments, printer: &Printer) -> Result<Outcome> {
    let attacked = &arguments.attacked;
    let Subject { opened, trained, test, warnings } = Subject::open(&attacked.subject)?;
    printer.warnings(&warnings);
    let threat = threat(attacked, &trained)?;
    let attacks = Attacks { names: &[arguments.attack], budget: arguments.budget };
    let specs = attacks.specs(&threat, trained.dataset)?;
    let [attack] = specs.as_slice() else { bail!("one attack at a time") };
    let gradient = gradient(arguments)?;
    let options = PerturbOptions {
        threat,
        attack: *attack,
        gradient,
        batch_size: attacked.batch_size,
        limit: attacked.limit.or(attacked.first),
        selection: selection(attacked.first),
        seed: attacked.seed,
    };
    if let Some(directory) = &arguments.images
        && !is_free(directory)?
    {
        bail!(
            "{}: holds something already; name a new or empty directory with --images",
            visible_path(directory)
        );
    }
    let classifier = opened.classifier.as_ref();
    let found = perturb(classifier, test.images(), &options)?;
    if let Some(out) = &arguments.out {
        write_arrays(out, &found)?;
    }
    let write = |directory: &PathBuf| -> Result<Written> {
        let eight_bit = found.eight_bit(classifier, &threat, attacked.batch_size)?;
        let listing = eight_bit.write(&found, test.images().class_names(), directory)?;
        let (robust_accuracy, Success { fooled, mean_length, .. }) =
            eight_bit.verdict(&found, threat.norm())?;
        Ok(Written { directory: directory.clone(), listing, robust_accuracy, fooled, mean_length })
    };
    let eight_bit = arguments.images.as_ref().map(write).transpose()?;
    if let Some(png) = &arguments.png {
        found.save_grid(png)?;
    }
    let (clean_accuracy, robust_accuracy) = found.accuracies()?;
    let success = found.success(threat.norm())?;
    let attempt = Attempt {
        file: arguments.out.clone(),
        subset: found.subset,
        notes: attack
            .step_size()
            .and_then(|step| long_step(&attack.to_string(), step, &threat))
            .into_iter()
            .collect(),
        eight_bit,
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
    printer.result(&attempt, text)?;
    Ok(Outcome::Done)
}

/// Where the gradients are to come from.
fn gradient(arguments: &AttackArguments) -> Result<GradientSource> {
    Ok(match (arguments.gradient, arguments.curvature, arguments.refreshes) {
        (GradientChoice::Exact, None, None) => GradientSource::Exact,
        (GradientChoice::Exact, ..) => bail!("--curvature and --refreshes are of --gradient taylor"),
        (GradientChoice::Taylor, curvature, refreshes) => GradientSource::Taylor {
            curvature: curvature.unwrap_or(Curvature::None),
            refreshes: refreshes.unwrap_or(1),
        },
    })
}

/// Everything in full precision, for numpy.
fn write_arrays(out: &Path, found: &PerturbedImages) -> Result<()> {
    let arrays = [
        ("clean", &found.clean),
        ("perturbed", &found.perturbed),
        ("labels", &found.labels),
        ("clean_predictions", &found.clean_predictions),
        ("predictions", &found.predictions),
    ];
    Ok(gaat::npz::write(out, &arrays)?)
}

fn text(attempt: &Attempt) -> String {
    let Attempt { file, attack, gradient, threat, precision, attacked, .. } = attempt;
    let at = |length: Option<f64>| {
        length.map(|length| format!(" at a mean length of {length:.4}")).unwrap_or_default()
    };
    let mut text = format!(
        "{}{} images under {attack}, {gradient} gradients, {threat}, in {precision}; accuracy {:.2} % clean, {:.2} % perturbed; \
         {} of {attacked} fooled{}, in {}\n",
        file.as_ref().map(|file| format!("{}: ", visible_path(file))).unwrap_or_default(),
        attempt.subset.map_or_else(|| attempt.examples.to_string(), |subset| subset.words()),
        100.0 * attempt.clean_accuracy,
        100.0 * attempt.robust_accuracy,
        attempt.fooled,
        at(attempt.mean_length),
        duration(attempt.seconds)
    );
    if let Some(Written { directory, listing, robust_accuracy, fooled, mean_length }) = &attempt.eight_bit {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{}: the same images with 8 bits, rounded towards the clean ones so that they lie in the ball; accuracy \
             {:.2} %; {fooled} of {attacked} fooled{}; listed in {}",
            visible_path(directory),
            100.0 * robust_accuracy,
            at(*mean_length),
            visible_path(listing)
        );
    }
    for note in &attempt.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}
