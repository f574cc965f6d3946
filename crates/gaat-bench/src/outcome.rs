//! What a benchmark found: written as JSON, shown as a table of ratios.

use crate::sample::{Sample, median};
use crate::side::Side;
use crate::work::{ATTACK_STEPS, BATCH, Method, Work};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::path::Path;

/// One side at one work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) work: String,
    pub(crate) side: Side,
    /// Median over all repetitions of all rounds.
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    pub(crate) repetitions: usize,
    pub(crate) peak_mib: Option<f64>,
    pub(crate) precision: String,
    /// Median of each turn, in the order of the rounds. Benchmarks that do not say them are older than their use.
    #[serde(default)]
    pub(crate) turns: Vec<f64>,
}

impl Measured {
    /// Sums up the turns of a side, at least one.
    pub(crate) fn new(work: &Work, side: Side, samples: &[Sample]) -> Self {
        let seconds: Vec<f64> = samples.iter().flat_map(|sample| sample.seconds.clone()).collect();
        let mut precisions: Vec<&str> = samples.iter().map(|sample| sample.precision.as_str()).collect();
        precisions.dedup();
        Self {
            work: work.to_string(),
            side,
            median: median(&seconds),
            least: seconds.iter().copied().fold(f64::INFINITY, f64::min),
            most: seconds.iter().copied().fold(0.0, f64::max),
            repetitions: seconds.len(),
            peak_mib: samples.iter().filter_map(|sample| sample.peak_mib).reduce(f64::max),
            precision: precisions.join(", "),
            turns: samples.iter().map(|sample| median(&sample.seconds)).collect(),
        }
    }

    /// These seconds over those of `theirs`, of each round, because the two sides of a round take their turns one after the other, and a machine that
    /// becomes slower for some rounds makes both slower. Of a benchmark that does not say its turns one ratio, that of the medians.
    pub(crate) fn ratios(&self, theirs: &Self) -> Vec<f64> {
        if self.turns.is_empty() || self.turns.len() != theirs.turns.len() {
            return vec![self.median / theirs.median];
        }
        self.turns.iter().zip(&theirs.turns).map(|(ours, theirs)| ours / theirs).collect()
    }

    fn cell(&self) -> String {
        format!("{} ({}-{})", digits(self.median), digits(self.least), digits(self.most))
    }
}

/// A whole benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) gaat: String,
    pub(crate) libtorch: String,
    pub(crate) cpu: String,
    /// Device of both sides. Benchmarks that do not say it are older than the choice.
    #[serde(default = "cpu")]
    pub(crate) device: String,
    pub(crate) threads: usize,
    /// Fewest rounds of a work.
    pub(crate) rounds: usize,
    pub(crate) measured: Vec<Measured>,
}

impl Outcome {
    /// Of this machine, without a measurement yet.
    pub(crate) fn new(device: &str, threads: usize, rounds: usize) -> Self {
        Self {
            gaat: env!("CARGO_PKG_VERSION").to_owned(),
            libtorch: gaat_spec::record::LIBTORCH_VERSION.to_owned(),
            cpu: gaat::device::cpu_name(),
            device: device.to_owned(),
            threads,
            rounds,
            measured: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, measured: Vec<Measured>) {
        self.measured.extend(measured);
    }

    /// Reads `bench.json`.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = gaat_files::read_text(path)?;
        serde_json::from_str(&text).with_context(|| format!("{} is not a bench.json", path.display()))
    }

