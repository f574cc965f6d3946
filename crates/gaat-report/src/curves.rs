//! A training as plots: accuracy, loss, gain ratio and gradients over epochs and seconds, of one run or of methods.

use crate::compare::{ComparedRun, Spread, methods};
use crate::plot::{Axis, LineChart, Moment, Plot, Point, Series};
use gaat_spec::{EpochRecord, RunRecord};

/// More epochs than this, and bars of deviation would cover each other.
const MOST_BARS: usize = 16;

/// Trainings that differ more than this in length are shown over the logarithms of their seconds.
const MANY_TIMES: f64 = 4.0;

/// What the x axis counts.
#[derive(Debug, Clone, Copy)]
enum Over {
    Epochs,
    /// Of attack and training pass, on a logarithmic axis where `log`.
    Seconds {
        log: bool,
    },
}

impl Over {
    fn axis(self) -> Axis {
        let seconds = || Axis::new("seconds of training, validation not counted");
        match self {
            Self::Epochs => Axis::new("epoch").tight(),
            Self::Seconds { log: false } => seconds().tight(),
            Self::Seconds { log: true } => seconds().log(),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Epochs => "over epochs",
            Self::Seconds { .. } => "over seconds",
        }
    }
}

/// Plots of a training that belong to its attack.
pub(crate) const OF_THE_ATTACK: [&str; 3] = ["gain-ratio.svg", "residual.svg", "refreshes.svg"];

type Value = fn(&EpochRecord) -> Option<f64>;

const CLEAN: Value = |epoch| epoch.validation_clean.map(|share| 100.0 * share);
const ROBUST: Value = |epoch| epoch.validation_robust.map(|share| 100.0 * share);
const TRAINING: Value = |epoch| Some(100.0 * epoch.train_accuracy);
const LOSS: Value = |epoch| Some(epoch.loss);
const GAIN: Value = |epoch| epoch.gain_ratio;
const RESIDUAL: Value = |epoch| epoch.residual;
const TRAINED: Value = |epoch| robust_of(epoch, false);
const AVERAGED: Value = |epoch| robust_of(epoch, true);
const REFRESHES: Value = |epoch| Some(epoch.refreshes);

/// Robust accuracy, %, of the averaged or the trained network, where both were judged.
fn robust_of(epoch: &EpochRecord, averaged: bool) -> Option<f64> {
    let other = epoch.validation_robust_other?;
    Some(100.0 * if epoch.averaged? == averaged { epoch.validation_robust? } else { other })
}

/// Runs that are drawn as one line: at each epoch their mean and standard deviation.
struct Group<'a> {
    name: String,
    records: Vec<&'a RunRecord>,
}

impl Group<'_> {
    fn line(&self, over: Over, value: Value) -> Series {
        let epochs = self.records.iter().map(|record| record.epochs.len()).max().unwrap_or(0);
        let points = (0..epochs).filter_map(|index| {
            let there = self.records.iter().filter_map(|record| Some((record, record.epochs.get(index)?)));
            let values: Vec<f64> = there.clone().filter_map(|(_, epoch)| value(epoch)).collect();
            let found = Spread::of(&values)?;
            let x = match over {
                Over::Epochs => index as f64 + 1.0,
                Over::Seconds { .. } => {
                    let seconds: Vec<f64> = there.map(|(record, _)| seconds_until(record, index)).collect();
                    Spread::of(&seconds)?.mean
                }
            };
            let deviation = found.standard_deviation.filter(|_| epochs <= MOST_BARS);
            Some(Point { x, y: found.mean, error: deviation.map(|deviation| (deviation, deviation)) })
        });
        Series { name: self.name.clone(), points: points.collect() }
    }

    fn alarms(&self) -> impl Iterator<Item = Moment> {
        self.records.iter().flat_map(|record| {
            record.epochs.iter().flat_map(move |epoch| {
                let who = record.recipe.method.map(|method| method.to_string()).unwrap_or_default();
                let seed = record.recipe.seed.unwrap_or_default();
                epoch.alarms.iter().map(move |alarm| Moment {
                    x: epoch.epoch as f64,
                    text: format!("{who}, seed {seed}, epoch {}: {alarm}", epoch.epoch),
                })
            })
        })
    }
}

fn seconds_until(record: &RunRecord, epoch: usize) -> f64 {
    record.epochs.iter().take(epoch + 1).map(|epoch| epoch.seconds.total).sum()
}

