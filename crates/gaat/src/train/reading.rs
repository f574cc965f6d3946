//! What a step found, on its way from the device.

use super::{StepOutcome, StepReport};
use crate::taylor::GainRatio;
use crate::{Error, Result};
use gaat_shim::CudaEvent;
use tch::{Device, Kind, Tensor};

/// The numbers of a report as one copy that nothing waits for until somebody wants to know.
#[derive(Debug)]
pub(super) struct Reading {
    /// Loss, right answers, and both sums of the gain where there is one; f64, on the host.
    numbers: Tensor,
    arrived: Option<CudaEvent>,
    images: usize,
    refreshes: f64,
}

impl Reading {
    /// Sends the numbers of a step on `images` images on their way.
    pub(super) fn start(report: &StepReport, images: usize) -> Result<Self> {
        let gain = report.gain.iter().flat_map(|gain| [&gain.actual, &gain.predicted]);
        let numbers = [&report.loss, &report.correct].into_iter().chain(gain);
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
    /// When the loss is not a number, or the device has failed.
    pub(super) fn finish(self) -> Result<StepOutcome> {
        if let Some(arrived) = &self.arrived {
            arrived.wait()?;
        }
        let numbers = Vec::<f64>::try_from(&self.numbers)?;
        let (loss, correct) = (numbers[0], numbers[1] as usize);
        if !loss.is_finite() {
            return Err(Error::Usage(format!("the loss is {loss}")));
        }
        let gain = match numbers[2..] {
            [actual, predicted] => Some(GainRatio::new(actual, predicted)),
            _ => None,
        };
        Ok(StepOutcome { images: self.images, loss, correct, gain, refreshes: self.refreshes })
    }
}
