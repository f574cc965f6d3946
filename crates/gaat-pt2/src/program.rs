//! One program: a classifier of images as a graph, with its tensors.

use crate::archive::Archive;
use crate::behaviour::{Behaviour, settle};
use crate::error::{Error, Result};
use crate::graph::{Argument, Builder, Node, Scope, Stated, ValueId, modules, single_name};
use crate::schema::{self, ExportedProgram, Heading, InputSpec, OutputSpec, Payloads};
use crate::sizes::{Extent, symbol};
use crate::stored::{Dtype, Kept, Purpose, Stored};
use crate::write::FOLDERS;
use serde::de::DeserializeOwned;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The major version changes where older readers would misread; minor ones add.
const SCHEMA_MAJOR: u64 = 8;
/// The dialect that has the modes of a network in it; `run_decompositions()` makes another one.
const DIALECT: &str = "TRAINING";
/// Numbers that a value may have for one image: 4 GiB in float32.
pub(crate) const MOST_NUMBERS: i64 = 1 << 30;

/// Shape of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageShape {
    /// Colour channels.
    pub channels: i64,
    /// Rows.
    pub height: i64,
    /// Columns.
    pub width: i64,
}

/// What the file says of a value of the graph.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    /// Its name in the graph.
    pub name: &'a str,
    /// Its shape, where it is a tensor.
    pub sizes: Option<&'a [Extent]>,
}

/// A graph from images to logits, with its tensors.
#[derive(Debug)]
pub struct Program {
    /// Class of the network in Python, such as `ResNet`.
    pub class: String,
    /// Version of PyTorch that wrote it.
    pub torch: String,
    /// Version of the schema.
    pub schema: (u64, u64),
    /// Shape of one image.
    pub image: ImageShape,
    /// Images in a batch, where it takes batches of this size alone.
    pub batch: Option<i64>,
    /// Number of classes.
    pub classes: i64,
    /// Parameters, buffers and constants.
    pub tensors: Vec<Stored>,
    /// The nodes in order.
    pub nodes: Vec<Node>,
    /// Where the images come in.
    pub images: ValueId,
    /// What it returns.
    pub logits: ValueId,
    pub(crate) stated: Vec<Stated>,
    pub(crate) archive: Arc<Archive>,
    pub(crate) model: String,
}

impl Program {
    pub(crate) fn read(archive: &Arc<Archive>, model: &str) -> Result<Self> {
        let path = format!("models/{model}.json");
        let Heading { schema_version, torch_version, verifiers } = json(archive, &path)?;
        let version = (schema_version.major, schema_version.minor);
        if version.0 != SCHEMA_MAJOR {
            let (major, minor) = version;
            return Err(Error::Version(format!(
                "PyTorch {torch_version} wrote it in the schema {major}.{minor}, and {SCHEMA_MAJOR} is read (PyTorch 2.9 to 2.15); \
                 export it with one of these"
            )));
        }
        if verifiers != [DIALECT] {
            return Err(Error::Network(
                "its graph was made for inference alone: save what torch.export.export returns, without run_decompositions()".to_owned(),
            ));
        }
        let ExportedProgram { graph_module } = json(archive, &path)?;
        let schema::GraphModule { graph, signature } = graph_module;
        let images = images(&signature.input_specs)?;
        let logits = logits(&signature.output_specs)?;
        let batch_size = graph.tensor_values.get(images).and_then(|meta| meta.sizes.first());
        let batch = batch_size.and_then(symbol);
        let mut builder = Builder::new(batch);
        let mut scope = Scope::new();
        let images_id = builder.define(&mut scope, &graph, images);
        let mut tensors =
            tensors(archive, model, &signature.input_specs, |name| builder.define(&mut scope, &graph, name))?;
        builder.lay_out(&graph, &mut scope, true, 0)?;
        let Builder { values: stated, mut nodes, .. } = builder;
        let logits_id = *scope
            .get(logits)
            .ok_or_else(|| Error::Network(format!("it returns `{logits}`, which no node computes")))?;
        let kept = |stored: &Stored| !matches!(stored.kept, Kept::Constant);
        settle(
            &mut nodes,
            &tensors.iter().filter(|stored| kept(stored)).map(|stored| stored.value).collect(),
        );
        assign_purposes(&mut tensors, &nodes);
        let shape = |id: ValueId| stated[id.0].sizes.as_deref().unwrap_or_default();
        let (image, batch) = image_shape(shape(images_id))?;
        let classes = class_count(shape(logits_id), batch)?;
        let dtype = graph.tensor_values.get(images).map(|meta| meta.dtype);
        if dtype != Some(7) {
            return Err(Error::Network(
                "it takes images that are not float32; export it with an example in float32".to_owned(),
            ));
        }
        let class = graph.nodes.iter().find_map(|node| modules(node).first().map(|(_, class)| *class));
        let class = class.and_then(|class| class.rsplit('.').next()).unwrap_or("network").to_owned();
        let program = Self {
            class,
            torch: torch_version,
            schema: version,
            image,
            batch,
            classes,
            tensors,
            nodes,
            images: images_id,
            logits: logits_id,
            stated,
            archive: Arc::clone(archive),
            model: model.to_owned(),
        };
        program.check_sizes()?;
        Ok(program)
    }

