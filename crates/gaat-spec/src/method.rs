//! Training methods as data: names, presets, and what each needs to run.

use crate::error::{Error, Result};
use crate::names::{named, unknown};
use crate::one_step::{OneStepSpec, OpeningSpec};
use crate::threat::PixelLength;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

named! {
    /// How the input Hessian is modelled at the anchor (the first three: arXiv 2309.09464, section 3).
    Curvature, "curvature" {
        /// First order: no curvature.
        None = "none",
        /// `H s = g (g.s)`, the Gauss-Newton form of the paper.
        GaussNewton = "gauss-newton",
        /// `H s = g * g * s`, the diagonal form of the paper.
        Diagonal = "diagonal",
        /// `H s = sum_b g_b (g_b.s)` over the batch: its empirical Fisher matrix.
        BatchFisher = "batch-fisher",
        /// `H s = 1/r sum_k g_k (g_k.s)`, `g_k` for a label drawn from the model's softmax: r more backward passes.
        SampledFisher = "sampled-fisher",
        /// `H s = (g(a+p) - g(a)) / p * s`, diagonal quasi-Newton from a second gradient.
        Secant = "secant",
        /// The Hessian itself, by double backward: the reference, never the cheap choice.
        Exact = "exact",
    }
}

named! {
    /// The point around which GAAT expands the loss.
    Anchor, "anchor" {
        /// The clean image, as published.
        Clean = "clean",
        /// The random start, so that the gradient is taken where the attack begins.
        RandomStart = "random-start",
    }
}

named! {
    /// Whether GAAT may take more gradients for a batch than `refreshes` says.
    Refinement, "refinement" {
        /// Never.
        Off = "off",
        /// As many as the gain ratio asks for.
        Adaptive = "adaptive",
    }
}

named! {
    /// A method before any delay.
    BaseMethod, "method" {
        /// Training on clean images.
        Natural = "natural",
        /// PGD adversarial training (Madry et al. 2018): exact gradients, K per batch.
        Rat = "rat",
        /// Gradient-approximation adversarial training, the best setting known here.
        Gaat = "gaat",
        /// GAAT literally as published, Gauss-Newton curvature.
        GaatPaper = "gaat-paper",
        /// GAAT literally as published, diagonal curvature.
        GaatPaperDiagonal = "gaat-paper-diagonal",
        /// GAAT expanded around last epoch's end point, without an attack pass.
        GaatMemory = "gaat-memory",
        /// GAAT expanded where the last training pass on the same batch was, without an attack pass.
        GaatFree = "gaat-free",
        /// One step from a random start (Wong et al. 2020).
        FgsmRs = "fgsm-rs",
        /// One step from noise that leaves the ball, not projected on it (de Jorge et al. 2022).
        NFgsm = "n-fgsm",
        /// One step from a random start along the larger slopes alone (Golgooni et al. 2021).
        ZeroGrad = "zerograd",
        /// One step from a random start, each pixel a share of it, as long as the curvature lets it be (SORA, 2026).
        Sora = "sora",
        /// One step from label-indicative perturbations, the answers held together (LIET, 2025).
        Liet = "liet",
        /// One step from one perturbation for all images, the answers held together (FGSM-UAP).
        FgsmUap = "fgsm-uap",
        /// Clean loss and the nuclear norm of how far a batch of answers moves (Sriramanan et al. 2021).
        Nuat = "nuat",
        /// Each batch several times, the perturbation following the training gradient (Shafahi et al. 2019).
        Free = "free",
        /// One step from what is remembered of each image (Jia et al. 2022).
        FgsmMep = "fgsm-mep",
        /// FGSM with a penalty on gradients that turn within the ball (Andriushchenko and Flammarion 2020).
        GradAlign = "gradalign",
        /// Clean loss and divergence under attack (Zhang et al. 2019).
        Trades = "trades",
        /// TRADES' relative that weighs misclassified images more (Wang et al. 2020).
        Mart = "mart",
    }
}

impl BaseMethod {
    /// Whether the answers at the point of its gradient and at the attacked point can be held together.
    pub fn is_consistent(self) -> bool {
        self.is_one_step() || matches!(self, Self::Gaat | Self::GaatPaper | Self::GaatPaperDiagonal)
    }

    /// Whether the method takes one step along one gradient; such methods differ in the values of their keys alone.
    pub fn is_one_step(self) -> bool {
        matches!(self, Self::FgsmRs | Self::NFgsm | Self::ZeroGrad | Self::Sora | Self::Liet | Self::FgsmUap)
    }

    /// Whether a recipe may say where its one gradient is taken and how the step goes on from there.
    pub fn has_opening(self) -> bool {
        self.is_one_step() || self == Self::Gaat
    }

    /// Whether it remembers something of each image from epoch to epoch.
    pub fn remembers_images(self) -> bool {
        matches!(self, Self::GaatMemory | Self::FgsmMep)
    }

