//! The graph as typed Rust: nodes in order, each with values that were made before it. Nested graphs are laid out flat.

use crate::arithmetic::Arithmetic;
use crate::behaviour::Behaviour;
use crate::error::{Error, Result};
use crate::policy;
use crate::schema::{self, OptionalTensor, SymBool, SymFloat, SymInt};
use crate::sizes::Extent;
use crate::stored::scalar_type;
use std::collections::HashMap;

/// Graphs within graphs; PyTorch writes two at most for a network with `no_grad` in it.
const MOST_NESTED: usize = 8;
/// Not the name of a layer: PyTorch's own hooks leave it on nodes of no layer.
const NO_LAYER: &str = "_empty_nn_module_stack_from_metadata_hook";

/// A place for a value: a number from 0 to below [`Program::values`](crate::Program::values)'s length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ValueId(pub usize);

/// A whole number: known, or a value of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// A number of the file.
    Known(i64),
    /// Known when the node runs.
    Value(ValueId),
}

/// What a node is given.
#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    /// Nothing.
    None,
    /// A value of the graph.
    Value(ValueId),
    /// Tensors of the graph; `None` for nothing.
    Values(Vec<Option<ValueId>>),
    /// A whole number; also a dtype, memory format or layout in the numbers of libtorch.
    Int(i64),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// Whole numbers of which some are values of the graph.
    Dimensions(Vec<Dimension>),
    /// A real number.
    Float(f64),
    /// Real numbers.
    Floats(Vec<f64>),
    /// Yes or no.
    Bool(bool),
    /// Yes or no, several.
    Bools(Vec<bool>),
    /// The name of a mode, such as `zeros`.
    Text(String),
    /// The device where the network is; that of the export means nothing elsewhere.
    Device,
}

impl Argument {
    /// The values of the graph in it.
    pub fn values(&self) -> Vec<ValueId> {
        match self {
            Self::Value(id) => vec![*id],
            Self::Values(ids) => ids.iter().flatten().copied().collect(),
            Self::Dimensions(sizes) => {
                let value = |size: &Dimension| if let Dimension::Value(id) = size { Some(*id) } else { None };
                sizes.iter().filter_map(value).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// An argument under its name in the schema of the operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Name of the parameter; empty for [`Target::Arithmetic`].
    pub name: String,
    /// What is given for it.
    pub argument: Argument,
}

/// What a node calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An operator of libtorch's namespace `aten`.
    Operator {
        /// Such as `conv2d`.
        base: String,
        /// Such as `Tensor`; empty for the default one.
        overload: String,
    },
    /// Arithmetic on sizes.
    Arithmetic(Arithmetic),
}

/// Where a result goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// No node reads it.
    Nowhere,
    /// One value.
    Value(ValueId),
    /// A list of tensors.
    Values(Vec<ValueId>),
}

/// One call.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name in the graph.
    pub name: String,
    /// What it calls.
    pub target: Target,
    /// What it is given.
    pub inputs: Vec<Input>,
    /// Where its results go, in order.
    pub outputs: Vec<Output>,
    /// The innermost layer that it comes from, by its name in PyTorch; empty for the network itself.
    pub layer: String,
    /// Not so within `torch.no_grad()`.
    pub records_gradient: bool,
    /// What the mode of the network changes about it.
    pub behaviour: Behaviour,
}

impl Node {
    /// What it calls, such as `aten.conv2d`.
    pub fn called(&self) -> String {
        match &self.target {
            Target::Operator { base, overload } if overload.is_empty() => format!("aten.{base}"),
            Target::Operator { base, overload } => format!("aten.{base}.{overload}"),
            Target::Arithmetic(operation) => format!("{operation:?}").to_lowercase(),
        }
    }

    /// Its argument of this name, if it was given one.
    pub fn input(&self, name: &str) -> Option<&Argument> {
        self.inputs.iter().find(|input| input.name == name).map(|input| &input.argument)
    }

    /// An error about it.
    pub fn fault(&self, reason: impl Into<String>) -> Error {
        let layer = if self.layer.is_empty() {
            "the network itself".to_owned()
        } else {
            format!("layer `{}`", self.layer)
        };
        Error::Node { node: self.name.clone(), target: self.called(), layer, reason: reason.into() }
    }
}

