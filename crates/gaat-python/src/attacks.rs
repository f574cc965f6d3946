//! Attacks on a batch of tensors.

use crate::failed::failed;
use crate::module::Module;
use crate::tensor::{unwrap, wrap};
use crate::words;
use gaat::attack::{Attack, Exact, Fgsm, MomentumFgsm, Pgd, Start, UnderAttack, run};
use gaat::batch::Batch;
use gaat::evaluate::{GradientSource, PerturbOptions, perturb_batch};
use gaat::nn::{Classifier, Mode, Rng};
use gaat::spec::{AttackName, AttackSpec, PixelLength, Selection, ThreatModel};
use gaat::{Error, Result};
use pyo3::prelude::*;
use tch::Tensor;

/// Perturbed images of `pixels` (`[N, C, H, W]`), and their passes: forward, backward to the pixels.
///
/// `to_the_end`: every image takes all steps of fgsm, pgd and mi-fgsm, and those that are wrong clean are attacked too; else an image
/// is left alone from where it is misclassified on.
#[pyfunction]
#[pyo3(signature = (adapter, pixels: "torch.Tensor", labels: "torch.Tensor", *, name, numbers, norm, eps: "float | str", seed, index, to_the_end)
    -> "tuple[torch.Tensor, tuple[int, int]]")]
#[expect(clippy::too_many_arguments, reason = "the keyword arguments of one Python function")]
pub(crate) fn perturb<'py>(
    py: Python<'py>,
    adapter: &Bound<'py, PyAny>,
    pixels: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
    name: &str,
    numbers: &str,
    norm: &str,
    eps: &Bound<'py, PyAny>,
    seed: u64,
    index: usize,
    to_the_end: bool,
) -> PyResult<(Bound<'py, PyAny>, (u64, u64))> {
    let threat = words::threat(norm, eps)?;
    let spec = words::attack(name, numbers, &threat)?;
    let network = Module::new(adapter, false)?;
    let batch = Batch::new(unwrap(pixels)?, unwrap(labels)?);
    let (perturbed, passes) = py
        .detach(move || {
            if to_the_end {
                return every_step(&network, &batch, (&spec, &threat), seed, index);
            }
            let options = PerturbOptions {
                threat,
                attack: spec,
                gradient: GradientSource::Exact,
                batch_size: batch.len(),
                limit: None,
                selection: Selection::First,
                seed,
            };
            let (pixels, passes) = perturb_batch(&network, &batch, index, &options)?;
            Ok((pixels, (passes.forward, passes.input_backward)))
        })
        .map_err(failed)?;
    Ok((wrap(py, &perturbed)?, passes))
}

/// One start of a plain attack on all images of a batch, with all its steps.
fn every_step(
    network: &Module,
    batch: &Batch,
    (spec, threat): (&AttackSpec, &ThreatModel),
    seed: u64,
    index: usize,
) -> Result<(Tensor, (u64, u64))> {
    let steps = spec.steps().unwrap_or(1);
    let step_size = spec.step_size().map_or(0.0, PixelLength::value);
    let start = if spec.is_still() { Start::Clean } else { Start::Random };
    let attack: Box<dyn Attack> = match spec.name() {
        AttackName::Fgsm => Box::new(Fgsm),
        AttackName::Pgd => Box::new(Pgd::training(steps, step_size, start)),
        AttackName::MiFgsm => Box::new(MomentumFgsm { steps, step_size }),
        other => return Err(Error::Usage(format!("{other} does not take all its steps on every image"))),
    };
    let rng = Rng::new(seed);
    network.begin_step(rng, index as u64);
    let draws = rng.seeded(&format!("evaluate/{}/0", spec.name()), index as u64);
    let mut oracle = Exact::new(network, Mode::Eval);
    let under = UnderAttack::new(&batch.pixels, &batch.labels, threat, &draws);
    let found = run(attack.as_ref(), &mut oracle, under)?.into_pixels();
    let passes = gaat::attack::GradientOracle::passes(&oracle);
    Ok((found, (passes.forward, passes.input_backward)))
}
