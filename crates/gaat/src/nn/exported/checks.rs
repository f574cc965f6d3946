//! What is tried when a network is opened, so that what is wrong with it is said before an hour of work: each check with an error of
//! its own.

use super::ExportedNetwork;
use super::compile::Graph;
use crate::error::{Error, Result};
use crate::nn::classifier::{Classifier, Mode};
use crate::nn::rng::Rng;
use gaat_pt2::{Program, ValueId};
use gaat_shim::{AllocationBound, gradients};
use tch::{Kind, Tensor};

/// Images that are tried where the graph leaves their number open.
const TRIED: i64 = 3;
/// Rows of other batches may differ by rounding, which grows with depth; by this share of the largest logit they differ for a reason.
const ROUNDING: f64 = 1e-3;

impl ExportedNetwork {
    pub(super) fn check(&self) -> Result<()> {
        let mode = if self.check_mode(Mode::Eval).is_ok() { Mode::Eval } else { Mode::TrainFrozenStats };
        let (graph, program) = self.graph(mode);
        let images = program.batch.unwrap_or(TRIED);
        let pixels = self.pixels("check", images)?;
        let before = self.kept()?;
        self.check_sizes(graph, program, &pixels, mode)?;
        let logits = tch::no_grad(|| self.logits(&pixels, mode))?;
        self.check_finite(&logits)?;
        self.check_kept(&before)?;
        if mode == Mode::Eval {
            let again = tch::no_grad(|| self.logits(&pixels, mode))?;
            if distance(&logits, &again)? > ROUNDING {
                return Err(self.fault("gives other logits for the same images each time, although nothing in its graph draws random numbers".to_owned()));
            }
            self.check_rows(&pixels, &logits, images)?;
            self.check_gradient(&pixels)?;
        }
        Ok(())
    }

    /// Refuses a network whose gradient in the pixels has no gradient of its own: PyTorch knows none of some operators.
    ///
    /// # Errors
    /// Then, with what libtorch says of the operator.
    pub fn check_second_order(&self) -> Result<()> {
        let mode = if self.check_mode(Mode::Eval).is_ok() { Mode::Eval } else { Mode::TrainFrozenStats };
        let images = self.graph(mode).1.batch.unwrap_or(TRIED);
        let pixels = self.pixels("check", images)?.f_set_requires_grad(true)?;
        let second = || -> Result<()> {
            let logits = self.logits(&pixels, mode)?;
            let loss = logits.f_log_softmax(1, Kind::Float)?.f_sum(Kind::Float)?;
            let slope = gradients(&[&loss], None, &[&pixels], gaat_shim::Graph::Record)?.pop().flatten();
            // A slope without a graph is that of a straight network: its second order is there, and zero.
            if let Some(slope) = slope.filter(Tensor::requires_grad) {
                gradients(&[&slope.f_sum(Kind::Float)?], None, &[&pixels], gaat_shim::Graph::Free)?;
            }
            Ok(())
        };
        tch::with_grad(second).map_err(|error| {
            self.fault(format!(
                "has no second order, which this method or model of the loss takes: {error}; choose one that takes first derivatives \
                 alone (a curvature other than exact), or export the network with another activation"
            ))
        })
    }

    fn pixels(&self, name: &str, images: i64) -> Result<Tensor> {
        let shape = self.input.shape;
        let size = [images, shape.channels, shape.height, shape.width];
        Rng::new(0).seeded(name, 0).uniform(&size, 0.0, 1.0, Kind::Float, self.store.device())
    }

    /// Holds every tensor that the graph makes against the sizes that the file states.
    fn check_sizes(&self, graph: &Graph, program: &Program, pixels: &Tensor, mode: Mode) -> Result<()> {
        let images = pixels.size()[0];
        let ready = self.input.prepare(pixels)?;
        let mut observe = |id: ValueId, tensor: &Tensor| {
            let Some(stated) = program.value(id).sizes else { return Ok(()) };
            let found = tensor.size();
            let fits = stated.len() == found.len()
                && stated
                    .iter()
                    .zip(&found)
                    .all(|(stated, found)| stated.at(images).is_none_or(|stated| stated == *found));
            if fits {
                return Ok(());
            }
            let stated: Vec<_> = stated
                .iter()
                .map(|extent| extent.at(images).map_or("?".to_owned(), |side| side.to_string()))
                .collect();
            Err(format!(
                "makes a tensor of {found:?}, and the file states [{}]: the file is damaged, or its PyTorch computes otherwise",
                stated.join(", ")
            ))
        };
        let bound =
            graph.largest.saturating_mul(images as u64).saturating_mul(super::UNFOLDED).max(super::ALWAYS);
        let _bound = AllocationBound::of(bound)?;
        let mut run = || graph.run(self, program, &ready, mode, None, &mut observe);
        let _logits = tch::no_grad(|| {
            if graph.draws(mode) {
                self.draws.borrow().lending(self.store.device(), &mut run)?
            } else {
                run()
            }
        })?;
        Ok(())
    }

