//! The Hessian itself, by double backward (Pearlmutter 1994): the gradient of `g(a).s`, `s` held fixed.

use super::InputHessian;
use crate::error::Result;
use crate::taylor::network::{CountedNetwork, PointPass};
use std::rc::Rc;
use tch::Tensor;

/// One Hessian-vector product a question, on the recorded backward pass at the anchor; its graph is held meanwhile.
///
/// What the other models are judged against. It answers only as long as the weights are those of the anchor.
pub(super) struct Exact<'a> {
    network: Rc<CountedNetwork<'a>>,
    pass: PointPass,
}

impl<'a> Exact<'a> {
    pub(super) fn new(network: &Rc<CountedNetwork<'a>>, pass: PointPass) -> Self {
        Self { network: Rc::clone(network), pass }
    }
}

impl InputHessian for Exact<'_> {
    fn product(&self, displacement: &Tensor) -> Result<Tensor> {
        self.network.hessian_vector(&self.pass, displacement)
    }
}