    /// Writes `bench.json` and `README.md` into `folder`.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        fs_err::create_dir_all(folder)?;
        fs_err::write(folder.join("bench.json"), serde_json::to_string_pretty(self)? + "\n")?;
        Ok(fs_err::write(folder.join("README.md"), self.markdown())?)
    }

    /// The seconds of `side` at `work`.
    pub(crate) fn seconds(&self, work: &str, side: Side) -> Option<f64> {
        self.found(work, side).map(|measured| measured.median)
    }

    /// gaat's seconds over those of `peer` at `work`: the median of the rounds' ratios.
    pub(crate) fn ratio(&self, work: &str, peer: Side) -> Option<f64> {
        let (ours, theirs) = (self.found(work, Side::Gaat)?, self.found(work, peer)?);
        Some(median(&ours.ratios(theirs)))
    }

    /// The works, each once, in the order of measurement.
    pub(crate) fn works(&self) -> Vec<&str> {
        let mut works: Vec<&str> = self.measured.iter().map(|measured| measured.work.as_str()).collect();
        works.dedup();
        works
    }

    /// What `side` took at `work`.
    pub(crate) fn found(&self, work: &str, side: Side) -> Option<&Measured> {
        self.measured.iter().find(|measured| measured.work == work && measured.side == side)
    }

    /// The sides that are there, gaat first.
    fn sides(&self) -> Vec<Side> {
        let is_there = |side: &Side| self.measured.iter().any(|measured| measured.side == *side);
        Side::ALL.into_iter().filter(is_there).collect()
    }

    /// Tables of seconds and ratios, of shares saved, and of memory.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!(
            "# gaat and PyTorch on the same work\n\n{}, {} threads, device {}, gaat {}, libtorch {} on both sides, at least {} rounds \
             in turns.\nSeconds: median (least - most). Ratios: median of the ratios of the rounds.\n\n",
            self.cpu, self.threads, self.device, self.gaat, self.libtorch, self.rounds
        );
        let sides = self.sides();
        let peers: Vec<Side> = sides.iter().copied().filter(|side| *side != Side::Gaat).collect();
        let seconds = sides.iter().map(|side| format!("{}, s", side.title()));
        let over = peers.iter().map(|side| format!("over {}", side.title()));
        text += &row("work", seconds.chain(over));
        text += "|---|";
        text += &"---:|".repeat(sides.len() + peers.len());
        text += "\n";
        for work in self.works() {
            let cell = |side: &Side| self.found(work, *side).map_or_else(String::new, Measured::cell);
            let ratio = |side: &Side| {
                self.ratio(work, *side).map_or_else(String::new, |ratio| format!("{ratio:.2}x"))
            };
            text += &row(work, sides.iter().map(cell).chain(peers.iter().map(ratio)));
        }
        text + &self.savings() + &self.growth() + &self.memory()
    }

    /// Steps of one network at several batches, attack steps or threads.
    fn growth(&self) -> String {
        let mut rows = String::new();
        let mut is_one_size = true;
        for work in self.works().into_iter().filter_map(|work| work.parse::<Work>().ok()) {
            let Work::Step { model, method: Method::Gaat, batch, attack_steps, .. } = work else { continue };
            let threads = work.threads(self.threads);
            is_one_size &= (batch, attack_steps, threads) == (BATCH, ATTACK_STEPS, self.threads);
            let Some(steps) = work.by_each_method() else { continue };
            let [natural, rat, gaat] = steps.map(|step| self.found(&step.to_string(), Side::Gaat));
            let (Some(natural), Some(rat), Some(gaat)) = (natural, rat, gaat) else { continue };
            let _ = writeln!(
                rows,
                "| {model} | {batch} | {attack_steps} | {threads} | {} | {} | {} | {:.2}x | {:.2}x |",
                natural.cell(),
                rat.cell(),
                gaat.cell(),
                rat.median / natural.median,
                gaat.median / natural.median
            );
        }
        if is_one_size || rows.is_empty() {
            return String::new();
        }
        format!(
            "\n| network | batch | attack steps | threads | natural, s | RAT, s | GAAT, s | RAT over natural | GAAT over natural |\n\
             |---|---:|---:|---:|---:|---:|---:|---:|---:|\n{rows}"
        )
    }

    /// What one gradient in place of ten saves.
    fn savings(&self) -> String {
        let mut rows = String::new();
        for work in self.works() {
            let Some(stem) = work.strip_suffix("/gaat") else { continue };
            let ours = |method: &str| self.seconds(&format!("{stem}/{method}"), Side::Gaat);
            let (Some(natural), Some(rat), Some(gaat)) = (ours("natural"), ours("rat"), ours("gaat")) else {
                continue;
            };
            let written = self.seconds(&format!("{stem}/rat"), Side::TorchAsWritten);
            let over_written = written.map_or_else(String::new, |seconds| format!("{:.3}x", gaat / seconds));
            let _ = writeln!(
                rows,
                "| {stem} | {:.2}x | {:.2}x | {:.1} % | {over_written} |",
                rat / natural,
                gaat / natural,
                100.0 * (1.0 - gaat / rat)
            );
        }
        if rows.is_empty() {
            return rows;
        }
        format!(
            "\n| work | RAT PGD-10 over natural | GAAT over natural | of RAT's time saved | GAAT over PyTorch's RAT as written |\n\
             |---|---:|---:|---:|---:|\n{rows}"
        )
    }

    fn memory(&self) -> String {
        let sides = self.sides();
        let mut rows = String::new();
        for work in self.works() {
            let peak = |side: &Side| {
                let peak = self.found(work, *side).and_then(|measured| measured.peak_mib);
                peak.map_or_else(String::new, |peak| format!("{peak:.0}"))
            };
            let precision = |side: &Side| {
                self.found(work, *side).map_or_else(String::new, |found| found.precision.clone())
            };
            let peaks: Vec<String> = sides.iter().map(peak).collect();
            if peaks.iter().any(|peak| !peak.is_empty()) {
                rows += &row(work, peaks.into_iter().chain(sides.iter().map(precision)));
            }
        }
        if rows.is_empty() {
            return rows;
        }
        let peaks = sides.iter().map(|side| format!("{}, peak MiB", side.title()));
        let precisions = sides.iter().map(|side| format!("{}, precision", side.title()));
        let rule = format!("|---|{}{}\n", "---:|".repeat(sides.len()), "---|".repeat(sides.len()));
        format!("\n{}{rule}{rows}", row("work", peaks.chain(precisions)))
    }
}

