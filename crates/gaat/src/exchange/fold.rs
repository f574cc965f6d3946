//! Batch normalisations multiplied into the convolutions before them.
//!
//! With running statistics, `(Wx + b - mean) k + shift` with `k = scale / sqrt(variance + epsilon)` is a convolution by
//! `Wk` with bias `(b - mean) k + shift`.

use crate::error::Result;
use crate::nn::{Operation, Parameter, Step, Trace};
use tch::{Kind, Tensor};

/// Folds every batch normalisation whose input is a convolution that no other step uses.
pub(super) fn fold(trace: Trace) -> Result<Trace> {
    let mut uses = vec![0_usize; trace.steps.len() + 1];
    for &input in trace.steps.iter().flat_map(|step| &step.inputs) {
        uses[input] += 1;
    }
    let mut folded = Trace::default();
    // Where each old value is found now.
    let mut places = vec![0];
    for Step { operation, inputs } in trace.steps {
        let is_sole = inputs.iter().all(|&input| uses[input] == 1);
        let inputs: Vec<usize> = inputs.iter().map(|&input| places[input]).collect();
        match (operation, maker(&mut folded, &inputs)) {
            (
                Operation::BatchNorm { scale, shift, mean, variance, epsilon },
                Some(Operation::Conv { weight, bias, .. }),
            ) if is_sole => {
                absorb(weight, bias, [&scale, &shift, &mean, &variance], epsilon)?;
                places.push(inputs[0]);
            }
            (operation, _) => {
                folded.steps.push(Step { operation, inputs });
                places.push(folded.steps.len());
            }
        }
    }
    Ok(folded)
}

/// The step that made the only input; none where that is the pixels.
fn maker<'a>(trace: &'a mut Trace, inputs: &[usize]) -> Option<&'a mut Operation> {
    let [input] = inputs else { return None };
    let step = trace.steps.get_mut(input.checked_sub(1)?)?;
    Some(&mut step.operation)
}

/// Changes the weights of a convolution into those of one that also normalises by scale, shift, mean and variance. In
/// double precision, rounded once.
fn absorb(
    weight: &mut Parameter,
    bias: &mut Option<Parameter>,
    [scale, shift, mean, variance]: [&Parameter; 4],
    epsilon: f64,
) -> Result<()> {
    let double = |parameter: &Parameter| parameter.tensor.f_detach()?.f_to_kind(Kind::Double);
    let deviation = double(variance)?.f_add_scalar(epsilon)?.f_sqrt()?;
    let factor = double(scale)?.f_div(&deviation)?;
    let offset = match bias {
        Some(bias) => double(bias)?.f_sub(&double(mean)?)?,
        None => double(mean)?.f_neg()?,
    };
    let offset = offset.f_mul(&factor)?.f_add(&double(shift)?)?;
    let changed = double(weight)?.f_mul(&factor.f_view([-1, 1, 1, 1])?)?;
    let kind = weight.tensor.kind();
    let rounded = |tensor: Tensor| tensor.f_to_kind(kind);
    *bias = Some(Parameter { name: weight.name.replace(".weight", ".bias"), tensor: rounded(offset)? });
    weight.tensor = rounded(changed)?;
    Ok(())
}
