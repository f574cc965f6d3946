//! The threat model: which perturbations count as an attack.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The norm that bounds a perturbation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// Largest absolute change of any pixel value.
    #[default]
    Linf,
    /// Euclidean length over all pixels and channels of an image.
    L2,
}

impl fmt::Display for Norm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linf => "linf",
            Self::L2 => "l2",
        })
    }
}

/// No two images are as far apart, and every length up to here is a number of single precision.
const MOST: f64 = 1e6;

/// A non-negative length in pixel units (pixels lie in `[0, 1]`), written `0.3` or `8/255` and shown as written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PixelLength {
    numerator: f64,
    denominator: f64,
}

impl PixelLength {
    /// No length at all.
    pub const ZERO: Self = Self { numerator: 0.0, denominator: 1.0 };

    /// A length as a plain number.
    ///
    /// # Errors
    /// When it is negative, above a million, or not a number.
    pub fn new(value: f64) -> Result<Self> {
        Self::fraction(value, 1.0)
    }

    /// A length as a fraction, such as 8 / 255.
    ///
    /// # Errors
    /// When the quotient is negative, above a million, or not a number.
    pub fn fraction(numerator: f64, denominator: f64) -> Result<Self> {
        let length = Self { numerator, denominator };
        let value = length.value();
        if (0.0..=MOST).contains(&value) {
            Ok(length)
        } else {
            let reason = format!("needs a number from 0 to {MOST}, such as 0.3 or 8/255");
            Err(Error::value("length", length, reason))
        }
    }

    /// The length as a number.
    pub fn value(self) -> f64 {
        self.numerator / self.denominator
    }

    /// The length times `factor` (which must not be negative), still shown over the same denominator: to 15 digits, those that a product
    /// of decimal numbers has in common with its exact value (0.1 times 0.1 is 0.01).
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        let product = self.numerator * factor.max(0.0);
        Self { numerator: format!("{product:.14e}").parse().unwrap_or(product), ..self }
    }
}

impl fmt::Display for PixelLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.denominator == 1.0 {
            write!(f, "{}", self.numerator)
        } else {
            write!(f, "{}/{}", self.numerator, self.denominator)
        }
    }
}

impl FromStr for PixelLength {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::value(
                "length",
                format!("\"{text}\""),
                format!("write a number from 0 to {MOST} or such a fraction, such as 0.3 or 8/255"),
            )
        };
        let number = |part: &str| part.trim().parse::<f64>().map_err(|_| bad());
        match text.split_once('/') {
            None => Self::new(number(text)?),
            Some((numerator, denominator)) => Self::fraction(number(numerator)?, number(denominator)?),
        }
        .map_err(|_| bad())
    }
}

impl Serialize for PixelLength {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PixelLength {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a number or a fraction in quotes, such as 0.3 or \"8/255\"")]
        enum Written {
            Number(f64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(value) => Self::new(value),
            Written::Text(text) => text.parse(),
        }
        .map_err(serde::de::Error::custom)
    }
}

/// Perturbations of at most `epsilon` in `norm`, with every pixel of the result in `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct ThreatModel {
    norm: Norm,
    epsilon: PixelLength,
}

#[derive(Deserialize)]
struct Unchecked {
    norm: Norm,
    epsilon: PixelLength,
}

impl TryFrom<Unchecked> for ThreatModel {
    type Error = Error;
    fn try_from(raw: Unchecked) -> Result<Self> {
        Self::new(raw.norm, raw.epsilon)
    }
}

impl ThreatModel {
    /// A threat model; epsilon 0 is allowed and means "no perturbation".
    ///
    /// # Errors
    /// When an L-infinity epsilon is over 1: pixels span `[0, 1]`, so 8 was probably meant as 8/255.
    pub fn new(norm: Norm, epsilon: PixelLength) -> Result<Self> {
        if norm == Norm::Linf && epsilon.value() > 1.0 {
            let reason = format!("pixels span [0, 1]; did you mean {epsilon}/255?");
            return Err(Error::value("epsilon", epsilon, reason));
        }
        Ok(Self { norm, epsilon })
    }