/// What the file says of a tensor of the graph.
#[derive(Debug, Clone)]
pub(crate) struct Stated {
    pub(crate) name: String,
    pub(crate) sizes: Option<Vec<Extent>>,
}

/// Lays a graph out.
pub(crate) struct Builder<'a> {
    pub(crate) values: Vec<Stated>,
    pub(crate) nodes: Vec<Node>,
    batch: Option<&'a str>,
}

/// The names of one graph.
pub(crate) type Scope = HashMap<String, ValueId>;

impl<'a> Builder<'a> {
    /// `batch`: the symbol that the size of the batch is called by.
    pub(crate) fn new(batch: Option<&'a str>) -> Self {
        Self { values: Vec::new(), nodes: Vec::new(), batch }
    }

    /// A new value called `name` in `scope`.
    pub(crate) fn define(&mut self, scope: &mut Scope, graph: &schema::Graph, name: &str) -> ValueId {
        let id = ValueId(self.values.len());
        let meta = graph.tensor_values.get(name);
        let sizes = meta.map(|meta| meta.sizes.iter().map(|size| Extent::new(size, self.batch)).collect());
        self.values.push(Stated { name: name.to_owned(), sizes });
        scope.insert(name.to_owned(), id);
        id
    }

    /// Lays out the nodes of `graph`.
    pub(crate) fn lay_out(
        &mut self,
        graph: &schema::Graph,
        scope: &mut Scope,
        records: bool,
        depth: usize,
    ) -> Result<()> {
        for node in &graph.nodes {
            if let Some(of_region) = set_grad_enabled(node) {
                let region = of_region.map_err(|reason| fault(node, reason))?;
                self.inline(node, &region, graph, scope, depth)?;
                continue;
            }
            policy::check(&node.target).map_err(|reason| fault(node, reason))?;
            let inputs = node.inputs.iter().map(|input| {
                let argument = argument(&input.arg, scope)
                    .map_err(|reason| fault(node, format!("its argument `{}`: {reason}", input.name)))?;
                Ok(Input { name: input.name.clone(), argument })
            });
            let inputs = inputs.collect::<Result<Vec<_>>>()?;
            let mut outputs = Vec::new();
            for output in &node.outputs {
                outputs.push(self.output(output, graph, scope).map_err(|reason| fault(node, reason))?);
            }
            let target = target(&node.target).ok_or_else(|| fault(node, "names no operator"))?;
            self.nodes.push(Node {
                name: name_of(node),
                target,
                inputs,
                outputs,
                layer: layer_of(node).unwrap_or_default().to_owned(),
                records_gradient: records,
                behaviour: Behaviour::Plain,
            });
        }
        Ok(())
    }

    /// Lays out the graph within `node`, a region with its own setting of the gradient.
    fn inline(
        &mut self,
        node: &schema::Node,
        region: &Region<'_>,
        graph: &schema::Graph,
        scope: &mut Scope,
        depth: usize,
    ) -> Result<()> {
        if depth >= MOST_NESTED {
            return Err(fault(node, format!("graphs nested more than {MOST_NESTED} deep")));
        }
        if region.graph.inputs.len() != region.arguments.len() {
            return Err(fault(node, "gives its inner graph another number of values than that takes"));
        }
        let mut inner = Scope::new();
        for (input, given) in region.graph.inputs.iter().zip(&region.arguments) {
            let (Some(name), Some(outer)) = (single_name(input), single_name(&given.arg)) else {
                return Err(fault(node, "gives its inner graph what is neither a tensor nor a size"));
            };
            let id = scope
                .get(outer)
                .ok_or_else(|| fault(node, format!("uses `{outer}` before it is computed")))?;
            inner.insert(name.to_owned(), *id);
        }
        self.lay_out(region.graph, &mut inner, region.records, depth + 1)?;
        let results = names(&region.graph.outputs);
        let targets = names(&node.outputs);
        if results.len() != targets.len() {
            return Err(fault(node, "takes another number of results from its inner graph than that gives"));
        }
        for (result, target) in results.iter().zip(&targets) {
            let id = inner
                .get(*result)
                .ok_or_else(|| fault(node, format!("gives `{result}`, which is not computed")))?;
            let outer = graph.tensor_values.get(*target);
            if self.values[id.0].sizes.is_none() && outer.is_some() {
                self.values[id.0].sizes =
                    outer.map(|meta| meta.sizes.iter().map(|size| Extent::new(size, self.batch)).collect());
            }
            scope.insert((*target).to_owned(), *id);
        }
        Ok(())
    }

