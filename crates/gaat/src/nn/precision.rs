//! In which precision a network computes, and what the machine is good for.
//!
//! bfloat16 is never emulated: without hardware support it is many times slower than f32. With it, it can still be
//! the slower one, so `auto` measures.

use super::InputShape;
use super::probe::{bf16_pays, bf16_pays_for};
use crate::{Error, Result};
use gaat_spec::ModelName;
use std::fmt;
use std::str::FromStr;
use tch::Device;

/// Precision of convolutions and hidden linear layers. Parameters, batch statistics, the last layer and logits
/// keep the dtype of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComputePrecision {
    /// The dtype of the store: f32.
    Fp32,
    /// bfloat16.
    Bf16,
}

impl fmt::Display for ComputePrecision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
        })
    }
}

/// The precision that somebody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrecisionRequest {
    /// bfloat16 where it is clearly faster, else f32.
    #[default]
    Auto,
    /// f32.
    Fp32,
    /// bfloat16, or an error.
    Bf16,
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
    /// The precision to use for `model` on images of shape `input` on `device`: as [`resolve`](Self::resolve), but for the small
    /// models, whose layers may cost more to convert than to compute, `auto` measures the network itself.
    ///
    /// # Errors
    /// When bfloat16 was asked for by name and the device has none, or the model cannot take such images.
    pub fn resolve_for(
        self,
        model: &ModelName,
        input: InputShape,
        device: Device,
    ) -> Result<ComputePrecision> {
        match (self, model) {
            (Self::Auto, ModelName::ConvNet) => {
                let pays = device == Device::Cpu && has_bf16(device) && bf16_pays_for(model, input, device)?;
                Ok(if pays { ComputePrecision::Bf16 } else { ComputePrecision::Fp32 })
            }
            (Self::Auto, ModelName::Mlp) => Ok(ComputePrecision::Fp32),
            _ => self.resolve(device),
        }
    }

    /// The precision to use for large convolutions on `device`. `auto` measures, once a process, whether bfloat16 is
    /// the faster one there.
    ///
    /// # Errors
    /// When bfloat16 was asked for by name and the device has none, or libtorch cannot compute there.
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
        // libtorch does not tell the compute capability here; every GPU of the last six years has it.
        Device::Cuda(_) => tch::Cuda::is_available(),
        Device::Mps | Device::Vulkan => false,
    }
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
