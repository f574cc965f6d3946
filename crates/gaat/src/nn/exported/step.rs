//! One node run: arguments gathered, what the mode changes about them, results put where they belong.

use super::ExportedNetwork;
use super::compile::{Graph, found, place};
use super::state::Source;
use crate::error::{Error, Result};
use crate::nn::classifier::Mode;
use crate::nn::store::ParameterStore;
use gaat_pt2::{Argument, Arithmetic, Behaviour, Dimension, Number, Output, Program, ValueId};
use gaat_shim::{Argument as Given, Operator, TensorList, Value};
use tch::Tensor;

/// What a step does.
pub(super) enum Action {
    /// Calls an operator.
    Call(Operator, Modal),
    /// Computes with sizes.
    Arithmetic(Arithmetic),
}

/// What the mode changes about a call; the numbers are places among its arguments.
pub(super) enum Modal {
    /// Nothing.
    Nothing,
    /// Which statistics are used and remembered.
    BatchNorm {
        training: usize,
        mean: usize,
        variance: usize,
        uses_batch: bool,
        has_running: bool,
        /// Place of its running mean in the store.
        statistics: Option<usize>,
    },
    /// Off where the network does not train.
    Dropout { train: usize },
    /// Its dropout off where the network does not train.
    Attention { dropout: usize },
    /// Filled with its mean where the network does not train.
    StochasticDepth { fill: Operator, keep: f64 },
    /// Left out where the network does not train, and where the buffer at this place of the store is frozen.
    Bookkeeping { buffer: Option<usize> },
}

/// Why a step was not taken.
pub(super) enum Fault {
    /// A batch normalisation was to take statistics of one number a channel.
    OneValue,
    /// Anything else.
    Said(String),
}

impl From<String> for Fault {
    fn from(reason: String) -> Self {
        Self::Said(reason)
    }
}

impl From<&str> for Fault {
    fn from(reason: &str) -> Self {
        Self::Said(reason.to_owned())
    }
}

/// What a pass is about.
#[derive(Clone, Copy)]
struct Pass<'a> {
    store: &'a ParameterStore,
    mode: Mode,
}

impl Pass<'_> {
    fn is_frozen(self, place: Option<usize>) -> bool {
        place.is_some_and(|place| self.store.is_frozen(place))
    }
}

/// One node, ready to run.
pub(super) struct Step {
    pub(super) action: Action,
    /// In the order of the schema; `None` for the default.
    pub(super) arguments: Vec<Option<Argument>>,
    pub(super) outputs: Vec<Output>,
    pub(super) records_gradient: bool,
    /// Values that nothing reads afterwards.
    pub(super) last_uses: Vec<ValueId>,
}

impl Action {
    /// The call of `operator` that behaves as `behaviour` says; `buffer` is the place in the store of what it changes or is told by.
    pub(super) fn call(
        behaviour: Behaviour,
        operator: Operator,
        buffer: Option<usize>,
    ) -> std::result::Result<Self, String> {
        let at = |name: &str| {
            place(&operator, name)
                .ok_or_else(|| format!("this libtorch knows it without an argument `{name}`"))
        };
        let modal = match behaviour {
            Behaviour::BatchNorm { uses_batch, has_running } => Modal::BatchNorm {
                training: at("training").or_else(|_| at("use_input_stats"))?,
                mean: at("running_mean")?,
                variance: at("running_var")?,
                uses_batch,
                has_running,
                statistics: buffer,
            },
            Behaviour::Dropout { .. } => Modal::Dropout { train: at("train").or_else(|_| at("training"))? },
            Behaviour::Attention { .. } => Modal::Attention { dropout: at("dropout_p")? },
            Behaviour::StochasticDepth { keep } => {
                Modal::StochasticDepth { fill: found("fill_", "Scalar")?, keep }
            }
            Behaviour::Bookkeeping => Modal::Bookkeeping { buffer },
            Behaviour::Plain | Behaviour::Noise | Behaviour::Entangled => Modal::Nothing,
        };
        Ok(Self::Call(operator, modal))
    }
}

/// The values of a pass, by [`ValueId`].
type Values = Vec<Option<Value>>;

/// Sees the tensors that a step has made.
pub(super) type Observer<'a> = &'a mut dyn FnMut(ValueId, &Tensor) -> std::result::Result<(), String>;

