//! Operators of libtorch by name, called with values whose types are only known when the program runs: what a graph from a file needs.

use super::{Handle, Result, check, handle, taken};
use libc::{c_char, c_int};
use std::ffi::{CString, c_void};
use std::marker::PhantomData;
use tch::{Device, Tensor};

/// No operator has more results.
const MOST_RESULTS: usize = 8;

/// As in `dispatch.cpp`.
#[repr(i32)]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    Default,
    None,
    Tensor,
    Int,
    Float,
    Bool,
    Text,
    Ints,
    Floats,
    Bools,
    Tensors,
}

/// A value as C++ sees it; what it points to outlives the call.
#[repr(C)]
#[derive(Clone, Copy)]
struct Raw {
    tag: i32,
    number: i64,
    real: f64,
    data: *const c_void,
}

unsafe extern "C" {
    fn gaat_operator_find(
        name: *const c_char,
        overload: *const c_char,
        found: *mut *const c_void,
    ) -> *mut c_char;
    fn gaat_operator_describe(operator: *const c_void, text: *mut *mut c_char) -> *mut c_char;
    fn gaat_operator_call(
        operator: *const c_void,
        values: *const Raw,
        count: c_int,
        results: *mut Raw,
        room: c_int,
        result_count: *mut c_int,
    ) -> *mut c_char;
    fn gaat_autocast(is_cuda: c_int, on: c_int) -> *mut c_char;
    fn gaat_plain_attention() -> *mut c_char;
    fn gaat_bound_allocations(bytes: u64, before: *mut u64) -> *mut c_char;
}

