//! From a program to steps: operators found, arguments put in the order of their schemas, values that no later node reads let go.

use super::state::{Source, State};
use super::step::{Action, Step};
use crate::error::{Error, Result};
use crate::nn::classifier::Mode;
use gaat_pt2::{Argument, Behaviour, Input, Node, Output, Program, Target, ValueId};
use gaat_shim::Operator;
use std::collections::{HashMap, HashSet};
use tch::Device;

/// Bytes of the widest number.
const WIDEST: u64 = 8;

/// The steps of a program.
pub(super) struct Graph {
    pub(super) steps: Vec<Step>,
    /// Where each tensor of the program goes.
    pub(super) sources: Vec<(ValueId, Source)>,
    pub(super) values: usize,
    pub(super) images: ValueId,
    pub(super) logits: ValueId,
    pub(super) feature_map: Option<ValueId>,
    pub(super) feature_layer: Option<String>,
    /// Gains from pixels in channels-last memory.
    pub(super) is_convolutional: bool,
    pub(super) has_attention: bool,
    /// Bytes of the largest tensor that the file states, an image.
    pub(super) largest: u64,
    /// Passes that draw nothing can be kept as CUDA graphs.
    pub(super) only_launches: bool,
    draws_in_training: bool,
    draws_noise: bool,
}

impl Graph {
    pub(super) fn new(program: &Program, device: Device, state: &mut State) -> Result<Self> {
        let sources = state.take_in(program)?;
        let device = match device {
            Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".to_owned(),
        };
        let written = written_in_place(program);
        let places: HashMap<ValueId, usize> = program
            .tensors
            .iter()
            .zip(&sources)
            .filter_map(|(stored, source)| match source {
                Source::Store(place) => Some((stored.value, *place)),
                Source::Constant(_) => None,
            })
            .collect();
        let mut steps = Vec::new();
        for node in &program.nodes {
            let step = step(node, &device, &written, &places);
            steps.push(step.map_err(|reason| Error::Model {
                model: program.class.clone(),
                reason: node.fault(reason).to_string(),
            })?);
        }
        let map = program.feature_map();
        let kept: HashSet<ValueId> = program.tensors.iter().map(|stored| stored.value).collect();
        let last = [Some(program.logits), map.as_ref().map(|map| map.value)].into_iter().flatten();
        let_go(&mut steps, kept.into_iter().chain(last).collect());
        let has = |wanted: &[&str]| {
            program.nodes.iter().any(|node| matches!(&node.target, Target::Operator { base, .. } if wanted.contains(&base.as_str())))
        };
        let behaves =
            |wanted: &dyn Fn(&Behaviour) -> bool| program.nodes.iter().any(|node| wanted(&node.behaviour));
        let has_attention = has(&["scaled_dot_product_attention"]);
        Ok(Self {
            steps,
            sources: program.tensors.iter().map(|stored| stored.value).zip(sources).collect(),
            values: program.values().len(),
            images: program.images,
            logits: program.logits,
            feature_layer: map.as_ref().map(|map| map.layer.clone()),
            feature_map: map.map(|map| map.value),
            is_convolutional: has(&["conv2d"]) && !has_attention && !has(&["softmax"]),
            has_attention,
            largest: largest(program),
            only_launches: program.nodes.iter().all(|node| match &node.target {
                Target::Operator { base, .. } => gaat_pt2::only_launches(base),
                Target::Arithmetic(_) => true,
            }),
            draws_in_training: behaves(&|behaviour| match behaviour {
                Behaviour::Dropout { is_on } => *is_on,
                Behaviour::Attention { dropout } => *dropout > 0.0,
                Behaviour::StochasticDepth { .. } => true,
                _ => false,
            }),
            draws_noise: behaves(&|behaviour| *behaviour == Behaviour::Noise),
        })
    }

    /// Whether a pass in `mode` draws random numbers.
    pub(super) fn draws(&self, mode: Mode) -> bool {
        self.draws_noise || (mode == Mode::Train && self.draws_in_training)
    }
}

