//! A pass through a network that PyTorch has exported, and through gaat's own form of the same network.

use crate::ours::{CLASSES, LONG_ENOUGH, Machine, STEPS};
use crate::sample::{Sample, peak_mib};
use crate::side::Side;
use crate::work::Exported;
use anyhow::bail;
use gaat::exported::ExportedFile;
use gaat::nn::{BuildOptions, Classifier, ComputePrecision, InputShape, Mode, Normalization, Rng, build};
use std::path::Path;
use std::time::Instant;
use tch::{Device, Kind, Reduction, Tensor};

const INPUT: InputShape = InputShape { channels: 3, height: 32, width: 32 };
/// Passes before the clock starts.
const WARM_UP: usize = 3;
/// As `reference/bench.py` has them in its graph.
const MEAN: [f64; 3] = [0.4914, 0.4822, 0.4465];
const DEVIATION: [f64; 3] = [0.2471, 0.2435, 0.2616];

/// Times the passes of `side`, whose graph lies in `data_dir`.
pub(crate) fn sample(
    network: Exported,
    batch: usize,
    side: Side,
    machine: &Machine,
    data_dir: &Path,
) -> anyhow::Result<Sample> {
    gaat::device::prepare_process(Some(machine.threads))?;
    let device = machine.device()?;
    let classifier: Box<dyn Classifier> = match (side, network) {
        (Side::GaatBuiltIn, Exported::Published(model)) => {
            let normalization = Normalization { mean: MEAN.to_vec(), std: DEVIATION.to_vec() };
            let precision = ComputePrecision::Fp32;
            let options = BuildOptions { device, precision, kind: Kind::Float, seed: 0, normalization };
            build(&model, INPUT, CLASSES as i64, &options)?
        }
        (Side::Gaat, _) => {
            let file = ExportedFile::read(&data_dir.join(format!("{network}.pt2")))?;
            let identity = Normalization::identity(INPUT.channels);
            Box::new(file.open(identity, Some(&machine.device), ComputePrecision::Fp32)?)
        }
        _ => bail!("{side} has no graph of {network}"),
    };
    let size = [batch as i64, INPUT.channels, INPUT.height, INPUT.width];
    let pixels = Rng::new(0).seeded("pixels", 0).uniform(&size, 0.0, 1.0, Kind::Float, device)?;
    let labels = Tensor::f_zeros([batch as i64], (Kind::Int64, device))?;
    let mut seconds = Vec::new();
    for number in 0.. {
        let started = Instant::now();
        pass(classifier.as_ref(), &pixels, &labels)?;
        if number >= WARM_UP {
            seconds.push(started.elapsed().as_secs_f64());
        }
        if seconds.len() >= STEPS && seconds.iter().sum::<f64>() >= LONG_ENOUGH {
            break;
        }
    }
    Ok(Sample { seconds, peak_mib: peak_mib(device), precision: "fp32".to_owned() })
}

/// Forward, and backward to the weights.
fn pass(classifier: &dyn Classifier, pixels: &Tensor, labels: &Tensor) -> anyhow::Result<()> {
    let logits = classifier.logits(pixels, Mode::Train)?;
    let loss = logits.f_cross_entropy_loss::<Tensor>(labels, None, Reduction::Mean, -100, 0.0)?;
    let weights = classifier.store().trainable();
    let weights: Vec<&Tensor> = weights.iter().collect();
    let _gradients = gaat_shim::gradients(&[&loss], None, &weights, gaat_shim::Graph::Free)?;
    if let Device::Cuda(index) = pixels.device() {
        tch::Cuda::synchronize(index as i64);
    }
    Ok(())
}
