//! `gaat attack`.

use super::{open, selection};
use anyhow::{Result, bail};
use gaat::evaluate::{GradientSource, PerturbOptions};
use gaat_cli::arguments::{AttackArguments, GradientChoice};
use gaat_cli::printer::Printer;
use gaat_cli::process::Outcome;
use gaat_report::attempt_text;
use gaat_spec::Curvature;
use gaat_study::attacks::Attacks;
use gaat_study::attempt::Outputs;

pub(crate) fn run(arguments: &AttackArguments, printer: &Printer) -> Result<Outcome> {
    let attacked = &arguments.attacked;
    let subject = open(&attacked.subject)?;
    printer.warnings(&subject.warnings);
    let threat = subject.threat(attacked.norm, attacked.epsilon)?;
    let attacks = Attacks { names: &[arguments.attack], budget: arguments.budget };
    let specs = attacks.specs(&threat, subject.trained.dataset)?;
    let [attack] = specs.as_slice() else { bail!("one attack at a time") };
    let options = PerturbOptions {
        threat,
        attack: *attack,
        gradient: gradient(arguments)?,
        batch_size: attacked.batch_size,
        limit: attacked.limit.or(attacked.first),
        selection: selection(attacked.first),
        seed: attacked.seed,
    };
    let outputs = Outputs {
        arrays: arguments.out.clone(),
        images: arguments.images.clone(),
        grid: arguments.png.clone(),
    };
    printer.result(&subject.attack(&options, &outputs)?, attempt_text)?;
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