/// A plot of lines, unless there is nothing to draw.
fn plot(
    file: &'static str,
    title: &str,
    over: Over,
    y: Axis,
    series: Vec<Series>,
    alarms: Vec<Moment>,
) -> Option<Plot> {
    if series.iter().all(|series| series.points.is_empty()) {
        return None;
    }
    let guide = (file == "gain-ratio.svg").then_some(1.0);
    let title = format!("{title} {}", over.words());
    let svg = LineChart { title, x: over.axis(), y, series, guide, alarms }.to_svg();
    Some(Plot { file, svg })
}

const ACCURACY: &str = "accuracy, %";

fn ratio_axis() -> Axis {
    Axis::new("actual / predicted increase of the loss").within(-1.0, 6.0)
}

fn residual_axis() -> Axis {
    Axis::new("actual less predicted increase, nats an image").holding(0.0)
}

fn gradients_axis() -> Axis {
    Axis::new("gradients a batch, mean over the epoch").holding(0.0)
}

/// Plots of one training: accuracy over epochs and over seconds, loss, gain ratio, refreshes; those with data.
pub fn run_plots(record: &RunRecord) -> Vec<Plot> {
    let line =
        |name: &str, over, value| Group { name: name.to_owned(), records: vec![record] }.line(over, value);
    let robust = format!("robust, pgd-{}", record.recipe.validation_steps.unwrap_or_default());
    let accuracy = |over| {
        let lines = [
            line("clean", over, CLEAN),
            line(&robust, over, ROBUST),
            line("training batches", over, TRAINING),
        ];
        lines.into_iter().filter(|series| !series.points.is_empty()).collect::<Vec<_>>()
    };
    let whole = Group { name: String::new(), records: vec![record] };
    let alarms = || whole.alarms().collect::<Vec<_>>();
    let one = |name: &str, value| vec![line(name, Over::Epochs, value)];
    let percent = || Axis::new(ACCURACY).within(0.0, 100.0);
    let epochs = Over::Epochs;
    let both = vec![line("trained weights", epochs, TRAINED), line("averaged weights", epochs, AVERAGED)];
    let has_attack = record.epochs.iter().any(|epoch| epoch.refreshes > 0.0);
    [
        plot("accuracy-over-epochs.svg", "Accuracy", epochs, percent(), accuracy(epochs), alarms()),
        plot(
            "accuracy-over-seconds.svg",
            "Accuracy",
            Over::Seconds { log: false },
            percent(),
            accuracy(Over::Seconds { log: false }),
            Vec::new(),
        ),
        plot("loss.svg", "Training loss", epochs, Axis::new("loss, nats"), one("loss", LOSS), alarms()),
        plot("averaging.svg", "Robust accuracy of both networks", epochs, percent(), both, alarms()),
        plot("gain-ratio.svg", "Gain ratio", epochs, ratio_axis(), one("gain ratio", GAIN), alarms()),
        plot("residual.svg", "Residual", epochs, residual_axis(), one("residual", RESIDUAL), alarms()),
        plot(
            "refreshes.svg",
            "Refreshes",
            epochs,
            gradients_axis(),
            one("gradients a batch", REFRESHES),
            alarms(),
        )
        .filter(|_| has_attack),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The same for the methods of a comparison, a line each: mean and deviation over the runs that did not fail.
pub fn comparison_plots(runs: &[ComparedRun]) -> Vec<Plot> {
    let whole = |method| {
        let own = runs.iter().filter(move |run| run.method == method && run.failure.is_none());
        own.filter_map(|run| run.record.as_ref()).collect::<Vec<_>>()
    };
    let groups: Vec<Group> = methods(runs)
        .into_iter()
        .map(|method| Group { name: method.to_string(), records: whole(method) })
        .collect();
    let lines = |over, value| {
        let lines = groups.iter().map(|group| group.line(over, value));
        // A method without such a number keeps its colour and leaves the legend.
        lines.map(|line| if line.points.is_empty() { Series::default() } else { line }).collect::<Vec<_>>()
    };
    let alarms = || groups.iter().flat_map(Group::alarms).collect::<Vec<_>>();
    let percent = || Axis::new(ACCURACY).within(0.0, 100.0);
    let longest = |group: &Group| group.records.iter().map(|record| record.seconds.total).fold(0.0, f64::max);
    let all: Vec<f64> = groups.iter().map(longest).filter(|seconds| *seconds > 0.0).collect();
    let (least, most) =
        all.iter().fold((f64::INFINITY, 0.0f64), |(low, high), at| (low.min(*at), high.max(*at)));
    let (epochs, seconds) = (Over::Epochs, Over::Seconds { log: most > MANY_TIMES * least });
    [
        plot("robust-over-epochs.svg", "Robust accuracy", epochs, percent(), lines(epochs, ROBUST), alarms()),
        plot(
            "robust-over-seconds.svg",
            "Robust accuracy",
            seconds,
            percent(),
            lines(seconds, ROBUST),
            Vec::new(),
        ),
        plot("clean-over-epochs.svg", "Clean accuracy", epochs, percent(), lines(epochs, CLEAN), alarms()),
        plot(
            "clean-over-seconds.svg",
            "Clean accuracy",
            seconds,
            percent(),
            lines(seconds, CLEAN),
            Vec::new(),
        ),
        plot("gain-ratio.svg", "Gain ratio", epochs, ratio_axis(), lines(epochs, GAIN), alarms()),
        plot("residual.svg", "Residual", epochs, residual_axis(), lines(epochs, RESIDUAL), alarms()),
        plot("refreshes.svg", "Refreshes", epochs, gradients_axis(), lines(epochs, REFRESHES), alarms()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::samples::{failed, run};

    fn trained(method: &str, seed: u64, robust: &[f64], gain_ratio: Option<f64>) -> ComparedRun {
        let mut run = run(method, seed, 10.0, 0.9, 0.5);
        let record = run.record.as_mut().unwrap();
        let first = record.epochs[0].clone();
        record.epochs = robust
            .iter()
            .enumerate()
            .map(|(index, robust)| {
                let mut epoch = EpochRecord { epoch: index + 1, gain_ratio, ..first.clone() };
                epoch.validation_robust = Some(*robust);
                epoch.seconds.total = 2.0;
                epoch
            })
            .collect();
        run
    }

    #[test]
    fn methods_are_means_over_their_seeds() {
        let runs =
            [trained("rat", 0, &[0.25, 0.5], None), trained("rat", 1, &[0.75], None), failed("rat", 2)];
        let records = runs[..2].iter().filter_map(|run| run.record.as_ref()).collect();
        let line = Group { name: "rat".to_owned(), records }.line(Over::Seconds { log: false }, ROBUST);
        let found: Vec<(f64, f64)> = line.points.iter().map(|point| (point.x, point.y)).collect();
        assert_eq!(found, [(2.0, 50.0), (4.0, 50.0)]);
        assert_eq!(line.points[1].error, None, "one run has no spread");
        let files: Vec<&str> = comparison_plots(&runs).iter().map(|plot| plot.file).collect();
        assert_eq!(files, ["robust-over-epochs.svg", "robust-over-seconds.svg", "refreshes.svg"]);
    }

    #[test]
    fn trained_and_averaged_weights_have_a_line_each() {
        let mut run = trained("gaat", 0, &[0.5, 0.25], None);
        let record = run.record.as_mut().unwrap();
        for (epoch, averaged) in record.epochs.iter_mut().zip([true, false]) {
            (epoch.averaged, epoch.validation_robust_other, epoch.residual) =
                (Some(averaged), Some(0.125), Some(-0.5));
        }
        let value = |value: Value| record.epochs.iter().filter_map(value).collect::<Vec<_>>();
        assert_eq!((value(TRAINED), value(AVERAGED)), (vec![12.5, 25.0], vec![50.0, 12.5]));
        let files: Vec<&str> = run_plots(record).iter().map(|plot| plot.file).collect();
        assert!(files.contains(&"averaging.svg") && files.contains(&"residual.svg"), "{files:?}");
    }

    #[test]
    fn alarms_stand_in_the_plots_over_epochs() {
        let mut run = trained("gaat", 0, &[0.5, 0.0], Some(0.25));
        let record = run.record.as_mut().unwrap();
        record.epochs[1].alarms.push("collapse: <seen>".to_owned());
        let plots = run_plots(record);
        let files: Vec<&str> = plots.iter().map(|plot| plot.file).collect();
        assert_eq!(
            files,
            ["accuracy-over-epochs.svg", "accuracy-over-seconds.svg", "loss.svg", "gain-ratio.svg"]
        );
        for Plot { file, svg } in &plots {
            assert_eq!(svg.contains("collapse: &lt;seen&gt;"), !file.contains("seconds"), "{file}");
            assert!(svg.contains("robust, pgd-10") == file.contains("accuracy"), "{file}");
        }
    }
}
