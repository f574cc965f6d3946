//! What the rest of the library sees of a network.

use super::exported::ExportedNetwork;
use super::input::Normalization;
use super::precision::ComputePrecision;
use super::recordings::Recordings;
use super::rng::Rng;
use super::store::ParameterStore;
use super::trace::Trace;
use crate::error::{Error, Result};
use std::fmt;
use tch::Tensor;

/// Which statistics batch normalisation uses, and whether it remembers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Statistics of the batch; running statistics are updated.
    Train,
    /// Statistics of the batch; running statistics stay untouched: for attacks while training.
    TrainFrozenStats,
    /// Running statistics.
    Eval,
}

/// Shape of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InputShape {
    /// Colour channels.
    pub channels: i64,
    /// Rows.
    pub height: i64,
    /// Columns.
    pub width: i64,
}

impl InputShape {
    /// The shape of `images`.
    pub fn of(images: &dyn gaat_data::ImageSource) -> Self {
        let gaat_data::ImageShape { channels, height, width } = images.shape();
        Self { channels: channels as i64, height: height as i64, width: width as i64 }
    }

    /// Numbers in one image.
    pub fn size(&self) -> i64 {
        self.channels * self.height * self.width
    }
}

impl fmt::Display for InputShape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}x{}x{}", self.channels, self.height, self.width)
    }
}

/// What comes out of the last convolutional stage, with the logits that follow from it.
#[derive(Debug)]
pub struct FeatureMaps {
    /// `[N, K, h, w]`, after the activation, in the dtype that the network computes in.
    pub maps: Tensor,
    /// `[N, classes]`, differentiable in the maps.
    pub logits: Tensor,
}

/// A network that tells classes apart. Four methods are needed; the others have defaults that fit a plain network in f32.
pub trait Classifier: Send {
    /// Logits of `pixels`, differentiable in the pixels and in the parameters.
    ///
    /// `pixels`: `[N, C, H, W]` with N at least 1, of the dtype and on the device of the store, meant to lie in
    /// `[0, 1]` (not checked: a Taylor anchor may lie outside). Returns `[N, classes]` of the same dtype.
    ///
    /// # Errors
    /// When shape, dtype or device of the pixels do not fit, or libtorch fails.
    fn logits(&self, pixels: &Tensor, mode: Mode) -> Result<Tensor>;

    /// The same logits, and the feature maps that they come from; `None` where [`feature_layer`](Self::feature_layer) is.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    fn feature_maps(&self, pixels: &Tensor, mode: Mode) -> Result<Option<FeatureMaps>> {
        let _ = (pixels, mode);
        Ok(None)
    }

    /// The layer or stage that its last feature maps come from, by its PyTorch name; `None` for a network without
    /// convolutions.
    fn feature_layer(&self) -> Option<&str> {
        None
    }

    /// Name of the model, such as `wide-resnet-28-4`. By default that of its type, `MyNet` as `my-net`.
    fn name(&self) -> String {
        kebab(std::any::type_name::<Self>())
    }

    /// What of the definition the name leaves open, such as `raw-shortcut, final-batchnorm`; empty if nothing.
    ///
    /// Two variants of one model can share all parameter names and shapes and yet compute different things:
    /// a saved file records it.
    #[allow(clippy::unnecessary_literal_bound, reason = "a network may hold the text itself")]
    fn variant(&self) -> &str {
        ""
    }

    /// Shape of the images that it takes.
    fn input_shape(&self) -> InputShape;

    /// Number of classes.
    fn class_count(&self) -> i64;

    /// Precision of its convolutions; f32 by default.
    fn compute_precision(&self) -> ComputePrecision {
        ComputePrecision::Fp32
    }

    /// What is done to the pixels first; nothing by default.
    fn normalization(&self) -> Normalization {
        Normalization::identity(self.input_shape().channels)
    }

    /// Its parameters and buffers.
    fn store(&self) -> &ParameterStore;

    /// Says which step begins: what its layers draw from now on, dropout say, is a function of `rng` and `step` alone. Nothing by default.
    fn begin_step(&self, rng: Rng, step: u64) {
        let _ = (rng, step);
    }

    /// Where its passes in `mode` are kept as CUDA graphs. `None` by default, and on a CPU: then every pass is computed operation by
    /// operation. A classifier that returns one promises that what a pass computes depends on its inputs and the tensors of the store
    /// alone, that those stay where they are, and that it neither draws random numbers nor reads from the device.
    fn recordings(&self, mode: Mode) -> Option<&Recordings> {
        let _ = mode;
        None
    }

    /// The same network once more, for another thread: weights and statistics are shared, gradients are not. `None` where
    /// there is no such thing, as by default; then one thread of batches has to do.
    ///
    /// # Errors
    /// When libtorch has no room.
    fn replica(&self) -> Result<Option<Box<dyn Classifier>>> {
        Ok(None)
    }

    /// The same network once more with weights of its own, whatever they are: what averaging keeps the mean in. `None` where
    /// there is no such thing, as by default.
    ///
    /// # Errors
    /// When libtorch has no room.
    fn twin(&self) -> Result<Option<Box<dyn Classifier>>> {
        Ok(None)
    }

    /// The last linear layer by its PyTorch name, which a new set of classes replaces. `None` by default.
    fn head(&self) -> Option<&str> {
        None
    }

    /// Why it cannot be computed in `mode`; `Ok` by default. What is only known as it was exported may not know every mode.
    ///
    /// # Errors
    /// Where the logits would be those of another network than its author means, with what to do.
    fn check_mode(&self, mode: Mode) -> Result<()> {
        let _ = mode;
        Ok(())
    }

    /// This network as one of `torch.export`, whose graph has to lie beside its weights. `None` by default.
    fn exported(&self) -> Option<&ExportedNetwork> {
        None
    }

    /// What it computes in [`Mode::Eval`], layer by layer: what an export needs.
    ///
    /// # Errors
    /// When the network does not say; a network of one's own need not.
    fn trace(&self) -> Result<Trace> {
        let reason = "does not say what it computes layer by layer, so it cannot be exported; give it a \
                      Classifier::trace";
        Err(Error::Model { model: self.name(), reason: reason.to_owned() })
    }
}

/// The last word of a type's path in small letters: `a::MyNet<T>` as `my-net`.
fn kebab(path: &str) -> String {
    let plain = path.split('<').next().unwrap_or_default();
    let mut name = String::new();
    for letter in plain.rsplit("::").next().unwrap_or_default().chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_gives_its_network_a_name() {
        assert_eq!(kebab("a::b::MyNet"), "my-net");
        assert_eq!(kebab("Linear<f64, c::D>"), "linear");
        assert!(kebab("a::MyNet2").parse::<gaat_spec::ModelName>().is_ok());
    }
}
