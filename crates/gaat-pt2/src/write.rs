//! The same program with other numbers, as PyTorch loads it; without what only its maker's machine needs.

use crate::error::{Error, Result};
use crate::package::{BOTH, Package};
use crate::program::Program;
use crate::stored::Stored;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Write as _};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// PyTorch lays numbers out at multiples of this.
const ALIGNMENT: u16 = 64;
/// Kept of what a node says about itself; the rest are paths and source lines of its maker.
const KEPT_METADATA: &str = "nn_module_stack";

/// Folders of numbers, and the word in the names of the documents that say how they are tensors.
pub(crate) const FOLDERS: [(&str, &str); 2] =
    [("data/weights/", "weights"), ("data/constants/", "constants")];

/// Marks an archive whose parameters and buffers have no numbers; what lies beside it has them.
pub(crate) const BARE: &str = ".data/graph_alone";

/// Numbers of one tensor, contiguous and little-endian in its dtype; `None` for those that it has.
pub type Given<'a> = &'a dyn Fn(&Stored) -> Option<Vec<u8>>;

/// What becomes of the numbers of parameters and buffers when a file is written.
#[derive(Clone, Copy)]
pub enum Numbers<'a> {
    /// They are given.
    Given(Given<'a>),
    /// They are left out: what is written is a graph with its constants, which only [`read_graph`](crate::read_graph) takes, and
    /// this text about the file that had them.
    LeftOut(&'a str),
}

impl Package {
    /// The archive with other numbers. Stack traces are taken out, and so are the sample inputs, a pickle: its member is left empty,
    /// which PyTorch takes, and without which it does not open the file. Two programs are called `train` and `eval` and share the
    /// numbers of their tensors. `folder` is the name of the folder round all members.
    ///
    /// # Errors
    /// When numbers have the wrong length, or what was read cannot be written again.
    pub fn write(&self, folder: &str, numbers: Numbers<'_>) -> Result<Vec<u8>> {
        let mut members = BTreeMap::new();
        match &self.evaluation {
            None => self.program.collect(&self.program.model, None, numbers, &mut members)?,
            Some(evaluation) => {
                let [train, eval] = BOTH;
                self.program.collect(train, None, numbers, &mut members)?;
                evaluation.collect(eval, Some(&self.program), numbers, &mut members)?;
            }
        }
        if let Numbers::LeftOut(origin) = numbers {
            members.insert(BARE.to_owned(), origin.as_bytes().to_vec());
        }
        zipped(folder, &members)
    }

    /// The graphs as text, without stack traces: two files of one network have the same.
    ///
    /// # Errors
    /// When what was read cannot be written again.
    pub fn graphs(&self) -> Result<Vec<u8>> {
        let programs = [Some(&self.program), self.evaluation.as_ref()].into_iter().flatten();
        Ok(programs.map(Program::graph).collect::<Result<Vec<_>>>()?.concat())
    }
}

impl Program {
    /// Enters what is written of this program, as the model `name`, into `members`; what the state dict of `first`, which is there
    /// already, holds too is not written again.
    fn collect(
        &self,
        name: &str,
        first: Option<&Self>,
        numbers: Numbers<'_>,
        members: &mut BTreeMap<String, Vec<u8>>,
    ) -> Result<()> {
        let mut configs: HashMap<&str, serde_json::Map<String, Value>> = HashMap::new();
        for (folder, word) in FOLDERS {
            let read: Value = self.member_json(&format!("{folder}{}_{word}_config.json", self.model))?;
            let config = read.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
            configs.insert(folder, config);
        }
        for stored in &self.tensors {
            let same = first.filter(|_| stored.kept.is_saved());
            let same = same.and_then(|first| Some(first.member_of(first.saved(&stored.name)?)));
            let is_there = same.is_some();
            let member = same.unwrap_or_else(|| match first {
                Some(_) => within(&self.member_of(stored), name),
                None => self.member_of(stored),
            });
            let is_left_out = matches!(numbers, Numbers::LeftOut(_)) && stored.kept.is_saved();
            let strides = if is_left_out { vec![0; stored.sizes.len()] } else { strides(&stored.sizes) };
            let slash = member.rfind('/').map_or(0, |place| place + 1);
            let entry = configs.get_mut(&member[..slash]).and_then(|config| config.get_mut(&stored.name));
            if let Some(entry) = entry {
                entry["path_name"] = json!(&member[slash..]);
                entry["tensor_meta"]["strides"] = sizes(&strides);
                entry["tensor_meta"]["storage_offset"] = json!({"as_int": 0});
            }
            if !is_there {
                let content = match numbers {
                    Numbers::LeftOut(_) if is_left_out => vec![0; stored.dtype.width()],
                    Numbers::LeftOut(_) => self.contiguous(stored),
                    Numbers::Given(given) => self.given(stored, given)?,
                };
                members.insert(member, content);
            }
        }
        for (folder, word) in FOLDERS {
            let config = json!({"config": configs.remove(folder).unwrap_or_default()});
            members.insert(format!("{folder}{name}_{word}_config.json"), config.to_string().into_bytes());
        }
        members.insert(format!("models/{name}.json"), self.graph()?);
        members.insert(format!("data/sample_inputs/{name}.pt"), Vec::new());
        for name in
            ["archive_format", "archive_version", "byteorder", ".data/version", ".data/serialization_id"]
        {
            if self.archive.has(name) {
                members.insert(name.to_owned(), self.archive.get(name)?.to_owned());
            }
        }
        Ok(())
    }

    /// The tensor `name` of the state dict.
    fn saved(&self, name: &str) -> Option<&Stored> {
        self.tensors.iter().find(|stored| stored.kept.is_saved() && stored.name == name)
    }

    /// The numbers that a tensor is given, or has.
    fn given(&self, stored: &Stored, given: Given<'_>) -> Result<Vec<u8>> {
        let wanted = stored.count() * stored.dtype.width();
        match given(stored) {
            None => Ok(self.contiguous(stored)),
            Some(content) if content.len() == wanted => Ok(content),
            Some(content) => Err(Error::Tensor {
                name: stored.name.clone(),
                reason: format!("has {} bytes, not {wanted}", content.len()),
            }),
        }
    }

    /// The graph as text, without stack traces.
    fn graph(&self) -> Result<Vec<u8>> {
        let mut model = self.member_json(&format!("models/{}.json", self.model))?;
        strip(&mut model["graph_module"]["graph"]);
        Ok(model.to_string().into_bytes())
    }

    fn member_json(&self, name: &str) -> Result<Value> {
        serde_json::from_slice(self.archive.get(name)?)
            .map_err(|error| Error::Member { member: name.to_owned(), reason: error.to_string() })
    }

    /// Path for the bytes of a tensor: tied ones share it, other views of the same bytes do not.
    fn member_of(&self, stored: &Stored) -> String {
        let alike = |other: &&Stored| other.member == stored.member;
        match self.tensors.iter().find(alike) {
            Some(first) if stored.is_tied_to(first) => stored.member.clone(),
            _ => format!("{}_{}", stored.member, stored.value.0),
        }
    }

    /// The numbers that a tensor shows, in their order.
    pub fn contiguous(&self, stored: &Stored) -> Vec<u8> {
        let (bytes, width) = (self.bytes(stored), stored.dtype.width());
        if stored.count() == 0 {
            return Vec::new();
        }
        if stored.strides == strides(&stored.sizes) {
            return bytes[stored.offset as usize * width..][..stored.count() * width].to_vec();
        }
        let mut content = Vec::with_capacity(stored.count() * width);
        let mut index = vec![0i64; stored.sizes.len()];
        for _ in 0..stored.count() {
            let place = index.iter().zip(&stored.strides).map(|(at, stride)| at * stride).sum::<i64>()
                + stored.offset;
            content.extend_from_slice(&bytes[place as usize * width..][..width]);
            for (at, size) in index.iter_mut().zip(&stored.sizes).rev() {
                *at += 1;
                if *at < *size {
                    break;
                }
                *at = 0;
            }
        }
        content
    }
}

/// `member` under a name of its own among those of the model `name`.
fn within(member: &str, name: &str) -> String {
    let slash = member.rfind('/').map_or(0, |place| place + 1);
    format!("{}{name}_{}", &member[..slash], &member[slash..])
}

/// Strides of numbers in a row.
fn strides(sizes: &[i64]) -> Vec<i64> {
    let mut strides = vec![1; sizes.len()];
    for place in (1..sizes.len()).rev() {
        strides[place - 1] = strides[place] * sizes[place].max(1);
    }
    strides
}

fn sizes(sizes: &[i64]) -> Value {
    sizes.iter().map(|size| json!({"as_int": size})).collect()
}

/// Takes out of a graph, and those within it, what its nodes say beyond the layer that they come from.
fn strip(graph: &mut Value) {
    for node in graph["nodes"].as_array_mut().into_iter().flatten() {
        if let Some(metadata) = node["metadata"].as_object_mut() {
            metadata.retain(|key, _| key == KEPT_METADATA);
        }
        for input in node["inputs"].as_array_mut().into_iter().flatten() {
            if let Some(inner) = input.pointer_mut("/arg/as_graph/graph") {
                strip(inner);
            }
        }
    }
}

fn zipped(folder: &str, members: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>> {
    let failed = |error: zip::result::ZipError| Error::Archive(format!("cannot be written: {error}"));
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(content.len() > i32::MAX as usize)
            .with_alignment(ALIGNMENT);
        zip.start_file(format!("{folder}/{name}"), options).map_err(failed)?;
        zip.write_all(content).map_err(|error| failed(error.into()))?;
    }
    Ok(zip.finish().map_err(failed)?.into_inner())
}
