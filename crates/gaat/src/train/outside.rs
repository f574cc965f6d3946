//! A descent that somebody else makes: what a method would go down on is handed out with its graph, and nothing is updated.

use super::descent::{Build, Descent};
use super::tape::Tape;
use crate::attack::oracle::losses;
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::nn::{Classifier, Mode, Part, answer};
use tch::{Kind, Tensor};

/// What the loop outside wants of the descent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The images to train on; the loss is the loop's own affair.
    Pixels,
    /// The losses of the method, `[N]`, with their graph.
    Losses,
}

/// Takes the place of the optimiser.
#[derive(Debug)]
pub(super) struct Outside {
    wanted: Wanted,
    found: Option<Tensor>,
}

impl Outside {
    pub(super) fn new(wanted: Wanted) -> Self {
        Self { wanted, found: None }
    }

    /// What was wanted.
    pub(super) fn into_found(self) -> Result<Tensor> {
        self.found.ok_or_else(impossible)
    }

    /// In place of a descent on the cross-entropy at `pixels`. Where these alone are wanted the losses are still to come: they
    /// count as 0.
    pub(super) fn pixels(
        &mut self,
        classifier: &dyn Classifier,
        pixels: &Tensor,
        batch: &Batch,
    ) -> Result<Descent> {
        if self.wanted == Wanted::Pixels {
            self.found = Some(pixels.f_detach()?);
            let none = || Tensor::f_zeros([1], (Kind::Double, pixels.device()));
            let zero = || none()?.f_squeeze();
            let (losses, loss, attacked, correct) = (none()?, zero()?, zero()?, zero()?);
            return Ok(Descent { losses, loss, attacked, correct, gradient: None });
        }
        let logits = classifier.logits(pixels, Mode::Train)?;
        let descended = losses(&logits, batch.targets())?;
        let attacked =
            if batch.has_one_loss() { None } else { Some(losses(&logits, batch.attack_targets())?) };
        self.handed(&descended, attacked.as_ref(), &logits, &batch.labels)
    }

    /// In place of a descent on what `build` records.
    pub(super) fn objective(
        &mut self,
        classifier: &dyn Classifier,
        batch: &Batch,
        build: Build<'_>,
    ) -> Result<Descent> {
        if self.wanted == Wanted::Pixels {
            return Err(Error::Usage(
                "the method trains on a loss of its own, which images alone do not give; ask for its loss"
                    .to_owned(),
            ));
        }
        let all = Part::only(batch.len());
        let objective = build(&mut Tape::new(classifier, Mode::Train), all)?;
        if objective.watched.is_some() {
            return Err(impossible());
        }
        self.handed(&objective.losses, objective.attacked.as_ref(), &objective.logits, &batch.labels)
    }

    fn handed(
        &mut self,
        losses: &Tensor,
        attacked: Option<&Tensor>,
        logits: &Tensor,
        labels: &Tensor,
    ) -> Result<Descent> {
        self.found = Some(losses.shallow_clone());
        let losses = losses.f_detach()?;
        let loss = losses.f_sum(Kind::Double)?;
        let attacked = match attacked {
            Some(attacked) => attacked.f_detach()?.f_sum(Kind::Double)?,
            None => loss.shallow_clone(),
        };
        let correct = answer::right(&logits.f_detach()?, labels)?.f_sum(Kind::Int64)?;
        Ok(Descent { losses, loss, attacked, correct, gradient: None })
    }
}

/// Said where the backward pass itself is part of a method.
pub(super) fn impossible() -> Error {
    Error::Usage(
        "the method needs the backward pass of the descent, which a loop of your own makes itself; train with a whole \
         training, or by a method that leaves the descent alone, such as rat, gaat or trades"
            .to_owned(),
    )
}
