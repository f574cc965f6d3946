//! Writes a graph node by node.

use super::messages::{
    Constant, Dimension, Entry, GraphBody, Model, Node, OperatorSet, Setting, Shape, Size, TensorType, Type,
    Value,
};
use prost::Message;

/// The operator set that most graphs are written for, and the least that is asked for: every runtime since ONNX 1.12 (2022) has
/// it.
const USUAL_OPERATORS: i64 = 17;
/// The oldest set that may be asked for: since it, sizes and axes of the operators used here are inputs as they are written.
const OLDEST_OPERATORS: i64 = 13;
/// The newest, of ONNX 1.20.
const NEWEST_OPERATORS: i64 = 25;
/// Version of the format that came with each operator set, from [`OLDEST_OPERATORS`] on: the table of ONNX's `Versioning.md`.
const FORMATS: [i64; 13] = [7, 7, 8, 8, 8, 8, 9, 9, 10, 10, 11, 12, 13];
/// Operators that came, or got what is used of them here, after the oldest set.
const LATER: [(&str, i64); 3] = [("Shape", 15), ("LayerNormalization", 17), ("Gelu", 20)];
/// Protobuf lengths are signed 32-bit numbers.
const MOST_BYTES: usize = i32::MAX as usize;

const F32: i32 = 1;
const I64: i32 = 7;

/// What every fallible call of this module returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a graph cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Beyond what protobuf can hold.
    #[error("the ONNX file would have {0} bytes, and ONNX files without external data hold 2 GiB at most")]
    TooLarge(usize),
    /// Numbers and sizes of a constant contradict each other.
    #[error("constant `{name}`: {count} numbers for sizes {sizes:?}")]
    Constant {
        /// Its name.
        name: String,
        /// How many numbers came.
        count: usize,
        /// The sizes that they should have.
        sizes: Vec<i64>,
    },
    /// One name for two constants.
    #[error(
        "constant `{0}` is there already with other numbers or sizes; give each constant a name of its own"
    )]
    Taken(String),
    /// An operator set that is not known or lacks an operator of the graph.
    #[error("operator set {asked}: {reason}")]
    Operators {
        /// The version that was asked for.
        asked: i64,
        /// Why it cannot be had.
        reason: String,
    },
    /// The output is made by no node, as of a network without layers.
    #[error("no node of the graph makes `{0}`, which is to be the output; a graph needs one step at least")]
    Unmade(String),
}

/// A setting of an operator.
#[derive(Debug, Clone, Copy)]
pub enum Attribute<'a> {
    /// A number.
    Float(f64),
    /// A whole number.
    Int(i64),
    /// Several whole numbers.
    Ints(&'a [i64]),
}

/// Input or output: f32, a batch of any size first, then `sizes`.
#[derive(Debug, Clone, Copy)]
pub struct Port<'a> {
    /// Its name.
    pub name: &'a str,
    /// Sizes of one example.
    pub sizes: &'a [i64],
}

/// A graph that is being written.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    constants: Vec<Constant>,
}

impl Graph {
    /// Adds a node with one output, and names that.
    pub fn node(&mut self, operator: &str, inputs: &[&str], attributes: &[(&str, Attribute<'_>)]) -> String {
        let name = format!("{}_{}", operator.to_lowercase(), self.nodes.len());
        self.nodes.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: operator.to_owned(),
            attribute: attributes.iter().map(|(name, value)| setting(name, *value)).collect(),
        });
        name
    }

    /// Adds a constant of f32 numbers, the last index running fastest. One that is there already, as a weight that two
    /// layers share, is used again.
    ///
    /// # Errors
    /// When numbers and sizes contradict each other, or another constant has this name.
    pub fn floats(&mut self, name: &str, sizes: &[i64], numbers: &[f32]) -> Result<String> {
        if sizes.iter().product::<i64>() != numbers.len() as i64 {
            let (name, count) = (name.to_owned(), numbers.len());
            return Err(Error::Constant { name, count, sizes: sizes.to_vec() });
        }
        let raw_data = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let new = Constant { dims: sizes.to_vec(), data_type: F32, name: name.to_owned(), raw_data };
        match self.constants.iter().find(|known| known.name == name) {
            Some(known) if *known == new => {}
            Some(_) => return Err(Error::Taken(new.name)),
            None => self.constants.push(new),
        }
        Ok(name.to_owned())
    }

