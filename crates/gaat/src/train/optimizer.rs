//! Optimisers whose whole state can be saved: SGD with momentum, Adam and `AdamW`, fused over all parameters.

use super::named;
use crate::error::{Error, Result};
use crate::nn::{ParameterStore, Role};
use gaat_shim::{AdamStep, SgdStep};
use gaat_spec::OptimizerName;
use gaat_spec::recipe::OptimizerSpec;
use tch::{Kind, Tensor};

/// Adam's decay rates and denominator (Kingma and Ba 2015, and PyTorch's defaults).
const BETAS: (f64, f64) = (0.9, 0.999);
const ADAM_EPSILON: f64 = 1e-8;

/// Follows gradients; owns momentum and moments by parameter name.
#[derive(Debug)]
pub struct Optimizer {
    spec: OptimizerSpec,
    slots: Vec<Slot>,
    steps: u64,
}

#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Tensor,
    decays: bool,
    /// Momentum of SGD where there is one, first moment of Adam.
    first: Option<Tensor>,
    /// Second moment of Adam.
    second: Option<Tensor>,
}

impl Optimizer {
    /// An optimiser of all trainable parameters of `store`, with empty memory.
    pub fn new(store: &ParameterStore, spec: OptimizerSpec) -> Self {
        let is_adam = spec.name != OptimizerName::Sgd;
        let empty = |tensor: &Tensor| tensor.detach().zeros_like();
        let slots = store.trainable_entries().map(|entry| Slot {
            name: entry.name.clone(),
            parameter: entry.tensor.shallow_clone(),
            decays: entry.role == Role::Weight || spec.decay_norm_and_bias,
            first: (is_adam || spec.momentum > 0.0).then(|| empty(&entry.tensor)),
            second: is_adam.then(|| empty(&entry.tensor)),
        });
        Self { spec, slots: slots.collect(), steps: 0 }
    }

    /// One step of length `learning_rate` against `gradients`, one for each trainable parameter in order. Where `is_void`, one
    /// f32 on the device, is 1 nothing changes.
    ///
    /// # Errors
    /// When the gradients do not fit the parameters.
    pub fn step(&mut self, gradients: &[Tensor], learning_rate: f64, is_void: &Tensor) -> Result<()> {
        if gradients.len() != self.slots.len() {
            let (found, needed) = (gradients.len(), self.slots.len());
            return Err(Error::Usage(format!("{found} gradients for {needed} parameters")));
        }
        for decays in [true, false] {
            let group: Vec<(&Slot, &Tensor)> =
                self.slots.iter().zip(gradients).filter(|(slot, _)| slot.decays == decays).collect();
            if !group.is_empty() {
                let weight_decay = if decays { self.spec.weight_decay } else { 0.0 };
                self.step_group(&group, learning_rate, weight_decay, is_void)?;
            }
        }
        self.steps += 1;
        Ok(())
    }

    fn step_group(
        &self,
        group: &[(&Slot, &Tensor)],
        learning_rate: f64,
        weight_decay: f64,
        is_void: &Tensor,
    ) -> Result<()> {
        let parameters: Vec<&Tensor> = group.iter().map(|(slot, _)| &slot.parameter).collect();
        let gradients: Vec<&Tensor> = group.iter().map(|(_, gradient)| *gradient).collect();
        let first: Vec<&Tensor> = group.iter().filter_map(|(slot, _)| slot.first.as_ref()).collect();
        match self.spec.name {
            OptimizerName::Sgd => {
                let step = SgdStep {
                    learning_rate,
                    momentum: self.spec.momentum,
                    weight_decay,
                    nesterov: self.spec.nesterov,
                    // Momenta start as the gradient, where there are any.
                    is_first_step: self.steps == 0 && self.spec.momentum > 0.0,
                };
                gaat_shim::fused_sgd(&parameters, &gradients, &first, step, is_void)?;
            }
            OptimizerName::Adam | OptimizerName::AdamW => {
                let second: Vec<&Tensor> =
                    group.iter().filter_map(|(slot, _)| slot.second.as_ref()).collect();
                let device = parameters[0].device();
                let count = Tensor::f_full([1], (self.steps + 1) as f64, (Kind::Float, device))?;
                let counts = vec![&count; group.len()];
                let (beta1, beta2) = BETAS;
                let is_decoupled = self.spec.name == OptimizerName::AdamW;
                let step = AdamStep {
                    learning_rate,
                    beta1,
                    beta2,
                    weight_decay,
                    epsilon: ADAM_EPSILON,
                    is_decoupled,
                };
                gaat_shim::fused_adam(&parameters, &gradients, &first, &second, &counts, step, is_void)?;
            }
        }
        Ok(())
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Its memory by name, sharing storage with the optimiser.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let mut state = Vec::new();
        for slot in &self.slots {
            for (moment, memory) in [("first", &slot.first), ("second", &slot.second)] {
                if let Some(memory) = memory {
                    state.push((format!("{moment}.{}", slot.name), memory.shallow_clone()));
                }
            }
        }
        state
    }

    /// Continues from `state` after `steps` steps.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape; then nothing was changed.
    pub fn load(&mut self, state: &[(String, Tensor)], steps: u64) -> Result<()> {
        named::copy_into("optimiser", self.state(), state)?;
        self.steps = steps;
        Ok(())
    }
}

/// Scales `gradients` in place so that their joint L2 norm is at most `limit`.
///
/// # Errors
/// When libtorch fails.
pub(super) fn clip(gradients: &mut [Tensor], limit: f64) -> Result<()> {
    let _no_grad = tch::no_grad_guard();
    let squares = gradients.iter().map(|gradient| Ok(gradient.f_square()?.f_sum(Kind::Double)?));
    let norm = Tensor::f_stack(&squares.collect::<Result<Vec<_>>>()?, 0)?.f_sum(Kind::Double)?.f_sqrt()?;
    // Stays on the device; 1, which changes nothing, for gradients that are short enough.
    let factor = (norm.f_reciprocal()? * limit).f_clamp_max(1.0)?;
    for gradient in gradients {
        let _ = gradient.f_mul_(&factor.f_to_kind(gradient.kind())?)?;
    }
    Ok(())
}
