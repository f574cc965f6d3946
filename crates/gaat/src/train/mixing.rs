//! Mixed images: each is blended with another image of its batch, or has a box of the other pasted in, and its label is mixed alike.
//!
//! mixup (Zhang et al. 2018): `w x + (1 - w) x'`, w from Beta(alpha, alpha). cutmix (Yun et al. 2019): a box of x' of the area `1 - w`
//! round a random centre, cut at the border; the label's weight is the share of the area that is left. Weights and boxes are drawn
//! for each image (in the authors' code for each batch); with both, one of the two for each image by the toss of a coin.

use super::boxes::boxes;
use super::labels::probabilities;
use crate::batch::{Batch, SoftLabels};
use crate::error::Result;
use crate::nn::Draws;
use gaat_spec::MixSpec;
use tch::{Device, Kind, Tensor};

/// Pairs that are drawn for each weight: by Johnk's method one of them is taken with a chance of a half at least, so that one image
/// in sixteen million gets a weight that is slightly off.
const PAIRS: i64 = 24;
/// Least uniform number, so that its logarithm is finite.
const LEAST: f64 = 1e-300;

/// `own` mixed image by image with `other`, of `classes` classes. The label of an image is then that of the larger share, and its soft
/// label both; `in_attack` says whether attacks take the soft one.
///
/// # Errors
/// When libtorch cannot allocate.
pub(super) fn mix(
    own: Batch,
    other: &Batch,
    spec: MixSpec,
    classes: i64,
    in_attack: bool,
    draws: &Draws,
) -> Result<Batch> {
    let Batch { pixels, labels, .. } = own;
    let blended = match spec.mixup {
        0.0 => None,
        alpha => Some(blend(&pixels, &other.pixels, alpha, &draws.branch("mixup"))?),
    };
    let pasted = match spec.cutmix {
        0.0 => None,
        alpha => Some(paste(&pixels, &other.pixels, alpha, &draws.branch("cutmix"))?),
    };
    let (mixed, weights) = match (blended, pasted) {
        (Some((blended, blend)), Some((pasted, paste))) => {
            let heads = draws.branch("coin").randint(&[labels.size()[0]], 0, 2, labels.device())?.f_eq(1)?;
            let of_image = heads.f_view([-1, 1, 1, 1])?;
            (blended.f_where_self(&of_image, &pasted)?, blend.f_where_self(&heads, &paste)?)
        }
        (Some(found), None) | (None, Some(found)) => found,
        (None, None) => return Ok(Batch::new(pixels, labels)),
    };
    let kind = mixed.kind();
    let of_class = |labels: &Tensor| probabilities(labels, 1.0, classes, kind);
    let share = weights.f_to_kind(kind)?.f_unsqueeze(1)?;
    let probabilities = of_class(&labels)? * &share + of_class(&other.labels)? * rest(&share);
    let labels = labels.f_where_self(&weights.f_ge(0.5)?, &other.labels)?;
    Ok(Batch { pixels: mixed, labels, soft: Some(SoftLabels { probabilities, in_attack }) })
}

/// Blends, and the weight of each own image, `[N]`, f64.
fn blend(own: &Tensor, other: &Tensor, alpha: f64, draws: &Draws) -> Result<(Tensor, Tensor)> {
    let weights = beta(own.size()[0], alpha, own.device(), draws)?;
    let share = weights.f_to_kind(own.kind())?.f_view([-1, 1, 1, 1])?;
    Ok((own * &share + other * rest(&share), weights))
}

/// Own images with a box of the other ones, and the share of each that is left, `[N]`, f64.
fn paste(own: &Tensor, other: &Tensor, alpha: f64, draws: &Draws) -> Result<(Tensor, Tensor)> {
    let size = own.size();
    let weights = beta(size[0], alpha, own.device(), draws)?;
    let root = rest(&weights).f_sqrt()?.f_view([-1, 1])?;
    let lengths = [size[2], size[3]].map(|side| (&root * side as f64).f_floor());
    let [heights, widths] = lengths;
    let boxes = boxes(&size, (&heights?, &widths?), own.device(), draws)?;
    let area =
        boxes.f_to_kind(Kind::Double)?.f_mean_dim(Some([1i64, 2, 3].as_slice()), false, None::<Kind>)?;
    Ok((other.f_where_self(&boxes, own)?, rest(&area)))
}

/// What a share leaves of 1.
fn rest(share: &Tensor) -> Tensor {
    share * -1.0 + 1.0
}