    /// What the file says of the values of the graph, by [`ValueId`].
    pub fn values(&self) -> impl ExactSizeIterator<Item = Value<'_>> {
        self.stated.iter().map(|stated| Value { name: &stated.name, sizes: stated.sizes.as_deref() })
    }

    /// What the file says of one of them.
    pub fn value(&self, id: ValueId) -> Value<'_> {
        let stated = &self.stated[id.0];
        Value { name: &stated.name, sizes: stated.sizes.as_deref() }
    }

    /// The bytes of a tensor, little-endian: those that its view shows are among them.
    pub fn bytes(&self, stored: &Stored) -> &[u8] {
        self.archive.at(&stored.bytes)
    }

    /// How often each operator is called, by name.
    pub fn operators(&self) -> Vec<(String, usize)> {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for node in &self.nodes {
            *counts.entry(node.called()).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort();
        counts
    }

    /// Numbers in the parameters, each tied one once.
    pub fn parameter_count(&self) -> usize {
        let parameters = self
            .tensors
            .iter()
            .enumerate()
            .filter(|(_, stored)| matches!(stored.kept, Kept::Parameter { .. }));
        let own = parameters
            .filter(|(place, stored)| !self.tensors[..*place].iter().any(|other| stored.is_tied_to(other)));
        own.map(|(_, stored)| stored.count()).sum()
    }

    /// Why the network cannot be trained; `Ok` where it can.
    ///
    /// # Errors
    /// When the graph was exported in evaluation mode, or for one size of batch, with the line of Python that mends it.
    pub fn check_trainable(&self) -> Result<()> {
        const EXPORT: &str = "torch.export.export(net.train(), (torch.rand(4, ...),), dynamic_shapes=({0: torch.export.Dim(\"n\", min=2)},))";
        let fault = |reason: String| Err(Error::Network(format!("{reason}: {EXPORT}")));
        let norms = || {
            self.nodes.iter().filter_map(|node| match node.behaviour {
                Behaviour::BatchNorm { uses_batch, has_running } if has_running => Some(uses_batch),
                _ => None,
            })
        };
        let is_off = |node: &&Node| node.behaviour == Behaviour::Dropout { is_on: false };
        if norms().next().is_some() && !norms().any(|uses_batch| uses_batch) {
            return fault("it was exported in evaluation mode (its batch normalisation does not use the batch), and would train as another network than yours; export it in training mode".to_owned());
        }
        if let Some(node) = self.nodes.iter().find(is_off) {
            return fault(format!(
                "it was exported in evaluation mode (the dropout of `{}` is off), and would train as another network than yours; export it in training mode",
                node.layer
            ));
        }
        if let Some(batch) = self.batch {
            return fault(format!(
                "it was exported for batches of {batch} images alone; leave the number of images open"
            ));
        }
        if !self.tensors.iter().any(|stored| stored.kept == Kept::Parameter { trains: true }) {
            return Err(Error::Network("none of its parameters requires a gradient, so that there is nothing to train: net.requires_grad_(True)".to_owned()));
        }
        Ok(())
    }

    /// Why the network cannot be judged, which takes its evaluation mode; `Ok` where it can.
    ///
    /// # Errors
    /// When the graph draws random numbers other than by dropout and stochastic depth, or has buffers that cannot be left alone.
    pub fn check_judgeable(&self) -> Result<()> {
        let find = |wanted: Behaviour| self.nodes.iter().find(|node| node.behaviour == wanted);
        if let Some(node) = find(Behaviour::Noise) {
            return Err(node.fault(
                "draws random numbers, and whether it does so in evaluation mode too is not in the graph; add the program of that mode, as \
                 a second file (torch.export.save(export(net.eval(), ...), \"eval.pt2\"), the eval-program of a recipe) or in this one: package_pt2(FILE, exported_programs={\"train\": export(net.train(), ...), \"eval\": export(net.eval(), ...)}), from \
                 torch.export.pt2_archive._package",
            ));
        }
        if let Some(node) = find(Behaviour::Entangled) {
            return Err(node.fault(
                "changes a buffer and continues with the result, which evaluation must not do; export it in evaluation mode (net.eval()), \
                 or take the layer out",
            ));
        }
        Ok(())
    }

    /// Refuses a program of the evaluation mode that is of another network.
    pub(crate) fn check_same_network(&self, evaluation: &Self) -> Result<()> {
        let fault = |reason: String| {
            Err(Error::Network(format!("its programs `train` and `eval` are not of one network: {reason}")))
        };
        if (self.image, self.classes) != (evaluation.image, evaluation.classes) {
            return fault("they take other images, or tell other classes apart".to_owned());
        }
        for theirs in evaluation.tensors.iter().filter(|stored| stored.kept.is_saved()) {
            let Some(ours) =
                self.tensors.iter().find(|ours| ours.kept.is_saved() && ours.name == theirs.name)
            else {
                return fault(format!("only `eval` has a tensor `{}`", theirs.name));
            };
            let same = (&ours.sizes, ours.dtype, &ours.strides, ours.offset)
                == (&theirs.sizes, theirs.dtype, &theirs.strides, theirs.offset);
            if !same || self.bytes(ours) != evaluation.bytes(theirs) {
                return fault(format!("`{}` differs", theirs.name));
            }
        }
        Ok(())
    }

    /// Bounds what running the graph may allocate.
    fn check_sizes(&self) -> Result<()> {
        const TRIED: i64 = 2;
        for stated in &self.stated {
            let Some(sizes) = &stated.sizes else { continue };
            let count = sizes.iter().try_fold(1i64, |count, extent| match extent.at(TRIED) {
                None => Some(count),
                Some(side) if side >= 0 => count.checked_mul(side),
                Some(_) => None,
            });
            if count.is_none_or(|count| count > TRIED * MOST_NUMBERS) {
                return Err(Error::Network(format!(
                    "the sizes that it states for `{}` are negative, or beyond {MOST_NUMBERS} numbers an image",
                    stated.name
                )));
            }
        }
        Ok(())
    }
}