/// Bytes an image of the largest tensor that the file states.
fn largest(program: &Program) -> u64 {
    let images = program.batch.unwrap_or(2);
    let count = |value: gaat_pt2::Value<'_>| -> u64 {
        value
            .sizes
            .unwrap_or_default()
            .iter()
            .filter_map(|extent| extent.at(images))
            .map(|side| side.max(0) as u64)
            .product()
    };
    let most = program.values().map(count).max().unwrap_or(0);
    most.saturating_mul(WIDEST).div_ceil(images as u64)
}

/// Values that a later node writes to.
fn written_in_place(program: &Program) -> HashSet<ValueId> {
    let first = |node: &Node| match (&node.target, node.inputs.first()) {
        (Target::Operator { base, .. }, Some(Input { argument: Argument::Value(id), .. }))
            if base.ends_with('_') =>
        {
            Some(*id)
        }
        _ => None,
    };
    program.nodes.iter().filter_map(first).collect()
}

fn step(
    node: &Node,
    device: &str,
    written: &HashSet<ValueId>,
    places: &HashMap<ValueId, usize>,
) -> std::result::Result<Step, String> {
    let (action, arguments) = match &node.target {
        Target::Arithmetic(operation) => {
            let arguments = node.inputs.iter().map(|input| Some(input.argument.clone())).collect();
            (Action::Arithmetic(*operation), arguments)
        }
        Target::Operator { base, overload } => {
            let is_kept = |output: &Output| !matches!(output, Output::Value(id) if written.contains(id));
            // Maps in channels-last memory have no such views; reshape is the view where there is one.
            let is_reshape = base == "view" && overload.is_empty() && node.outputs.iter().all(is_kept);
            let name = if is_reshape { "reshape" } else { base.as_str() };
            let operator = found(name, overload)?;
            let mut arguments: Vec<Option<Argument>> = vec![None; operator.parameters().len()];
            for input in &node.inputs {
                let name = if is_reshape && input.name == "size" { "shape" } else { &input.name };
                let place = place(&operator, name).ok_or_else(|| {
                    format!("this libtorch knows it without an argument `{name}`; export it with PyTorch 2.11 or an older one")
                })?;
                let kind = &operator.parameters()[place].kind;
                if !gaat_pt2::takes(kind) {
                    return Err(format!("a file may not give it a {kind} (`{name}`)"));
                }
                arguments[place] = Some(match &input.argument {
                    Argument::Device => Argument::Text(device.to_owned()),
                    other => other.clone(),
                });
            }
            let told_by = match node.behaviour {
                Behaviour::BatchNorm { .. } => node.input("running_mean"),
                _ => node.inputs.first().map(|input| &input.argument),
            };
            let buffer = match told_by {
                Some(Argument::Value(id)) => places.get(id).copied(),
                _ => None,
            };
            (Action::call(node.behaviour, operator, buffer)?, arguments)
        }
    };
    Ok(Step {
        action,
        arguments,
        outputs: node.outputs.clone(),
        records_gradient: node.records_gradient,
        last_uses: Vec::new(),
    })
}

/// An operator of libtorch.
pub(super) fn found(base: &str, overload: &str) -> std::result::Result<Operator, String> {
    Operator::find(&format!("aten::{base}"), overload).map_err(|error| error.to_string())
}

/// Which of its parameters is called `name`.
pub(super) fn place(operator: &Operator, name: &str) -> Option<usize> {
    operator.parameters().iter().position(|parameter| parameter.name == name)
}

/// Notes in each step the values that no later one reads, except those that are `kept`.
fn let_go(steps: &mut [Step], mut kept: HashSet<ValueId>) {
    for step in steps.iter_mut().rev() {
        let mut ids: Vec<ValueId> = step.arguments.iter().flatten().flat_map(Argument::values).collect();
        for output in &step.outputs {
            match output {
                Output::Value(id) => ids.push(*id),
                Output::Values(several) => ids.extend(several),
                Output::Nowhere => {}
            }
        }
        step.last_uses = ids.into_iter().filter(|id| kept.insert(*id)).collect();
    }
}
