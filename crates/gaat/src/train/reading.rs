//! What a step found, on its way from the device.

use super::portion::Portion;
use super::step::{StepOutcome, StepReport};
use crate::error::{Error, Result};
use crate::nn::ParameterStore;
use crate::taylor::GainRatio;
use crate::world::World;
use gaat_shim::CudaEvent;
use gaat_spec::Passes;
use tch::{Device, Kind, Tensor};

/// The numbers of a report as one copy that nothing waits for until somebody wants to know.
#[derive(Debug)]
pub(super) struct Reading {
    /// Loss, right answers, place of the first tensor whose gradient is not finite (-1 where all are), both sums of the gain
    /// where there is one, and [`COMMON`] numbers more where there are several processes; f64, on the host.
    numbers: Tensor,
    arrived: Option<CudaEvent>,
    images: usize,
    refreshes: f64,
    passes: Passes,
    is_common: bool,
}

/// Numbers of the host that several processes add up: gradients over the images, and the passes by kind.
const COMMON: usize = 5;

/// Who did a step, on which images, and at what cost.
#[derive(Clone, Copy)]
pub(super) struct Spent<'a> {
    pub(super) world: &'a dyn World,
    pub(super) images: Portion,
    pub(super) passes: Passes,
}

impl Reading {
    /// Sends the numbers of a step on their way, and which of its gradients are finite (`[tensors]`, bool, in the order of the
    /// store). Several processes add up their numbers first.
    pub(super) fn start(
        report: &StepReport,
        gradients_are_finite: Option<&Tensor>,
        spent: Spent<'_>,
    ) -> Result<Self> {
        let Spent { world, images, passes } = spent;
        let broken = first_broken(gradients_are_finite)?.f_to_device(report.loss.device())?;
        let gain = report.gain.iter().flat_map(|gain| [&gain.actual, &gain.predicted]);
        let numbers = [&report.loss, &report.correct, &broken].into_iter().chain(gain);
        let numbers: Vec<Tensor> =
            numbers.map(|number| Ok(number.f_detach()?.f_to_kind(Kind::Double)?)).collect::<Result<_>>()?;
        let mut numbers = Tensor::f_stack(&numbers, 0)?;
        let device = numbers.device();
        let is_common = world.size() > 1;
        if is_common {
            let Passes { forward, input_backward, full_backward, hessian_vector } = passes;
            let counts = [forward, input_backward, full_backward, hessian_vector].map(|count| count as f64);
            let own = [&[report.refreshes * images.images as f64], &counts[..]].concat();
            numbers = Tensor::f_cat(&[numbers, Tensor::from_slice(&own).f_to_device(device)?], 0)?;
            world.sum(&[numbers.shallow_clone()])?;
            // The gradients are common already.
            numbers.f_narrow(0, 2, 1)?.f_copy_(&broken.f_to_kind(Kind::Double)?)?;
        }
        let numbers = numbers.f_to_dtype_layout((Kind::Double, Device::Cpu), true, false)?;
        let arrived = match device {
            Device::Cuda(index) => Some(CudaEvent::record(index)?),
            _ => None,
        };
        Ok(Self { numbers, arrived, images: images.of, refreshes: report.refreshes, passes, is_common })
    }

    /// The numbers of all processes, and the passes of all. Waits for the step, and for no later one.
    ///
    /// # Errors
    /// [`Error::Diverged`] when the loss or a gradient is not finite, with its name in `store`; or when the device has failed.
    pub(super) fn finish(self, store: &ParameterStore) -> Result<(StepOutcome, Passes)> {
        if let Some(arrived) = &self.arrived {
            arrived.wait()?;
        }
        let numbers = Vec::<f64>::try_from(&self.numbers)?;
        let (loss, correct, broken) = (numbers[0], numbers[1] as usize, numbers[2]);
        if !loss.is_finite() {
            return Err(Error::Diverged { loss, gradient: None });
        }
        if broken >= 0.0 {
            let entry = store.trainable_entries().nth(broken as usize);
            let name = entry.map_or_else(|| "the pixels".to_owned(), |entry| format!("`{}`", entry.name));
            return Err(Error::Diverged { loss, gradient: Some(name) });
        }
        let (gain, common) =
            numbers[3..].split_at(numbers.len() - 3 - if self.is_common { COMMON } else { 0 });
        let gain = match *gain {
            [actual, predicted] => Some(GainRatio::new(actual, predicted)),
            _ => None,
        };
        let (mut refreshes, mut passes) = (self.refreshes, self.passes);
        if let [gradients, forward, input_backward, full_backward, hessian_vector] = *common {
            refreshes = gradients / self.images as f64;
            let [forward, input_backward, full_backward, hessian_vector] =
                [forward, input_backward, full_backward, hessian_vector].map(|count| count as u64);
            passes = Passes { forward, input_backward, full_backward, hessian_vector };
        }
        Ok((StepOutcome { images: self.images, loss, correct, gain, refreshes }, passes))
    }
}

/// The place of the first `false`, -1 where there is none; a scalar, i64.
fn first_broken(flags: Option<&Tensor>) -> Result<Tensor> {
    let Some(flags) = flags else { return Ok(Tensor::from(-1i64)) };
    let first = flags.f_to_kind(Kind::Int64)?.f_argmin(None::<i64>, false)?;
    Ok(first.f_full_like(-1i64)?.f_where_self(&flags.f_all()?, &first)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::trial::Trial;
    use crate::world::Alone;

    #[test]
    fn the_first_tensor_whose_gradient_is_not_finite_is_named() {
        let trial = Trial::new("mlp", Kind::Float);
        let store = trial.classifier.store();
        let count = store.trainable().len();
        let read = |flags: &[bool], loss: f64| {
            let report = StepReport {
                loss: Tensor::from(loss),
                correct: Tensor::from(3i64),
                gain: None,
                refreshes: 0.0,
            };
            let images = Portion { start: 0, images: 6, of: 6 };
            let spent = Spent { world: &Alone, images, passes: Passes::default() };
            Reading::start(&report, Some(&Tensor::from_slice(flags)), spent).unwrap().finish(store)
        };
        let mut flags = vec![true; count + 1];
        assert_eq!(read(&flags, 2.5).unwrap().0.correct, 3);
        flags[count] = false;
        let text = read(&flags, 2.5).unwrap_err().to_string();
        assert!(text.contains("2.5") && text.contains("in the pixels is not finite"), "{text}");
        flags[1] = false;
        let second = &store.trainable_entries().nth(1).unwrap().name;
        let text = read(&flags, 2.5).unwrap_err().to_string();
        assert!(text.contains(&format!("`{second}`")), "{text}");
        let text = read(&flags, f64::NAN).unwrap_err().to_string();
        assert!(text.contains("NaN") && !text.contains("gradient"), "{text}");
    }
}
