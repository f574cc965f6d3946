//! Axes: from data to a range, from a range to ticks, from numbers to pixels.

/// How an axis spreads its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scale {
    /// Evenly.
    #[default]
    Linear,
    /// By their logarithms; numbers of 0 and below are left out.
    Log,
}

/// An axis before the data is known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Axis {
    /// What is measured, with its unit.
    pub label: String,
    /// How numbers are spread.
    pub scale: Scale,
    /// Bounds that the range may not leave, whatever the data; what lies outside is cut off.
    pub limits: Option<(f64, f64)>,
    /// A value that the axis holds, whatever the data.
    pub holds: Option<f64>,
    /// Whether a linear axis ends with the data and not with a round number.
    pub is_tight: bool,
}

impl Axis {
    /// A linear axis as wide as its data.
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), ..Self::default() }
    }

    /// The same axis with logarithms.
    #[must_use]
    pub fn log(self) -> Self {
        Self { scale: Scale::Log, ..self }
    }

    /// The same axis within bounds.
    #[must_use]
    pub fn within(self, low: f64, high: f64) -> Self {
        Self { limits: Some((low, high)), ..self }
    }

    /// The same axis with `value` on it.
    #[must_use]
    pub fn holding(self, value: f64) -> Self {
        Self { holds: Some(value), ..self }
    }

    /// The same axis, ending with its data.
    #[must_use]
    pub fn tight(self) -> Self {
        Self { is_tight: true, ..self }
    }

    /// The width of a linear axis for data that is `value` throughout.
    fn width_of_one(&self, value: f64) -> f64 {
        0.2 * self.limits.map_or(value.abs().max(1.0), |(least, most)| most - least)
    }

    /// Whether the axis can show `value`.
    pub(super) fn shows(&self, value: f64) -> bool {
        value.is_finite() && (self.scale == Scale::Linear || value > 0.0)
    }

    /// The axis for `values`, drawn from pixel `from` to pixel `to`.
    pub(super) fn fitted(&self, values: impl Iterator<Item = f64>, from: f64, to: f64) -> FittedAxis {
        let (mut low, mut high) = values
            .chain(self.holds)
            .filter(|value| self.shows(*value))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            (low, high) = if self.scale == Scale::Log { (1.0, 10.0) } else { (0.0, 1.0) };
        }
        let (mut least, mut most) = self.limits.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
        (low, high) = (low.clamp(least, most), high.clamp(least, most));
        if self.is_tight && self.scale == Scale::Linear && low < high {
            (least, most) = (low, high);
        }
        let (round_low, round_high, mut ticks) = match self.scale {
            Scale::Linear => linear(low, high, self.width_of_one(low)),
            Scale::Log => logarithmic(low, high),
        };
        // Round numbers may lie outside bounds that the data keeps.
        (low, high) = (round_low.max(least), round_high.min(most));
        // Ticks are multiples of their step: rounding may put one a little beyond the end that it stands for.
        let slack = 1e-9 * if self.scale == Scale::Log { low } else { high - low };
        ticks.retain(|tick| (low - slack..=high + slack).contains(tick));
        FittedAxis { scale: self.scale, low, high, from, to, ticks }
    }
}

/// An axis with its range, its ticks and its place.
#[derive(Debug)]
pub(super) struct FittedAxis {
    scale: Scale,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    pub(super) ticks: Vec<f64>,
}

impl FittedAxis {
    /// The pixel of `value`.
    pub(super) fn pixel(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        self.from + share * (self.to - self.from)
    }

    /// The pixel of `value`, or of the end of the axis that it lies beyond.
    pub(super) fn pixel_within(&self, value: f64) -> f64 {
        self.pixel(value.clamp(self.low, self.high))
    }

    /// Ticks with the decimals that tell them apart.
    pub(super) fn labels(&self) -> Vec<String> {
        match self.scale {
            Scale::Linear => {
                let step = self.ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
                let decimals = if step.is_finite() { decimals(step) } else { 1 };
                // Adding 0 turns a negative zero into zero.
                self.ticks.iter().map(|tick| format!("{:.decimals$}", tick + 0.0)).collect()
            }
            Scale::Log => self.ticks.iter().map(|tick| power(*tick)).collect(),
        }
    }
}

fn decimals(step: f64) -> usize {
    (-(step.log10() + 1e-9).floor()).clamp(0.0, 9.0) as usize
}

fn power(value: f64) -> String {
    if (1e-3..1e5).contains(&value) {
        format!("{value:.*}", decimals(10f64.powf(value.log10().floor())))
    } else {
        format!("{value:.0e}")
    }
}

/// Range and ticks in steps of 1, 2 or 5 times a power of ten, the data a little inside; `width_of_one` is the width
/// for a single value.
fn linear(low: f64, high: f64, width_of_one: f64) -> (f64, f64, Vec<f64>) {
    let width = if high > low { high - low } else { width_of_one };
    let raw = width / 5.0;
    let power = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= raw * 0.999);
    let step = factor.unwrap_or(10.0) * power;
    let center = if high > low { None } else { Some(low) };
    let first = (center.map_or(low, |center| center - width / 2.0) / step + 1e-9).floor();
    let last = (center.map_or(high, |center| center + width / 2.0) / step - 1e-9).ceil();
    let ticks: Vec<f64> = (0..=(last - first) as usize).map(|index| (first + index as f64) * step).collect();
    (first * step, last * step, ticks)
}

