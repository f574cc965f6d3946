//! The stack machine of pickle, cut down to what state dicts need. It builds data and calls nothing.
//!
//! Format: the comments of `Lib/pickletools.py`. An opcode outside the list, and a class outside of
//! [`Class`], ends the reading with its name and position.

use super::brief::brief;
use super::opcodes;
use super::value::{Class, Id, Storage, Value, View};
use std::collections::HashMap;

/// More values than any state dict has; a file that asks for more is refused before it fills the memory.
const MOST_VALUES: usize = 1 << 22;

/// Axes of a tensor in PyTorch.
const MOST_AXES: usize = 64;

/// A pickle that was read to its end.
pub(super) struct Pickle {
    pub(super) values: Vec<Value>,
    pub(super) root: Id,
    /// Bytes read.
    pub(super) length: usize,
}

/// Reads the pickle at the start of `bytes`. Errors say what was found, with its position.
pub(super) fn read(bytes: &[u8]) -> Result<Pickle, String> {
    let mut machine = Machine {
        bytes,
        position: 0,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    loop {
        let at = machine.position;
        let opcode = machine.byte()?;
        if opcode == b'.' {
            let root = machine.pop()?;
            return Ok(Pickle { values: machine.values, root, length: machine.position });
        }
        machine.step(opcode).map_err(|reason| format!("{reason}, at byte {at}"))?;
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    position: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
}

impl Machine<'_> {
    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            // PROTO, FRAME: nothing that matters to the reader.
            0x80 => self.take(1).map(|_| ()),
            0x95 => self.take(8).map(|_| ()),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'}' => self.push(Value::Dict(Vec::new())),
            b']' => self.push(Value::List(Vec::new())),
            b')' => self.push(Value::Tuple(Vec::new())),
            b'K' | b'M' | b'J' | 0x8a | b'G' => self.number(opcode),
            b'X' => {
                let length = self.unsigned(4)?;
                self.text(length)
            }
            0x8c => {
                let length = self.unsigned(1)?;
                self.text(length)
            }
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.remember(opcode),
            b't' | 0x85..=0x87 => self.tuple(opcode),
            b'a' | b'e' | b's' | b'u' => self.fill(opcode),
            b'c' | 0x93 => self.class(opcode),
            b'b' => self.build(),
            b'Q' => self.storage(),
            b'R' => self.reduce(),
            other => Err(format!("the opcode {}, which a state dict does not need", opcodes::name(other))),
        }
    }

    fn take(&mut self, count: usize) -> Result<&[u8], String> {
        let end = self.position.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| "a pickle that is cut short".to_owned())?;
        let taken = &self.bytes[self.position..end];
        self.position = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn unsigned(&mut self, width: usize) -> Result<usize, String> {
        let little = self.take(width)?.iter().rev();
        Ok(little.fold(0, |value, byte| value << 8 | usize::from(*byte)))
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = &self.bytes[self.position..];
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or("a pickle that is cut short")?;
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        self.position += end + 1;
        Ok(line)
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        if self.values.len() >= MOST_VALUES {
            return Err(format!("more than {MOST_VALUES} values"));
        }
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("an empty stack".to_owned());
        }
        self.stack.pop().ok_or_else(|| "an empty stack".to_owned())
    }

    fn popped(&mut self) -> Result<Value, String> {
        let id = self.pop()?;
        Ok(self.values[id].clone())
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("no mark on the stack")?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&mut self) -> Result<&mut Value, String> {
        let id = *self.stack.last().ok_or("an empty stack")?;
        Ok(&mut self.values[id])
    }

    fn number(&mut self, opcode: u8) -> Result<(), String> {
        let value = match opcode {
            b'K' => Value::Int(self.unsigned(1)? as i64),
            b'M' => Value::Int(self.unsigned(2)? as i64),
            b'J' => Value::Int(i64::from(self.unsigned(4)? as u32 as i32)),
            b'G' => {
                let big = self.take(8)?.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
                Value::Float(f64::from_bits(big))
            }
            _ => {
                let length = self.unsigned(1)?;
                let bytes = self.take(length)?.to_vec();
                if length > 8 {
                    Value::Long(bytes)
                } else {
                    let fill = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
                    let mut whole = [fill; 8];
                    whole[..length].copy_from_slice(&bytes);
                    Value::Int(i64::from_le_bytes(whole))
                }
            }
        };
        self.push(value)
    }

    fn text(&mut self, length: usize) -> Result<(), String> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| "text that is not UTF-8")?.to_owned();
        self.push(Value::Text(text.into()))
    }

    fn remember(&mut self, opcode: u8) -> Result<(), String> {
        let key = match opcode {
            b'q' | b'h' => self.unsigned(1)?,
            b'r' | b'j' => self.unsigned(4)?,
            _ => self.memo.len(),
        };
        if matches!(opcode, b'h' | b'j') {
            let id = *self.memo.get(&key).ok_or_else(|| format!("a reference to the unknown memo {key}"))?;
            self.stack.push(id);
            if self.stack.len() > MOST_VALUES {
                return Err(format!("more than {MOST_VALUES} values on the stack"));
            }
        } else {
            let id = *self.stack.last().ok_or("an empty stack")?;
            self.memo.insert(key, id);
        }
        Ok(())
    }

    fn tuple(&mut self, opcode: u8) -> Result<(), String> {
        let items = if opcode == b't' {
            self.pop_to_mark()?
        } else {
            let mut items = Vec::new();
            for _ in 0..opcode - 0x84 {
                items.push(self.pop()?);
            }
            items.reverse();
            items
        };
        self.push(Value::Tuple(items))
    }

    fn fill(&mut self, opcode: u8) -> Result<(), String> {
        let items = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_to_mark()?,
        };
        match (opcode, self.top()?) {
            (b'a' | b'e', Value::List(list)) => list.extend(items),
            (b's' | b'u', Value::Dict(dict)) if items.len() % 2 == 0 => {
                dict.extend(items.as_chunks::<2>().0.iter().map(|[key, value]| (*key, *value)));
            }
            (_, other) => return Err(format!("items for what takes none: {}", brief(other))),
        }
        Ok(())
    }

    fn class(&mut self, opcode: u8) -> Result<(), String> {
        let (module, name) = if opcode == b'c' {
            (self.line()?.into(), self.line()?.into())
        } else {
            let (name, module) = (self.popped()?, self.popped()?);
            let (Value::Text(name), Value::Text(module)) = (name, module) else {
                return Err("a class whose name is no text".to_owned());
            };
            (module, name)
        };
        let class = Class::parse(&module, &name).ok_or_else(|| {
            let name = brief(&format!("{module}.{name}"));
            format!("{name}, which is code and not numbers; save the state dict alone, model.state_dict()")
        })?;
        self.push(Value::Class(class))
    }

    /// Attributes of a dictionary, such as the versions of its modules: of no use here.
    fn build(&mut self) -> Result<(), String> {
        self.pop()?;
        match self.top()? {
            Value::Dict(_) => Ok(()),
            other => Err(format!("attributes for {}", brief(other))),
        }
    }

    /// `('storage', class, key, device, count)`, in the old layout with a sixth item for views, which must be none.
    fn storage(&mut self) -> Result<(), String> {
        let id = self.popped()?;
        let Value::Tuple(items) = &id else { return Err(format!("a persistent id of {}", brief(&id))) };
        let items: Vec<&Value> = items.iter().map(|item| &self.values[*item]).collect();
        let storage = match items.as_slice() {
            [
                Value::Text(kind),
                Value::Class(Class::Storage(scalar)),
                Value::Text(key),
                _,
                Value::Int(count),
            ]
            | [
                Value::Text(kind),
                Value::Class(Class::Storage(scalar)),
                Value::Text(key),
                _,
                Value::Int(count),
                Value::None,
            ] if **kind == *"storage" => {
                let count = usize::try_from(*count).map_err(|_| format!("a storage of {count} numbers"))?;
                Storage { key: key.clone(), scalar: *scalar, count }
            }
            other => return Err(format!("a persistent id of {}", described(other))),
        };
        self.push(Value::Storage(storage))
    }

    /// The few calls that state dicts are made of, answered without calling.
    fn reduce(&mut self) -> Result<(), String> {
        let (arguments, class) = (self.popped()?, self.popped()?);
        let (Value::Class(class), Value::Tuple(arguments)) = (class, arguments) else {
            return Err("a call of what is no class".to_owned());
        };
        let arguments: Vec<&Value> = arguments.iter().map(|id| &self.values[*id]).collect();
        let made = match (class, arguments.as_slice()) {
            (Class::OrderedDict, []) => Value::Dict(Vec::new()),
            (
                Class::RebuildTensor,
                [Value::Storage(storage), Value::Int(offset), Value::Tuple(shape), Value::Tuple(stride), ..],
            ) if shape.len() == stride.len() => Value::Tensor(View {
                storage: storage.clone(),
                offset: usize::try_from(*offset).map_err(|_| format!("an offset of {offset}"))?,
                shape: self.sizes(shape)?,
                stride: self.sizes(stride)?,
            }),
            (Class::RebuildParameter, [Value::Tensor(view), ..]) => Value::Tensor(view.clone()),
            (class, arguments) => return Err(format!("{class:?} of {}", described(arguments))),
        };
        self.push(made)
    }

    fn sizes(&self, items: &[Id]) -> Result<Vec<usize>, String> {
        if items.len() > MOST_AXES {
            return Err(format!("a tensor of {} axes, where PyTorch has at most {MOST_AXES}", items.len()));
        }
        let size = |id: &Id| match &self.values[*id] {
            Value::Int(size) => usize::try_from(*size).map_err(|_| format!("a size of {size}")),
            other => Err(format!("a size of {}", brief(other))),
        };
        items.iter().map(size).collect()
    }
}

/// The first of `values`, and how many there are.
fn described(values: &[&Value]) -> String {
    format!("{} values that begin with {}", values.len(), brief(values))
}
