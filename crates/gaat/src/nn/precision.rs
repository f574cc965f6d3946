//! In which precision a network computes, and which one `auto` stands for on this machine.
//!
//! bfloat16 is never emulated: without hardware support it is many times slower than f32. Where there are instructions it can
//! still be the slower one, so `auto` knows on which hardware it was measured to pay. Nothing is timed: equal commands on equal
//! machines compute alike.

use super::classifier::InputShape;
use crate::error::{Error, Result};
pub use gaat_spec::ComputePrecision;
use gaat_spec::ModelName;
use std::fmt;
use std::str::FromStr;
use tch::Device;

/// Pixels of an image from which on `convnet` gains from bfloat16: that of MNIST does, that of the digits does not.
const WORTH_CONVERTING: i64 = 28 * 28;

/// The precision that somebody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrecisionRequest {
    /// bfloat16 where the hardware is known to gain from it, else f32.
    #[default]
    Auto,
    /// f32.
    Fp32,
    /// bfloat16, or an error.
    Bf16,
}

impl From<ComputePrecision> for PrecisionRequest {
    fn from(precision: ComputePrecision) -> Self {
        match precision {
            ComputePrecision::Fp32 => Self::Fp32,
            ComputePrecision::Bf16 => Self::Bf16,
        }
    }
}

impl fmt::Display for PrecisionRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Auto => "auto",
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
        })
    }
}

impl FromStr for PrecisionRequest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "fp32" => Ok(Self::Fp32),
            "bf16" => Ok(Self::Bf16),
            _ => Err(Error::Usage(format!("precision `{text}`: expected auto, fp32 or bf16"))),
        }
    }
}

impl PrecisionRequest {
    /// The precision to use for `model` on images of shape `input` on `device`: as [`resolve`](Self::resolve), but `auto` leaves
    /// the small models in f32, whose layers cost more to convert than to compute.
    ///
    /// # Errors
    /// When bfloat16 was asked for by name and the device has none.
    pub fn resolve_for(
        self,
        model: &ModelName,
        input: InputShape,
        device: Device,
    ) -> Result<ComputePrecision> {
        let is_small = match model {
            ModelName::Mlp => true,
            // On a GPU its launches take longer than its arithmetic.
            ModelName::ConvNet => device != Device::Cpu || input.height * input.width < WORTH_CONVERTING,
            _ => false,
        };
        if self == Self::Auto && is_small { Ok(ComputePrecision::Fp32) } else { self.resolve(device) }
    }

    /// The precision to use for large convolutions on `device`.
    ///
    /// # Errors
    /// When bfloat16 was asked for by name and the device has none.
    pub fn resolve(self, device: Device) -> Result<ComputePrecision> {
        match self {
            Self::Auto if has_bf16(device) && bf16_pays(device)? => Ok(ComputePrecision::Bf16),
            Self::Bf16 if has_bf16(device) => Ok(ComputePrecision::Bf16),
            Self::Fp32 | Self::Auto => Ok(ComputePrecision::Fp32),
            Self::Bf16 => Err(Error::Device(format!(
                "{device:?} has no bfloat16 arithmetic (a CPU needs avx512_bf16 or Arm's bf16) and emulating it \
                 would be slower than fp32: choose precision fp32 or auto"
            ))),
        }
    }
}

/// Whether `device` computes in bfloat16 itself; not whether that is faster than f32.
pub fn has_bf16(device: Device) -> bool {
    match device {
        Device::Cpu => cpu_has_bf16(),
        // The others emulate it, but say so nowhere.
        Device::Cuda(_) => tch::Cuda::is_available(),
        Device::Mps | Device::Vulkan => false,
    }
}

/// Whether large convolutions on `device` are known to be clearly faster in bfloat16 than in f32.
fn bf16_pays(device: Device) -> Result<bool> {
    Ok(match device {
        Device::Cpu => bf16_pays_on(&fs_err::read_to_string("/proc/cpuinfo").unwrap_or_default()),
        Device::Cuda(_) => gaat_shim::cuda_has_bf16()?,
        Device::Mps | Device::Vulkan => false,
    })
}

/// The same of a processor that Linux describes so. Intel's `avx512_bf16` without AMX works on as many numbers a cycle as f32, and
/// libtorch's bfloat16 convolutions take up to twice as long there (docs/decisions/0003).
fn bf16_pays_on(description: &str) -> bool {
    let of = |key: &str| {
        let line =
            description.lines().find(|line| line.split(':').next().is_some_and(|name| name.trim() == key));
        line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim())
    };
    let has = |flag: &str| of("flags").split_whitespace().any(|found| found == flag);
    has("amx_bf16") || (of("vendor_id") == "AuthenticAMD" && has("avx512_bf16"))
}

#[cfg(target_arch = "x86_64")]
fn cpu_has_bf16() -> bool {
    // Every processor with amx-bf16 has this too.
    std::arch::is_x86_feature_detected!("avx512bf16")
}

#[cfg(target_arch = "aarch64")]
fn cpu_has_bf16() -> bool {
    std::arch::is_aarch64_feature_detected!("bf16")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn cpu_has_bf16() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::bf16_pays_on;

    #[test]
    fn hardware_alone_decides_what_auto_takes() {
        let cpu = |vendor: &str, flags: &str| {
            format!("processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: x\nflags\t\t: fpu {flags} sse\n")
        };
        assert!(bf16_pays_on(&cpu("AuthenticAMD", "avx512f avx512_bf16")));
        assert!(bf16_pays_on(&cpu("GenuineIntel", "avx512_bf16 amx_bf16 amx_tile")));
        assert!(!bf16_pays_on(&cpu("GenuineIntel", "avx512f avx512_bf16")));
        assert!(!bf16_pays_on(&cpu("AuthenticAMD", "avx2")));
        assert!(!bf16_pays_on(""));
    }
}
