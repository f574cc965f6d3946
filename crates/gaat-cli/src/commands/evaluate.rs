//! `gaat evaluate`.

use super::Outcome;
use super::subject::{Subject, known_training, selection, threat};
use crate::arguments::{CheckpointChoice, EvaluateArguments, SubjectArguments};
use crate::directory::{command_line, write_whole};
use crate::interrupt;
use crate::judging::Attacks;
use crate::printer::Printer;
use crate::progress::EvaluationProgress;
use crate::reports;
use crate::verdicts::{self, Verdict};
use anyhow::{Result, bail};
use gaat::evaluate::{CurveAttack, EvaluateOptions, ProbeOptions, Progress, evaluate, evaluate_resumable};
use gaat::run::OpenedRun;
use gaat_data::ImageSource;
use gaat_report::format::{count, decimals, percent, seconds};
use gaat_report::{Align, Table, curve_plot, curve_text};
use gaat_spec::evaluation::{NoiseProbe, Probes};
use gaat_spec::{
    AttackResult, Budget, CheckedRecipe, DatasetName, Evaluation, Norm, PixelLength, ThreatModel, judged_in,
    visible, visible_path,
};
use std::fmt::Write as _;
use std::path::Path;

/// Epsilons of `--curve` in units of the threat model's.
const CURVE_SHARES: [f64; 8] = [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0];

pub(crate) fn run(arguments: &EvaluateArguments, printer: &Printer) -> Result<Outcome> {
    if arguments.state.is_some() {
        interrupt::advise("interrupted; the same command goes on from here");
    }
    let attacked = &arguments.attacked;
    let Subject { opened, trained, test, warnings } = Subject::open(&attacked.subject)?;
    printer.warnings(&warnings);
    let threat = threat(attacked, &trained)?;
    let attacks = Attacks { names: &arguments.attack, budget: arguments.budget };
    let training = known_training(&attacked.subject.run, &opened)?;
    let options = EvaluateOptions {
        threat,
        attacks: attacks.specs(&threat, trained.dataset)?,
        batch_size: attacked.batch_size,
        limit: attacked.limit.or(attacked.first),
        selection: selection(attacked.first),
        seed: attacked.seed,
        curve: curve(arguments, &threat)?,
        probes: Some(ProbeOptions { images: arguments.probe_images, noise_draws: arguments.noise_draws }),
        training,
    };
    if arguments.svg.is_some() && options.curve.is_empty() {
        bail!("--svg draws robust accuracy over epsilon; add --curve or --epsilons");
    }
    let mut progress = EvaluationProgress::new(printer, "");
    let Some(evaluation) =
        judge(&opened, test.images(), &options, arguments.state.as_deref(), &mut progress)?
    else {
        printer.notice(match arguments.state {
            Some(_) => "interrupted; the same command goes on from here",
            None => "interrupted; an evaluation starts anew when it is repeated, unless it has a --state",
        });
        return Ok(Outcome::Interrupted);
    };
    if speaks_for_the_run(&attacked.subject, &opened, &options, &trained) {
        // The verdict is worth showing even where the run cannot be written to.
        if let Err(error) = gaat::run::record_test(&attacked.subject.run, &evaluation) {
            printer.warning(&format!("the result is not in run.json: {error}"));
        }
    }
    if opened.record.is_some() && attacked.subject.dataset.is_none() {
        keep(&attacked.subject, &opened, test.images(), &evaluation, trained.plan.threat(), printer);
    }
    let title = title(&attacked.subject.run, &opened, trained.dataset, &evaluation);
    if let (Some(svg), Some(plot)) = (&arguments.svg, curve_plot(&title, &evaluation)) {
        write_whole(svg, &plot)?;
    }
    printer.result(&evaluation, |evaluation| text(&title, evaluation))?;
    Ok(verdict(&evaluation, arguments, printer))
}

/// Keeps what the report of the run is made from, and writes it anew.
fn keep(
    subject: &SubjectArguments,
    opened: &OpenedRun,
    images: &dyn ImageSource,
    evaluation: &Evaluation,
    threat: ThreatModel,
    printer: &Printer,
) {
    let SubjectArguments { run, checkpoint, .. } = subject;
    let verdict =
        Verdict { command: Some(command_line()), checkpoint: *checkpoint, evaluation: evaluation.clone() };
    if let Err(error) = verdicts::keep(run, verdict) {
        printer.warning(&format!("the result is not in the report: {error:#}"));
    }
    if *checkpoint == CheckpointChoice::Best && evaluation.threat == threat {
        reports::keep_gallery(run, opened, images, threat, printer);
    }
    reports::refresh(run, printer);
}

/// The attacks over epsilon that were asked for; from the least epsilon on, as often as there are different ones.
fn curve(arguments: &EvaluateArguments, threat: &ThreatModel) -> Result<Vec<CurveAttack>> {
    let mut epsilons = arguments.epsilons.clone();
    if arguments.curve {
        let own = threat.epsilon_length();
        epsilons = CURVE_SHARES.map(|share| own.scaled(share)).to_vec();
        // Nothing lies beyond the whole range of a pixel.
        epsilons.retain(|epsilon| threat.norm() == Norm::L2 || epsilon.value() <= 1.0);
    }
    epsilons.sort_by(|first, second| first.value().total_cmp(&second.value()));
    epsilons.dedup_by(|first, second| first.value() == second.value());
    let budget = Budget { restarts: arguments.budget.restarts.or(Some(1)), ..arguments.budget };
    let at = |epsilon: PixelLength| -> Result<CurveAttack> {
        let threat = ThreatModel::new(threat.norm(), epsilon)?;
        Ok(CurveAttack { threat, attack: budget.attack(arguments.curve_attack, &threat)? })
    };
    epsilons.into_iter().map(at).collect()
}

