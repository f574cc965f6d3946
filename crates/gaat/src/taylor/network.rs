//! The network as an expansion asks it: graphs that outlive a pass, and every pass counted.

use crate::error::{Error, Result};
use crate::nn::{Classifier, Mode, PixelPass, in_parts, pixel_pass, plain_logits};
use gaat_shim::Graph;
use gaat_spec::Passes;
use std::cell::Cell;
use tch::{Kind, Reduction, Tensor};

/// The name of the cross-entropy, under which its passes are recorded.
pub(crate) const CROSS_ENTROPY: &str = "cross-entropy";

/// A network with the count of its passes.
pub(crate) struct CountedNetwork<'a> {
    classifier: &'a dyn Classifier,
    mode: Mode,
    /// How many parts every batch is computed in.
    parts: Cell<usize>,
    /// Whether the graph of a pass is kept though no curvature needs it.
    keeps: Cell<bool>,
    passes: Cell<Passes>,
}

/// One forward and one backward pass at `points`, with as much of the graph as was asked for.
pub(crate) struct PointPass {
    /// The leaf that gradients are taken in, `[N, C, H, W]`.
    points: Tensor,
    /// `[N, classes]`, with its graph.
    logits: Tensor,
    /// Cross-entropy of each example, `[N]`, without a graph.
    pub(crate) losses: Tensor,
    /// Gradient of the summed loss, `[N, C, H, W]`; with a graph after [`Graph::Record`].
    gradient: Tensor,
}

impl PointPass {
    /// Gradient of the summed loss, `[N, C, H, W]`, without a graph and in one memory layout.
    pub(crate) fn gradient(&self) -> Result<Tensor> {
        Ok(self.gradient.f_detach()?.f_contiguous()?)
    }

    /// Logits without a graph, `[N, classes]`.
    pub(crate) fn logits(&self) -> Result<Tensor> {
        Ok(self.logits.f_detach()?)
    }

    /// Logits with their graph, as far as it was kept, `[N, classes]`.
    pub(crate) fn recorded_logits(&self) -> Tensor {
        self.logits.shallow_clone()
    }
}

impl<'a> CountedNetwork<'a> {
    pub(crate) fn new(classifier: &'a dyn Classifier, mode: Mode) -> Self {
        Self { classifier, mode, parts: Cell::new(1), keeps: Cell::new(false), passes: Cell::default() }
    }

    /// Computes every batch from now on in `parts`, at least 1, one after the other.
    pub(crate) fn divide(&self, parts: usize) {
        self.parts.set(parts);
    }

    /// Keeps the graph of every pass from now on.
    pub(crate) fn keep_graphs(&self) {
        self.keeps.set(true);
    }

    /// Whether graphs are kept.
    pub(crate) fn keeps_graphs(&self) -> bool {
        self.keeps.get()
    }

    /// Passes so far, in images.
    pub(crate) fn passes(&self) -> Passes {
        self.passes.get()
    }

    fn count(&self, images: i64, one: Passes) {
        let (mut passes, images) = (self.passes.get(), images as u64);
        passes += Passes {
            forward: one.forward * images,
            input_backward: one.input_backward * images,
            full_backward: one.full_backward * images,
            hessian_vector: one.hessian_vector * images,
        };
        self.passes.set(passes);
    }

    /// Loss and input gradient at `points`. Costs F + Bi.
    pub(crate) fn at(&self, points: &Tensor, labels: &Tensor, graph: Graph) -> Result<PointPass> {
        self.count(points.size()[0], Passes { forward: 1, input_backward: 1, ..Passes::default() });
        if graph == Graph::Free && !self.keeps_graphs() {
            let network = (self.classifier, self.mode);
            let of_logits = |logits: &Tensor, inputs: &[&Tensor]| cross_entropy(logits, inputs[1]);
            let PixelPass { losses, gradient, logits } =
                pixel_pass(network, CROSS_ENTROPY, self.parts.get(), &[points, labels], &of_logits)?;
            return Ok(PointPass { points: points.f_detach()?, logits, losses, gradient });
        }
        if self.parts.get() > 1 {
            return Err(Error::Usage(
                "what keeps the graph of a whole batch cannot be computed in parts: leave accumulate out"
                    .to_owned(),
            ));
        }
        let graph = if graph == Graph::Free { Graph::Keep } else { graph };
        let points = points.f_detach()?.f_set_requires_grad(true)?;
        let logits = tch::with_grad(|| self.classifier.logits(&points, self.mode))?;
        let (losses, gradient) = input_gradient(&logits, labels, &points, graph)?;
        Ok(PointPass { points, logits, losses, gradient })
    }