/// What is given for a parameter of an operator. One number may stand for a list of fixed length, and a number for a tensor.
#[derive(Debug, Clone, Copy)]
pub enum Argument<'a> {
    /// What the schema says.
    Default,
    /// None.
    None,
    /// A tensor.
    Tensor(&'a Tensor),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// A text; also a device, such as `cuda:0`.
    Text(&'a str),
    /// Whole numbers.
    Ints(&'a [i64]),
    /// Numbers.
    Floats(&'a [f64]),
    /// Yes or no, several.
    Bools(&'a [bool]),
    /// Tensors, made by [`TensorList::of`].
    Tensors(&'a TensorList<'a>),
}

/// Tensors in a list, where the operator takes them so.
#[derive(Debug)]
pub struct TensorList<'a> {
    handles: Vec<Handle>,
    lifetime: PhantomData<&'a Tensor>,
}

impl<'a> TensorList<'a> {
    /// `None` stands for None.
    pub fn of(tensors: impl Iterator<Item = Option<&'a Tensor>>) -> Self {
        let handles = tensors.map(|tensor| tensor.map_or(std::ptr::null_mut(), handle)).collect();
        Self { handles, lifetime: PhantomData }
    }
}

impl Argument<'_> {
    fn raw(&self) -> Raw {
        const NOTHING: *const c_void = std::ptr::null();
        let list = |tag: Tag, length: usize, data: *const c_void| (tag, length as i64, 0.0, data);
        let (tag, number, real, data) = match *self {
            Self::Default => (Tag::Default, 0, 0.0, NOTHING),
            Self::None => (Tag::None, 0, 0.0, NOTHING),
            Self::Tensor(tensor) => (Tag::Tensor, 0, 0.0, handle(tensor).cast_const().cast()),
            Self::Int(number) => (Tag::Int, number, 0.0, NOTHING),
            Self::Float(number) => (Tag::Float, 0, number, NOTHING),
            Self::Bool(is) => (Tag::Bool, i64::from(is), 0.0, NOTHING),
            Self::Text(text) => list(Tag::Text, text.len(), text.as_ptr().cast()),
            Self::Ints(numbers) => list(Tag::Ints, numbers.len(), numbers.as_ptr().cast()),
            Self::Floats(numbers) => list(Tag::Floats, numbers.len(), numbers.as_ptr().cast()),
            Self::Bools(flags) => list(Tag::Bools, flags.len(), flags.as_ptr().cast()),
            Self::Tensors(tensors) => {
                list(Tag::Tensors, tensors.handles.len(), tensors.handles.as_ptr().cast())
            }
        };
        Raw { tag: tag as i32, number, real, data }
    }
}

/// What an operator returns.
#[derive(Debug)]
pub enum Value {
    /// None, or a tensor that is not defined.
    None,
    /// A tensor.
    Tensor(Tensor),
    /// Tensors.
    Tensors(Vec<Tensor>),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
}

/// A parameter of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its type as libtorch writes it, such as `Tensor?` or `SymInt[]`.
    pub kind: String,
}

/// An operator with its schema.
#[derive(Debug)]
pub struct Operator {
    handle: *const c_void,
    parameters: Vec<Parameter>,
}

// SAFETY: an operator is an entry of the process's dispatcher that is never changed after it was found.
unsafe impl Send for Operator {}
unsafe impl Sync for Operator {}

impl Operator {
    /// By name, such as `aten::conv2d`, and overload, such as `Tensor`; empty for the default one.
    ///
    /// # Errors
    /// When this libtorch has no such operator.
    pub fn find(name: &str, overload: &str) -> Result<Self> {
        let text = |text: &str| CString::new(text.replace('\0', "?")).unwrap_or_default();
        let (name, overload) = (text(name), text(overload));
        let mut handle = std::ptr::null();
        let mut description = std::ptr::null_mut();
        // SAFETY: the strings end with NUL, the pointers are valid for a write.
        check(unsafe { gaat_operator_find(name.as_ptr(), overload.as_ptr(), &raw mut handle) })?;
        check(unsafe { gaat_operator_describe(handle, &raw mut description) })?;
        // SAFETY: on success it is a string from strdup that is ours.
        let description = unsafe { taken(description) };
        let parameter = |line: &str| {
            let (name, kind) = line.split_once('\t')?;
            Some(Parameter { name: name.to_owned(), kind: kind.to_owned() })
        };
        Ok(Self { handle, parameters: description.lines().filter_map(parameter).collect() })
    }

    /// Its parameters in order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Calls it with one argument a parameter; the results, most often one.
    ///
    /// # Errors
    /// When an argument is of the wrong type, or libtorch refuses.
    pub fn call(&self, arguments: &[Argument<'_>]) -> Result<Vec<Value>> {
        let values: Vec<Raw> = arguments.iter().map(Argument::raw).collect();
        let nothing = Raw { tag: Tag::None as i32, number: 0, real: 0.0, data: std::ptr::null() };
        let mut results = [nothing; MOST_RESULTS];
        let mut count = 0;
        // SAFETY: the values point to what `arguments` borrows; `results` has the room that is stated.
        check(unsafe {
            gaat_operator_call(
                self.handle,
                values.as_ptr(),
                values.len() as c_int,
                results.as_mut_ptr(),
                MOST_RESULTS as c_int,
                &raw mut count,
            )
        })?;
        // SAFETY: on success the first `count` results are ours.
        Ok(results[..count as usize].iter().map(|raw| unsafe { owned(*raw) }).collect())
    }
}

/// # Safety
/// `raw` is a result of `gaat_operator_call`, and nothing else takes it.
unsafe fn owned(raw: Raw) -> Value {
    let is = |tag: Tag| raw.tag == tag as i32;
    // SAFETY: as the caller promises; a list is an array from malloc of as many tensors as it says.
    unsafe {
        if is(Tag::Tensor) && !raw.data.is_null() {
            Value::Tensor(Tensor::from_ptr(raw.data.cast_mut().cast()))
        } else if is(Tag::Tensors) {
            let list = raw.data.cast::<*mut c_void>();
            let tensor = |place| Tensor::from_ptr((*list.add(place)).cast());
            let tensors = (0..raw.number as usize).map(tensor).collect();
            libc::free(raw.data.cast_mut());
            Value::Tensors(tensors)
        } else if is(Tag::Int) {
            Value::Int(raw.number)
        } else if is(Tag::Float) {
            Value::Float(raw.real)
        } else if is(Tag::Bool) {
            Value::Bool(raw.number != 0)
        } else {
            Value::None
        }
    }
}

/// Autocast to bfloat16 on this thread for as long as it lives.
#[derive(Debug)]
#[must_use = "ends when it is dropped"]
pub struct Autocast(Device);

impl Autocast {
    /// Begins it for `device`.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn on(device: Device) -> Result<Self> {
        // SAFETY: sets a flag of this thread.
        check(unsafe { gaat_autocast(c_int::from(device.is_cuda()), 1) })?;
        Ok(Self(device))
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        // SAFETY: as above. It was turned on, so turning it off does not fail.
        let _ = check(unsafe { gaat_autocast(c_int::from(self.0.is_cuda()), 0) });
    }
}

/// From now on libtorch's attention is computed by plain products, which can be differentiated twice.
///
/// # Errors
/// When libtorch refuses.
pub fn plain_attention() -> Result<()> {
    // SAFETY: sets flags of the process.
    check(unsafe { gaat_plain_attention() })
}

/// For as long as it lives no single tensor of this thread on the CPU gets more memory than it was made with.
#[derive(Debug)]
#[must_use = "ends when it is dropped"]
pub struct AllocationBound {
    before: u64,
}

impl AllocationBound {
    /// Sets the bound, in bytes.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn of(bytes: u64) -> Result<Self> {
        let mut before = 0;
        // SAFETY: the pointer is valid for a write.
        check(unsafe { gaat_bound_allocations(bytes, &raw mut before) })?;
        Ok(Self { before })
    }
}

