//! The frame round every attack: it checks what goes in, projects what comes out.

use super::ball;
use super::oracle::GradientOracle;
use crate::error::{Error, Result};
use crate::nn::Draws;
use gaat_spec::ThreatModel;
use tch::Tensor;

/// A batch that is attacked, the ball that the perturbations are to lie in, and where random numbers come from.
#[derive(Debug, Clone, Copy)]
pub struct UnderAttack<'a> {
    /// The images as they are, `[N, C, H, W]` in `[0, 1]`.
    pub clean: &'a Tensor,
    /// Their classes, `[N]`, i64; or, for attacks that climb the cross-entropy and never stop early, probabilities of the classes,
    /// `[N, classes]`, floating point.
    pub labels: &'a Tensor,
    /// Norm and radius of the ball.
    pub threat: &'a ThreatModel,
    /// The random numbers of this batch.
    pub draws: &'a Draws,
}

impl<'a> UnderAttack<'a> {
    /// The batch `clean` with `labels`; [`run`] checks the shapes.
    pub fn new(clean: &'a Tensor, labels: &'a Tensor, threat: &'a ThreatModel, draws: &'a Draws) -> Self {
        Self { clean, labels, threat, draws }
    }
}

/// A way to look for a perturbation that raises the loss.
pub trait Attack {
    /// Proposes a perturbation of the clean images, `[N, C, H, W]`; it need not lie in the ball or the box.
    ///
    /// # Errors
    /// When the oracle fails.
    fn propose(&self, oracle: &mut dyn GradientOracle, batch: UnderAttack<'_>) -> Result<Tensor>;
}

/// A batch that is known to lie in the ball round its clean images and in the pixel box: only [`run`] makes one.
#[derive(Debug)]
pub struct Perturbed {
    pixels: Tensor,
}

impl Perturbed {
    /// The perturbed images, `[N, C, H, W]` in `[0, 1]`.
    pub fn pixels(&self) -> &Tensor {
        &self.pixels
    }

    /// The perturbed images, by value.
    pub fn into_pixels(self) -> Tensor {
        self.pixels
    }
}

/// A batch in the pixel box that need not lie in the ball: for training methods that are published so. It is never a
/// [`Perturbed`], so that nothing else takes it for one.
#[derive(Debug)]
pub struct Unbounded {
    pixels: Tensor,
}

impl Unbounded {
    /// The images, `[N, C, H, W]` in `[0, 1]`.
    pub fn pixels(&self) -> &Tensor {
        &self.pixels
    }

    /// The images, by value.
    pub fn into_pixels(self) -> Tensor {
        self.pixels
    }
}

/// Runs `attack` on a batch and projects its proposal.
///
/// # Errors
/// When pixels and labels differ in length, or the attack fails.
pub fn run(
    attack: &dyn Attack,
    oracle: &mut dyn GradientOracle,
    batch: UnderAttack<'_>,
) -> Result<Perturbed> {
    let pixels = in_box(attack, oracle, batch, &|delta| ball::project(&delta, batch.threat))?;
    Ok(Perturbed { pixels })
}

/// Runs `attack` on a batch and cuts its proposal to the pixel box alone.
///
/// # Errors
/// As [`run`].
pub fn run_unbounded(
    attack: &dyn Attack,
    oracle: &mut dyn GradientOracle,
    batch: UnderAttack<'_>,
) -> Result<Unbounded> {
    Ok(Unbounded { pixels: in_box(attack, oracle, batch, &|delta| delta)? })
}

/// The clean images plus what `attack` proposes and `project` makes of that, cut to the pixel box; as they are where epsilon
/// is 0.
fn in_box(
    attack: &dyn Attack,
    oracle: &mut dyn GradientOracle,
    batch: UnderAttack<'_>,
    project: &dyn Fn(Tensor) -> Tensor,
) -> Result<Tensor> {
    let UnderAttack { clean, labels, threat, .. } = batch;
    let (size, count) = (clean.size(), labels.size());
    let axes = if labels.is_floating_point() { 2 } else { 1 };
    if size.len() != 4 || count.len() != axes || size[0] != count[0] {
        return Err(Error::Shape {
            what: "batch under attack".to_owned(),
            expected: "pixels [N, C, H, W] and labels [N]".to_owned(),
            found: format!("pixels {size:?} and labels {count:?}"),
        });
    }
    if threat.epsilon() == 0.0 {
        return Ok(clean.f_detach()?);
    }
    let delta = attack.propose(oracle, batch)?;
    Ok(tch::no_grad(|| (clean + project(delta)).clamp_(0.0, 1.0)))
}
