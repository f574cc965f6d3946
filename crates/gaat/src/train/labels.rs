//! Soft labels: probabilities of the classes that training takes in place of one class.
//!
//! Even smoothing gives a label `(1 - W) q + W / C` (Szegedy et al. 2016, section 7, and PyTorch's `label_smoothing`), `q` the label and
//! `C` the number of classes. Random smoothing gives `(1 - W) q + W r`, `r` uniform numbers over the other classes, scaled to a sum of 1
//! (`CustomCrossEntropyLoss` of the authors of LIET); they are drawn once a step, so that attack and descent have the same labels
//! (there, again for each loss).

use crate::batch::{Batch, SoftLabels};
use crate::error::Result;
use crate::nn::Draws;
use gaat_spec::{LabelSpec, SmoothingForm};
use tch::{Kind, Tensor};

/// Keeps a sum of random shares from being divided by 0.
const LEAST_SUM: f64 = 1e-6;

/// The classes `labels` (`[N]`, i64) as probabilities of `kind`, `[N, classes]`: `own` of the label, the rest shared evenly by the others.
///
/// # Errors
/// When libtorch has no room.
pub(super) fn probabilities(labels: &Tensor, own: f64, classes: i64, kind: Kind) -> Result<Tensor> {
    let others = (1.0 - own) / (classes - 1).max(1) as f64;
    let all = Tensor::f_full([labels.size()[0], classes], others, (kind, labels.device()))?;
    Ok(all.f_scatter_value(1, &labels.f_unsqueeze(1)?, own)?)
}

/// `batch` with the soft labels of `spec`, of `classes` classes; where its labels are soft already, because images were mixed, these are
/// smoothed.
///
/// # Errors
/// When libtorch has no room.
pub(super) fn soften(batch: Batch, spec: LabelSpec, classes: i64, draws: &Draws) -> Result<Batch> {
    let Batch { pixels, labels, soft } = batch;
    let LabelSpec { smoothing, form, in_attack } = spec;
    let given = match soft {
        Some(soft) => soft.probabilities,
        None => probabilities(&labels, 1.0, classes, pixels.kind())?,
    };
    if smoothing == 0.0 {
        return Ok(Batch { pixels, labels, soft: Some(SoftLabels { probabilities: given, in_attack }) });
    }
    let shares = match form {
        SmoothingForm::Even => given.f_full_like(1.0 / classes as f64)?,
        SmoothingForm::Random => {
            let drawn = draws.uniform(&given.size(), 0.0, 1.0, given.kind(), given.device())?;
            let others = drawn.f_clamp_min(LEAST_SUM)? * given.f_eq(0.0)?;
            let sums = others.f_sum_dim_intlist([1i64].as_slice(), true, None::<Kind>)?;
            others / sums.f_clamp_min(LEAST_SUM)?
        }
    };
    let probabilities = given * (1.0 - smoothing) + shares * smoothing;
    Ok(Batch { pixels, labels, soft: Some(SoftLabels { probabilities, in_attack }) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::oracle::losses;
    use crate::nn::Rng;
    use tch::{Device, Reduction};

    fn softened(form: SmoothingForm, smoothing: f64, draws: &Draws) -> Batch {
        let pixels = Tensor::zeros([3, 1, 2, 2], (Kind::Double, Device::Cpu));
        let spec = LabelSpec { smoothing, form, in_attack: false };
        soften(Batch::new(pixels, Tensor::from_slice(&[4i64, 0, 2])), spec, 5, draws).unwrap()
    }

    #[test]
    fn even_smoothing_is_that_of_pytorch_and_leaves_the_loss_that_is_said() {
        let batch = softened(SmoothingForm::Even, 0.3, &Rng::new(0).seeded("labels", 0));
        let logits = (Tensor::arange(15, (Kind::Double, Device::Cpu)) * 1.7).sin().view([3, 5]);
        let found = losses(&logits, batch.targets()).unwrap();
        let expected = logits.cross_entropy_loss(&batch.labels, None::<Tensor>, Reduction::None, -100, 0.3);
        assert!((found - expected).abs().max().double_value(&[]) < 1e-12);
        assert_eq!(batch.attack_targets(), &batch.labels);
        // A network that answers with the labels themselves has no lower loss.
        let least = losses(&batch.targets().log(), batch.targets()).unwrap().double_value(&[0]);
        let spec = LabelSpec { smoothing: 0.3, form: SmoothingForm::Even, in_attack: false };
        assert!((least - spec.least_loss(5)).abs() < 1e-12);
        let one = LabelSpec { form: SmoothingForm::Random, ..spec };
        let evenly = probabilities(&batch.labels, 0.7, 5, Kind::Double).unwrap();
        assert!(
            (losses(&evenly.log(), &evenly).unwrap().double_value(&[0]) - one.least_loss(5)).abs() < 1e-12
        );
    }

    #[test]
    fn mixed_labels_are_smoothed_where_they_are() {
        let mixed = Tensor::from_slice2(&[[0.75, 0.25, 0.0, 0.0]]).to_kind(Kind::Double);
        let pixels = Tensor::zeros([1, 1, 2, 2], (Kind::Double, Device::Cpu));
        let of = |form, smoothing| {
            let soft = SoftLabels { probabilities: mixed.copy(), in_attack: false };
            let batch =
                Batch { pixels: pixels.copy(), labels: Tensor::from_slice(&[0i64]), soft: Some(soft) };
            let spec = LabelSpec { smoothing, form, in_attack: true };
            let found = soften(batch, spec, 4, &Rng::new(0).seeded("labels", 3)).unwrap();
            assert!(found.has_one_loss());
            Vec::<f64>::try_from(found.targets().flatten(0, -1)).unwrap()
        };
        assert_eq!(of(SmoothingForm::Even, 0.0), [0.75, 0.25, 0.0, 0.0]);
        assert_eq!(of(SmoothingForm::Even, 0.5), [0.5, 0.25, 0.125, 0.125]);
        let random = of(SmoothingForm::Random, 0.5);
        assert!(random[..2] == [0.375, 0.125] && (random[2] + random[3] - 0.5).abs() < 1e-12, "{random:?}");
    }

    #[test]
    fn random_smoothing_leaves_the_label_its_share_and_a_part_of_a_batch_is_drawn_as_the_whole() {
        let draws = || Rng::new(0).seeded("labels", 7);
        let batch = softened(SmoothingForm::Random, 0.6, &draws());
        let found = batch.targets();
        let own = found.gather(1, &batch.labels.unsqueeze(1), false).squeeze_dim(1);
        assert!((own - 0.4).abs().max().double_value(&[]) < 1e-12);
        let sums = found.sum_dim_intlist([1i64].as_slice(), false, None::<Kind>);
        assert!((sums - 1.0).abs().max().double_value(&[]) < 1e-12);
        assert!(found.min().double_value(&[]) > 0.0 && found.std(true).double_value(&[]) > 0.1);
        let spec = LabelSpec { smoothing: 0.6, form: SmoothingForm::Random, in_attack: true };
        let pixels = Tensor::zeros([2, 1, 2, 2], (Kind::Double, Device::Cpu));
        let part = Batch::new(pixels, batch.labels.narrow(0, 1, 2));
        let part = soften(part, spec, 5, &draws().cut(1, 2, 3)).unwrap();
        assert_eq!(part.targets(), &found.narrow(0, 1, 2));
        assert_eq!(part.attack_targets(), part.targets());
    }
}
