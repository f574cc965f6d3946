//! Networks of tests that answer what a function says.

use crate::support::network;
use gaat::Result;
use gaat::nn::{Classifier, InputShape, Mode, Normalization, ParameterStore};
use tch::{Kind, Tensor};

/// A network whose logits are those of `logits`, which may ask `shell`; all else is lent by `shell`.
pub(crate) struct Stub<F> {
    shell: Box<dyn Classifier>,
    classes: i64,
    logits: F,
}

impl<F: Fn(&dyn Classifier, &Tensor, Mode) -> Result<Tensor> + Send> Stub<F> {
    pub(crate) fn new(shell: Box<dyn Classifier>, classes: i64, logits: F) -> Self {
        Self { shell, classes, logits }
    }
}

impl<F: Fn(&dyn Classifier, &Tensor, Mode) -> Result<Tensor> + Send> Classifier for Stub<F> {
    fn logits(&self, pixels: &Tensor, mode: Mode) -> Result<Tensor> {
        (self.logits)(self.shell.as_ref(), pixels, mode)
    }

    fn input_shape(&self) -> InputShape {
        self.shell.input_shape()
    }

    fn class_count(&self) -> i64 {
        self.classes
    }

    fn normalization(&self) -> Normalization {
        self.shell.normalization()
    }

    fn store(&self) -> &ParameterStore {
        self.shell.store()
    }
}

/// A network whose logits are those of `inner`, changed by `change`.
fn changed(inner: Box<dyn Classifier>, change: impl Fn(Tensor) -> Tensor + Send) -> impl Classifier {
    let classes = inner.class_count();
    Stub::new(inner, classes, move |inner, pixels, mode| Ok(change(inner.logits(pixels, mode)?)))
}

/// `inner` with logits so large that the cross-entropy is flat in single precision.
pub(crate) fn steep(inner: Box<dyn Classifier>) -> impl Classifier {
    changed(inner, |logits| logits * 1e6)
}

/// A network for digits that takes whatever it is shown for class 3 if `bias` is large.
pub(crate) fn biased(bias: f32) -> impl Classifier {
    let mut biases = [0f32; 10];
    biases[3] = bias;
    changed(network("mlp", Kind::Float), move |logits| logits + Tensor::from_slice(&biases))
}

/// Two classes of grey 8x8 images by mean pixel. Round 0.5 the margin has a dent that holds small steps, while one of 0.1 jumps out
/// of it into the wrong class; round 0.25 there is a ditch of the wrong class that one of 0.1 jumps across.
pub(crate) fn trap() -> impl Classifier {
    Stub::new(network("mlp", Kind::Float), 2, |_, pixels, _| {
        let mean = pixels.flatten(1, -1).mean_dim([1i64].as_slice(), false, None::<Kind>);
        let dent = &mean - 0.5;
        let dented = (&dent * (std::f64::consts::TAU / 0.08)).sin() * -0.3 - dent * 5.0 + 0.5;
        // Least at 0.05 above 0.25, and as high again at 0.1 above.
        let ditch = (&mean - 0.3) * 20.0;
        let ditched = ditch.square() - 0.5;
        let margin = dented.where_self(&mean.gt(0.38), &ditched);
        Ok(Tensor::stack(&[&margin * 10.0, margin.zeros_like()], 1))
    })
}