    fn check_finite(&self, logits: &Tensor) -> Result<()> {
        let expected = [logits.size().first().copied().unwrap_or(0), self.class_count()];
        if logits.size() != expected {
            return Err(Error::Shape {
                what: "logits".to_owned(),
                expected: format!("{expected:?}"),
                found: format!("{:?}", logits.size()),
            });
        }
        if !is_true(&logits.f_isfinite()?.f_all()?)? {
            return Err(self.fault("gives logits that are not finite for pixels in [0, 1]; look at its weights and its normalisation".to_owned()));
        }
        Ok(())
    }

    /// Copies of the buffers and constants.
    fn kept(&self) -> Result<Vec<Tensor>> {
        self.store
            .buffers()
            .iter()
            .chain(&self.constants)
            .map(|tensor| Ok(tensor.f_detach()?.f_alias_copy()?))
            .collect()
    }

    fn check_kept(&self, before: &[Tensor]) -> Result<()> {
        for (tensor, before) in self.store.buffers().iter().chain(&self.constants).zip(before) {
            if !tensor.f_equal(before)? {
                return Err(self.fault(
                    "changes a buffer when it is judged, in a way that cannot be left out; export it in evaluation mode (net.eval())".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// An image's logits must not depend on the others of its batch: batch normalisation without running statistics, say.
    fn check_rows(&self, pixels: &Tensor, logits: &Tensor, images: i64) -> Result<()> {
        if images < 2 {
            return Ok(());
        }
        let others = self.pixels("check/others", images - 1)?;
        let mixed = Tensor::f_cat(&[&pixels.f_narrow(0, 0, 1)?, &others], 0)?;
        let mixed = tch::no_grad(|| self.logits(&mixed, Mode::Eval))?;
        let apart = distance(&logits.f_narrow(0, 0, 1)?, &mixed.f_narrow(0, 0, 1)?)?;
        if apart > ROUNDING {
            return Err(self.fault(format!(
                "gives an image other logits when the other images of its batch change (by {apart:.1e} of the largest), so that accuracy \
                 has no meaning: a batch normalisation without running statistics, or a sum over the batch"
            )));
        }
        Ok(())
    }

    fn check_gradient(&self, pixels: &Tensor) -> Result<()> {
        let pixels = pixels.f_detach()?.f_set_requires_grad(true)?;
        let logits = tch::with_grad(|| self.logits(&pixels, Mode::Eval))?;
        // Not the cross-entropy, which has no slope left where a network is sure.
        let loss = (logits.f_amax([1], false)? - logits.f_amin([1], false)?).f_sum(Kind::Float)?;
        if !loss.requires_grad() {
            return Err(self.fault(
                "has no gradient in its pixels, so no attack can climb it: it rounds them, or runs within torch.no_grad()".to_owned(),
            ));
        }
        let gradient = gradients(&[&loss], None, &[&pixels], gaat_shim::Graph::Free)?.pop().flatten();
        let Some(gradient) = gradient else {
            return Err(self.fault("has logits that do not depend on its pixels".to_owned()));
        };
        if !is_true(&gradient.f_isfinite()?.f_all()?)? {
            return Err(self.fault("has a gradient in its pixels that is not finite".to_owned()));
        }
        // A last layer of zeros, as torchvision's and timm's transformers begin with, answers every image alike: it can learn.
        let is_untrained = is_true(&logits.f_eq_tensor(&logits.f_narrow(0, 0, 1)?)?.f_all()?)?;
        if !is_untrained && !is_true(&gradient.f_ne(0.0)?.f_any()?)? {
            return Err(self.fault(
                "has a gradient in its pixels that is zero everywhere, so that attacks find nothing and robustness would be an illusion"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

/// The largest difference over the largest number of `right`.
fn distance(left: &Tensor, right: &Tensor) -> Result<f64> {
    let largest = f64::try_from(right.f_abs()?.f_max()?)?.max(f64::MIN_POSITIVE);
    Ok(f64::try_from((left - right).f_abs()?.f_max()?)? / largest)
}

fn is_true(tensor: &Tensor) -> Result<bool> {
    Ok(bool::try_from(tensor)?)
}