/// A line of a table.
fn row(name: &str, cells: impl Iterator<Item = String>) -> String {
    format!("| {name} | {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

fn cpu() -> String {
    "cpu".to_owned()
}

/// Three significant digits or so.
fn digits(seconds: f64) -> String {
    match seconds {
        small if small < 0.1 => format!("{small:.4}"),
        middle if middle < 10.0 => format!("{middle:.3}"),
        large => format!("{large:.1}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An outcome of one step of `natural`, `rat` and `gaat`, in seconds of gaat and PyTorch.
    pub(crate) fn outcome(rows: &[(&str, Side, f64)]) -> Outcome {
        let mut outcome = Outcome::new("cpu", 2, 1);
        for (work, side, seconds) in rows {
            let sample =
                Sample { seconds: vec![*seconds], peak_mib: Some(100.0), precision: "fp32".to_owned() };
            outcome.add(vec![Measured::new(&work.parse().unwrap(), *side, &[sample])]);
        }
        outcome
    }

    /// Turns of one repetition each.
    pub(crate) fn turns(seconds: &[f64]) -> Vec<Sample> {
        let one =
            |seconds: &f64| Sample { seconds: vec![*seconds], peak_mib: None, precision: "fp32".to_owned() };
        seconds.iter().map(one).collect()
    }

    #[test]
    fn a_ratio_is_the_median_of_the_ratios_of_the_rounds() {
        let work: Work = "step/vgg-16/natural".parse().unwrap();
        // The speed of the machine changes: both medians are 2.0 s, and their ratio would be 1.0.
        let mut outcome = Outcome::new("cpu", 2, 3);
        outcome.add(vec![
            Measured::new(&work, Side::Gaat, &turns(&[1.0, 2.0, 2.0])),
            Measured::new(&work, Side::TorchBest, &turns(&[2.0, 4.0, 1.0])),
        ]);
        assert_eq!(outcome.ratio("step/vgg-16/natural", Side::TorchBest), Some(0.5));
        // As a file from before the turns were kept has the same measurement.
        outcome.measured[0].turns.clear();
        assert_eq!(outcome.ratio("step/vgg-16/natural", Side::TorchBest), Some(1.0));
    }

    #[test]
    fn ratios_and_savings_are_those_of_the_medians() {
        let outcome = outcome(&[
            ("step/vgg-16/natural", Side::Gaat, 1.0),
            ("step/vgg-16/natural", Side::TorchBest, 2.0),
            ("step/vgg-16/rat", Side::Gaat, 8.0),
            ("step/vgg-16/rat", Side::TorchAsWritten, 32.0),
            ("step/vgg-16/gaat", Side::Gaat, 1.6),
        ]);
        assert_eq!(outcome.ratio("step/vgg-16/natural", Side::TorchBest), Some(0.5));
        assert_eq!(outcome.ratio("step/vgg-16/natural", Side::TorchAsWritten), None);
        let text = outcome.markdown();
        assert!(text.contains("| 0.50x |  |"), "{text}");
        assert!(text.contains("| step/vgg-16 | 8.00x | 1.60x | 80.0 % | 0.050x |"), "{text}");
    }

    #[test]
    fn a_step_of_each_size_has_a_row() {
        let outcome = outcome(&[
            ("step/vgg-16/natural", Side::Gaat, 1.0),
            ("step/vgg-16/rat", Side::Gaat, 8.0),
            ("step/vgg-16/gaat", Side::Gaat, 1.5),
            ("step/vgg-16/rat/128/40", Side::Gaat, 30.0),
            ("step/vgg-16/gaat/128/40", Side::Gaat, 1.75),
            ("step/vgg-16/gaat/64", Side::Gaat, 1.0),
        ]);
        let text = outcome.markdown();
        let row = |cells: &str| text.lines().any(|line| line.starts_with(cells));
        assert!(row("| vgg-16 | 128 | 10 | 2 | 1.000 (1.000-1.000) | 8.000"), "{text}");
        assert!(row("| vgg-16 | 128 | 40 | 2 | 1.000 (1.000-1.000) | 30.0"), "{text}");
        assert!(text.contains("| 30.00x | 1.75x |") && !row("| vgg-16 | 64"), "{text}");
    }

    #[test]
    fn it_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let outcome = outcome(&[("step/vgg-16/natural", Side::Gaat, 1.0)]);
        outcome.write(folder.path()).unwrap();
        assert_eq!(Outcome::read(&folder.path().join("bench.json")).unwrap(), outcome);
        assert!(Outcome::read(&folder.path().join("README.md")).is_err());
    }
}
