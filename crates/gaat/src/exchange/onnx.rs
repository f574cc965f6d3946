//! The ONNX operators of each layer.

use crate::error::{Error, Result};
use crate::nn::{Activation, InputShape, Operation, Parameter, Step, Trace};
use gaat_files::onnx::Attribute::{self, Float, Int, Ints};
use gaat_files::onnx::{Graph, Port};
use tch::{Kind, Tensor};

/// Names of the only input and the only output.
const INPUT: &str = "pixels";
const OUTPUT: &str = "logits";
/// Name of the text beside the graph.
const TEXT: &str = "gaat";

/// A value of the trace in the graph.
struct Known {
    name: String,
    /// Number of axes.
    rank: usize,
}

/// Turns a trace into a graph, step by step.
pub(super) struct Writer {
    graph: Graph,
    values: Vec<Known>,
}

impl Writer {
    pub(super) fn write(trace: &Trace) -> Result<Self> {
        let pixels = Known { name: INPUT.to_owned(), rank: 4 };
        let mut writer = Self { graph: Graph::default(), values: vec![pixels] };
        for step in &trace.steps {
            let made = writer.step(step)?;
            writer.values.push(made);
        }
        Ok(writer)
    }

    pub(super) fn finish(
        self,
        input: InputShape,
        classes: i64,
        text: &str,
        operators: Option<i64>,
    ) -> gaat_files::onnx::Result<Vec<u8>> {
        let InputShape { channels, height, width } = input;
        let input = Port { name: INPUT, sizes: &[channels, height, width] };
        let output = Port { name: OUTPUT, sizes: &[classes] };
        let last = self.values.last().map_or(INPUT, |value| value.name.as_str());
        self.graph.finish(input, output, last, &[(TEXT, text)], operators)
    }

    fn step(&mut self, step: &Step) -> Result<Known> {
        let taken = |place: usize| {
            let value = step.inputs.get(place).and_then(|&value| self.values.get(value));
            let value = value.ok_or_else(|| Error::Usage(format!("{:?} lacks an input", step.operation)))?;
            Ok::<_, Error>((value.name.clone(), value.rank))
        };
        let (input, rank) = taken(0)?;
        let input = input.as_str();
        let (name, rank) = match &step.operation {
            Operation::Normalize { mean, std } => (self.normalize(input, mean, std)?, 4),
            Operation::Conv { weight, bias, stride, padding, groups } => {
                let attributes = [
                    ("kernel_shape", Ints(&weight.tensor.size()[2..])),
                    ("strides", Ints(&[*stride; 2])),
                    ("pads", Ints(&[*padding; 4])),
                    ("group", Int(*groups)),
                ];
                let weight = self.parameter(weight)?;
                let bias = bias.as_ref().map(|bias| self.parameter(bias)).transpose()?;
                let inputs: Vec<&str> = [input, &weight].into_iter().chain(bias.as_deref()).collect();
                (self.node("Conv", &inputs, &attributes), 4)
            }
            Operation::BatchNorm { scale, shift, mean, variance, epsilon } => {
                let [scale, shift, mean, variance] = self.all([scale, shift, mean, variance])?;
                let inputs = [input, &scale, &shift, &mean, &variance];
                (self.node("BatchNormalization", &inputs, &[("epsilon", Float(*epsilon))]), 4)
            }
            Operation::LayerNorm { scale, shift, epsilon } => {
                let [scale, shift] = self.all([scale, shift])?;
                let attributes = [("axis", Int(-1)), ("epsilon", Float(*epsilon))];
                (self.node("LayerNormalization", &[input, &scale, &shift], &attributes), rank)
            }
            Operation::Linear { weight, bias } => (self.linear(input, rank, weight, bias)?, rank),
            Operation::Activation(activation) => (self.activate(*activation, input), rank),
            Operation::Add => (self.node("Add", &[input, &taken(1)?.0], &[]), rank),
            Operation::Scale => (self.node("Mul", &[input, &taken(1)?.0], &[]), rank),
            Operation::MaxPool => {
                let attributes = [("kernel_shape", Ints(&[2, 2])), ("strides", Ints(&[2, 2]))];
                (self.node("MaxPool", &[input], &attributes), 4)
            }
            Operation::OverlappingMaxPool => {
                let attributes = [
                    ("kernel_shape", Ints(&[3, 3])),
                    ("strides", Ints(&[2, 2])),
                    ("pads", Ints(&[1, 1, 1, 1])),
                ];
                (self.node("MaxPool", &[input], &attributes), 4)
            }
            Operation::PadEnd => {
                // Zeros before each axis, then behind.
                let zeros = self.graph.vector(&[0, 0, 0, 0, 0, 0, 1, 1]);
                (self.node("Pad", &[input, &zeros], &[]), 4)
            }
            Operation::ChannelMeans => (self.node("GlobalAveragePool", &[input], &[]), 4),
            Operation::GlobalAverage => {
                let means = self.node("GlobalAveragePool", &[input], &[]);
                (self.node("Flatten", &[&means], &[]), 2)
            }
            Operation::Flatten => (self.node("Flatten", &[input], &[]), 2),
            Operation::Tokens { class, positions } => (self.tokens(input, class, positions)?, 3),
            Operation::Attention { heads, depth } => (self.attention(input, *heads, *depth)?, 3),
            Operation::FirstToken => {
                let first = self.graph.scalar(0);
                (self.node("Gather", &[input, &first], &[("axis", Int(1))]), 2)
            }
        };
        Ok(Known { name, rank })
    }