    /// Whether its training attack climbs the loss of soft labels unless a recipe says otherwise: where attack and descent share a
    /// pass they share the labels, and the `FastAT` benchmark (arXiv 2604.22853) runs its methods of one gradient so.
    pub fn climbs_soft_labels(self) -> bool {
        !matches!(self, Self::Rat | Self::GradAlign | Self::ZeroGrad | Self::Trades | Self::Mart)
    }

    /// Whether the gradient of its attack is that of the descent, so that both have the same labels.
    pub fn shares_the_gradient(self) -> bool {
        matches!(self, Self::Free | Self::GaatFree | Self::GaatMemory)
    }

    /// Whether its steps predict the loss that their attack ends at, so that a gain ratio is available.
    pub fn predicts(self) -> bool {
        !matches!(
            self,
            Self::Natural
                | Self::Rat
                | Self::Free
                | Self::GaatMemory
                | Self::GaatFree
                | Self::Trades
                | Self::Mart
        )
    }
}

/// A method by name: a [`BaseMethod`], `awp+` before it for perturbed weights (Wu et al. 2020), and `dat+` before that
/// for delayed adversarial training (Gupta et al. 2020), as in `dat+awp+rat`; `dat` alone is `dat+rat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MethodName {
    /// The method once training is adversarial.
    pub base: BaseMethod,
    /// Whether natural training comes first.
    pub delayed: bool,
    /// Whether the weights are perturbed too.
    pub awp: bool,
}

impl MethodName {
    /// A method with nothing before it.
    pub const fn plain(base: BaseMethod) -> Self {
        Self { base, delayed: false, awp: false }
    }
}

impl fmt::Display for MethodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = |on: bool, name: &'static str| if on { name } else { "" };
        f.pad(&format!("{}{}{}", prefix(self.delayed, "dat+"), prefix(self.awp, "awp+"), self.base))
    }
}

impl FromStr for MethodName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "dat" {
            return Ok(Self { delayed: true, ..Self::plain(BaseMethod::Rat) });
        }
        let (delayed, rest) = text.strip_prefix("dat+").map_or((false, text), |rest| (true, rest));
        let (awp, base) = rest.strip_prefix("awp+").map_or((false, rest), |rest| (true, rest));
        let Some(base) = BaseMethod::ALL.iter().copied().find(|known| known.as_str() == base) else {
            let known: Vec<&str> = BaseMethod::ALL.iter().map(|base| base.as_str()).collect();
            return Err(match unknown("method", base, &known) {
                Error::Value { key, reason, .. } => {
                    let value = format!("\"{text}\"");
                    Error::Value {
                        key,
                        value,
                        reason: format!("{reason}; also dat, dat+METHOD, awp+METHOD, dat+awp+METHOD"),
                    }
                }
                other => other,
            });
        };
        if base == BaseMethod::Natural && (delayed || awp) {
            let reason =
                "natural training has nothing to delay, and no attack beside which to perturb weights";
            return Err(Error::value("method", format!("\"{text}\""), reason));
        }
        Ok(Self { base, delayed, awp })
    }
}

impl Serialize for MethodName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MethodName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// When adversarial training starts: a whole number is an epoch count, a number below 1 a share of the epochs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Delay {
    /// This many natural epochs first.
    Epochs(usize),
    /// This share of all epochs, rounded to whole epochs.
    Fraction(f64),
}

impl Delay {
    /// Number of natural epochs out of `epochs`.
    pub fn natural_epochs(self, epochs: usize) -> usize {
        match self {
            Self::Epochs(count) => count.min(epochs),
            Self::Fraction(share) => (share * epochs as f64).round() as usize,
        }
    }

    fn from_number(value: f64) -> Result<Self> {
        if value == value.trunc() && (0.0..1e9).contains(&value) {
            Ok(Self::Epochs(value as usize))
        } else if (0.0..1.0).contains(&value) {
            Ok(Self::Fraction(value))
        } else {
            Err(Error::value("delay", value, "write a number of epochs (3) or a share of them below 1 (0.5)"))
        }
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epochs(count) => write!(f, "{count}"),
            Self::Fraction(share) => write!(f, "{share}"),
        }
    }
}

impl FromStr for Delay {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        text.trim().parse::<f64>().map_or_else(
            |_| Err(Error::value("delay", format!("\"{text}\""), "needs a number, such as 3 or 0.5")),
            Self::from_number,
        )
    }
}

impl Serialize for Delay {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Epochs(count) => serializer.serialize_u64(*count as u64),
            Self::Fraction(share) => serializer.serialize_f64(*share),
        }
    }
}