/// Judges on `images`; `None` when the user stopped it.
pub(super) fn judge(
    opened: &OpenedRun,
    images: &dyn ImageSource,
    options: &EvaluateOptions,
    state: Option<&Path>,
    progress: &mut EvaluationProgress,
) -> Result<Option<Evaluation>> {
    let classifier = opened.classifier.as_ref();
    let mut observer = |now: &Progress| progress.update(now);
    let judged = match state {
        Some(state) => evaluate_resumable(classifier, images, options, state, &mut observer),
        None => evaluate(classifier, images, options, &mut observer),
    };
    match judged {
        Ok(evaluation) => Ok(Some(evaluation)),
        Err(gaat::Error::Interrupted) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether the result is the one that the record of the run should hold: of the whole test set, the best checkpoint
/// and the threat model that it was trained for.
fn speaks_for_the_run(
    arguments: &SubjectArguments,
    opened: &OpenedRun,
    options: &EvaluateOptions,
    trained: &CheckedRecipe,
) -> bool {
    opened.record.is_some()
        && arguments.dataset.is_none()
        && options.limit.is_none()
        && arguments.checkpoint == CheckpointChoice::Best
        && options.threat == trained.plan.threat()
}

fn title(run: &Path, opened: &OpenedRun, dataset: DatasetName, evaluation: &Evaluation) -> String {
    let method = opened.record.as_ref().and_then(|record| record.recipe.method);
    let method = method.map(|method| format!(", {method}")).unwrap_or_default();
    let images = evaluation.subset.map_or_else(|| count(evaluation.examples as u64), |subset| subset.words());
    format!(
        "{}: {}{method}, {images} test images of {dataset}, {}, {}",
        visible_path(run),
        visible(&opened.classifier.name()),
        evaluation.threat,
        judged_in(evaluation.precision)
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
    let mut row = |name: String, result: &AttackResult| {
        table.push([
            name,
            percent(result.robust_accuracy, digits),
            interval(result.interval),
            result.attack.step_size().map(|step| format!("{:.4}", step.value())).unwrap_or_default(),
            seconds(result.seconds),
        ]);
    };
    for result in &evaluation.attacks {
        for part in &result.parts {
            row(format!("  {}", part.name), part);
        }
        row(result.name.clone(), result);
    }
    let worst = percent(evaluation.robust_accuracy, digits);
    table.push(["worst case".to_owned(), worst, interval(evaluation.robust_interval)]);
    let lines = |word: &str, lines: &[String]| -> String {
        lines.iter().map(|line| ["\n", word, ": ", line].concat()).collect()
    };
    let (notes, alarms) = (lines("note", &evaluation.notes), lines("alarm", &evaluation.alarms));
    let curve = curve_text(evaluation).map(|curve| format!("\n{curve}")).unwrap_or_default();
    let probes = evaluation.probes.as_ref().map(tried).unwrap_or_default();
    format!("{title}\n\n{}{curve}{probes}{notes}{alarms}", table.to_text())
}

/// What the probes found, a line each.
fn tried(probes: &Probes) -> String {
    let examples = probes.examples;
    let share = |accuracy: f64| percent(accuracy, decimals(examples));
    let NoiseProbe { draws, accuracy, .. } = probes.noise;
    let mut text = format!(
        "\nprobes, accuracy % of {examples} images\n  random noise, {draws} draws: {}\n",
        share(accuracy)
    );
    for probe in &probes.interior {
        let shares = probe.shares.iter().map(|at| format!("{} at {}", share(at.accuracy), at.share));
        let _ = writeln!(text, "  shares of {}: {}", probe.attack, shares.collect::<Vec<_>>().join(", "));
    }
    let budgets = probes.budget.iter();
    let budgets = budgets.map(|at| format!("{} by {} at {}", share(at.accuracy), at.attack, at.epsilon));
    let _ = writeln!(text, "  larger budgets: {}", budgets.collect::<Vec<_>>().join(", "));
    text
}

fn verdict(evaluation: &Evaluation, arguments: &EvaluateArguments, printer: &Printer) -> Outcome {
    let mut outcome = Outcome::Done;
    if let Some(required) = arguments.require_robust
        && evaluation.robust_accuracy < required
    {
        let found = evaluation.robust_accuracy;
        printer.notice(&format!("missed: robust accuracy {found:.4} is below the required {required}"));
        outcome = Outcome::ThresholdMissed;
    }
    if arguments.require_no_alarms && !evaluation.alarms.is_empty() {
        printer.notice(&format!("missed: {} alarms, and none is allowed", evaluation.alarms.len()));
        outcome = Outcome::ThresholdMissed;
    }
    outcome
}
