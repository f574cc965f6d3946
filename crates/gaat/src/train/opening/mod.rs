//! Where a training attack takes its one gradient, and how far each pixel goes from there.

mod indicative;
mod universal;

use super::step::{Setting, StepContext};
use crate::attack::{Stride, ball};
use crate::batch::Batch;
use crate::error::Result;
use gaat_spec::{AttackStart, OpeningSpec, Projection, StepDraw};
use indicative::Indicative;
use tch::Tensor;
use universal::Universal;

/// The beginning of an attack of one gradient, with what it has learned.
#[derive(Debug)]
pub(super) struct Opening {
    spec: OpeningSpec,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    Noise,
    Indicative(Indicative),
    Universal(Universal),
}

impl Opening {
    /// The beginning that `spec` says.
    ///
    /// # Errors
    /// When the device has no room for what it learns.
    pub(super) fn of(spec: OpeningSpec, setting: &Setting) -> Result<Self> {
        let origin = match spec.start {
            AttackStart::Noise => Origin::Noise,
            AttackStart::LabelIndicative => Origin::Indicative(Indicative::new(setting)?),
            AttackStart::Universal => Origin::Universal(Universal::new(setting)?),
        };
        Ok(Self { spec, origin })
    }

    /// Whether it is noise of the ball and a step of one length.
    pub(super) fn is_usual(&self) -> bool {
        OpeningSpec { projection: Projection::Always, ..self.spec } == OpeningSpec::USUAL
    }

    /// The attack of this step: it begins where this says and goes `length` (pixel units, a tensor of one number or of one for each
    /// pixel), or the share of `length` that is drawn for each pixel; the `zeroed` smallest slopes of each image do not count. What it ends
    /// at `is_projected` on the ball or not.
    ///
    /// # Errors
    /// When the network fails, or the device has no room.
    pub(super) fn stride(
        &mut self,
        context: &mut StepContext<'_>,
        batch: &Batch,
        length: &Tensor,
        zeroed: f64,
        is_projected: bool,
    ) -> Result<Stride> {
        let (clean, reach) = (&batch.pixels, self.spec.noise);
        let start = match &mut self.origin {
            Origin::Noise => ball::random_start(clean, context.threat(), context.draws())? * reach,
            Origin::Indicative(indicative) => indicative.begin(context, batch, reach, is_projected)?,
            Origin::Universal(universal) => universal.begin(context, clean, reach)?,
        };
        let lengths = match self.spec.draw {
            StepDraw::Fixed => length.shallow_clone(),
            StepDraw::Uniform => {
                let draws = context.draws().branch("lengths");
                draws.uniform(&clean.size(), 0.0, 1.0, clean.kind(), clean.device())? * length
            }
        };
        Ok(Stride { start, lengths, zeroed })
    }

    /// Takes note of the `gradient` (`[N, C, H, W]`) that was taken at the start.
    ///
    /// # Errors
    /// When another process cannot be reached.
    pub(super) fn learn(&mut self, context: &StepContext<'_>, gradient: &Tensor) -> Result<()> {
        match &mut self.origin {
            Origin::Universal(universal) => universal.learn(context, gradient),
            Origin::Noise | Origin::Indicative(_) => Ok(()),
        }
    }

    /// What the next step depends on, sharing storage.
    pub(super) fn state(&self) -> Vec<(String, Tensor)> {
        match &self.origin {
            Origin::Noise => Vec::new(),
            Origin::Indicative(indicative) => indicative.state(),
            Origin::Universal(universal) => universal.state(),
        }
    }
}

/// Steps that a beginning has been part of: `[1]`, f64, on the host, so that nothing waits for a device.
#[derive(Debug)]
struct Steps(Tensor);

impl Steps {
    fn none() -> Self {
        Self(Tensor::from_slice(&[0.0f64]))
    }

    /// How many there were, before one more.
    fn count(&mut self) -> Result<u64> {
        let before = self.0.f_double_value(&[0])? as u64;
        let _ = self.0.f_add_scalar_(1.0)?;
        Ok(before)
    }

    fn state(&self) -> (String, Tensor) {
        ("start-steps".to_owned(), self.0.shallow_clone())
    }
}
