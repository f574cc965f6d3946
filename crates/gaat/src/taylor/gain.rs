//! The gain ratio: how much of the predicted increase of the loss an attack really got.

use tch::Tensor;

/// `(l(x+d) - l(a)) / (m(d) - l(a))`, sums over examples: actual over predicted increase of the loss.
///
/// The dimensionless form of the remainder R of arXiv 2309.09464, and what trust-region methods judge a step by
/// (Conn, Gould and Toint 2000, section 6.1). 1 is a perfect model; near 0 the model is useless, which is what
/// catastrophic overfitting looks like. In training it is free: `l(a)` comes with the attack's gradient and
/// `l(x+d)` with the training pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct GainRatio {
    actual: f64,
    predicted: f64,
}

/// The two sums of a gain ratio on the device, f64 scalars: nothing waits for them until they are read.
#[derive(Debug)]
pub struct UnreadGain {
    /// Sum over examples of the actual increase.
    pub actual: Tensor,
    /// Sum over examples of the predicted increase.
    pub predicted: Tensor,
}

/// Below this predicted increase, summed over the examples, the quotient is noise.
const LEAST_PREDICTED: f64 = 1e-6;

impl GainRatio {
    /// From sums over examples of actual and predicted increase.
    pub fn new(actual: f64, predicted: f64) -> Self {
        Self { actual, predicted }
    }

    /// Sum over examples of the actual increase.
    pub fn actual(&self) -> f64 {
        self.actual
    }

    /// Sum over examples of the predicted increase.
    pub fn predicted(&self) -> f64 {
        self.predicted
    }

    /// Whether both sums are finite numbers.
    pub fn is_finite(&self) -> bool {
        self.actual.is_finite() && self.predicted.is_finite()
    }

    /// Adds another batch; anything not finite is left out.
    pub fn add(&mut self, other: Self) {
        if other.is_finite() {
            self.actual += other.actual;
            self.predicted += other.predicted;
        }
    }

    /// The ratio, or `None` where the model predicts no increase to speak of.
    pub fn value(&self) -> Option<f64> {
        (self.predicted > LEAST_PREDICTED && self.actual.is_finite()).then(|| self.actual / self.predicted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_divided_not_ratios_averaged() {
        let mut ratio = GainRatio::default();
        assert_eq!(ratio.value(), None);
        ratio.add(GainRatio::new(1.0, 1.0));
        ratio.add(GainRatio::new(0.0, 3.0));
        ratio.add(GainRatio::new(f64::NAN, 1.0));
        assert_eq!(ratio.value(), Some(0.25));
        assert_eq!(GainRatio::new(1.0, 0.0).value(), None);
        assert_eq!(GainRatio::new(1.0, f64::NAN).value(), None);
    }
}