/// `count` numbers from Beta(alpha, alpha), alpha over 0 and at most 1, `[count]`, f64: of uniform u and v with
/// `u^(1/alpha) + v^(1/alpha) <= 1` the share of the first term (Johnk 1964), in logarithms.
fn beta(count: i64, alpha: f64, device: Device, draws: &Draws) -> Result<Tensor> {
    let logs = || -> Result<Tensor> {
        let drawn = draws.uniform(&[count, PAIRS], 0.0, 1.0, Kind::Double, device)?;
        Ok(drawn.f_clamp_min(LEAST)?.f_log()? / alpha)
    };
    let (one, other) = (logs()?, logs()?);
    let is_taken = (one.f_exp()? + other.f_exp()?).f_le(1.0)?;
    let first = is_taken.f_to_kind(Kind::Int64)?.f_argmax(1, true)?;
    Ok((one - other).f_sigmoid()?.f_gather(1, &first, false)?.f_squeeze_dim(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Rng;

    fn draws(step: u64) -> Draws {
        Rng::new(1).seeded("augment", step)
    }

    fn moments(values: &Tensor) -> (f64, f64) {
        let mean = values.mean(Kind::Double).double_value(&[]);
        (mean, (values - mean).square().mean(Kind::Double).double_value(&[]))
    }

    #[test]
    fn weights_have_the_mean_and_the_variance_of_their_distribution() {
        for alpha in [0.05, 0.3, 1.0] {
            let drawn = beta(40_000, alpha, Device::Cpu, &draws(0)).unwrap();
            let (mean, variance) = moments(&drawn);
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            // The standard error of the mean is 0.0025 at most.
            assert!(
                (mean - 0.5).abs() < 0.012 && (variance / expected - 1.0).abs() < 0.03,
                "{alpha}: {mean}, {variance}"
            );
            assert!(drawn.min().double_value(&[]) >= 0.0 && drawn.max().double_value(&[]) <= 1.0, "{alpha}");
        }
    }

    /// White images of class 0 and black ones of class 2, mixed: how white each is tells its weight.
    fn mixed(spec: MixSpec, draws: &Draws, rows: i64) -> Batch {
        let of = |value: f64, class: i64| {
            let pixels = Tensor::full([rows, 1, 8, 10], value, (Kind::Double, Device::Cpu));
            Batch::new(pixels, Tensor::full([rows], class, (Kind::Int64, Device::Cpu)))
        };
        mix(of(1.0, 0), &of(0.0, 2), spec, 3, true, draws).unwrap()
    }

    #[test]
    fn labels_are_mixed_as_images_are() {
        for (mixup, cutmix) in [(1.0, 0.0), (0.0, 1.0), (0.4, 1.0)] {
            let batch = mixed(MixSpec { mixup, cutmix }, &draws(3), 300);
            let white = batch.pixels.mean_dim(Some([1i64, 2, 3].as_slice()), false, None::<Kind>);
            let soft = batch.soft.as_ref().unwrap();
            let of_class = |class| soft.probabilities.select(1, class);
            assert!((of_class(0) - &white).abs().max().double_value(&[]) < 1e-9, "{mixup}, {cutmix}");
            assert!((of_class(2) + &white - 1.0).abs().max().double_value(&[]) < 1e-9);
            assert!(of_class(1).abs().max().double_value(&[]) == 0.0 && soft.in_attack);
            let larger = white.ge(0.5).to_kind(Kind::Int64) * -2 + 2;
            assert_eq!(batch.labels, larger, "the class of the larger share");
            assert!(moments(&white).1 > 0.02, "weights differ");
            let whole = batch.pixels.eq(0.0).logical_or(&batch.pixels.eq(1.0)).to_kind(Kind::Double);
            let pasted = whole.amin([1i64, 2, 3].as_slice(), false).mean(Kind::Double).double_value(&[]);
            match (mixup, cutmix) {
                (_, 0.0) => assert!(pasted < 0.05, "{pasted}"),
                (0.0, _) => assert_eq!(pasted, 1.0),
                _ => assert!((0.35..0.7).contains(&pasted), "{pasted}"),
            }
        }
    }

    #[test]
    fn a_portion_is_mixed_as_the_whole_batch_is() {
        let spec = MixSpec { mixup: 0.5, cutmix: 0.5 };
        let (whole, part) = (mixed(spec, &draws(5), 30), mixed(spec, &draws(5).cut(8, 9, 30), 9));
        assert_eq!(part.pixels, whole.pixels.narrow(0, 8, 9));
        assert_eq!(part.targets(), &whole.targets().narrow(0, 8, 9));
    }
}