    /// Logits at `points` and the gradient of each, `[N, classes]` and `[N, classes, C * H * W]`, without a graph. Costs
    /// F + classes Bi.
    pub(crate) fn every_logit(&self, points: &Tensor) -> Result<(Tensor, Tensor)> {
        let slopes = |inputs: &[&Tensor]| {
            let points = inputs[0].f_detach()?.f_set_requires_grad(true)?;
            let logits = tch::with_grad(|| self.classifier.logits(&points, self.mode))?;
            let classes = logits.size()[1];
            let mut slopes = Vec::new();
            for class in 0..classes {
                let sum = tch::with_grad(|| logits.f_select(1, class)?.f_sum(None::<Kind>))?;
                let graph = if class + 1 == classes { Graph::Free } else { Graph::Keep };
                slopes.push(gradient_of(&sum, &points, graph)?.f_flatten(1, -1)?);
            }
            let backward = classes as u64;
            self.count(
                points.size()[0],
                Passes { forward: 1, input_backward: backward, ..Passes::default() },
            );
            Ok(vec![logits.f_detach()?, Tensor::f_stack(&slopes, 1)?])
        };
        let mut found = in_parts(self.parts.get(), &[points], &slopes)?;
        let slopes = found.swap_remove(1);
        Ok((found.swap_remove(0), slopes))
    }

    /// Logits at `points` alone, `[N, classes]`. Costs F.
    pub(crate) fn logits(&self, points: &Tensor) -> Result<Tensor> {
        let logits = plain_logits((self.classifier, self.mode), self.parts.get(), points)?;
        self.count(points.size()[0], Passes { forward: 1, ..Passes::default() });
        Ok(logits)
    }

    /// Input gradient for other `labels` (`[N]`), `[N, C, H, W]`, over the graph of `pass`. Costs Bi.
    pub(crate) fn for_labels(&self, pass: &PointPass, labels: &Tensor) -> Result<Tensor> {
        let (_, gradient) = input_gradient(&pass.logits, labels, &pass.points, Graph::Keep)?;
        self.count(pass.points.size()[0], Passes { input_backward: 1, ..Passes::default() });
        Ok(gradient.f_contiguous()?)
    }

    /// `H v`, `[N, C, H, W]`, with the Hessian of the summed loss at a `pass` made with [`Graph::Record`].
    pub(crate) fn hessian_vector(&self, pass: &PointPass, vector: &Tensor) -> Result<Tensor> {
        if !pass.gradient.requires_grad() {
            // The logits do not depend on the pixels at all.
            return Ok(vector.f_zeros_like()?);
        }
        let found =
            gaat_shim::gradients(&[&pass.gradient], Some(&[vector]), &[&pass.points], Graph::Keep)?.pop();
        self.count(pass.points.size()[0], Passes { hessian_vector: 1, ..Passes::default() });
        match found.flatten() {
            Some(product) => Ok(product.f_detach()?.f_contiguous()?),
            // The gradient does not depend on the point: the loss is linear there.
            None => Ok(vector.f_zeros_like()?),
        }
    }
}

/// Losses without a graph, and the gradient of their sum.
fn input_gradient(
    logits: &Tensor,
    labels: &Tensor,
    points: &Tensor,
    graph: Graph,
) -> Result<(Tensor, Tensor)> {
    let losses = tch::with_grad(|| cross_entropy(logits, labels))?;
    let sum = tch::with_grad(|| losses.f_sum(None::<Kind>))?;
    Ok((losses.f_detach()?, gradient_of(&sum, points, graph)?))
}

/// Cross-entropy of each example, `[N]`, with classes (`[N]`, i64) or with probabilities of the classes (`[N, classes]`, floating
/// point).
pub(crate) fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let loss = |targets: &Tensor| {
        Ok(logits.f_cross_entropy_loss(targets, None::<Tensor>, Reduction::None, -100, 0.0)?)
    };
    if targets.is_floating_point() { loss(&targets.f_to_kind(logits.kind())?) } else { loss(targets) }
}

/// Gradient of `sum` in the pixels; zero where it does not depend on them.
fn gradient_of(sum: &Tensor, points: &Tensor, graph: Graph) -> Result<Tensor> {
    Ok(match gaat_shim::gradients(&[sum], None, &[points], graph)?.pop().flatten() {
        Some(gradient) => gradient,
        None => points.f_detach()?.f_zeros_like()?,
    })
}
