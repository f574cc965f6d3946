//! What a subject is asked: a threat model and attacks by name. What is left open is that of the training, or customary for the
//! data set.

use crate::attacks::Attacks;
use crate::epsilons;
use crate::error::Result;
use crate::subject::Subject;
use gaat::evaluate::EvaluateOptions;
use gaat_spec::{AttackName, Norm, PixelLength};

/// A question, to be judged.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// Norm of the threat model; `None` for that of the training.
    pub norm: Option<Norm>,
    /// Bound of the threat model; `None` for that of the training.
    pub epsilon: Option<PixelLength>,
    /// The attacks, with what all of them may spend.
    pub attacks: Attacks<'a>,
    /// Where the attack of the curve is tried too.
    pub curve: Bounds<'a>,
    /// The attack of the curve.
    pub curve_attack: AttackName,
}

/// Bounds of accuracy over epsilon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bounds<'a> {
    /// Eight, from 0 to twice that of the threat model.
    Usual,
    /// These; none for no curve.
    These(&'a [PixelLength]),
}

impl Subject {
    /// How `question` is judged: on all test images with seed 0, without probes.
    ///
    /// # Errors
    /// As [`Subject::threat`], [`Attacks::specs`], [`epsilons::curve`] and [`Subject::training`].
    pub fn asked(&self, question: &Question<'_>, batch_size: usize) -> Result<EvaluateOptions> {
        let Question { norm, epsilon, attacks, curve, curve_attack } = question;
        let threat = self.threat(*norm, *epsilon)?;
        let over = match curve {
            Bounds::Usual => epsilons::of_curve(&threat),
            Bounds::These(bounds) => bounds.to_vec(),
        };
        Ok(EvaluateOptions {
            curve: epsilons::curve(&threat, over, *curve_attack, attacks.budget)?,
            training: self.training()?,
            ..EvaluateOptions::new(threat, attacks.specs(&threat, self.trained.dataset)?, batch_size)
        })
    }
}