    /// Refuses a step that no attack within this model takes: none at all, and in L-infinity one over 1 and over twice epsilon, which
    /// is the longest that is published.
    ///
    /// # Errors
    /// When `step` is such a step.
    pub fn check_step(&self, step: PixelLength) -> Result<()> {
        if step.value() == 0.0 {
            return Err(Error::value("step-size", step, "needs a length over 0"));
        }
        if self.norm == Norm::Linf && step.value() > (2.0 * self.epsilon()).max(1.0) {
            let reason = format!("pixels span [0, 1]; did you mean {step}/255?");
            return Err(Error::value("step-size", step, reason));
        }
        Ok(())
    }

    /// The same norm with `factor` (from 0 to 1) of the bound.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        Self { norm: self.norm, epsilon: self.epsilon.scaled(factor.min(1.0)) }
    }

    /// The norm.
    pub fn norm(&self) -> Norm {
        self.norm
    }

    /// The bound as a number in pixel units.
    pub fn epsilon(&self) -> f64 {
        self.epsilon.value()
    }

    /// The bound as it was written.
    pub fn epsilon_length(&self) -> PixelLength {
        self.epsilon
    }
}

impl fmt::Display for ThreatModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.norm, self.epsilon)
    }
}

/// A threat model of a unit test.
#[cfg(test)]
pub(crate) fn threat(norm: Norm, epsilon: &str) -> ThreatModel {
    ThreatModel::new(norm, epsilon.parse().unwrap()).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_keep_their_form_and_value() {
        let length: PixelLength = "8/255".parse().unwrap();
        assert_eq!(length.to_string(), "8/255");
        assert_eq!(length.value(), 8.0 / 255.0);
        assert_eq!("0.3".parse::<PixelLength>().unwrap().to_string(), "0.3");
        assert_eq!(length.scaled(1.25).to_string(), "10/255");
        assert_eq!("0.1".parse::<PixelLength>().unwrap().scaled(0.1).to_string(), "0.01");
    }

    #[test]
    fn nonsense_lengths_are_refused() {
        for text in ["-1", "nan", "inf", "1/0", "8/-255", "8/255/2", "", "eight"] {
            let error = text.parse::<PixelLength>().unwrap_err().to_string();
            assert!(error.contains("8/255"), "{text}: {error}");
        }
    }

    #[test]
    fn an_epsilon_of_eight_is_taken_for_a_slip() {
        let error = ThreatModel::new(Norm::Linf, PixelLength::new(8.0).unwrap()).unwrap_err();
        assert!(error.to_string().contains("8/255"), "{error}");
        let long = ThreatModel::new(Norm::L2, PixelLength::new(8.0).unwrap()).unwrap();
        assert_eq!((long.norm(), long.epsilon()), (Norm::L2, 8.0));
    }

    #[test]
    fn a_step_of_two_is_taken_for_a_slip_where_pixels_span_less() {
        let step = |text: &str| text.parse::<PixelLength>().unwrap();
        let linf = threat(Norm::Linf, "8/255");
        assert!(linf.check_step(step("2")).unwrap_err().to_string().contains("did you mean 2/255?"));
        assert!(linf.check_step(step("0")).is_err());
        linf.check_step(step("1")).unwrap();
        threat(Norm::Linf, "0.9").check_step(step("1.8")).unwrap();
        threat(Norm::L2, "3").check_step(step("2")).unwrap();
    }

    #[test]
    fn serialised_threat_models_come_back_equal() {
        let threat = ThreatModel::new(Norm::L2, "128/255".parse().unwrap()).unwrap();
        let text = serde_json::to_string(&threat).unwrap();
        assert_eq!(serde_json::from_str::<ThreatModel>(&text).unwrap(), threat);
        assert!(serde_json::from_str::<ThreatModel>(r#"{"norm":"linf","epsilon":-0.1}"#).is_err());
    }
}
