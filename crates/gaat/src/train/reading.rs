//! What a step found, on its way from the device.

use super::{StepOutcome, StepReport};
use crate::nn::ParameterStore;
use crate::taylor::GainRatio;
use crate::{Error, Result};
use gaat_shim::CudaEvent;
use tch::{Device, Kind, Tensor};

/// The numbers of a report as one copy that nothing waits for until somebody wants to know.
#[derive(Debug)]
pub(super) struct Reading {
    /// Loss, right answers, place of the first tensor whose gradient is not finite (-1 where all are), and both sums of the gain
    /// where there is one; f64, on the host.
    numbers: Tensor,
    arrived: Option<CudaEvent>,
    images: usize,
    refreshes: f64,
}

impl Reading {
    /// Sends the numbers of a step on `images` images on their way, and which of its gradients are finite (`[tensors]`,
    /// bool, in the order of the store).
    pub(super) fn start(
        report: &StepReport,
        gradients_are_finite: Option<&Tensor>,
        images: usize,
    ) -> Result<Self> {
        let broken = first_broken(gradients_are_finite)?.f_to_device(report.loss.device())?;
        let gain = report.gain.iter().flat_map(|gain| [&gain.actual, &gain.predicted]);
        let numbers = [&report.loss, &report.correct, &broken].into_iter().chain(gain);
        let numbers: Vec<Tensor> =
            numbers.map(|number| Ok(number.f_detach()?.f_to_kind(Kind::Double)?)).collect::<Result<_>>()?;
        let numbers = Tensor::f_stack(&numbers, 0)?;
        let device = numbers.device();
        let numbers = numbers.f_to_dtype_layout((Kind::Double, Device::Cpu), true, false)?;
        let arrived = match device {
            Device::Cuda(index) => Some(CudaEvent::record(index)?),
            _ => None,
        };
        Ok(Self { numbers, arrived, images, refreshes: report.refreshes })
    }

    /// The numbers. Waits for the step, and for no later one.
    ///
    /// # Errors
    /// [`Error::Diverged`] when the loss or a gradient is not finite, with its name in `store`; or when the device has failed.
    pub(super) fn finish(self, store: &ParameterStore) -> Result<StepOutcome> {
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
        let gain = match numbers[3..] {
            [actual, predicted] => Some(GainRatio::new(actual, predicted)),
            _ => None,
        };
        Ok(StepOutcome { images: self.images, loss, correct, gain, refreshes: self.refreshes })
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
            Reading::start(&report, Some(&Tensor::from_slice(flags)), 6).unwrap().finish(store)
        };
        let mut flags = vec![true; count + 1];
        assert_eq!(read(&flags, 2.5).unwrap().correct, 3);
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
