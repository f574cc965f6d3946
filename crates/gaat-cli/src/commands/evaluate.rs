//! `gaat evaluate`.

use super::Outcome;
use super::subject::Subject;
use crate::arguments::{CheckpointChoice, EvaluateArguments};
use crate::judging::Attacks;
use crate::printer::Printer;
use crate::progress::EvaluationProgress;
use anyhow::{Result, bail};
use gaat::evaluate::{EvaluateOptions, evaluate};
use gaat::run::OpenedRun;
use gaat_data::ImageSet;
use gaat_report::format::{count, decimals, percent, seconds};
use gaat_report::{Align, Table};
use gaat_spec::{CheckedRecipe, DatasetName, Evaluation, Norm, ThreatModel};
use std::path::Path;

pub(crate) fn run(arguments: &EvaluateArguments, printer: &Printer) -> Result<Outcome> {
    let subject = Subject::open(&arguments.subject)?;
    let Subject { opened, trained, test } = &subject;
    let threat = threat(arguments, trained)?;
    let attacks = Attacks {
        names: &arguments.attack,
        steps: arguments.steps,
        restarts: arguments.restarts,
        step_size: arguments.step_size,
    };
    let options = EvaluateOptions {
        threat,
        attacks: attacks.specs(&threat, trained.dataset)?,
        batch_size: arguments.batch_size,
        limit: arguments.limit,
        seed: arguments.seed,
    };
    let Some(evaluation) = judge(opened, test.images(), &options, &mut EvaluationProgress::new(printer, ""))?
    else {
        printer.notice("interrupted; an evaluation starts anew when it is repeated");
        return Ok(Outcome::Interrupted);
    };
    if speaks_for_the_run(arguments, opened, &options, trained) {
        // The verdict is worth showing even where the run cannot be written to.
        if let Err(error) = gaat::run::record_test(&arguments.subject.run, &evaluation) {
            printer.warning(&format!("the result is not in run.json: {error}"));
        }
    }
    let title = title(&arguments.subject.run, opened, trained.dataset, &evaluation);
    printer.result(&evaluation, |evaluation| text(&title, evaluation))?;
    Ok(verdict(&evaluation, arguments.require_robust, printer))
}

/// Judges on `images`; `None` when the user stopped it.
pub(super) fn judge(
    opened: &OpenedRun,
    images: &ImageSet,
    options: &EvaluateOptions,
    progress: &mut EvaluationProgress,
) -> Result<Option<Evaluation>> {
    let classifier = opened.classifier.as_ref();
    match evaluate(classifier, images, options, &mut |now| progress.update(now)) {
        Ok(evaluation) => Ok(Some(evaluation)),
        Err(gaat::Error::Interrupted) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn threat(arguments: &EvaluateArguments, trained: &CheckedRecipe) -> Result<ThreatModel> {
    let norm = arguments.norm.unwrap_or(trained.threat.norm());
    if norm != trained.threat.norm() && arguments.epsilon.is_none() {
        let example = if norm == Norm::L2 { "0.5" } else { "8/255" };
        bail!("--norm {norm} needs --epsilon: a bound in another norm is another number, such as {example}");
    }
    Ok(ThreatModel::new(norm, arguments.epsilon.unwrap_or(trained.threat.epsilon_length()))?)
}

/// Whether the result is the one that the record of the run should hold: of the whole test set, the best checkpoint
/// and the threat model that it was trained for.
fn speaks_for_the_run(
    arguments: &EvaluateArguments,
    opened: &OpenedRun,
    options: &EvaluateOptions,
    trained: &CheckedRecipe,
) -> bool {
    opened.record.is_some()
        && arguments.subject.dataset.is_none()
        && options.limit.is_none()
        && arguments.subject.checkpoint == CheckpointChoice::Best
        && options.threat == trained.threat
}

fn title(run: &Path, opened: &OpenedRun, dataset: DatasetName, evaluation: &Evaluation) -> String {
    let method = opened.record.as_ref().and_then(|record| record.recipe.method);
    let method = method.map(|method| format!(", {method}")).unwrap_or_default();
    format!(
        "{}: {}{method}, {} test images of {dataset}, {}",
        run.display(),
        opened.description.model,
        count(evaluation.examples as u64),
        evaluation.threat
    )
}

fn text(title: &str, evaluation: &Evaluation) -> String {
    let digits = decimals(evaluation.examples);
    let mut table = Table::new([
        ("attack", Align::Left),
        ("accuracy %", Align::Right),
        ("95 % interval", Align::Right),
        ("step", Align::Right),
        ("seconds", Align::Right),
    ]);
    let interval = |(low, high): (f64, f64)| format!("{} - {}", percent(low, digits), percent(high, digits));
    table.push([
        "none (clean)".to_owned(),
        percent(evaluation.clean_accuracy, digits),
        interval(evaluation.clean_interval),
    ]);
    for result in &evaluation.attacks {
        table.push([
            result.name.clone(),
            percent(result.robust_accuracy, digits),
            interval(result.interval),
            format!("{:.4}", result.attack.step_size.value()),
            seconds(result.seconds),
        ]);
    }
    let worst = percent(evaluation.robust_accuracy, digits);
    table.push(["worst case".to_owned(), worst, interval(evaluation.robust_interval)]);
    let alarms: String = evaluation.alarms.iter().map(|alarm| ["\nalarm: ", alarm].concat()).collect();
    format!("{title}\n\n{}{alarms}", table.to_text())
}

fn verdict(evaluation: &Evaluation, required: Option<f64>, printer: &Printer) -> Outcome {
    match required {
        Some(required) if evaluation.robust_accuracy < required => {
            let found = evaluation.robust_accuracy;
            printer.notice(&format!("missed: robust accuracy {found:.4} is below the required {required}"));
            Outcome::ThresholdMissed
        }
        _ => Outcome::Done,
    }
}
