//! Natural training: the loss on clean images.

use crate::batch::Batch;
use crate::error::Result;
use crate::train::step::{StepContext, StepReport, TrainingMethod};

/// No attack. Cost per batch: F + Bi + Bw, the unit of every ratio.
#[derive(Debug, Clone, Copy, Default)]
pub struct Natural;

impl TrainingMethod for Natural {
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        let descent = context.descend(&batch.pixels, batch)?;
        Ok(StepReport { loss: descent.loss, correct: descent.correct, gain: None, refreshes: 0.0 })
    }

    fn is_natural(&self) -> bool {
        true
    }
}