    fn node(&mut self, operator: &str, inputs: &[&str], attributes: &[(&str, Attribute<'_>)]) -> String {
        self.graph.node(operator, inputs, attributes)
    }

    fn parameter(&mut self, parameter: &Parameter) -> Result<String> {
        self.constant(&parameter.name, &parameter.tensor)
    }

    fn all<const N: usize>(&mut self, parameters: [&Parameter; N]) -> Result<[String; N]> {
        let mut names = [const { String::new() }; N];
        for (name, parameter) in names.iter_mut().zip(parameters) {
            *name = self.parameter(parameter)?;
        }
        Ok(names)
    }

    fn constant(&mut self, name: &str, tensor: &Tensor) -> Result<String> {
        let flat =
            tensor.f_detach()?.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Float)?.f_flatten(0, -1)?;
        let numbers = Vec::<f32>::try_from(flat)?;
        self.graph.floats(name, &tensor.size(), &numbers).map_err(|error| Error::Usage(error.to_string()))
    }

    fn normalize(&mut self, input: &str, mean: &[f64], std: &[f64]) -> Result<String> {
        let column = |numbers: &[f64]| Tensor::f_from_slice(numbers)?.f_view([1, -1, 1, 1]);
        let mean = self.constant("normalization.mean", &column(mean)?)?;
        let std = self.constant("normalization.std", &column(std)?)?;
        let centred = self.node("Sub", &[input, &mean], &[]);
        Ok(self.node("Div", &[&centred, &std], &[]))
    }

    /// `Gemm` takes matrices alone: tokens go through `MatMul`, which wants the weight transposed.
    fn linear(&mut self, input: &str, rank: usize, weight: &Parameter, bias: &Parameter) -> Result<String> {
        if rank == 2 {
            let [weight, bias] = self.all([weight, bias])?;
            return Ok(self.node("Gemm", &[input, &weight, &bias], &[("transB", Int(1))]));
        }
        let transposed = weight.tensor.f_transpose(0, 1)?.f_contiguous()?;
        let transposed = self.constant(&format!("{}.transposed", weight.name), &transposed)?;
        let bias = self.parameter(bias)?;
        let product = self.node("MatMul", &[input, &transposed], &[]);
        Ok(self.node("Add", &[&product, &bias], &[]))
    }

    fn activate(&mut self, activation: Activation, input: &str) -> String {
        match activation {
            Activation::Relu => self.node("Relu", &[input], &[]),
            Activation::Gelu => self.node("Gelu", &[input], &[]),
            Activation::Sigmoid => self.node("Sigmoid", &[input], &[]),
            Activation::Silu => {
                let gate = self.node("Sigmoid", &[input], &[]);
                self.node("Mul", &[input, &gate], &[])
            }
        }
    }

    fn tokens(&mut self, maps: &str, class: &Parameter, positions: &Parameter) -> Result<String> {
        let width = class.tensor.size().last().copied().unwrap_or_default();
        // In a target shape of ONNX, 0 stands for the size that is there.
        let flat = self.graph.vector(&[0, width, -1]);
        let patches = self.node("Reshape", &[maps, &flat], &[]);
        let patches = self.node("Transpose", &[&patches], &[("perm", Ints(&[0, 2, 1]))]);
        let count = self.node("Shape", &[maps], &[("start", Int(0)), ("end", Int(1))]);
        let one = self.graph.vector(&[1, width]);
        let target = self.node("Concat", &[&count, &one], &[("axis", Int(0))]);
        let [class, positions] = self.all([class, positions])?;
        let class = self.node("Expand", &[&class, &target], &[]);
        let tokens = self.node("Concat", &[&class, &patches], &[("axis", Int(1))]);
        Ok(self.node("Add", &[&tokens, &positions], &[]))
    }

    fn attention(&mut self, input: &str, heads: i64, depth: i64) -> Result<String> {
        let parts = self.graph.vector(&[0, 0, 3, heads, depth]);
        let parts = self.node("Reshape", &[input, &parts], &[]);
        let parts = self.node("Transpose", &[&parts], &[("perm", Ints(&[2, 0, 3, 1, 4]))]);
        let [queries, keys, values] = [0, 1, 2].map(|place| {
            let place = self.graph.scalar(place);
            self.node("Gather", &[&parts, &place], &[("axis", Int(0))])
        });
        let factor = format!("{queries}.factor");
        let factor = self.constant(&factor, &Tensor::f_from_slice(&[(depth as f64).sqrt().recip()])?)?;
        let queries = self.node("Mul", &[&queries, &factor], &[]);
        let keys = self.node("Transpose", &[&keys], &[("perm", Ints(&[0, 1, 3, 2]))]);
        let scores = self.node("MatMul", &[&queries, &keys], &[]);
        let weights = self.node("Softmax", &[&scores], &[("axis", Int(-1))]);
        let mixed = self.node("MatMul", &[&weights, &values], &[]);
        let mixed = self.node("Transpose", &[&mixed], &[("perm", Ints(&[0, 2, 1, 3]))]);
        let joined = self.graph.vector(&[0, 0, heads * depth]);
        Ok(self.node("Reshape", &[&mixed, &joined], &[]))
    }
}
