//! The tensors of an exported network: those that are trained or averaged in a store, the others beside it.

use super::Weights;
use crate::error::{Error, Result};
use crate::nn::store::{ParameterStore, Role};
use gaat_pt2::{Dtype, Kept, Program, Purpose, Stored};
use tch::{Device, Kind, Tensor};

/// Where a tensor of a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The entry of the store at this place.
    Store(usize),
    /// The constant at this place.
    Constant(usize),
}

/// What the programs of a file have between them.
pub(super) struct State {
    pub(super) store: ParameterStore,
    pub(super) constants: Vec<Tensor>,
    device: Device,
    weights: Weights,
    /// What the second program of a file finds again by name.
    known: Vec<(String, Source)>,
}

impl State {
    pub(super) fn new(device: Device, weights: Weights) -> Self {
        Self {
            store: ParameterStore::new(device, Kind::Float),
            constants: Vec::new(),
            device,
            weights,
            known: Vec::new(),
        }
    }

    /// Where each tensor of `program` is, in its order; those that are not there yet are taken in.
    pub(super) fn take_in(&mut self, program: &Program) -> Result<Vec<Source>> {
        let mut sources: Vec<Source> = Vec::new();
        for (place, stored) in program.tensors.iter().enumerate() {
            let known = stored
                .kept
                .is_saved()
                .then(|| self.known.iter().find(|(name, _)| *name == stored.name))
                .flatten();
            let tied = program.tensors[..place].iter().position(|other| stored.is_tied_to(other));
            let source = match (known, tied) {
                (Some((_, source)), _) => *source,
                (None, Some(first)) => self.again(stored, sources[first]),
                (None, None) => self.add(program, stored)?,
            };
            if stored.kept.is_saved() {
                self.known.push((stored.name.clone(), source));
            }
            sources.push(source);
        }
        Ok(sources)
    }

    /// Tied weights are one tensor, and have both names where they are saved.
    fn again(&mut self, stored: &Stored, source: Source) -> Source {
        if let (Source::Store(place), true) = (source, stored.kept.is_saved()) {
            self.store.alias(&stored.name, place);
        }
        source
    }

    fn add(&mut self, program: &Program, stored: &Stored) -> Result<Source> {
        let tensor = match self.weights {
            Weights::Zero if stored.kept.is_saved() => {
                Tensor::f_zeros(&stored.sizes, (kind(stored.dtype), Device::Cpu))?
            }
            Weights::Zero | Weights::OfTheFile => tensor(program, stored)?,
        };
        if let Some(role) = role(stored) {
            let _handle = self.store.add(&stored.name, &tensor, role)?;
            return Ok(Source::Store(self.store.named().len() - 1));
        }
        self.constants.push(tensor.f_to_device(self.device)?);
        Ok(Source::Constant(self.constants.len() - 1))
    }
}

/// What the store makes of a tensor; `None` for one that it does not hold.
fn role(stored: &Stored) -> Option<Role> {
    if !stored.kept.is_saved() {
        return None;
    }
    if !stored.is_float32() {
        return Some(Role::Counter);
    }
    Some(match (stored.kept, stored.purpose) {
        (Kept::Parameter { trains: true }, Purpose::Weight) => Role::Weight,
        (Kept::Parameter { trains: true }, Purpose::Bias) => Role::Bias,
        (Kept::Parameter { trains: true }, Purpose::NormScale) => Role::NormScale,
        (Kept::Parameter { trains: true }, Purpose::NormShift) => Role::NormShift,
        (Kept::Parameter { trains: true }, Purpose::Other) => Role::Embedding,
        _ => Role::Buffer,
    })
}

fn tensor(program: &Program, stored: &Stored) -> Result<Tensor> {
    let numbers = program.contiguous(stored);
    let tensor = Tensor::f_from_data_size(&numbers, &stored.sizes, kind(stored.dtype));
    tensor.map_err(|error| Error::Usage(format!("tensor `{}`: {}", stored.name, Error::from(error))))
}

fn kind(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::U8 => Kind::Uint8,
        Dtype::I8 => Kind::Int8,
        Dtype::I16 => Kind::Int16,
        Dtype::I32 => Kind::Int,
        Dtype::I64 => Kind::Int64,
        Dtype::F16 => Kind::Half,
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::Bool => Kind::Bool,
        Dtype::Bf16 => Kind::BFloat16,
    }
}
