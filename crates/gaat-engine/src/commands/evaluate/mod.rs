//! `gaat evaluate`.

mod options;

use super::{ended, open};
use crate::progress::EvaluationProgress;
use anyhow::{Result, bail};
use gaat::evaluate::EvaluateOptions;
use gaat::world::Place;
use gaat_cli::arguments::EvaluateArguments;
use gaat_cli::directory::{command_line, write_whole};
use gaat_cli::interrupt;
use gaat_cli::printer::Printer;
use gaat_cli::process::Outcome;
use gaat_report::{curve_plot, evaluation_text};
use gaat_spec::{Evaluation, visible_path};
use gaat_study::{Requirements, Subject, Work};

const GOES_ON: &str = "interrupted; the same command continues from here";
const AGAIN: &str = "interrupted; an evaluation starts again when it is repeated, unless it has a --state";

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
    let options = options::options(arguments, &subject)?;
    let judged = judged(arguments, printer, place, (&subject, &options));
    let again = if arguments.state.is_some() { GOES_ON } else { AGAIN };
    let Some(evaluation) = ended(judged, printer, again)? else { return Ok(Outcome::Interrupted) };
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
    let world = super::world(place)?;
    let work = options::work(arguments, world.as_ref());
    let mut progress = EvaluationProgress::new(printer, "");
    let evaluation = subject.judge(work, options, &mut |now| progress.update(now))?;
    drop(progress);
    if let Work::Part { shard, state } = work {
        let state = visible_path(state);
        printer.notice(&format!(
            "part {shard} is in {state}; --merge with the files of all parts makes the verdict"
        ));
    }
    Ok(evaluation)
}
