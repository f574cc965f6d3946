//! Tensors of a file: bytes, and how to see them. Nothing that the file states about them is believed before the bytes are there.

use crate::archive::Archive;
use crate::error::{Error, Result};
use crate::graph::ValueId;
use crate::program::MOST_NUMBERS;
use crate::schema::{Payload, Size, TensorMeta};
use crate::write::BARE;
use std::ops::Range;

/// The strided layout, in the numbers of torch.export.
const STRIDED: u8 = 7;

/// What the numbers of a tensor are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the dtype of PyTorch of its name")]
pub enum Dtype {
    U8,
    I8,
    I16,
    I32,
    I64,
    F16,
    F32,
    F64,
    Bool,
    Bf16,
}

impl Dtype {
    /// From the number that torch.export gives it.
    fn new(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::U8,
            2 => Self::I8,
            3 => Self::I16,
            4 => Self::I32,
            5 => Self::I64,
            6 => Self::F16,
            7 => Self::F32,
            8 => Self::F64,
            12 => Self::Bool,
            13 => Self::Bf16,
            _ => return None,
        })
    }

    /// Bytes of one number.
    pub fn width(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }

    /// Whether it holds real numbers.
    pub fn is_floating(self) -> bool {
        matches!(self, Self::F16 | Self::F32 | Self::F64 | Self::Bf16)
    }
}

/// The number that libtorch gives the dtype that torch.export calls `number`.
pub(crate) fn scalar_type(number: u8) -> Option<i64> {
    // unknown, uint8, int8, int16, int32, int64, float16, float32, float64, three complex ones, bool, bfloat16
    const NUMBERS: [Option<i64>; 14] = [
        None,
        Some(0),
        Some(1),
        Some(2),
        Some(3),
        Some(4),
        Some(5),
        Some(6),
        Some(7),
        None,
        None,
        None,
        Some(11),
        Some(15),
    ];
    NUMBERS.get(usize::from(number)).copied().flatten()
}

/// What a tensor is to its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// `nn.Parameter`.
    Parameter {
        /// `requires_grad`: not so for a layer that its owner froze.
        trains: bool,
    },
    /// `register_buffer`.
    Buffer {
        /// Whether it is part of the state dict.
        persistent: bool,
    },
    /// A tensor made in `forward`.
    Constant,
}

impl Kept {
    /// Whether the state dict holds it.
    pub fn is_saved(self) -> bool {
        matches!(self, Self::Parameter { .. } | Self::Buffer { persistent: true })
    }
}

/// What the layer that uses a tensor makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Multiplies in a convolution or linear layer.
    Weight,
    /// Is added there.
    Bias,
    /// Multiplies in a normalisation.
    NormScale,
    /// Is added there.
    NormShift,
    /// Anything else, such as positions.
    Other,
}

/// One tensor of the file.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its name in the state dict, or of the constant.
    pub name: String,
    /// The value that it is in the graph.
    pub value: ValueId,
    /// What it is to the network.
    pub kept: Kept,
    /// What the layer that uses it first makes of it.
    pub purpose: Purpose,
    /// Dtype of its numbers.
    pub dtype: Dtype,
    /// Its shape.
    pub sizes: Vec<i64>,
    /// Numbers from one entry to the next, a dimension.
    pub strides: Vec<i64>,
    /// Its first number among those of its bytes.
    pub offset: i64,
    /// Path of its bytes in the archive, below its folder: tied weights have one between them.
    pub(crate) member: String,
    pub(crate) bytes: Range<usize>,
}

impl Stored {
    /// Numbers in it.
    pub fn count(&self) -> usize {
        self.sizes.iter().product::<i64>() as usize
    }

    /// Whether `other` is the same numbers under another name.
    pub fn is_tied_to(&self, other: &Self) -> bool {
        (&self.member, &self.sizes, &self.strides, self.offset, self.dtype)
            == (&other.member, &other.sizes, &other.strides, other.offset, other.dtype)
    }

    /// The tensor `name` that `payload` describes, once its bytes were found to hold it.
    pub(crate) fn read(
        archive: &Archive,
        folder: &str,
        name: &str,
        payload: &Payload,
        (value, kept): (ValueId, Kept),
    ) -> Result<Self> {
        let fault = |reason: &str| Error::Tensor { name: name.to_owned(), reason: reason.to_owned() };
        if payload.use_pickle {
            return Err(fault(
                "is kept as a pickle, as tensors of a class of its own are; pickles are not read: make it a plain tensor",
            ));
        }
        let meta = payload
            .tensor_meta
            .as_ref()
            .ok_or_else(|| fault("is an object and no tensor; keep plain tensors alone"))?;
        let dtype = Dtype::new(meta.dtype)
            .ok_or_else(|| fault("has a dtype that is not read; use float32 or whole numbers"))?;
        let member = format!("{folder}{}", payload.path_name);
        let bytes = archive.place(&member)?;
        let view = View::new(meta)
            .ok_or_else(|| fault("has sizes, strides or a layout that are not those of a plain tensor"))?;
        let room = bytes.len() / dtype.width();
        let is_left_out = kept.is_saved() && archive.has(BARE) && view.has_one_number(room);
        if !is_left_out && !view.fits(room) {
            return Err(fault("reaches beyond its bytes, or repeats them"));
        }
        let kept = match kept {
            Kept::Parameter { .. } => Kept::Parameter { trains: meta.requires_grad },
            other => other,
        };
        if matches!(kept, Kept::Parameter { .. }) && dtype != Dtype::F32 {
            return Err(fault(
                "is not float32; export the network in float32 (net.float()), and ask for bf16 when it is run",
            ));
        }
        let View { sizes, strides, offset } = view;
        Ok(Self {
            name: name.to_owned(),
            value,
            kept,
            purpose: Purpose::Other,
            dtype,
            sizes,
            strides,
            offset,
            member,
            bytes,
        })
    }
}

/// How numbers in a row are a tensor.
struct View {
    sizes: Vec<i64>,
    strides: Vec<i64>,
    offset: i64,
}

impl View {
    fn new(meta: &TensorMeta) -> Option<Self> {
        let number = |size: &Size| match size {
            Size::AsInt(number) if *number >= 0 => Some(*number),
            _ => None,
        };
        let numbers = |sizes: &[Size]| sizes.iter().map(number).collect::<Option<Vec<i64>>>();
        let (sizes, strides) = (numbers(&meta.sizes)?, numbers(&meta.strides)?);
        let offset = number(&meta.storage_offset)?;
        (meta.layout == STRIDED && sizes.len() == strides.len() && sizes.len() <= 16).then_some(Self {
            sizes,
            strides,
            offset,
        })
    }

    /// Whether all of it is one number, and its size can be computed with.
    fn has_one_number(&self, room: usize) -> bool {
        let count = self.sizes.iter().try_fold(1i64, |count, size| count.checked_mul(*size));
        self.strides.iter().all(|stride| *stride == 0)
            && (self.offset as u128) < room as u128
            && count.is_some_and(|count| count <= MOST_NUMBERS)
    }

    /// Whether the last number that it reaches is among `room`, and it has no more of them: a small file stays small in memory.
    fn fits(&self, room: usize) -> bool {
        let (mut last, mut count) = (self.offset as u128, 1u128);
        for (size, stride) in self.sizes.iter().zip(&self.strides) {
            let (size, stride) = (*size as u128, *stride as u128);
            last = last.saturating_add(size.saturating_sub(1).saturating_mul(stride));
            count = count.saturating_mul(size);
        }
        count == 0 || (last < room as u128 && count <= room as u128)
    }
}