fn json<T: DeserializeOwned>(archive: &Archive, name: &str) -> Result<T> {
    serde_json::from_slice(archive.get(name)?).map_err(|error| Error::Member {
        member: name.to_owned(),
        reason: format!("is not as torch.export.save writes it ({error})"),
    })
}

/// The name of the input that the images are.
fn images(specs: &[InputSpec]) -> Result<&str> {
    let mut found = Vec::new();
    for spec in specs {
        match spec {
            InputSpec::UserInput(wrapped) => {
                match single_name(&wrapped.arg) {
                    Some(name) => found.push(name),
                    None if matches!(wrapped.arg, schema::Argument::None) => {}
                    None => return Err(Error::Network(
                        "it takes an input that is no tensor; wrap it so that forward takes the images alone"
                            .to_owned(),
                    )),
                }
            }
            InputSpec::CustomObj { custom_obj_name } => {
                return Err(Error::Network(format!(
                    "it holds an object `{custom_obj_name}` of a class of its own, which only a pickle could bring back; take it out of the network"
                )));
            }
            InputSpec::Token(_) => {
                return Err(Error::Network(
                    "it has effects beyond its result (a token); take them out of the network".to_owned(),
                ));
            }
            _ => {}
        }
    }
    match found[..] {
        [only] => Ok(only),
        _ => Err(Error::Network(format!(
            "it takes {} inputs; wrap it so that forward takes one batch of images alone",
            found.len()
        ))),
    }
}

/// The name of the value that the logits are.
fn logits(specs: &[OutputSpec]) -> Result<&str> {
    let fault = |reason: &str| Err(Error::Network(reason.to_owned()));
    if specs.iter().any(|spec| matches!(spec, OutputSpec::UserInputMutation(_))) {
        return fault("it changes its images in place; let forward begin with a copy (x = x.clone())");
    }
    match specs {
        [OutputSpec::UserOutput(wrapped)] => match &wrapped.arg {
            schema::Argument::Tensor(name) => Ok(&name.name),
            _ => fault("it returns something other than a tensor of logits"),
        },
        [OutputSpec::UserOutput(_), ..]
            if specs.iter().all(|spec| matches!(spec, OutputSpec::UserOutput(_))) =>
        {
            fault(
                "it returns several tensors; wrap it so that forward returns the logits alone (return net(x).logits, or net(x)[0])",
            )
        }
        _ => fault(
            "its graph has outputs besides the logits, as run_decompositions() makes them: save what torch.export.export returns",
        ),
    }
}