impl Graph {
    /// Logits of `pixels`, and the value `wanted`.
    pub(super) fn run(
        &self,
        network: &ExportedNetwork,
        program: &Program,
        pixels: &Tensor,
        mode: Mode,
        wanted: Option<ValueId>,
        observe: Observer<'_>,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let mut values: Values = (0..self.values).map(|_| None).collect();
        for (id, source) in &self.sources {
            let tensor = match source {
                Source::Store(place) => &network.store.named()[*place].tensor,
                Source::Constant(place) => &network.constants[*place],
            };
            values[id.0] = Some(Value::Tensor(tensor.shallow_clone()));
        }
        values[self.images.0] = Some(Value::Tensor(pixels.shallow_clone()));
        for (place, step) in self.steps.iter().enumerate() {
            let pass = Pass { store: &network.store, mode };
            let mut run = |values: &mut Values| step.run(values, pass, observe);
            let done =
                if step.records_gradient { run(&mut values) } else { tch::no_grad(|| run(&mut values)) };
            done.map_err(|fault| match fault {
                Fault::OneValue => Error::OneValue { layer: program.nodes[place].layer.clone() },
                Fault::Said(reason) => Error::Model {
                    model: program.class.clone(),
                    reason: program.nodes[place].fault(reason).to_string(),
                },
            })?;
            for id in &step.last_uses {
                values[id.0] = None;
            }
        }
        let mut take = |id: ValueId| match &values[id.0] {
            Some(Value::Tensor(tensor)) => Ok(tensor.shallow_clone()),
            _ => Err(Error::Model {
                model: program.class.clone(),
                reason: format!("`{}` is no tensor", program.value(id).name),
            }),
        };
        Ok((take(self.logits)?, wanted.map(&mut take).transpose()?))
    }
}

impl Step {
    fn run(
        &self,
        values: &mut Values,
        pass: Pass<'_>,
        observe: Observer<'_>,
    ) -> std::result::Result<(), Fault> {
        let results = match &self.action {
            Action::Call(_, Modal::Bookkeeping { buffer })
                if pass.mode != Mode::Train || pass.is_frozen(*buffer) =>
            {
                return Ok(());
            }
            Action::Call(operator, modal) => self.call(operator, modal, values, pass)?,
            Action::Arithmetic(operation) => {
                let operands: Option<Vec<Number>> =
                    self.arguments.iter().map(|argument| number(argument.as_ref()?, values)).collect();
                let found = operands.and_then(|operands| operation.of(&operands));
                vec![match found.ok_or("sizes that cannot be computed with")? {
                    Number::Int(number) => Value::Int(number),
                    Number::Float(number) => Value::Float(number),
                    Number::Bool(is) => Value::Bool(is),
                }]
            }
        };
        Ok(self.put(results, values, observe)?)
    }

    fn call(
        &self,
        operator: &Operator,
        modal: &Modal,
        values: &Values,
        pass: Pass<'_>,
    ) -> std::result::Result<Vec<Value>, Fault> {
        let mode = pass.mode;
        let mut scratch = Scratch::default();
        scratch.gather(&self.arguments, values)?;
        let mut given = scratch.given(&self.arguments, values)?;
        match *modal {
            Modal::BatchNorm { training, mean, variance, uses_batch, has_running, statistics } => {
                // A frozen layer is the same function whatever the batch, and its statistics stay.
                let mode = if pass.is_frozen(statistics) { Mode::Eval } else { mode };
                match mode {
                    Mode::Eval if has_running => given[training] = Given::Bool(false),
                    // As exported: a layer that its owner froze stays frozen.
                    _ if !uses_batch => {}
                    // libtorch would make the running variance NaN without a word.
                    _ if has_one_value(&given[0]) => return Err(Fault::OneValue),
                    Mode::TrainFrozenStats if has_running => {
                        (given[mean], given[variance]) = (Given::None, Given::None);
                    }
                    _ => {}
                }
            }
            Modal::Dropout { train } if mode != Mode::Train => given[train] = Given::Bool(false),
            Modal::Attention { dropout } if mode != Mode::Train => given[dropout] = Given::Float(0.0),
            Modal::StochasticDepth { ref fill, keep } if mode != Mode::Train => {
                return Ok(fill.call(&[given[0], Given::Float(keep)]).map_err(|error| error.to_string())?);
            }
            _ => {}
        }
        Ok(operator.call(&given).map_err(|error| error.to_string())?)
    }

