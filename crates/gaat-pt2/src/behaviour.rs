//! What the mode of a network changes about a node. A graph that was exported in training mode says enough for all modes.

use crate::graph::{Argument, Node, Output, Target, ValueId};
use crate::policy::is_random;
use std::collections::{HashMap, HashSet};

/// See above.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Behaviour {
    /// Nothing.
    Plain,
    /// Batch or instance normalisation.
    BatchNorm {
        /// Exported to use the statistics of the batch.
        uses_batch: bool,
        /// Has running statistics to use instead.
        has_running: bool,
    },
    /// A dropout, by the probability and the flag that it was exported with.
    Dropout {
        /// Draws when the network trains.
        is_on: bool,
    },
    /// Attention, with the share of weights that it drops.
    Attention {
        /// As exported.
        dropout: f64,
    },
    /// The draw of a stochastic depth: kept with this probability, which is divided out again afterwards.
    StochasticDepth {
        /// Of keeping a branch.
        keep: f64,
    },
    /// Any other draw of random numbers: what the network computes when it is judged cannot be known from this graph.
    Noise,
    /// Changes a buffer, and no node reads its result: a counter of batches.
    Bookkeeping,
    /// Changes a buffer and continues with it, so that the buffer cannot be left alone.
    Entangled,
}

/// Settles the behaviour of every node; `buffers` are the values that are parameters or buffers.
pub(crate) fn settle(nodes: &mut [Node], buffers: &HashSet<ValueId>) {
    let mut uses: HashMap<ValueId, Vec<usize>> = HashMap::new();
    for (place, node) in nodes.iter().enumerate() {
        for id in node.inputs.iter().flat_map(|input| input.argument.values()) {
            uses.entry(id).or_default().push(place);
        }
    }
    let found: Vec<Behaviour> = nodes.iter().map(|node| of(node, nodes, &uses, buffers)).collect();
    for (node, behaviour) in nodes.iter_mut().zip(found) {
        node.behaviour = behaviour;
    }
}

fn of(
    node: &Node,
    nodes: &[Node],
    uses: &HashMap<ValueId, Vec<usize>>,
    buffers: &HashSet<ValueId>,
) -> Behaviour {
    let Target::Operator { base, .. } = &node.target else { return Behaviour::Plain };
    let flag = |name: &str| matches!(node.input(name), Some(Argument::Bool(true)));
    let has_running = matches!(node.input("running_mean"), Some(Argument::Value(_)));
    match base.as_str() {
        "batch_norm" => Behaviour::BatchNorm { uses_batch: flag("training"), has_running },
        "instance_norm" => Behaviour::BatchNorm { uses_batch: flag("use_input_stats"), has_running },
        "dropout"
        | "dropout_"
        | "feature_dropout"
        | "feature_dropout_"
        | "alpha_dropout"
        | "alpha_dropout_"
        | "feature_alpha_dropout"
        | "feature_alpha_dropout_" => Behaviour::Dropout { is_on: flag("train") },
        "rrelu" | "rrelu_" => Behaviour::Dropout { is_on: flag("training") },
        "scaled_dot_product_attention" => {
            Behaviour::Attention { dropout: float(node.input("dropout_p")).unwrap_or(0.0) }
        }
        "bernoulli_" => stochastic_depth(node, nodes, uses).unwrap_or(Behaviour::Noise),
        _ if is_random(base) => Behaviour::Noise,
        // In place: by PyTorch's rule of names. What is written is the first argument.
        _ if base.ends_with('_') && !base.ends_with("__") => match node
            .inputs
            .first()
            .map(|input| &input.argument)
        {
            Some(Argument::Value(id)) if buffers.contains(id) => {
                let is_used = |output: &Output| matches!(output, Output::Value(id) if uses.contains_key(id));
                if node.outputs.iter().any(is_used) { Behaviour::Entangled } else { Behaviour::Bookkeeping }
            }
            _ => Behaviour::Plain,
        },
        _ => Behaviour::Plain,
    }
}

/// `empty.bernoulli_(p)` whose result is divided by p, as torchvision and timm write it.
fn stochastic_depth(node: &Node, nodes: &[Node], uses: &HashMap<ValueId, Vec<usize>>) -> Option<Behaviour> {
    let keep = float(node.input("p"))?;
    let [Output::Value(drawn)] = node.outputs[..] else { return None };
    let is_divided = |place: &usize| match &nodes[*place].target {
        Target::Operator { base, .. } if base == "div" || base == "div_" => {
            float(nodes[*place].input("other")) == Some(keep)
                && nodes[*place].inputs.first().is_some_and(|input| input.argument == Argument::Value(drawn))
        }
        _ => false,
    };
    (keep > 0.0 && uses.get(&drawn)?.iter().all(is_divided)).then_some(Behaviour::StochasticDepth { keep })
}

fn float(argument: Option<&Argument>) -> Option<f64> {
    match argument? {
        Argument::Float(number) => Some(*number),
        Argument::Int(number) => Some(*number as f64),
        _ => None,
    }
}
