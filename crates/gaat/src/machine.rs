//! The libtorch that was loaded and what it finds on this machine, to explain why something does not work.

use crate::device::cpu_name;
use crate::error::{Error, Result};
use crate::nn::{ComputePrecision, PrecisionRequest, has_bf16};
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Version of the libtorch that was loaded.
    pub libtorch: String,
    /// Its shared library.
    pub library: PathBuf,
    /// Whether it lies beside a library for NVIDIA GPUs.
    pub has_cuda: bool,
    /// CUDA devices that it sees.
    pub cuda_devices: usize,
    /// Whether the system has a driver for NVIDIA GPUs.
    pub has_nvidia_driver: bool,
    /// The processor's name.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Threads that libtorch would use.
    pub threads: usize,
    /// The vector instructions that libtorch uses, such as `AVX512`.
    pub vectors: String,
    /// Whether the processor computes in bfloat16 itself.
    pub has_bf16: bool,
    /// What `precision = auto` stands for with large convolutions on the CPU.
    pub auto: ComputePrecision,
}

impl Machine {
    /// Looks.
    ///
    /// # Errors
    /// When the loader does not say where libtorch came from, or cannot load the half for NVIDIA GPUs that lies beside it.
    pub fn inspect() -> Result<Self> {
        let has_cuda = gaat_shim::load_cuda()?;
        let about = gaat_shim::about_libtorch()?;
        Ok(Self {
            libtorch: after(&about.settings, "TORCH_VERSION=").to_owned(),
            has_cuda,
            cuda_devices: tch::Cuda::device_count() as usize,
            has_nvidia_driver: Path::new("/proc/driver/nvidia/version").exists(),
            cpu: cpu_name(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            threads: tch::get_num_threads() as usize,
            vectors: after(&about.settings, "CPU capability usage: ").to_owned(),
            has_bf16: has_bf16(Device::Cpu),
            auto: PrecisionRequest::Auto.resolve(Device::Cpu)?,
            library: about.path,
        })
    }
}

/// The word behind `key`, or `unknown`.
fn after<'a>(text: &'a str, key: &str) -> &'a str {
    let rest = text.split_once(key).map(|(_, rest)| rest);
    rest.and_then(|rest| rest.split([',', '\n', ' ']).next()).unwrap_or("unknown")
}

/// Has `device` (`cpu`, `cuda:0`) take the gradient of a sum of cubes, through a matrix product, and checks the result.
///
/// # Errors
/// When the device is not available, when libtorch fails, or when the gradient is wrong.
pub fn check_device(device: &str) -> Result<()> {
    let device = crate::device::parse_device(device)?;
    let numbers = Tensor::f_arange(64, (Kind::Double, device))?.f_reshape([8, 8])?.set_requires_grad(true);
    let identity = Tensor::f_eye(8, (Kind::Double, device))?;
    let cubes = numbers.f_matmul(&identity)?.f_mul(&numbers)?.f_mul(&numbers)?;
    let gradient = Tensor::f_run_backward(&[cubes.f_sum(Kind::Double)?], &[&numbers], false, false)?;
    let expected = numbers.f_mul(&numbers)?.f_mul(&Tensor::from(3.0).f_to_device(device)?)?;
    let found = gradient.first().ok_or_else(|| Error::Libtorch("gave no gradient".to_owned()))?;
    if found.f_allclose(&expected, 1e-12, 1e-9, false)? {
        Ok(())
    } else {
        Err(Error::Libtorch(
            "the gradient of x^3 is not 3 x^2: this libtorch computes wrongly here".to_owned(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaded_library_is_the_one_that_this_build_is_made_for() {
        let machine = Machine::inspect().unwrap();
        assert!(machine.libtorch.starts_with(gaat_spec::record::LIBTORCH_VERSION), "{machine:?}");
        assert!(machine.library.is_file() && machine.vectors != "unknown", "{machine:?}");
        assert!(machine.cores >= 1 && machine.threads >= 1, "{machine:?}");
    }

    #[test]
    fn a_device_computes_or_is_named() {
        check_device("cpu").unwrap();
        let error = check_device("cuda:99").unwrap_err().to_string();
        assert!(error.contains("cuda:99"), "{error}");
    }
}