fn tensors(
    archive: &Archive,
    model: &str,
    specs: &[InputSpec],
    mut define: impl FnMut(&str) -> ValueId,
) -> Result<Vec<Stored>> {
    let mut configs: Vec<(&str, Payloads)> = Vec::new();
    for (folder, word) in FOLDERS {
        configs.push((folder, json(archive, &format!("{folder}{model}_{word}_config.json"))?));
    }
    let mut found: Vec<Stored> = Vec::new();
    for spec in specs {
        let (input, name, kept) = match spec {
            InputSpec::Parameter { arg, parameter_name } => {
                (&arg.name, parameter_name, Kept::Parameter { trains: true })
            }
            InputSpec::Buffer { arg, buffer_name, persistent } => {
                (&arg.name, buffer_name, Kept::Buffer { persistent: *persistent })
            }
            InputSpec::TensorConstant { arg, tensor_constant_name } => {
                (&arg.name, tensor_constant_name, Kept::Constant)
            }
            _ => continue,
        };
        let fault = |reason: &str| Error::Tensor { name: name.clone(), reason: reason.to_owned() };
        if found.iter().any(|stored| stored.name == *name) {
            return Err(fault("comes twice"));
        }
        let of = configs.iter().find_map(|(folder, payloads)| Some((*folder, payloads.config.get(name)?)));
        let (folder, payload) = of.ok_or_else(|| fault("has no numbers in the file"))?;
        found.push(Stored::read(archive, folder, name, payload, (define(input), kept))?);
    }
    Ok(found)
}

/// What the first layer that uses a tensor directly makes of it.
fn assign_purposes(tensors: &mut [Stored], nodes: &[Node]) {
    let mut places: HashMap<ValueId, usize> = HashMap::new();
    for (place, stored) in tensors.iter().enumerate() {
        places.insert(stored.value, place);
    }
    let mut settled = HashSet::new();
    for node in nodes {
        let crate::graph::Target::Operator { base, .. } = &node.target else { continue };
        for input in &node.inputs {
            let Argument::Value(id) = input.argument else { continue };
            let Some(place) = places.get(&id).copied() else { continue };
            let is_layer = base.starts_with("conv") || base == "linear";
            let purpose = match input.name.as_str() {
                "weight" if is_layer => Purpose::Weight,
                "bias" if is_layer => Purpose::Bias,
                "weight" if base.ends_with("_norm") && !base.starts_with('_') => Purpose::NormScale,
                "bias" if base.ends_with("_norm") => Purpose::NormShift,
                _ => Purpose::Other,
            };
            if settled.insert(place) {
                tensors[place].purpose = purpose;
            }
        }
    }
}

/// Shape of one image, and the size of the batch where it is fixed.
fn image_shape(sizes: &[Extent]) -> Result<(ImageShape, Option<i64>)> {
    let fault = |reason: String| Err(Error::Network(reason));
    let [batch, channels, height, width] = sizes else {
        return fault(format!("its input has {} dimensions; images come as [N, C, H, W]", sizes.len()));
    };
    let (Extent::Known(channels), Extent::Known(height), Extent::Known(width)) = (channels, height, width)
    else {
        return fault("it leaves the channels or the sides of its images open; leave only the number of images open: dynamic_shapes=({0: torch.export.Dim(\"n\", min=2)},)".to_owned());
    };
    if *channels < 1 || *height < 1 || *width < 1 {
        return fault(format!("it takes images of {channels}x{height}x{width}, which are empty"));
    }
    let batch = match batch {
        Extent::Known(batch) if *batch < 1 => return fault(format!("it takes batches of {batch} images")),
        Extent::Known(batch) => Some(*batch),
        _ => None,
    };
    Ok((ImageShape { channels: *channels, height: *height, width: *width }, batch))
}

fn class_count(sizes: &[Extent], batch: Option<i64>) -> Result<i64> {
    let given = batch.unwrap_or(2);
    match sizes {
        [rows, Extent::Known(classes)] if rows.at(given) == Some(given) && *classes >= 2 => Ok(*classes),
        [_, Extent::Known(1)] => Err(Error::Network(
            "it returns one number an image; a classifier returns one logit a class, two at least".to_owned(),
        )),
        _ => Err(Error::Network(
            "it does not return logits of the shape [N, classes], a row an image; end forward with x.flatten(1) or a pooling".to_owned(),
        )),
    }
}

impl Stored {
    /// Whether it holds real numbers in float32, as what a network computes with does.
    pub fn is_float32(&self) -> bool {
        self.dtype == Dtype::F32
    }
}
