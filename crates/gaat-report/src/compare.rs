//! Runs grouped by method: means with their spread, and ratios between methods.
//!
//! Ratios of time are taken seed by seed, since runs of one seed were made next to each other, and then averaged. A
//! run that failed is counted and named, never dropped, and takes part in no mean.

use gaat_spec::collapse::{Collapse, Training};
use gaat_spec::method::BaseMethod;
use gaat_spec::statistics::{mean, standard_deviation};
use gaat_spec::{Evaluation, MethodName, RunRecord};
use serde::{Deserialize, Serialize};

/// One run of a comparison, as far as it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "WrittenRun")]
pub struct ComparedRun {
    /// Method.
    pub method: MethodName,
    /// Seed.
    pub seed: u64,
    /// Its run directory, as shown to the user.
    pub directory: String,
    /// The error that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Its record; a run that failed may have none.
    pub record: Option<RunRecord>,
    /// Its judgement; a run that failed has none.
    pub evaluation: Option<Evaluation>,
}

/// A run as it was written, its record unread.
#[derive(Deserialize)]
struct WrittenRun {
    method: MethodName,
    seed: u64,
    directory: String,
    failure: Option<String>,
    record: Option<serde_json::Value>,
    evaluation: Option<Evaluation>,
}

impl TryFrom<WrittenRun> for ComparedRun {
    type Error = String;

    /// The record of a run that failed may lack a number where one is needed, and is left out then.
    fn try_from(written: WrittenRun) -> Result<Self, String> {
        let WrittenRun { method, seed, directory, failure, record, evaluation } = written;
        let record = match record.map(serde_json::from_value::<RunRecord>).transpose() {
            Ok(record) => record,
            Err(_) if failure.is_some() => None,
            Err(error) => return Err(format!("the record of {method}, seed {seed}: {error}")),
        };
        Ok(Self { method, seed, directory, failure, record, evaluation })
    }
}

/// A mean over runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Sample standard deviation; `None` for one run.
    pub standard_deviation: Option<f64>,
    /// Runs.
    pub n: usize,
}

impl Spread {
    /// Of `values` that are numbers; `None` when there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        (!values.is_empty()).then(|| Self {
            mean: mean(&values),
            standard_deviation: standard_deviation(&values),
            n: values.len(),
        })
    }
}

/// Accuracy of one method under one attack.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttackRow {
    /// Description of the attack, such as `pgd-50x10`.
    pub name: String,
    /// Accuracy, a fraction.
    pub accuracy: Option<Spread>,
}

/// A run that did not finish.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failure {
    /// Seed.
    pub seed: u64,
    /// Why.
    pub reason: String,
}

/// A run that collapsed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CollapsedRun {
    /// Seed.
    pub seed: u64,
    /// How it showed.
    #[serde(flatten)]
    pub collapse: Collapse,
}

/// One method over all its seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Method.
    pub method: MethodName,
    /// Runs begun.
    pub runs: usize,
    /// Runs finished and judged: what the means are over.
    pub finished: usize,
    /// Accuracy on clean test images, a fraction.
    pub clean: Option<Spread>,
    /// Accuracy under each attack, in the order asked for.
    pub attacks: Vec<AttackRow>,
    /// Accuracy under the worst attack of each image, a fraction.
    pub worst_case: Option<Spread>,
    /// Seconds of training: attack and training pass, validation not counted.
    pub seconds: Option<Spread>,
    /// Passes over those of natural training, from the counts in the records.
    pub cost_ratio: Option<Spread>,
    /// Seconds over those of `natural` with the same seed.
    pub seconds_over_natural: Option<Spread>,
    /// Seconds over those of `rat` with the same seed.
    pub seconds_over_rat: Option<Spread>,
    /// Share of the seconds of `rat` that was saved; negative when it took longer.
    pub rat_seconds_saved: Option<Spread>,
    /// Runs that look robust and are not.
    pub collapsed: Vec<CollapsedRun>,
    /// Runs that did not finish.
    pub failed: Vec<Failure>,
}

/// A comparison in numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Test images that each run was judged on.
    pub examples: usize,
    /// Methods, in the order in which they first appear.
    pub rows: Vec<Row>,
    /// What makes the rows less comparable than they look.
    pub warnings: Vec<String>,
}

