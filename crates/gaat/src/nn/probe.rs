//! Times a convolution, or a small network, in two precisions on the machine at hand.
//!
//! That a processor has bfloat16 instructions does not tell whether they pay: where they work on as many numbers a
//! cycle as the f32 ones, libtorch's bfloat16 convolutions take up to twice as long as its f32 ones.

use super::{BuildOptions, Classifier, ComputePrecision, InputShape, Mode, Normalization, build, pixel_pass};
use crate::Result;
use gaat_spec::ModelName;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

/// How much faster bfloat16 must be to be worth its rounding; far from both what pays and what does not.
const WORTH: f64 = 1.2;
/// The same where the network itself is timed and nothing has to be concluded from a layer to a network.
const WORTH_ITSELF: f64 = 1.05;
const ROUNDS: usize = 6;
/// What a small network is timed on.
const IMAGES: i64 = 64;
const CLASSES: i64 = 10;
/// A middle layer of a wide residual network, `[N, C, H, W]`; on a GPU so many images that arithmetic takes longer than its
/// launch.
const SHAPE: [i64; 4] = [8, 128, 16, 16];
const SHAPE_ON_CUDA: [i64; 4] = [256, 128, 32, 32];

/// Whether convolutions on `device` are clearly faster in bfloat16 than in f32. Measured once a process.
///
/// # Errors
/// When libtorch cannot compute on the device.
pub(super) fn bf16_pays(device: Device) -> Result<bool> {
    known(Question { device, network: None }, || {
        tch::no_grad(|| {
            let single = Layer::new(Kind::Float, device)?;
            let brief = Layer::new(Kind::BFloat16, device)?;
            is_clearly_faster(WORTH, || brief.time(), || single.time())
        })
    })
}

/// What was measured, and on what: large convolutions, or a small network itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Question {
    device: Device,
    network: Option<(ModelName, InputShape)>,
}

/// The answer of before, or else that of `measure`: within a process, which may do many runs to be compared, it never changes.
fn known(question: Question, measure: impl FnOnce() -> Result<bool>) -> Result<bool> {
    static ANSWERS: LazyLock<Mutex<HashMap<Question, bool>>> = LazyLock::new(Mutex::default);
    // A panic elsewhere leaves nothing half done: answers are whole.
    let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(&answer) = answers.get(&question) {
        return Ok(answer);
    }
    let answer = measure()?;
    answers.insert(question, answer);
    Ok(answer)
}

/// Whether a gradient of `model`, a small network for images of shape `input`, is clearly faster in bfloat16 than in f32 on
/// `device`: measured with the network itself, since what converting costs hangs on its shapes, once a process. On a GPU its
/// launches would be measured.
///
/// # Errors
/// When the model cannot take such images.
pub(super) fn bf16_pays_for(model: &ModelName, input: InputShape, device: Device) -> Result<bool> {
    known(Question { device, network: Some((*model, input)) }, || network_pays(model, input, device))
}

fn network_pays(model: &ModelName, input: InputShape, device: Device) -> Result<bool> {
    let network = |precision| {
        let normalization = Normalization::identity(input.channels);
        let options = BuildOptions { device, precision, kind: Kind::Float, seed: 0, normalization };
        build(model, input, CLASSES, &options)
    };
    let (single, brief) = (network(ComputePrecision::Fp32)?, network(ComputePrecision::Bf16)?);
    let InputShape { channels, height, width } = input;
    let pixels = Tensor::f_full([IMAGES, channels, height, width], 0.5, (Kind::Float, device))?;
    let time = |network: &dyn Classifier| {
        let start = Instant::now();
        pixel_pass((network, Mode::Eval), "probe", &[&pixels], &|logits, _| {
            Ok(logits.f_square()?.f_sum_dim_intlist([1i64].as_slice(), false, None::<Kind>)?)
        })?;
        Ok(start.elapsed())
    };
    is_clearly_faster(WORTH_ITSELF, || time(brief.as_ref()), || time(single.as_ref()))
}

/// Whether the best of some runs of `other` takes more than `worth` times as long as that of `candidate`.
fn is_clearly_faster(
    worth: f64,
    candidate: impl Fn() -> Result<Duration>,
    other: impl Fn() -> Result<Duration>,
) -> Result<bool> {
    // The first run of each also compiles kernels.
    candidate()?;
    other()?;
    let (mut shortest, mut others) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        others = others.min(other()?);
        shortest = shortest.min(candidate()?);
    }
    Ok(others.as_secs_f64() > worth * shortest.as_secs_f64())
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