/// Range and ticks at powers of ten, with 2 and 5 between them where these are few.
fn logarithmic(low: f64, high: f64) -> (f64, f64, Vec<f64>) {
    let marks: &[f64] = if high / low < 200.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let first = low.log10().floor() as i32;
    let last = high.log10().ceil() as i32;
    let all: Vec<f64> = (first..=last)
        .flat_map(|exponent| marks.iter().map(move |mark| mark * 10f64.powi(exponent)))
        .collect();
    let slack = 1.0 + 1e-9;
    let start = all.iter().rposition(|tick| *tick <= low * slack).unwrap_or(0);
    let end = all.iter().position(|tick| *tick * slack >= high).unwrap_or(all.len() - 1).max(start + 1);
    let ticks = all[start..=end.min(all.len() - 1)].to_vec();
    // Very many decades: every other one, so that their labels do not touch.
    let stride = ticks.len().div_ceil(9);
    let shown = ticks.iter().copied().step_by(stride).collect();
    (ticks[0], ticks[ticks.len() - 1], shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(axis: &Axis, values: &[f64]) -> FittedAxis {
        axis.fitted(values.iter().copied(), 0.0, 100.0)
    }

    #[test]
    fn linear_ticks_are_round_and_hold_the_data() {
        let axis = fitted(&Axis::new("x"), &[2.0, 32.0]);
        assert_eq!(axis.labels(), ["0", "10", "20", "30", "40"]);
        assert_eq!((axis.pixel(0.0), axis.pixel(40.0)), (0.0, 100.0));
        assert_eq!(
            fitted(&Axis::new("x"), &[0.05, 0.5]).labels(),
            ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]
        );
        let flat = fitted(&Axis::new("x"), &[3.0]);
        assert!(flat.low < 3.0 && flat.high > 3.0 && flat.ticks.len() >= 2);
        assert!(fitted(&Axis::new("x"), &[]).ticks.len() >= 2);
        assert_eq!(fitted(&Axis::new("x"), &[-1.0, 1.0]).labels(), ["-1.0", "-0.5", "0.0", "0.5", "1.0"]);
    }

    #[test]
    fn a_tight_axis_ends_with_its_data() {
        let axis = fitted(&Axis::new("epoch").tight(), &[1.0, 12.0]);
        assert_eq!((axis.pixel(1.0), axis.pixel(12.0)), (0.0, 100.0));
        assert_eq!(axis.labels(), ["5", "10"]);
        assert!(fitted(&Axis::new("epoch").tight(), &[1.0]).ticks.len() >= 2);
        assert_eq!(fitted(&Axis::new("gradients").holding(0.0), &[1.0]).labels()[0], "0.0");
    }

    #[test]
    fn log_ticks_are_powers_and_zero_is_left_out() {
        let axis = fitted(&Axis::new("y").log(), &[0.0, 0.004, 130.0]);
        assert_eq!(axis.labels(), ["0.001", "0.01", "0.1", "1", "10", "100", "1000"]);
        assert_eq!(fitted(&Axis::new("y").log(), &[1.0, 7.7]).labels(), ["1", "2", "5", "10"]);
        assert!(fitted(&Axis::new("y").log(), &[1e-12, 1e12]).ticks.len() <= 9);
        assert!(fitted(&Axis::new("y").log(), &[4.0]).ticks.len() >= 2);
        assert!(fitted(&Axis::new("y").log(), &[]).ticks.len() >= 2);
    }

    #[test]
    fn limits_cut_off_what_lies_outside() {
        let axis = fitted(&Axis::new("y").within(-1.0, 3.0), &[-0.4, 250.0]);
        assert_eq!((axis.low, axis.high), (-1.0, 3.0));
        assert_eq!(axis.pixel_within(250.0), 100.0);
    }

    #[test]
    fn no_axis_leaves_its_limits() {
        let percent = |values: &[f64]| fitted(&Axis::new("y").within(0.0, 100.0), values);
        for (values, labels) in [
            (&[100.0, 100.0][..], &["90", "95", "100"][..]),
            (&[0.0], &["0", "5", "10"]),
            (&[97.5, 99.99], &["97.5", "98.0", "98.5", "99.0", "99.5", "100.0"]),
            (&[3.0, 97.0], &["0", "20", "40", "60", "80", "100"]),
            (&[120.0], &["90", "95", "100"]),
        ] {
            let axis = percent(values);
            assert!(axis.low >= 0.0 && axis.high <= 100.0, "{axis:?}");
            assert_eq!(axis.labels(), labels);
        }
        // Limits that are no multiple of a step end the axis between two ticks.
        let axis = fitted(&Axis::new("y").within(0.0, 0.95), &[0.1, 0.9]);
        assert_eq!((axis.low, axis.high, axis.labels().last().map(String::as_str)), (0.0, 0.95, Some("0.8")));
        let axis = fitted(&Axis::new("y").within(0.0, 50.0).log(), &[3.0, 40.0]);
        assert_eq!((axis.low, axis.high), (2.0, 50.0));
        let axis = fitted(&Axis::new("y").within(0.0, 45.0).log(), &[3.0, 40.0]);
        assert_eq!((axis.high, axis.labels()), (45.0, ["2", "5", "10", "20"].map(str::to_owned).to_vec()));
    }
}