/// The methods of `runs`, in the order in which they first appear.
pub(crate) fn methods(runs: &[ComparedRun]) -> Vec<MethodName> {
    let mut methods: Vec<MethodName> = Vec::new();
    for run in runs {
        if !methods.contains(&run.method) {
            methods.push(run.method);
        }
    }
    methods
}

/// Groups `runs` by method.
pub fn summarize(runs: &[ComparedRun]) -> Summary {
    let finished: Vec<Finished> = runs.iter().filter_map(Finished::of).collect();
    let examples: Vec<usize> = finished.iter().map(|run| run.evaluation.examples).collect();
    Summary {
        examples: examples.iter().copied().max().unwrap_or(0),
        rows: methods(runs).into_iter().map(|method| row(method, runs, &finished)).collect(),
        warnings: warnings(&finished),
    }
}

/// A run with all that the means need.
struct Finished<'a> {
    method: MethodName,
    seed: u64,
    record: &'a RunRecord,
    evaluation: &'a Evaluation,
}

impl<'a> Finished<'a> {
    fn of(run: &'a ComparedRun) -> Option<Self> {
        let (None, Some(record), Some(evaluation)) = (&run.failure, &run.record, &run.evaluation) else {
            return None;
        };
        Some(Self { method: run.method, seed: run.seed, record, evaluation })
    }

    fn collapse(&self) -> Option<CollapsedRun> {
        let threat = self.evaluation.threat;
        // A comparison judges under the threat model of the training.
        let training =
            Training { method: Some(self.method), threat: Some(threat), ..Training::of(self.record) };
        let collapse = training.collapse(self.evaluation)?;
        Some(CollapsedRun { seed: self.seed, collapse })
    }
}

fn row(method: MethodName, runs: &[ComparedRun], all: &[Finished]) -> Row {
    let own: Vec<&Finished> = all.iter().filter(|run| run.method == method).collect();
    let spread = |value: &dyn Fn(&Finished) -> f64| {
        Spread::of(&own.iter().map(|run| value(run)).collect::<Vec<f64>>())
    };
    let over = |base: BaseMethod, value: &dyn Fn(f64) -> f64| {
        let ratios: Vec<f64> =
            own.iter().filter_map(|run| seconds_ratio(run, base, all)).map(value).collect();
        Spread::of(&ratios)
    };
    // Attacks of all runs are the same; those of any run name the columns of a method without a finished one.
    let names = all.first().map_or(&[][..], |run| &run.evaluation.attacks);
    let attacks = names.iter().map(|attack| AttackRow {
        name: attack.name.clone(),
        accuracy: spread(&|run| accuracy_under(run.evaluation, &attack.name)),
    });
    let of_method = runs.iter().filter(|run| run.method == method);
    Row {
        method,
        runs: of_method.clone().count(),
        finished: own.len(),
        clean: spread(&|run| run.evaluation.clean_accuracy),
        attacks: attacks.collect(),
        worst_case: spread(&|run| run.evaluation.robust_accuracy),
        seconds: spread(&|run| run.record.seconds.total),
        cost_ratio: spread(&|run| run.record.cost_ratio),
        seconds_over_natural: over(BaseMethod::Natural, &|ratio| ratio),
        seconds_over_rat: over(BaseMethod::Rat, &|ratio| ratio),
        rat_seconds_saved: over(BaseMethod::Rat, &|ratio| 1.0 - ratio),
        collapsed: own.iter().filter_map(|run| run.collapse()).collect(),
        failed: of_method.filter_map(failure).collect(),
    }
}

fn failure(run: &ComparedRun) -> Option<Failure> {
    run.failure.as_ref().map(|reason| Failure { seed: run.seed, reason: reason.clone() })
}

fn accuracy_under(evaluation: &Evaluation, name: &str) -> f64 {
    let found = evaluation.attacks.iter().find(|result| result.name == name);
    found.map_or(f64::NAN, |result| result.robust_accuracy)
}

/// Seconds of `run` over those of the plain method `base` with the same seed.
fn seconds_ratio(run: &Finished, base: BaseMethod, all: &[Finished]) -> Option<f64> {
    let same = |other: &&Finished| other.method == MethodName::plain(base) && other.seed == run.seed;
    let base = all.iter().find(same)?;
    Some(run.record.seconds.total / base.record.seconds.total).filter(|ratio| ratio.is_finite())
}

