//! Which examples of a batch are still attacked, and what was proposed for those that left.

use crate::error::Result;
use tch::{Kind, Tensor};

/// The examples of a batch that stand, by place, while an attack works on them alone.
pub(super) struct Standing {
    /// Places in the batch, `[M]`, i64.
    places: Tensor,
    /// Proposals of the whole batch, `[N, C, H, W]`.
    proposals: Tensor,
}

/// What [`Standing::retire`] left of the `M` that stood.
pub(super) enum Kept {
    /// All of them.
    All,
    /// Those at these indices into the `M`, i64; the attack narrows its own tensors to them.
    Some(Tensor),
    /// None: the attack is over.
    None,
}

impl Standing {
    /// All of the batch `clean`, with no perturbation proposed.
    pub(super) fn new(clean: &Tensor) -> Result<Self> {
        let count = clean.size()[0];
        Ok(Self {
            places: Tensor::f_arange(count, (Kind::Int64, clean.device()))?,
            proposals: clean.f_detach()?.f_zeros_like()?,
        })
    }

    /// Lets those that are `fallen` (`[M]`, bool) go with their perturbation out of `deltas` (`[M, C, H, W]`).
    pub(super) fn retire(&mut self, fallen: &Tensor, deltas: &Tensor) -> Result<Kept> {
        let kept = fallen.f_logical_not()?.f_nonzero()?.f_squeeze_dim(1)?;
        if kept.size()[0] == self.places.size()[0] {
            return Ok(Kept::All);
        }
        self.propose(deltas)?;
        self.places = self.places.f_index_select(0, &kept)?;
        Ok(if kept.size()[0] == 0 { Kept::None } else { Kept::Some(kept) })
    }

    /// The same, and `narrow` cuts the attack's own tensors to those that stay. Whether any stays.
    pub(super) fn release(
        &mut self,
        fallen: &Tensor,
        deltas: &Tensor,
        narrow: impl FnOnce(&Tensor) -> Result<()>,
    ) -> Result<bool> {
        match self.retire(fallen, deltas)? {
            Kept::All => Ok(true),
            Kept::None => Ok(false),
            Kept::Some(kept) => narrow(&kept).map(|()| true),
        }
    }

    /// Notes `deltas` as the proposals of those that stand.
    pub(super) fn propose(&mut self, deltas: &Tensor) -> Result<()> {
        let _written = self.proposals.f_index_copy_(0, &self.places, deltas)?;
        Ok(())
    }

    /// Places of those that stand, `[M]`, i64.
    pub(super) fn places(&self) -> &Tensor {
        &self.places
    }

    /// Whether none stands any more.
    pub(super) fn is_over(&self) -> bool {
        self.places.size()[0] == 0
    }

    /// Which of the batch have left, `[N]`, bool.
    pub(super) fn fallen(&self) -> Result<Tensor> {
        let all = Tensor::f_ones([self.proposals.size()[0]], (Kind::Bool, self.places.device()))?;
        let none = Tensor::f_zeros([self.places.size()[0]], (Kind::Bool, self.places.device()))?;
        Ok(all.f_index_copy(0, &self.places, &none)?)
    }

    /// The proposals of the whole batch.
    pub(super) fn into_proposals(self) -> Tensor {
        self.proposals
    }
}

/// Narrows each of `tensors` to the examples at `kept`.
pub(super) fn narrow<const N: usize>(tensors: [&mut Tensor; N], kept: &Tensor) -> Result<()> {
    for tensor in tensors {
        *tensor = tensor.f_index_select(0, kept)?;
    }
    Ok(())
}