impl Drop for AllocationBound {
    fn drop(&mut self) {
        let mut now = 0;
        // SAFETY: as above; the allocator is there, so setting the bound back does not fail.
        let _ = check(unsafe { gaat_bound_allocations(self.before, &raw mut now) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    #[test]
    fn operators_are_called_by_name() {
        let operator = Operator::find("aten::add", "Tensor").unwrap();
        assert_eq!(
            operator.parameters()[0],
            Parameter { name: "self".to_owned(), kind: "Tensor".to_owned() }
        );
        let one = Tensor::from_slice(&[1.0f32, 2.0]);
        let found =
            operator.call(&[Argument::Tensor(&one), Argument::Tensor(&one), Argument::Int(3)]).unwrap();
        assert!(matches!(&found[..], [Value::Tensor(sum)] if *sum == Tensor::from_slice(&[4.0f32, 8.0])));
        // A number in place of a tensor leaves the dtype alone.
        let found =
            operator.call(&[Argument::Tensor(&one), Argument::Float(0.5), Argument::Default]).unwrap();
        assert!(matches!(&found[..], [Value::Tensor(sum)] if sum.kind() == Kind::Float));
        let split = Operator::find("aten::unbind", "int").unwrap();
        let found = split.call(&[Argument::Tensor(&one), Argument::Default]).unwrap();
        assert!(matches!(&found[..], [Value::Tensors(parts)] if parts.len() == 2));
        let stack = Operator::find("aten::stack", "").unwrap();
        let list = TensorList::of([Some(&one), Some(&one)].into_iter());
        let found = stack.call(&[Argument::Tensors(&list), Argument::Default]).unwrap();
        assert!(matches!(&found[..], [Value::Tensor(both)] if both.size() == [2, 2]));
    }

    #[test]
    fn wrong_calls_are_errors() {
        let operator = Operator::find("aten::relu", "").unwrap();
        for arguments in [&[][..], &[Argument::Text("x")], &[Argument::None], &[Argument::Default]] {
            assert!(operator.call(arguments).is_err(), "{arguments:?}");
        }
        assert!(Operator::find("aten::nonesuch", "").unwrap_err().to_string().contains("aten::nonesuch"));
        let list = TensorList::of([None].into_iter());
        assert!(
            Operator::find("aten::stack", "")
                .unwrap()
                .call(&[Argument::Tensors(&list), Argument::Default])
                .is_err()
        );
    }

    #[test]
    fn no_tensor_is_larger_than_the_bound() {
        let ones = |count: i64| Tensor::f_ones(count, (Kind::Float, Device::Cpu));
        {
            let _bound = AllocationBound::of(4096).unwrap();
            assert!(ones(1024).is_ok());
            assert!(ones(1025).unwrap_err().to_string().contains("4096 bytes at most"));
        }
        assert!(ones(1025).is_ok());
    }
}