fn warnings(finished: &[Finished]) -> Vec<String> {
    let Some(first) = finished.first() else { return Vec::new() };
    let mut warnings = Vec::new();
    let machine = |run: &Finished| {
        let place = &run.record.environment;
        (place.cpu.clone(), place.device.clone(), place.threads, place.precision.clone())
    };
    if finished.iter().any(|run| machine(run) != machine(first)) {
        warnings.push(
            "the runs differ in processor, device, threads or precision, so that their seconds do not compare"
                .to_owned(),
        );
    }
    if finished.iter().any(|run| run.evaluation.examples != first.evaluation.examples) {
        warnings.push("the runs were judged on different numbers of images".to_owned());
    }
    if finished.iter().any(|run| run.evaluation.precision != first.evaluation.precision) {
        warnings.push("the runs were judged in different precisions".to_owned());
    }
    warnings
}

/// Made-up records for the tests of this crate.
#[cfg(test)]
pub(crate) mod samples {
    use super::*;
    use gaat_spec::record::{Environment, ModelRecord, SCHEMA};
    use gaat_spec::{
        AttackName, AttackResult, AttackSpec, ComputePrecision, EpochRecord, Norm, Passes, Recipe, Seconds,
        Status, ThreatModel,
    };

    pub(crate) fn evaluation(clean: f64, results: &[(&str, f64)]) -> Evaluation {
        let threat = ThreatModel::new(Norm::Linf, "0.3".parse().unwrap()).unwrap();
        let attacks = results.iter().map(|(name, robust_accuracy)| {
            let name: AttackName = name.parse().unwrap();
            let attack = AttackSpec::customary(name, &threat).unwrap();
            AttackResult {
                name: attack.to_string(),
                attack,
                robust_accuracy: *robust_accuracy,
                interval: (0.0, 1.0),
                seconds: 1.0,
                passes: Passes::default(),
                parts: Vec::new(),
            }
        });
        Evaluation {
            examples: 10_000,
            subset: None,
            threat,
            precision: Some(ComputePrecision::Fp32),
            clean_accuracy: clean,
            clean_interval: (0.0, 1.0),
            attacks: attacks.collect(),
            robust_accuracy: results.iter().map(|result| result.1).fold(1.0, f64::min),
            robust_interval: (0.0, 1.0),
            classes: Vec::new(),
            alarms: Vec::new(),
            notes: Vec::new(),
            curve: Vec::new(),
            probes: None,
            seconds: 2.0,
        }
    }

    pub(crate) fn record(seconds: f64, cost_ratio: f64) -> RunRecord {
        RunRecord {
            schema: SCHEMA.to_owned(),
            status: Status::Done,
            failure: None,
            recipe: Recipe::default().check().unwrap().resolved,
            environment: Environment { threads: 2, ..Environment::default() },
            data_digest: String::new(),
            extra_digest: None,
            images_lay: None,
            start: None,
            model: ModelRecord::default(),
            passes: Passes::default(),
            images: 1000,
            seconds: Seconds { total: seconds, ..Seconds::default() },
            cost_ratio,
            epochs: vec![EpochRecord {
                epoch: 1,
                seconds: Seconds::default(),
                loss: 0.1,
                train_accuracy: 0.3,
                validation_clean: None,
                validation_robust: None,
                averaged: None,
                validation_robust_other: None,
                learning_rate: 0.0,
                gain_ratio: None,
                residual: None,
                refreshes: 0.0,
                alarms: Vec::new(),
            }],
            best_epoch: Some(1),
            test: None,
        }
    }

    pub(crate) fn run(method: &str, seed: u64, seconds: f64, fgsm: f64, pgd: f64) -> ComparedRun {
        ComparedRun {
            method: method.parse().unwrap(),
            seed,
            directory: format!("runs/compare/{method}-s{seed}"),
            failure: None,
            record: Some(record(seconds, 1.0)),
            evaluation: Some(evaluation(0.97, &[("fgsm", fgsm), ("pgd", pgd)])),
        }
    }