    fn put(
        &self,
        results: Vec<Value>,
        values: &mut Values,
        observe: Observer<'_>,
    ) -> std::result::Result<(), String> {
        let mut keep = |id: &ValueId, value: Value| {
            if let Value::Tensor(tensor) = &value {
                observe(*id, tensor)?;
            }
            values[id.0] = Some(value);
            Ok::<_, String>(())
        };
        for (output, value) in self.outputs.iter().zip(results) {
            match (output, value) {
                (Output::Nowhere, _) => {}
                (Output::Value(id), value) => keep(id, value)?,
                (Output::Values(ids), Value::Tensors(tensors)) if ids.len() == tensors.len() => {
                    for (id, tensor) in ids.iter().zip(tensors) {
                        keep(id, Value::Tensor(tensor))?;
                    }
                }
                (Output::Values(ids), _) => {
                    return Err(format!("does not make the {} tensors that the graph expects", ids.len()));
                }
            }
        }
        Ok(())
    }
}

/// Whether a batch normalisation of `input`, `[N, C, ...]`, would have one number a channel.
fn has_one_value(input: &Given<'_>) -> bool {
    match input {
        Given::Tensor(tensor) => {
            let size = tensor.size();
            size.len() >= 2 && tensor.numel() as i64 <= size[1]
        }
        _ => false,
    }
}

/// What the arguments of a call point to while it runs.
#[derive(Default)]
struct Scratch<'v> {
    sizes: Vec<Vec<i64>>,
    lists: Vec<TensorList<'v>>,
}

impl<'v> Scratch<'v> {
    /// Brings together the lists of which some parts are values.
    fn gather(
        &mut self,
        arguments: &[Option<Argument>],
        values: &'v Values,
    ) -> std::result::Result<(), String> {
        for argument in arguments.iter().flatten() {
            match argument {
                Argument::Dimensions(sizes) => {
                    let size = |size: &Dimension| match size {
                        Dimension::Known(number) => Some(*number),
                        Dimension::Value(id) => match values[id.0] {
                            Some(Value::Int(number)) => Some(number),
                            _ => None,
                        },
                    };
                    self.sizes.push(
                        sizes
                            .iter()
                            .map(size)
                            .collect::<Option<_>>()
                            .ok_or("a size that is no whole number")?,
                    );
                }
                Argument::Values(ids) => {
                    let tensors = ids.iter().map(|id| match id.map(|id| &values[id.0]) {
                        None => Ok(None),
                        Some(Some(Value::Tensor(tensor))) => Ok(Some(tensor)),
                        Some(_) => Err("a list of tensors with something else in it"),
                    });
                    self.lists.push(TensorList::of(
                        tensors.collect::<std::result::Result<Vec<_>, _>>()?.into_iter(),
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn given<'a>(
        &'a self,
        arguments: &'a [Option<Argument>],
        values: &'a Values,
    ) -> std::result::Result<Vec<Given<'a>>, String> {
        let (mut sizes, mut lists) = (self.sizes.iter(), self.lists.iter());
        let mut given = Vec::with_capacity(arguments.len());
        for argument in arguments {
            given.push(match argument {
                None => Given::Default,
                Some(Argument::None) => Given::None,
                Some(Argument::Int(number)) => Given::Int(*number),
                Some(Argument::Ints(numbers)) => Given::Ints(numbers),
                Some(Argument::Float(number)) => Given::Float(*number),
                Some(Argument::Floats(numbers)) => Given::Floats(numbers),
                Some(Argument::Bool(is)) => Given::Bool(*is),
                Some(Argument::Bools(flags)) => Given::Bools(flags),
                Some(Argument::Text(text)) => Given::Text(text),
                Some(Argument::Dimensions(_)) => {
                    Given::Ints(sizes.next().ok_or("sizes that were not gathered")?)
                }
                Some(Argument::Values(_)) => {
                    Given::Tensors(lists.next().ok_or("tensors that were not gathered")?)
                }
                Some(Argument::Device) => return Err("a device that was not settled".to_owned()),
                Some(Argument::Value(id)) => match values[id.0].as_ref().ok_or("a value that was let go")? {
                    Value::None => Given::None,
                    Value::Tensor(tensor) => Given::Tensor(tensor),
                    Value::Int(number) => Given::Int(*number),
                    Value::Float(number) => Given::Float(*number),
                    Value::Bool(is) => Given::Bool(*is),
                    Value::Tensors(_) => return Err("a list where one value is expected".to_owned()),
                },
            });
        }
        Ok(given)
    }
}

fn number(argument: &Argument, values: &Values) -> Option<Number> {
    Some(match argument {
        Argument::Int(number) => Number::Int(*number),
        Argument::Float(number) => Number::Float(*number),
        Argument::Bool(is) => Number::Bool(*is),
        Argument::Value(id) => match values[id.0] {
            Some(Value::Int(number)) => Number::Int(number),
            Some(Value::Float(number)) => Number::Float(number),
            Some(Value::Bool(is)) => Number::Bool(is),
            _ => return None,
        },
        _ => return None,
    })
}