impl<'de> Deserialize<'de> for Delay {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Self::from_number(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Projected gradient descent inside the ball, exact gradients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PgdSpec {
    /// Gradient steps, at least 1.
    pub steps: usize,
    /// Length of one step, pixel units.
    pub step_size: PixelLength,
    /// Start uniformly in the ball instead of at the clean image.
    pub random_start: bool,
}

/// PGD steps on a Taylor model of the loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GaatSpec {
    /// Steps on the model, at least 1; they cost no pass.
    pub steps: usize,
    /// Length of one step, pixel units.
    pub step_size: PixelLength,
    /// Start uniformly in the ball instead of at the clean image.
    pub random_start: bool,
    /// Model of the input Hessian.
    pub curvature: Curvature,
    /// Where the loss is expanded.
    pub anchor: Anchor,
    /// Labels drawn an image for `sampled-fisher`, at least 1.
    pub draws: usize,
    /// Expansions a batch, from 1 to `steps`.
    pub refreshes: usize,
    /// Whether the gain ratio may ask for more.
    pub refinement: Refinement,
    /// How the attack begins; another way than the usual one needs an attack of one gradient.
    pub opening: OpeningSpec,
}

/// A perturbation of the weights (Wu et al. 2020).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AwpSpec {
    /// Length of a layer's perturbation over the norm of its weights.
    pub gamma: f64,
    /// Epochs of the method before it starts.
    pub warmup_epochs: usize,
}

/// A method with all that it needs to run. Step sizes are in pixel units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MethodSpec {
    /// Clean images.
    Natural,
    /// PGD adversarial training.
    Rat(PgdSpec),
    /// Adversarial training with gradient approximation.
    Gaat(GaatSpec),
    /// One step an epoch from the image's memory, with the gradient of the training pass.
    GaatMemory {
        /// Length of the step.
        step_size: PixelLength,
        /// Reach of the noise in units of epsilon.
        noise: f64,
    },
    /// One step along one gradient.
    OneStep(OneStepSpec),
    /// Clean loss and nuclear norm.
    Nuat {
        /// Length of the step.
        step_size: PixelLength,
        /// Weight of the norm at the end of the run.
        regularization: f64,
    },
    /// Each batch several times.
    Free {
        /// Length of the step between two replays.
        step_size: PixelLength,
        /// How often each batch comes, at least 1.
        replays: usize,
        /// Start uniformly in the ball at each new batch instead of where the last batch ended.
        random_start: bool,
    },
    /// One step from the image's memory.
    FgsmMep {
        /// Length of the step.
        step_size: PixelLength,
        /// Weight of the squared distance of the logits at the two ends of the step.
        regularization: f64,
        /// Epochs after which the memory starts again, at least 1.
        reset_epochs: usize,
    },
    /// FGSM with gradient alignment.
    GradAlign {
        /// Length of the step.
        step_size: PixelLength,
        /// Weight of the misalignment.
        regularization: f64,
    },
    /// Clean cross-entropy and divergence under attack.
    Trades {
        /// The attack; a random start is a small one.
        attack: PgdSpec,
        /// Weight of the divergence.
        regularization: f64,
    },
    /// Boosted cross-entropy and weighted divergence.
    Mart {
        /// The attack; a random start is a small one.
        attack: PgdSpec,
        /// Weight of the divergence.
        regularization: f64,
    },
}

impl MethodSpec {
    /// Length of a step of its attack; `None` for natural training.
    pub fn step_size(&self) -> Option<PixelLength> {
        Some(match *self {
            Self::Natural => return None,
            Self::Rat(PgdSpec { step_size, .. })
            | Self::Gaat(GaatSpec { step_size, .. })
            | Self::GaatMemory { step_size, .. }
            | Self::OneStep(OneStepSpec { step_size, .. })
            | Self::Nuat { step_size, .. }
            | Self::Free { step_size, .. }
            | Self::FgsmMep { step_size, .. }
            | Self::GradAlign { step_size, .. }
            | Self::Trades { attack: PgdSpec { step_size, .. }, .. }
            | Self::Mart { attack: PgdSpec { step_size, .. }, .. } => step_size,
        })
    }

    /// How often in succession the method is given each batch.
    pub fn replays(&self) -> usize {
        if let Self::Free { replays, .. } = self { *replays } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_names_read_back_as_written() {
        for text in ["natural", "n-fgsm", "gaat-paper-diagonal", "dat+gaat", "awp+free", "dat+awp+rat"] {
            assert_eq!(text.parse::<MethodName>().unwrap().to_string(), text);
        }
        assert_eq!("dat".parse::<MethodName>().unwrap().to_string(), "dat+rat");
        assert!("dat+natural".parse::<MethodName>().is_err());
        assert!("awp+natural".parse::<MethodName>().is_err() && "awp+dat+rat".parse::<MethodName>().is_err());
        let error = "dat+awp+trads".parse::<MethodName>().unwrap_err().to_string();
        assert!(error.contains("\"dat+awp+trads\"") && error.contains("did you mean `trades`"), "{error}");
        let error = "gat".parse::<MethodName>().unwrap_err().to_string();
        assert!(error.contains("did you mean `gaat`"), "{error}");
    }

    #[test]
    fn delays_count_epochs_or_shares() {
        assert_eq!("3".parse::<Delay>().unwrap().natural_epochs(10), 3);
        assert_eq!("0.5".parse::<Delay>().unwrap().natural_epochs(15), 8);
        assert_eq!(Delay::Epochs(20).natural_epochs(10), 10);
        for text in ["-1", "1.5", "soon"] {
            assert!(text.parse::<Delay>().is_err(), "{text}");
        }
    }
}