    /// Adds a vector of whole numbers, such as a shape.
    pub fn vector(&mut self, numbers: &[i64]) -> String {
        let raw_data = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.whole("vector", vec![numbers.len() as i64], raw_data)
    }

    /// Adds one whole number, such as an index.
    pub fn scalar(&mut self, number: i64) -> String {
        self.whole("scalar", Vec::new(), number.to_le_bytes().to_vec())
    }

    fn whole(&mut self, kind: &str, dims: Vec<i64>, raw_data: Vec<u8>) -> String {
        let name = format!("{kind}_{}", self.constants.len());
        self.constants.push(Constant { dims, data_type: I64, name: name.clone(), raw_data });
        name
    }

    /// The version of the operator set: `asked`, else the usual one or the least newer one that has every operator.
    ///
    /// # Errors
    /// When the one asked for is unknown or lacks an operator of the graph.
    fn operators(&self, asked: Option<i64>) -> Result<i64> {
        let needs = |node: &Node| LATER.iter().find(|(name, _)| *name == node.op_type);
        let most = self.nodes.iter().filter_map(needs).max_by_key(|(_, version)| *version);
        let Some(asked) = asked else {
            return Ok(most.map_or(USUAL_OPERATORS, |(_, version)| USUAL_OPERATORS.max(*version)));
        };
        if !(OLDEST_OPERATORS..=NEWEST_OPERATORS).contains(&asked) {
            let reason = format!("versions {OLDEST_OPERATORS} to {NEWEST_OPERATORS} are written");
            return Err(Error::Operators { asked, reason });
        }
        match most {
            Some((name, version)) if *version > asked => {
                let reason = format!("the graph needs {version} or newer, for {name}");
                Err(Error::Operators { asked, reason })
            }
            _ => Ok(asked),
        }
    }

    /// The file: from `input` to `output`, which is the value `last` under a new name, in the operator set `operators`, else
    /// in the oldest usual one that has all operators of the graph. `texts` are put beside it.
    ///
    /// # Errors
    /// When no node makes `last`, it would be larger than protobuf allows, or the operator set does not do.
    pub fn finish(
        mut self,
        input: Port<'_>,
        output: Port<'_>,
        last: &str,
        texts: &[(&str, &str)],
        operators: Option<i64>,
    ) -> Result<Vec<u8>> {
        let operators = self.operators(operators)?;
        let mut made = self.nodes.iter_mut().flat_map(|node| &mut node.output);
        let made = made.find(|made| *made == last).ok_or_else(|| Error::Unmade(last.to_owned()))?;
        output.name.clone_into(made);
        let graph = GraphBody {
            node: self.nodes,
            name: "gaat".to_owned(),
            initializer: self.constants,
            input: vec![value(input)],
            output: vec![value(output)],
        };
        let entry = |&(key, value): &(&str, &str)| Entry { key: key.to_owned(), value: value.to_owned() };
        let model = Model {
            ir_version: FORMATS[(operators - OLDEST_OPERATORS) as usize],
            producer_name: "gaat".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(graph),
            opset_import: vec![OperatorSet { domain: String::new(), version: operators }],
            metadata_props: texts.iter().map(entry).collect(),
        };
        let bytes = model.encoded_len();
        if bytes > MOST_BYTES { Err(Error::TooLarge(bytes)) } else { Ok(model.encode_to_vec()) }
    }
}