    fn output(
        &mut self,
        output: &schema::Argument,
        graph: &schema::Graph,
        scope: &mut Scope,
    ) -> std::result::Result<Output, String> {
        use schema::Argument as A;
        Ok(match output {
            A::Tensor(name) if name.name.is_empty() => Output::Nowhere,
            A::None => Output::Nowhere,
            A::Tensor(name) => Output::Value(self.define(scope, graph, &name.name)),
            A::Tensors(names) => {
                Output::Values(names.iter().map(|name| self.define(scope, graph, &name.name)).collect())
            }
            A::SymInt(SymInt::AsName(name))
            | A::SymBool(SymBool::AsName(name))
            | A::SymFloat(SymFloat::AsName(name)) => Output::Value(self.define(scope, graph, name)),
            other => return Err(format!("a result that is not computed with ({})", kind_of(other))),
        })
    }
}

/// A nested graph that runs with or without recording gradients.
struct Region<'a> {
    records: bool,
    graph: &'a schema::Graph,
    arguments: Vec<&'a schema::NamedArgument>,
}

/// The region of `torch.no_grad()` or `torch.enable_grad()` that `node` is, if it is one.
fn set_grad_enabled(node: &schema::Node) -> Option<std::result::Result<Region<'_>, String>> {
    let name = node.target.strip_prefix("torch.ops.higher_order.")?;
    if name.trim_end_matches(".default") != "wrap_with_set_grad_enabled" {
        return None;
    }
    Some(match node.inputs.as_slice() {
        [enabled, wrapped, arguments @ ..] => match (&enabled.arg, &wrapped.arg) {
            (schema::Argument::Bool(records), schema::Argument::Graph(subgraph)) => Ok(Region {
                records: *records,
                graph: &subgraph.graph,
                arguments: arguments.iter().collect(),
            }),
            _ => Err("is not given a flag and a graph".to_owned()),
        },
        _ => Err("is not given a flag and a graph".to_owned()),
    })
}

fn target(target: &str) -> Option<Target> {
    if let Some(operation) = Arithmetic::named(target) {
        return Some(Target::Arithmetic(operation));
    }
    let mut parts = target.strip_prefix("torch.ops.aten.")?.split('.');
    let (base, overload) = (parts.next()?, parts.next()?);
    let overload = if overload == "default" { "" } else { overload };
    Some(Target::Operator { base: base.to_owned(), overload: overload.to_owned() })
}

