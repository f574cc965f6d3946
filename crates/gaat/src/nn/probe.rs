//! Times a convolution in two precisions on the machine at hand.
//!
//! That a processor has bfloat16 instructions does not tell whether they pay: where they work on as many numbers a
//! cycle as the f32 ones, libtorch's bfloat16 convolutions take up to twice as long as its f32 ones.

use crate::Result;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

/// How much faster bfloat16 must be to be worth its rounding; far from both what pays and what does not.
const WORTH: f64 = 1.2;
const ROUNDS: usize = 6;
/// A middle layer of a wide residual network, `[N, C, H, W]`; on a GPU so many images that arithmetic takes longer than its
/// launch.
const SHAPE: [i64; 4] = [8, 128, 16, 16];
const SHAPE_ON_CUDA: [i64; 4] = [256, 128, 32, 32];

/// Whether convolutions on `device` are clearly faster in bfloat16 than in f32. Measured once a process.
///
/// # Errors
/// When libtorch cannot compute on the device.
pub(super) fn bf16_pays(device: Device) -> Result<bool> {
    static ON_CPU: OnceLock<bool> = OnceLock::new();
    if device != Device::Cpu {
        return measure(device);
    }
    if let Some(&known) = ON_CPU.get() {
        return Ok(known);
    }
    let found = measure(device)?;
    Ok(*ON_CPU.get_or_init(|| found))
}

fn measure(device: Device) -> Result<bool> {
    tch::no_grad(|| {
        let single = Layer::new(Kind::Float, device)?;
        let brief = Layer::new(Kind::BFloat16, device)?;
        // The first run of each also compiles kernels.
        single.time()?;
        brief.time()?;
        let (mut best_single, mut best_brief) = (Duration::MAX, Duration::MAX);
        for _ in 0..ROUNDS {
            best_single = best_single.min(single.time()?);
            best_brief = best_brief.min(brief.time()?);
        }
        Ok(best_single.as_secs_f64() > WORTH * best_brief.as_secs_f64())
    })
}

struct Layer {
    maps: Tensor,
    weight: Tensor,
    device: Device,
}

impl Layer {
    fn new(kind: Kind, device: Device) -> Result<Self> {
        let shape = if device.is_cuda() { SHAPE_ON_CUDA } else { SHAPE };
        let channels = shape[1];
        let maps = gaat_shim::channels_last(&Tensor::f_ones(shape, (kind, device))?)?;
        let weight = Tensor::f_ones([channels, channels, 3, 3], (kind, device))?;
        Ok(Self { maps, weight, device })
    }

    fn time(&self) -> Result<Duration> {
        let start = Instant::now();
        let _maps = self.maps.f_conv2d::<Tensor>(&self.weight, None, 1, 1, 1, 1)?;
        if let Device::Cuda(index) = self.device {
            tch::Cuda::synchronize(index as i64);
        }
        Ok(start.elapsed())
    }
}