fn setting(name: &str, value: Attribute<'_>) -> Setting {
    let name = name.to_owned();
    match value {
        Attribute::Float(number) => Setting { name, f: number as f32, r#type: 1, ..Setting::default() },
        Attribute::Int(number) => Setting { name, i: number, r#type: 2, ..Setting::default() },
        Attribute::Ints(numbers) => Setting { name, ints: numbers.to_vec(), r#type: 7, ..Setting::default() },
    }
}

fn value(port: Port<'_>) -> Value {
    let batch = Dimension { size: Some(Size::Named("batch".to_owned())) };
    let fixed = port.sizes.iter().map(|&size| Dimension { size: Some(Size::Fixed(size)) });
    let shape = Shape { dim: std::iter::once(batch).chain(fixed).collect() };
    let tensor_type = TensorType { elem_type: F32, shape: Some(shape) };
    Value { name: port.name.to_owned(), r#type: Some(Type { tensor_type: Some(tensor_type) }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_comes_back_as_it_was_written() {
        let mut graph = Graph::default();
        let weight = graph.floats("w", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, -6.5]).unwrap();
        let sum = graph.node("Gemm", &["pixels", &weight], &[("transB", Attribute::Int(1))]);
        let last = graph.node("Relu", &[&sum], &[]);
        let (input, output) = (Port { name: "pixels", sizes: &[3] }, Port { name: "logits", sizes: &[2] });
        let model =
            Model::decode(graph.finish(input, output, &last, &[("a", "b")], None).unwrap().as_slice())
                .unwrap();
        assert_eq!((model.ir_version, model.opset_import[0].version), (8, 17));
        assert_eq!(model.metadata_props[0], Entry { key: "a".to_owned(), value: "b".to_owned() });
        let body = model.graph.unwrap();
        assert_eq!(body.initializer[0].dims, [2, 3]);
        assert_eq!(body.initializer[0].raw_data[20..], (-6.5_f32).to_le_bytes());
        assert_eq!((body.node[0].op_type.as_str(), body.node[0].attribute[0].i), ("Gemm", 1));
        assert_eq!(body.node[1].input, body.node[0].output);
        assert_eq!((body.node[1].output[0].as_str(), body.output[0].name.as_str()), ("logits", "logits"));
        let shape = body.input[0].r#type.clone().unwrap().tensor_type.unwrap().shape.unwrap();
        assert_eq!(shape.dim[0].size, Some(Size::Named("batch".to_owned())));
        assert_eq!(shape.dim[1].size, Some(Size::Fixed(3)));
    }

    #[test]
    fn the_least_operator_set_is_taken_and_a_lesser_one_refused() {
        let written = |operator: &str, asked: Option<i64>| {
            let mut graph = Graph::default();
            let last = graph.node(operator, &["pixels"], &[]);
            let (input, output) =
                (Port { name: "pixels", sizes: &[3] }, Port { name: "logits", sizes: &[3] });
            let bytes = graph.finish(input, output, &last, &[], asked).map_err(|error| error.to_string())?;
            let model = Model::decode(bytes.as_slice()).unwrap();
            Ok::<_, String>((model.ir_version, model.opset_import[0].version))
        };
        assert_eq!(written("Relu", None), Ok((8, 17)));
        assert_eq!(written("LayerNormalization", None), Ok((8, 17)));
        assert_eq!(written("Gelu", None), Ok((9, 20)));
        for (asked, format) in [(13, 7), (15, 8), (19, 9), (21, 10), (23, 11), (24, 12), (25, 13)] {
            assert_eq!(written("Relu", Some(asked)), Ok((format, asked)));
        }
        for (operator, asked, word) in [
            ("Gelu", 19, "needs 20"),
            ("Shape", 14, "needs 15"),
            ("Relu", 12, "13 to 25"),
            ("Relu", 26, "13 to 25"),
        ] {
            let error = written(operator, Some(asked)).unwrap_err();
            assert!(error.contains(word) && error.contains(&asked.to_string()), "{error}");
        }
    }

    #[test]
    fn a_constant_of_the_wrong_size_is_refused() {
        let error = Graph::default().floats("w", &[2, 3], &[1.0]).unwrap_err().to_string();
        assert!(error.contains("`w`") && error.contains("[2, 3]"), "{error}");
    }

    #[test]
    fn a_constant_that_is_there_is_used_again_and_another_of_its_name_refused() {
        let mut graph = Graph::default();
        for _ in 0..2 {
            assert_eq!(graph.floats("w", &[2, 1], &[1.0, f32::NAN]).unwrap(), "w");
        }
        assert_eq!(graph.constants.len(), 1);
        for (sizes, numbers) in [(&[2, 1][..], [1.0, 2.0]), (&[1, 2], [1.0, f32::NAN])] {
            let error = graph.floats("w", sizes, &numbers).unwrap_err().to_string();
            assert!(error.contains("`w`") && error.contains("a name of its own"), "{error}");
        }
    }

    #[test]
    fn a_graph_that_does_not_make_its_output_is_refused() {
        let (input, output) = (Port { name: "pixels", sizes: &[3] }, Port { name: "logits", sizes: &[3] });
        let error = Graph::default().finish(input, output, "pixels", &[], None).unwrap_err().to_string();
        assert!(error.contains("`pixels`") && error.contains("one step at least"), "{error}");
    }
}
