//! Points in time as the device sees them: a GPU lags behind the program that tells it what to do.

use crate::error::{Error, Result};
use gaat_shim::CudaEvent;
use std::time::Instant;
use tch::Device;

/// When the device has done what it was told so far.
#[derive(Debug)]
pub(super) enum Mark {
    /// A processor has done it already.
    Host(Instant),
    /// Told by the GPU once it is there.
    Cuda(CudaEvent),
}

impl Mark {
    pub(super) fn now(device: Device) -> Result<Self> {
        Ok(match device {
            Device::Cuda(index) => Self::Cuda(CudaEvent::record(index)?),
            _ => Self::Host(Instant::now()),
        })
    }

    /// Seconds from here to `later` of the same device; waits until that is past.
    pub(super) fn seconds_to(&self, later: &Self) -> Result<f64> {
        match (self, later) {
            (Self::Host(first), Self::Host(second)) => Ok(second.duration_since(*first).as_secs_f64()),
            (Self::Cuda(first), Self::Cuda(second)) => Ok(first.seconds_to(second)?),
            _ => Err(Error::Usage("two points in time of different devices".to_owned())),
        }
    }
}
