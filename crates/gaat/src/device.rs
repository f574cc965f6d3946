//! Where and in which precision a process computes: devices, threads, and what is set before the first tensor.

use crate::error::{Error, Result};
use crate::nn::{Classifier, ComputePrecision, InputShape, PrecisionRequest};
use crate::world::Place;
use gaat_spec::ModelName;
use gaat_spec::record::{Environment, LIBTORCH_VERSION};
use std::num::NonZero;
use tch::Device;

/// Sets up the process before the first tensor: allocator, denormals, threads, libtorch's half for NVIDIA GPUs where it lies
/// beside the other, and f32 that is f32 on a GPU too; who wants less for speed takes bf16. Without `threads` libtorch takes as many
/// as there are cores, and each of several processes its part of them.
///
/// # Errors
/// When libtorch refuses, its half for GPUs cannot be loaded, there are more than four threads for each core, or what the launcher of
/// several processes says makes no sense.
pub fn prepare_process(threads: Option<usize>) -> Result<()> {
    gaat_shim::keep_freed_memory();
    gaat_shim::load_cuda()?;
    gaat_shim::set_flush_denormal(true)?;
    gaat_shim::allow_tf32(false)?;
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    if let Some(threads) = threads {
        check_threads(threads, cores)?;
        tch::set_num_threads(threads as i32);
    } else if let Some(share) = Place::of_environment()?.and_then(|place| place.threads(cores)) {
        tch::set_num_threads(share.min(cores) as i32);
    }
    Ok(())
}

/// Threads that a core can be shared by; more of them only wait for each other.
const THREADS_A_CORE: usize = 4;

fn check_threads(threads: usize, cores: usize) -> Result<()> {
    let most = THREADS_A_CORE * cores;
    if (1..=most).contains(&threads) {
        return Ok(());
    }
    Err(Error::Device(format!(
        "threads = {threads}: give a number from 1 to {most}, {THREADS_A_CORE} times the {cores} cores of this machine; {cores} are \
         usually the fastest"
    )))
}

/// Where and in which precision a run computes.
#[derive(Debug, Clone, Copy)]
pub struct Compute {
    /// Device.
    pub device: Device,
    /// Precision of the network's body.
    pub precision: ComputePrecision,
}

impl Compute {
    /// From a device (`cpu`, `cuda:0`) and a precision (`auto`, `fp32`, `bf16`) as written, for `model` on images of shape
    /// `input`.
    ///
    /// # Errors
    /// When either is unknown or not available on this machine, or the model cannot take such images.
    pub fn parse(device: &str, precision: &str, model: &ModelName, input: InputShape) -> Result<Self> {
        let device = parse_device(device)?;
        let precision = precision.parse::<PrecisionRequest>()?.resolve_for(model, input, device)?;
        Ok(Self { device, precision })
    }

    /// To judge `model` in: fp32 is what the numbers of a weights file mean, and nothing else is ever taken unasked.
    pub(crate) fn judging(
        device: &str,
        precision: ComputePrecision,
        model: &ModelName,
        input: InputShape,
    ) -> Result<Self> {
        let device = parse_device(device)?;
        let precision = PrecisionRequest::from(precision).resolve_for(model, input, device)?;
        Ok(Self { device, precision })
    }

    /// What a record says about this machine.
    pub fn environment(&self) -> Environment {
        Environment {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            libtorch: LIBTORCH_VERSION.to_owned(),
            device: match self.device {
                Device::Cuda(index) => format!("cuda:{index}"),
                _ => "cpu".to_owned(),
            },
            threads: tch::get_num_threads() as usize,
            processes: None,
            precision: self.precision.to_string(),
            cpu: cpu_name(),
        }
    }
}

/// What a record says about this machine, with `classifier` computing.
pub fn environment(classifier: &dyn Classifier) -> Environment {
    let (device, precision) = (classifier.store().device(), classifier.compute_precision());
    Compute { device, precision }.environment()
}

/// A device as written: `cpu`, `cuda` or `cuda:0`. `cuda` is the first GPU, or that of this process where there are several.
///
/// # Errors
/// When it is something else, or not available on this machine.
pub fn parse_device(text: &str) -> Result<Device> {
    let unknown = || Error::Device(format!("device `{text}`: expected cpu, or cuda:0 and so on"));
    if text == "cpu" {
        return Ok(Device::Cpu);
    }
    let place = Place::of_environment()?;
    let index = match text.strip_prefix("cuda") {
        Some("") => place.map_or(Ok(0), |place| place.card())?,
        Some(_) if place.is_some() => {
            return Err(Error::Device(format!(
                "device `{text}`: each of several processes has a GPU of its own; write cuda, which takes that of LOCAL_RANK"
            )));
        }
        Some(rest) => rest.strip_prefix(':').and_then(|n| n.parse::<usize>().ok()).ok_or_else(unknown)?,
        None => return Err(unknown()),
    };
    let found = tch::Cuda::device_count() as usize;
    if index >= found {
        return Err(Error::NoCuda { device: text.to_owned(), found });
    }
    Ok(Device::Cuda(index))
}

/// The processor's own name where the system tells it.
pub fn cpu_name() -> String {
    let text = fs_err::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name"));
    let name = line.and_then(|rest| rest.split_once(':')).map(|(_, name)| name.trim().to_owned());
    name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f32_is_not_tf32() {
        gaat_shim::allow_tf32(true).unwrap();
        assert!(gaat_shim::allows_tf32().unwrap());
        prepare_process(None).unwrap();
        assert!(!gaat_shim::allows_tf32().unwrap());
        assert!(prepare_process(Some(0)).is_err());
        // Not cut to the 2 of its lower half.
        assert!(prepare_process(Some((1 << 32) + 2)).is_err());
    }

    #[test]
    fn threads_are_held_against_the_cores() {
        for threads in [1, 2, 8] {
            check_threads(threads, 2).unwrap();
        }
        for threads in [0, 9, 10_000, usize::MAX] {
            let text = check_threads(threads, 2).unwrap_err().to_string();
            assert!(text.contains(&format!("threads = {threads}")) && text.contains("from 1 to 8"), "{text}");
        }
    }
}
