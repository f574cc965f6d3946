//! The JSON of `torch.export`, schema version 8, as far as it is read. Fields that are not named here are ignored; kinds of values
//! that are not are kept by name, so that a caller that meets one can refuse it.
//!
//! Source: `torch/_export/serde/schema.py` of PyTorch 2.9 to 2.15.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny};
use serde_json::Value;
use std::collections::HashMap;

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Name {
    pub(crate) name: String,
}

/// A whole number: known, or a value of the graph.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SymInt {
    AsInt(i64),
    AsName(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SymBool {
    AsBool(bool),
    AsName(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SymFloat {
    AsFloat(Float),
    AsName(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OptionalTensor {
    AsTensor(Name),
    AsNone(IgnoredAny),
}

/// JSON has no infinity: it is written as "Infinity", "-Infinity" or "NaN".
#[derive(Debug, Clone, Copy)]
pub(crate) struct Float(pub(crate) f64);

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Number(number) => {
                number.as_f64().map(Float).ok_or_else(|| D::Error::custom("no 64-bit number"))
            }
            Value::String(text) => text.parse().map(Float).map_err(D::Error::custom),
            other => Err(D::Error::custom(format!("{other} is no number"))),
        }
    }
}

/// What a node is given or gives.
#[derive(Debug, Clone)]
pub(crate) enum Argument {
    None,
    Tensor(Name),
    Tensors(Vec<Name>),
    OptionalTensor(OptionalTensor),
    OptionalTensors(Vec<OptionalTensor>),
    Int(i64),
    Ints(Vec<i64>),
    Float(Float),
    Floats(Vec<Float>),
    Bool(bool),
    Bools(Vec<bool>),
    Text(String),
    SymInt(SymInt),
    SymInts(Vec<SymInt>),
    SymBool(SymBool),
    SymFloat(SymFloat),
    ScalarType(u8),
    MemoryFormat(u8),
    Layout(u8),
    Device,
    Graph(Box<Subgraph>),
    /// A kind that is not computed with, such as `as_custom_obj`.
    Other(String),
}

impl<'de> Deserialize<'de> for Argument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = serde_json::Map::deserialize(deserializer)?;
        let mut fields = map.into_iter();
        let (Some((kind, value)), None) = (fields.next(), fields.next()) else {
            return Err(D::Error::custom("a value of no kind, or of two"));
        };
        let parse = || -> serde_json::Result<Self> {
            use serde_json::from_value as read;
            Ok(match kind.as_str() {
                "as_none" => Self::None,
                "as_tensor" => Self::Tensor(read(value)?),
                "as_tensors" => Self::Tensors(read(value)?),
                "as_optional_tensor" => Self::OptionalTensor(read(value)?),
                "as_optional_tensors" => Self::OptionalTensors(read(value)?),
                "as_int" => Self::Int(read(value)?),
                "as_ints" => Self::Ints(read(value)?),
                "as_float" => Self::Float(read(value)?),
                "as_floats" => Self::Floats(read(value)?),
                "as_bool" => Self::Bool(read(value)?),
                "as_bools" => Self::Bools(read(value)?),
                "as_string" => Self::Text(read(value)?),
                "as_sym_int" => Self::SymInt(read(value)?),
                "as_sym_ints" => Self::SymInts(read(value)?),
                "as_sym_bool" => Self::SymBool(read(value)?),
                "as_sym_float" => Self::SymFloat(read(value)?),
                "as_scalar_type" => Self::ScalarType(read(value)?),
                "as_memory_format" => Self::MemoryFormat(read(value)?),
                "as_layout" => Self::Layout(read(value)?),
                "as_device" => Self::Device,
                "as_graph" => Self::Graph(read(value)?),
                _ => Self::Other(kind.clone()),
            })
        };
        parse().map_err(|error| D::Error::custom(format!("{kind}: {error}")))
    }
}

/// A graph inside a graph.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Subgraph {
    pub(crate) graph: Graph,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct NamedArgument {
    pub(crate) name: String,
    pub(crate) arg: Argument,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Node {
    pub(crate) target: String,
    pub(crate) inputs: Vec<NamedArgument>,
    pub(crate) outputs: Vec<Argument>,
    #[serde(default)]
    pub(crate) metadata: HashMap<String, String>,
    /// Since torch 2.11.
    #[serde(default)]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Size {
    AsInt(i64),
    AsExpr(Expression),
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Expression {
    pub(crate) expr_str: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TensorMeta {
    pub(crate) dtype: u8,
    pub(crate) sizes: Vec<Size>,
    pub(crate) strides: Vec<Size>,
    pub(crate) storage_offset: Size,
    pub(crate) layout: u8,
    pub(crate) requires_grad: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Graph {
    pub(crate) inputs: Vec<Argument>,
    pub(crate) outputs: Vec<Argument>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) tensor_values: HashMap<String, TensorMeta>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Wrapped {
    pub(crate) arg: Argument,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum InputSpec {
    UserInput(Wrapped),
    Parameter { arg: Name, parameter_name: String },
    Buffer { arg: Name, buffer_name: String, persistent: bool },
    TensorConstant { arg: Name, tensor_constant_name: String },
    ConstantInput(IgnoredAny),
    CustomObj { custom_obj_name: String },
    Token(IgnoredAny),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OutputSpec {
    UserOutput(Wrapped),
    BufferMutation(IgnoredAny),
    ParameterMutation(IgnoredAny),
    UserInputMutation(IgnoredAny),
    LossOutput(IgnoredAny),
    GradientToParameter(IgnoredAny),
    GradientToUserInput(IgnoredAny),
    Token(IgnoredAny),
}

#[derive(Debug, Deserialize)]
pub(crate) struct Signature {
    pub(crate) input_specs: Vec<InputSpec>,
    pub(crate) output_specs: Vec<OutputSpec>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct GraphModule {
    pub(crate) graph: Graph,
    pub(crate) signature: Signature,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SchemaVersion {
    pub(crate) major: u64,
    pub(crate) minor: u64,
}

/// What is read first, whatever the version.
#[derive(Debug, Deserialize)]
pub(crate) struct Heading {
    pub(crate) schema_version: SchemaVersion,
    #[serde(default)]
    pub(crate) torch_version: String,
    #[serde(default)]
    pub(crate) verifiers: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ExportedProgram {
    pub(crate) graph_module: GraphModule,
}

/// `*_weights_config.json` and `*_constants_config.json`.
#[derive(Debug, Deserialize)]
pub(crate) struct Payloads {
    pub(crate) config: HashMap<String, Payload>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Payload {
    pub(crate) path_name: String,
    pub(crate) use_pickle: bool,
    pub(crate) tensor_meta: Option<TensorMeta>,
}
