//! What a pickle builds, in one arena: containers hold indices, so that cycles and deep nesting cost nothing, and no value
//! holds a copy of another.

use std::borrow::Cow;

/// Index of a [`Value`].
pub(super) type Id = u32;

/// A value. Objects of classes that state dicts do not consist of stay closed: nothing of them is run.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// A whole number of more than eight bytes, little-endian.
    Long(&'a [u8]),
    Float(f64),
    Text(Cow<'a, str>),
    /// Bytes, whatever they say.
    Bytes(&'a [u8]),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    /// Also what a class of unknown kind was given key by key.
    Dict(Vec<(Id, Id)>),
    Class(Class),
    /// What calling a class makes: the value that names the class.
    Object(Id),
    Storage(Storage),
    Tensor(View),
}

/// A class or function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    /// A tensor with attributes: function, class, arguments, attributes.
    RebuildFromType,
    /// `torch.Size`, a tuple.
    Size,
    Storage(Scalar),
    /// Any other: the values that hold its module and its name.
    Other(Id, Id),
}

impl Class {
    /// The class of that name, if it is one of those that state dicts consist of.
    pub(super) fn parse(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                Self::RebuildParameter
            }
            ("torch._tensor", "_rebuild_from_type_v2") => Self::RebuildFromType,
            ("torch", "Size") => Self::Size,
            ("torch" | "torch.storage", name) => {
                Self::Storage(Scalar::of_storage(name.strip_suffix("Storage")?)?)
            }
            _ => return None,
        })
    }
}

/// Type of the numbers of a storage, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
    /// Complex, quantised or untyped, of so many bytes: a state dict of a network here has none.
    Other(u8),
}

impl Scalar {
    fn of_storage(name: &str) -> Option<Self> {
        Some(match name {
            "Double" => Self::F64,
            "Float" => Self::F32,
            "Half" => Self::F16,
            "BFloat16" => Self::BF16,
            "Long" => Self::I64,
            "Int" => Self::I32,
            "Short" => Self::I16,
            "Char" => Self::I8,
            "Byte" => Self::U8,
            "Bool" => Self::Bool,
            "Untyped" | "QInt8" | "QUInt8" | "QUInt4x2" | "QUInt2x4" => Self::Other(1),
            "QInt32" => Self::Other(4),
            "ComplexFloat" => Self::Other(8),
            "ComplexDouble" => Self::Other(16),
            _ => return None,
        })
    }

    /// Bytes of one number.
    pub(super) fn width(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::Other(width) => usize::from(width),
        }
    }

    /// Whether they are floating-point numbers.
    pub(super) fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::BF16)
    }
}

/// Numbers that lie elsewhere in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Storage {
    /// The value that holds its name.
    pub(super) key: Id,
    pub(super) scalar: Scalar,
    /// How many numbers.
    pub(super) count: usize,
}

/// A tensor: a storage, and where in it each element lies, as the values that say it. Looked up where it is wanted: a
/// pickle can name one tuple of sizes millions of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    pub(super) storage: Id,
    pub(super) offset: Id,
    pub(super) shape: Id,
    pub(super) stride: Id,
}
