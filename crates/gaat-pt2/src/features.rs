//! The last convolutional map of a graph, found by following what convolutions make: the last four-dimensional tensor is the wrong
//! one for transformers, whose attention has four dimensions too.

use crate::graph::{Argument, Node, Output, Target, ValueId};
use crate::program::Program;
use crate::sizes::Extent;
use std::collections::HashSet;

/// Where a network has its last convolutional map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureMap {
    /// The value that it is: `[N, K, h, w]`.
    pub value: ValueId,
    /// The layer that made it, or the last before a function of the network itself, by its name in PyTorch.
    pub layer: String,
}

/// Operators behind which a map is still a map, with its channels and places where they were.
const KEEPING: &str = "
    relu relu6 leaky_relu elu celu selu gelu silu mish hardswish hardsigmoid hardtanh sigmoid tanh softplus prelu rrelu add sub mul div
    batch_norm instance_norm group_norm max_pool2d avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d cat dropout feature_dropout
    alpha_dropout clone contiguous pad constant_pad_nd upsample_nearest2d upsample_bilinear2d upsample_bicubic2d clamp clamp_min
    pixel_shuffle channel_shuffle";
/// With the channels last: what convnext and swin do between two permutations.
const LAST: &str = "linear layer_norm gelu add mul dropout clone contiguous relu silu";

const TO_LAST: [i64; 4] = [0, 2, 3, 1];
const TO_FIRST: [i64; 4] = [0, 3, 1, 2];

impl Program {
    /// The last convolutional map with more than one place; `None` for a network without one.
    pub fn feature_map(&self) -> Option<FeatureMap> {
        let (mut maps, mut turned): (HashSet<ValueId>, HashSet<ValueId>) = (HashSet::new(), HashSet::new());
        let mut last: Option<FeatureMap> = None;
        for node in &self.nodes {
            let Target::Operator { base, .. } = &node.target else { continue };
            let base = base.strip_suffix('_').unwrap_or(base);
            if ["softmax", "scaled_dot_product_attention"].contains(&base) {
                last = None;
            }
            let [Output::Value(made), ..] = node.outputs[..] else { continue };
            let given: Vec<ValueId> = node.inputs.iter().flat_map(|input| input.argument.values()).collect();
            let of = |known: &HashSet<ValueId>| given.iter().any(|id| known.contains(id));
            let is_map = base == "conv2d"
                || (lists(KEEPING, base) && of(&maps))
                || (turns(node, base, &TO_FIRST) && of(&turned));
            if is_map {
                maps.insert(made);
                if self.is_wide(made) {
                    // A function that the network calls itself belongs to the layer before it.
                    let before = last.take().map(|map| map.layer).filter(|_| node.layer.is_empty());
                    last =
                        Some(FeatureMap { value: made, layer: before.unwrap_or_else(|| node.layer.clone()) });
                }
            } else if (turns(node, base, &TO_LAST) && of(&maps)) || (lists(LAST, base) && of(&turned)) {
                turned.insert(made);
            }
        }
        last
    }

    /// Whether a value is `[N, K, h, w]` with more than one place.
    fn is_wide(&self, id: ValueId) -> bool {
        match self.value(id).sizes {
            Some([_, Extent::Known(channels), Extent::Known(height), Extent::Known(width)]) => {
                *channels > 1 && height.saturating_mul(*width) > 1
            }
            _ => false,
        }
    }
}

fn lists(list: &str, base: &str) -> bool {
    list.split_whitespace().any(|known| known == base)
}

fn turns(node: &Node, base: &str, order: &[i64]) -> bool {
    base == "permute" && matches!(node.input("dims"), Some(Argument::Ints(dims)) if dims == order)
}
