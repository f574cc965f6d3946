//! `gaat evaluate`.

use super::{Outcome, open, selection};
use crate::progress::EvaluationProgress;
use anyhow::{Result, bail};
use gaat::evaluate::{EvaluateOptions, ProbeOptions};
use gaat::world::Place;
use gaat_cli::arguments::EvaluateArguments;
use gaat_cli::directory::{command_line, write_whole};
use gaat_cli::interrupt;
use gaat_cli::printer::Printer;
use gaat_report::{curve_plot, evaluation_text};
use gaat_spec::{Evaluation, visible_path};
use gaat_study::attacks::Attacks;
use gaat_study::{Requirements, Subject, Work, epsilons};

const GOES_ON: &str = "interrupted; the same command continues from here";

/// Judges alone, or in the `place` of one of several processes.
pub(crate) fn run(
    arguments: &EvaluateArguments,
    printer: &Printer,
    place: Option<&Place>,
) -> Result<Outcome> {
    if arguments.state.is_some() {
        interrupt::advise(GOES_ON);
    }
    if place.is_some() && (arguments.shard.is_some() || !arguments.merge.is_empty()) {
        bail!(
            "--shard and --merge are for processes that do not see each other; several that do share the images out by themselves"
        );
    }
    let subject = open(&arguments.attacked.subject)?;
    printer.warnings(&subject.warnings);
    let options = options(arguments, &subject)?;
    if arguments.svg.is_some() && options.curve.is_empty() {
        bail!("--svg draws robust accuracy over epsilon; add --curve or --epsilons");
    }
    let evaluation = match judged(arguments, printer, place, (&subject, &options)) {
        Err(error) if error.is_interruption() => {
            let again =
                "interrupted; an evaluation starts again when it is repeated, unless it has a --state";
            printer.notice(if arguments.state.is_some() { GOES_ON } else { again });
            return Ok(Outcome::Interrupted);
        }
        judged => judged?,
    };
    let Some(evaluation) = evaluation.filter(|_| place.is_none_or(|place| place.rank == 0)) else {
        return Ok(Outcome::Done);
    };
    printer.warnings(&subject.keep(&evaluation, &options, Some(command_line())));
    let title = subject.title(&evaluation);
    if let (Some(svg), Some(plot)) = (&arguments.svg, curve_plot(&title, &evaluation)) {
        write_whole(svg, &plot)?;
    }
    printer.result(&evaluation, |evaluation| evaluation_text(&title, evaluation))?;
    let required = Requirements { robust: arguments.require_robust, no_alarms: arguments.require_no_alarms };
    let missed = required.missed(&evaluation);
    for line in &missed {
        printer.notice(&format!("missed: {line}"));
    }
    Ok(if missed.is_empty() { Outcome::Done } else { Outcome::ThresholdMissed })
}

/// The verdict; `None` where a part of the images was judged, which has none.
fn judged(
    arguments: &EvaluateArguments,
    printer: &Printer,
    place: Option<&Place>,
    (subject, options): (&Subject, &EvaluateOptions),
) -> gaat_study::Result<Option<Evaluation>> {
    let state = arguments.state.as_deref();
    let world = super::world(place)?;
    let work = match (arguments.shard, state) {
        _ if !arguments.merge.is_empty() => Work::Merge(&arguments.merge),
        (Some(shard), Some(state)) => Work::Part { shard, state },
        _ => Work::Whole { world: world.as_ref(), state },
    };
    let mut progress = EvaluationProgress::new(printer, "");
    let evaluation = subject.judge(work, options, &mut |now| progress.update(now))?;
    drop(progress);
    if let Work::Part { shard, state } = work {
        let place = visible_path(state);
        printer.notice(&format!(
            "part {shard} is in {place}; --merge with the files of all parts makes the verdict"
        ));
    }
    Ok(evaluation)
}

fn options(arguments: &EvaluateArguments, subject: &Subject) -> Result<EvaluateOptions> {
    let attacked = &arguments.attacked;
    let threat = subject.threat(attacked.norm, attacked.epsilon)?;
    let attacks = Attacks { names: &arguments.attack, budget: arguments.budget };
    let over = if arguments.curve { epsilons::of_curve(&threat) } else { arguments.epsilons.clone() };
    Ok(EvaluateOptions {
        limit: attacked.limit.or(attacked.first),
        selection: selection(attacked.first),
        seed: attacked.seed,
        curve: epsilons::curve(&threat, over, arguments.curve_attack, arguments.budget)?,
        probes: Some(ProbeOptions { images: arguments.probe_images, noise_draws: arguments.noise_draws }),
        training: subject.training()?,
        ..EvaluateOptions::new(threat, attacks.specs(&threat, subject.trained.dataset)?, attacked.batch_size)
    })
}