fn argument(argument: &schema::Argument, scope: &Scope) -> std::result::Result<Argument, String> {
    use schema::Argument as A;
    let value = |name: &str| {
        scope.get(name).copied().ok_or_else(|| format!("`{name}` is used before it is computed"))
    };
    let optional = |tensor: &OptionalTensor| match tensor {
        OptionalTensor::AsTensor(name) => value(&name.name).map(Some),
        OptionalTensor::AsNone(_) => Ok(None),
    };
    Ok(match argument {
        A::None | A::OptionalTensor(OptionalTensor::AsNone(_)) => Argument::None,
        A::Tensor(name) | A::OptionalTensor(OptionalTensor::AsTensor(name)) => {
            Argument::Value(value(&name.name)?)
        }
        A::Tensors(names) => Argument::Values(
            names.iter().map(|name| value(&name.name).map(Some)).collect::<std::result::Result<_, _>>()?,
        ),
        A::OptionalTensors(list) => {
            Argument::Values(list.iter().map(optional).collect::<std::result::Result<_, _>>()?)
        }
        A::Int(number) | A::SymInt(SymInt::AsInt(number)) => Argument::Int(*number),
        A::SymInt(SymInt::AsName(name))
        | A::SymBool(SymBool::AsName(name))
        | A::SymFloat(SymFloat::AsName(name)) => Argument::Value(value(name)?),
        A::Ints(list) => Argument::Ints(list.clone()),
        A::SymInts(list) => {
            let size = |size: &SymInt| match size {
                SymInt::AsInt(number) => Ok(Dimension::Known(*number)),
                SymInt::AsName(name) => value(name).map(Dimension::Value),
            };
            let sizes = list.iter().map(size).collect::<std::result::Result<Vec<_>, String>>()?;
            let known =
                |size: &Dimension| if let Dimension::Known(number) = size { Some(*number) } else { None };
            match sizes.iter().map(known).collect::<Option<Vec<i64>>>() {
                Some(numbers) => Argument::Ints(numbers),
                None => Argument::Dimensions(sizes),
            }
        }
        A::Float(number) | A::SymFloat(SymFloat::AsFloat(number)) => Argument::Float(number.0),
        A::Floats(list) => Argument::Floats(list.iter().map(|number| number.0).collect()),
        A::Bool(is) | A::SymBool(SymBool::AsBool(is)) => Argument::Bool(*is),
        A::Bools(list) => Argument::Bools(list.clone()),
        A::Text(text) => Argument::Text(text.clone()),
        A::ScalarType(dtype) => Argument::Int(
            scalar_type(*dtype).ok_or_else(|| format!("the dtype {dtype} is not computed with"))?,
        ),
        A::MemoryFormat(format) => Argument::Int(match format {
            1 => 0,
            2 => 2,
            3 => 3,
            4 => 1,
            _ => return Err(format!("the memory format {format} is not known")),
        }),
        A::Layout(7) => Argument::Int(0),
        A::Layout(_) => return Err("a layout other than that of plain tensors".to_owned()),
        A::Device => Argument::Device,
        other => return Err(format!("is of the kind {}, which is not computed with", kind_of(other))),
    })
}

fn kind_of(argument: &schema::Argument) -> &str {
    match argument {
        schema::Argument::Other(kind) => kind,
        schema::Argument::Graph(_) => "as_graph",
        _ => "of another place",
    }
}

/// The name of the value that `argument` is.
pub(crate) fn single_name(argument: &schema::Argument) -> Option<&str> {
    match argument {
        schema::Argument::Tensor(name) => Some(&name.name),
        schema::Argument::SymInt(SymInt::AsName(name)) => Some(name),
        _ => None,
    }
}

fn names(arguments: &[schema::Argument]) -> Vec<&str> {
    let mut found = Vec::new();
    for argument in arguments {
        match argument {
            schema::Argument::Tensors(names) => found.extend(names.iter().map(|name| name.name.as_str())),
            other => found.extend(single_name(other)),
        }
    }
    found
}

fn fault(node: &schema::Node, reason: impl Into<String>) -> Error {
    let target = node.target.trim_start_matches("torch.ops.").to_owned();
    let layer = match layer_of(node) {
        Some(layer) if !layer.is_empty() => format!("layer `{layer}`"),
        _ => "the network itself".to_owned(),
    };
    Error::Node { node: name_of(node), target, layer, reason: reason.into() }
}

fn name_of(node: &schema::Node) -> String {
    let of_output = || names(&node.outputs).first().map(|name| (*name).to_owned());
    node.name.clone().or_else(of_output).unwrap_or_default()
}

/// The modules round a node as (name, class), the network first: `L__self__,,Net;L__self___conv1,conv1,torch.nn.Conv2d`.
pub(crate) fn modules(node: &schema::Node) -> Vec<(&str, &str)> {
    let Some(stack) = node.metadata.get("nn_module_stack") else { return Vec::new() };
    let module = |entry: &'_ str| -> Option<(usize, usize)> {
        let first = entry.find(',')?;
        Some((first, first + 1 + entry[first + 1..].find(',')?))
    };
    let each = stack.split(';').filter(|entry| !entry.starts_with(NO_LAYER));
    each.filter_map(|entry| {
        module(entry).map(|(first, second)| (&entry[first + 1..second], &entry[second + 1..]))
    })
    .collect()
}

fn layer_of(node: &schema::Node) -> Option<&str> {
    modules(node).last().map(|(name, _)| *name)
}
