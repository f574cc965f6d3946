//! Looks at the network itself: answers at random, gradients that are zero. After the checks of AutoAttack (`checks.py`).

use crate::attack::{Exact, GradientOracle, Loss};
use crate::batch::Batch;
use crate::error::Result;
use crate::nn::{Classifier, Mode};
use tch::{Kind, Tensor};

/// Logits of length 1 that differ by more between two looks are random.
const MOST_DIFFERENCE: f64 = 1e-4;
/// Share of the images whose gradient may be zero by accident.
const MOST_ZEROS: f64 = 0.01;

/// The alarms of `classifier` on images that it classifies correctly: of a wrong one the ratio of logits may well be flat.
pub(super) fn probe(classifier: &dyn Classifier, batch: &Batch) -> Result<Vec<String>> {
    let mut alarms = Vec::new();
    alarms.extend(random_output(classifier, batch)?);
    for (name, loss, least) in
        [("cross-entropy", Loss::CrossEntropy, 2), ("difference of logits ratio", Loss::Dlr, 3)]
    {
        if classifier.class_count() >= least {
            alarms.extend(zero_gradients(classifier, batch, name, loss)?);
        }
    }
    Ok(alarms)
}

fn random_output(classifier: &dyn Classifier, batch: &Batch) -> Result<Option<String>> {
    let look = || -> Result<Tensor> {
        let logits =
            tch::no_grad(|| classifier.logits(&batch.pixels, Mode::Eval))?.f_to_kind(Kind::Double)?;
        let lengths = logits.f_norm_scalaropt_dim(2.0, [1i64].as_slice(), true)?;
        Ok(logits / (lengths + 1e-10))
    };
    let difference = (look()? - look()?).f_norm_scalaropt_dim(2.0, [1i64].as_slice(), false)?;
    let most = difference.f_max()?.f_double_value(&[])?;
    Ok((most > MOST_DIFFERENCE).then(|| {
        format!(
            "random-output: the same image got logits that differ by {most:.1e} of their length; judge by \
             autoattack-rand"
        )
    }))
}

fn zero_gradients(
    classifier: &dyn Classifier,
    batch: &Batch,
    name: &str,
    loss: Loss,
) -> Result<Option<String>> {
    let answer = Exact::new(classifier, Mode::Eval).of(loss, &batch.pixels, &batch.labels)?;
    let steepest = answer.gradient.f_flatten(1, -1)?.f_abs()?.f_amax([1i64].as_slice(), false)?;
    let zeros = steepest.f_eq_tensor(&steepest.f_zeros_like()?)?.f_sum(Kind::Int64)?.f_int64_value(&[])?;
    let count = batch.len();
    Ok((zeros as f64 > MOST_ZEROS * count as f64).then(|| {
        format!("zero-gradients: the gradient of the {name} is 0 for {zeros} of {count} images: attacks that follow it find nothing")
    }))
}
