//! The third-order term of an expansion, differenced from Hessian-vector products.

use super::network::CountedNetwork;
use crate::error::Result;
use gaat_shim::Graph;
use std::rc::Rc;
use tch::{Kind, Tensor};

/// `T(s,s,.) = d/dt H(a + t s) s` at `t = 0`, by the central difference `(H(a+hs) s - H(a-hs) s) / 2h`.
///
/// `h` is the cube root of the machine epsilon, where the error of the difference (`h^2`) and that of rounding
/// (`epsilon / h`) balance. Costs 2 (F + Bi) and two Hessian-vector products a question: for analysis only.
pub(super) struct ThirdOrder<'a> {
    network: Rc<CountedNetwork<'a>>,
    anchor: Tensor,
    labels: Tensor,
    step: f64,
}

impl<'a> ThirdOrder<'a> {
    pub(super) fn new(network: &Rc<CountedNetwork<'a>>, anchor: &Tensor, labels: &Tensor) -> Result<Self> {
        let epsilon = if anchor.kind() == Kind::Double { f64::EPSILON } else { f64::from(f32::EPSILON) };
        Ok(Self {
            network: Rc::clone(network),
            anchor: anchor.f_detach()?,
            labels: labels.f_detach()?,
            step: epsilon.cbrt(),
        })
    }

    /// `T(s,s,.)` for `displacement` s, `[N, C, H, W]`.
    pub(super) fn twist(&self, displacement: &Tensor) -> Result<Tensor> {
        let product = |step: f64| -> Result<Tensor> {
            let point = self.anchor.f_add(&(displacement * step))?;
            let pass = self.network.at(&point, &self.labels, Graph::Record)?;
            self.network.hessian_vector(&pass, displacement)
        };
        Ok(product(self.step)?.f_sub(&product(-self.step)?)?.f_div_scalar(2.0 * self.step)?)
    }
}
