//! Batch normalisation by the statistics of a batch that several processes compute together.

use super::layers::BatchNorm;
use crate::error::Result;
use gaat_shim::Group;
use std::cell::RefCell;
use tch::{Kind, Tensor};

/// The processes, each with its images of every batch. All run the network equally often.
#[derive(Debug, Clone)]
pub(crate) struct Joined {
    pub(crate) group: Group,
    pub(crate) rank: usize,
    pub(crate) size: usize,
}

thread_local! {
    static JOINED: RefCell<Option<Joined>> = const { RefCell::new(None) };
}

/// Puts back what was there before, also in a panic.
struct Before(Option<Joined>);

impl Drop for Before {
    fn drop(&mut self) {
        JOINED.set(self.0.take());
    }
}

/// Does `work`, in which the networks of this thread normalise by the batches of all that are `joined`.
pub(crate) fn with_joined<T>(joined: Option<Joined>, work: impl FnOnce() -> T) -> T {
    let _before = Before(JOINED.replace(joined));
    work()
}

/// Whether statistics are taken together now. Such passes cannot be recorded.
pub(crate) fn is_joined() -> bool {
    JOINED.with_borrow(Option::is_some)
}

/// `input`, `[N, C, ...]`, normalised by `layer` with the statistics of all images of all processes, which the running ones follow
/// where `follows`; `None` where no program has joined. Differentiable any number of times.
///
/// Means and variances of the processes are put together as in Chan, Golub and `LeVeque` (1983), which loses no digits where a mean
/// is far from 0.
pub(super) fn normalised(layer: &BatchNorm, input: &Tensor, follows: bool) -> Result<Option<Tensor>> {
    let Some(Joined { group, rank, size }) = JOINED.with_borrow(Clone::clone) else { return Ok(None) };
    let kind = layer.scale.kind();
    let (channels, dims) = (input.size()[1], input.dim() as i64);
    let others: Vec<i64> = (0..dims).filter(|axis| *axis != 1).collect();
    let across: Vec<i64> = (0..dims).map(|axis| if axis == 1 { -1 } else { 1 }).collect();
    let wide = |row: &Tensor| row.f_view(across.as_slice());
    let precise = input.f_to_kind(kind)?;
    let mean = precise.f_mean_dim(Some(others.as_slice()), false, None::<Kind>)?;
    let variance =
        (&precise - wide(&mean)?).f_square()?.f_mean_dim(Some(others.as_slice()), false, None::<Kind>)?;
    let count = mean.f_new_full([1], input.numel() as f64 / channels as f64, (kind, input.device()))?;
    // One row for each process, of which all but the own one are still 0.
    let width = 2 * channels + 1;
    let zeros = |rows: usize| Tensor::f_zeros([rows as i64 * width], (kind, input.device()));
    let own = [zeros(rank)?, mean, variance, count, zeros(size - rank - 1)?];
    let table = group.sum_recorded(&Tensor::f_cat(&own, 0)?)?.f_view([size as i64, width])?;
    let means = table.f_narrow(1, 0, channels)?;
    let variances = table.f_narrow(1, channels, channels)?;
    let counts = table.f_narrow(1, 2 * channels, 1)?.f_detach()?;
    let total = counts.f_sum(kind)?;
    let weights = &counts / &total;
    let sum = |rows: Tensor| rows.f_sum_dim_intlist([0i64].as_slice(), false, None::<Kind>);
    let mean = sum(&means * &weights)?;
    let variance = sum((variances + (means - &mean).f_square()?) * &weights)?;
    if follows {
        let _no_grad = tch::no_grad_guard();
        let unbiased = variance.f_detach()? * (&total / (&total - 1.0));
        let follow =
            |running: &Tensor, now: &Tensor| running.shallow_clone().f_lerp_(now, BatchNorm::MOMENTUM);
        let _ = follow(&layer.running_mean, &mean.f_detach()?)?;
        let _ = follow(&layer.running_variance, &unbiased)?;
    }
    let inverse = (variance + BatchNorm::EPSILON).f_rsqrt()?;
    let normal = (precise - wide(&mean)?) * wide(&(inverse * &layer.scale))? + wide(&layer.shift)?;
    Ok(Some(normal.f_to_kind(input.kind())?))
}