    pub(crate) fn failed(method: &str, seed: u64) -> ComparedRun {
        let failure = Some("training stopped at epoch 1, step 7: the loss is NaN".to_owned());
        let mut record = record(0.5, f64::NAN);
        record.status = Status::Failed;
        record.epochs[0].loss = f64::NAN;
        ComparedRun { failure, record: Some(record), evaluation: None, ..run(method, seed, 0.0, 0.0, 0.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{failed, run};
    use super::*;

    #[test]
    fn means_are_over_seeds_and_ratios_over_pairs_of_a_seed() {
        let runs = [
            run("natural", 0, 10.0, 0.1, 0.0),
            run("rat", 0, 100.0, 0.9, 0.8),
            run("gaat", 0, 20.0, 0.9, 0.7),
            run("natural", 1, 20.0, 0.1, 0.0),
            run("rat", 1, 200.0, 0.9, 0.9),
            run("gaat", 1, 60.0, 0.9, 0.8),
        ];
        let summary = summarize(&runs);
        assert_eq!(
            summary.rows.iter().map(|row| row.method.to_string()).collect::<Vec<_>>(),
            ["natural", "rat", "gaat"]
        );
        let gaat = &summary.rows[2];
        assert_eq!((gaat.runs, gaat.finished, gaat.attacks[1].name.as_str()), (2, 2, "pgd-50x10"));
        let pgd = gaat.attacks[1].accuracy.unwrap();
        assert!(
            (pgd.mean - 0.75).abs() < 1e-12
                && (pgd.standard_deviation.unwrap() - 0.005f64.sqrt()).abs() < 1e-12
        );
        assert!((gaat.seconds_over_rat.unwrap().mean - 0.25).abs() < 1e-12);
        assert!((gaat.rat_seconds_saved.unwrap().mean - 0.75).abs() < 1e-12);
        assert!((gaat.seconds_over_natural.unwrap().mean - 2.5).abs() < 1e-12);
        assert_eq!(summary.rows[1].seconds_over_rat.unwrap().mean, 1.0);
    }

    #[test]
    fn one_seed_has_no_spread_and_a_missing_rat_no_ratio() {
        let summary = summarize(&[run("natural", 0, 10.0, 0.1, 0.0), run("gaat", 0, 20.0, 0.9, 0.7)]);
        let gaat = &summary.rows[1];
        assert_eq!(gaat.clean.unwrap().standard_deviation, None);
        assert_eq!((gaat.seconds_over_rat, gaat.rat_seconds_saved), (None, None));
        assert_eq!(gaat.seconds_over_natural.unwrap().mean, 2.0);
    }

    #[test]
    fn a_failed_run_is_named_and_takes_part_in_no_mean() {
        let runs = [run("rat", 0, 100.0, 0.9, 0.8), failed("gaat", 0), run("gaat", 1, 20.0, 0.9, 0.7)];
        let gaat = &summarize(&runs).rows[1];
        assert_eq!((gaat.runs, gaat.finished), (2, 1));
        assert!(gaat.failed[0].seed == 0 && gaat.failed[0].reason.contains("NaN"));
        assert_eq!(gaat.seconds.unwrap().mean, 20.0);
        // No seed has both methods finished.
        assert_eq!(gaat.seconds_over_rat, None);
    }

    #[test]
    fn a_method_that_only_failed_keeps_its_row_and_columns() {
        let runs = [failed("gaat", 0), run("rat", 0, 100.0, 0.9, 0.8)];
        let gaat = &summarize(&runs).rows[0];
        assert_eq!((gaat.finished, gaat.clean, gaat.attacks.len()), (0, None, 2));
        assert_eq!(gaat.attacks[0].accuracy, None);
        assert!(summarize(&runs[..1]).rows[0].attacks.is_empty());
    }

    #[test]
    fn collapses_are_found_by_seed() {
        let runs = [run("gaat-paper", 0, 20.0, 0.9, 0.01), run("gaat-paper", 1, 20.0, 0.9, 0.8)];
        let row = &summarize(&runs).rows[0];
        assert_eq!(row.collapsed.iter().map(|run| run.seed).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn seconds_of_two_machines_raise_a_warning() {
        let mut runs = [run("rat", 0, 100.0, 0.9, 0.8), run("gaat", 0, 20.0, 0.9, 0.7)];
        assert!(summarize(&runs).warnings.is_empty());
        runs[1].record.as_mut().unwrap().environment.threads = 8;
        assert!(summarize(&runs).warnings[0].contains("seconds"));
    }

    #[test]
    fn a_summary_with_nan_is_still_json() {
        let summary = summarize(&[failed("gaat", 0), run("rat", 0, 0.0, 0.9, f64::NAN)]);
        let text = serde_json::to_string(&summary).unwrap();
        assert!(text.contains("\"method\":\"gaat\"") && text.contains("the loss is NaN"), "{text}");
        assert!(summarize(&[]).rows.is_empty());
    }
}
