//! The stack machine of pickle, protocols 0 to 5. It builds data and calls nothing: what calls of unknown classes would
//! make stays closed.
//!
//! Format: the comments of `Lib/pickletools.py`. Time and memory are linear in the bytes read: a value is never copied,
//! and whatever an opcode moves from the stack was put there by an opcode of its own.

use super::brief::brief;
use super::opcodes;
use super::value::{Class, Id, Value};
use std::borrow::Cow;
use std::collections::HashMap;

/// More values than any checkpoint has; a file that asks for more is refused before it fills the memory.
const MOST_VALUES: usize = 1 << 22;

/// A pickle that was read to its end.
pub(super) struct Pickle<'a> {
    pub(super) values: Vec<Value<'a>>,
    pub(super) root: Id,
    /// Bytes read.
    pub(super) length: usize,
    /// What closed objects were called with, and what they were given afterwards.
    pub(super) arguments: HashMap<Id, Id>,
    pub(super) states: HashMap<Id, Id>,
}

impl<'a> Pickle<'a> {
    pub(super) fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id as usize]
    }

    /// The text that `id` holds, if it holds one.
    pub(super) fn text(&self, id: Id) -> Option<&str> {
        if let Value::Text(text) = self.get(id) { Some(text) } else { None }
    }

    /// What kind of thing `id` is, in a few words.
    pub(super) fn describe(&self, id: Id) -> String {
        match self.get(id) {
            Value::Object(class) => format!("an object of {}", self.class_name(*class)),
            Value::Class(_) => format!("the class {}", self.class_name(id)),
            Value::Dict(_) => "a dictionary".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Tuple(_) => "a tuple".to_owned(),
            Value::Tensor(_) => "a tensor".to_owned(),
            Value::Storage(_) => "a storage".to_owned(),
            Value::Text(text) => brief(&**text),
            other => brief(other),
        }
    }

    /// Module and name of a class, escaped.
    fn class_name(&self, id: Id) -> String {
        match self.get(id) {
            Value::Class(Class::Other(module, name)) => {
                let text = |id| self.text(id).unwrap_or_default();
                // Cut before they are joined: either may have megabytes.
                let cut = |text: &str| text.chars().take(100).collect::<String>();
                brief(&format!("{}.{}", cut(text(*module)), cut(text(*name)))).trim_matches('"').to_owned()
            }
            other => brief(other),
        }
    }
}

/// Reads the pickle at the start of `bytes`. Errors say what was found, with its position.
pub(super) fn read(bytes: &[u8]) -> Result<Pickle<'_>, String> {
    let mut machine = Machine {
        bytes,
        position: 0,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        copied: 0,
        arguments: HashMap::new(),
        states: HashMap::new(),
    };
    loop {
        let at = machine.position;
        let opcode = machine.byte()?;
        if opcode == b'.' {
            let root = machine.pop()?;
            let Machine { values, position: length, arguments, states, .. } = machine;
            return Ok(Pickle { values, root, length, arguments, states });
        }
        machine.step(opcode).map_err(|reason| format!("{reason}, at byte {at}"))?;
    }
}

pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    position: usize,
    pub(super) values: Vec<Value<'a>>,
    pub(super) stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
    /// Items that calls took over from lists, which may be named again and again.
    copied: usize,
    pub(super) arguments: HashMap<Id, Id>,
    states: HashMap<Id, Id>,
}

impl<'a> Machine<'a> {
    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            // PROTO, FRAME: nothing that matters to the reader.
            0x80 => self.take(1).map(|_| ()),
            0x95 => self.take(8).map(|_| ()),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop().map(|_| ()),
            b'1' => self.pop_to_mark().map(|_| ()),
            b'2' => {
                let id = *self.stack.last().ok_or("an empty stack")?;
                self.again(id)
            }
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'}' => self.push(Value::Dict(Vec::new())),
            b']' | 0x8f => self.push(Value::List(Vec::new())),
            b')' => self.push(Value::Tuple(Vec::new())),
            b'K' | b'M' | b'J' | 0x8a | 0x8b | b'G' | b'I' | b'L' | b'F' => self.number(opcode),
            b'X' | 0x8c | 0x8d | b'V' | b'S' | b'T' | b'U' => self.text(opcode),
            b'C' | b'B' | 0x8e | 0x96 => {
                let length = self.length(opcode)?;
                let bytes = self.take(length)?;
                self.push(Value::Bytes(bytes))
            }
            b'q' | b'r' | b'p' | 0x94 => self.remember(opcode),
            b'h' | b'j' | b'g' => self.recall(opcode),
            b't' | 0x85..=0x87 | 0x91 | b'l' => self.sequence(opcode),
            b'd' => self.dictionary(),
            b'a' | b'e' | b's' | b'u' | 0x90 => self.fill(opcode),
            b'c' | 0x93 => self.class(opcode),
            b'b' => self.build(),
            b'Q' => self.persistent(),
            b'R' | 0x81 | 0x92 => self.call(opcode),
            b'i' | b'o' => self.old_object(opcode),
            other => Err(format!("the opcode {}, which a state dict does not need", opcodes::name(other))),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
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

    /// The length that comes before text, bytes or a long number.
    fn length(&mut self, opcode: u8) -> Result<usize, String> {
        match opcode {
            0x8c | b'U' | b'C' | 0x8a => self.unsigned(1),
            0x8d | 0x8e | 0x96 => self.unsigned(8),
            _ => self.unsigned(4),
        }
    }

    fn line(&mut self) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.position..];
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or("a pickle that is cut short")?;
        self.position += end + 1;
        Ok(&rest[..end])
    }

    pub(super) fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id as usize]
    }

    /// Adds a value and leaves it off the stack.
    fn add(&mut self, value: Value<'a>) -> Result<Id, String> {
        if self.values.len() >= MOST_VALUES {
            return Err(format!("more than {MOST_VALUES} values"));
        }
        self.values.push(value);
        Ok((self.values.len() - 1) as Id)
    }

    pub(super) fn push(&mut self, value: Value<'a>) -> Result<(), String> {
        let id = self.add(value)?;
        self.again(id)
    }

    /// Puts a value that is there on the stack.
    pub(super) fn again(&mut self, id: Id) -> Result<(), String> {
        if self.stack.len() >= MOST_VALUES {
            return Err(format!("more than {MOST_VALUES} values on the stack"));
        }
        self.stack.push(id);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Result<Id, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("an empty stack".to_owned());
        }
        self.stack.pop().ok_or_else(|| "an empty stack".to_owned())
    }

    pub(super) fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("no mark on the stack")?;
        Ok(self.stack.split_off(mark))
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
            b'I' | b'L' | b'F' => self.written_number(opcode)?,
            _ => {
                let length = self.length(opcode)?;
                let bytes = self.take(length)?;
                if length > 8 {
                    Value::Long(bytes)
                } else {
                    let fill = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
                    let mut whole = [fill; 8];
                    whole[..length].copy_from_slice(bytes);
                    Value::Int(i64::from_le_bytes(whole))
                }
            }
        };
        self.push(value)
    }

    /// The numbers of protocol 0, which are lines of text; truth values are among them.
    fn written_number(&mut self, opcode: u8) -> Result<Value<'a>, String> {
        let line = self.line()?;
        let text = std::str::from_utf8(line).unwrap_or_default().trim_end_matches('L');
        let value = match (opcode, text) {
            (b'I', "00") => Some(Value::Bool(false)),
            (b'I', "01") => Some(Value::Bool(true)),
            (b'F', _) => text.parse().ok().map(Value::Float),
            // Beyond 64 bits the number itself is of no use here.
            _ if text.len() > 19 => Some(Value::Long(line)),
            _ => text.parse().ok().map(Value::Int),
        };
        value.ok_or_else(|| format!("{}, which is no number", brief(text)))
    }

    fn text(&mut self, opcode: u8) -> Result<(), String> {
        let bytes = match opcode {
            b'V' => self.line()?,
            // Quoted; escapes stay as they are: no name of a tensor has any.
            b'S' => {
                let line = self.line()?;
                let inner = line.get(1..line.len().saturating_sub(1));
                inner.filter(|_| line.first() == line.last()).ok_or("text without quotes")?
            }
            _ => {
                let length = self.length(opcode)?;
                self.take(length)?
            }
        };
        // Python 2 wrote bytes as text too: pixels among them, which are no text and are kept as they are.
        if opcode == b'T' && std::str::from_utf8(bytes).is_err() {
            return self.push(Value::Bytes(bytes));
        }
        let text = match opcode {
            b'S' | b'T' | b'U' => String::from_utf8_lossy(bytes),
            _ => Cow::Borrowed(std::str::from_utf8(bytes).map_err(|_| "text that is not UTF-8")?),
        };
        self.push(Value::Text(text))
    }

    fn memo_key(&mut self, opcode: u8) -> Result<usize, String> {
        match opcode {
            b'q' | b'h' => self.unsigned(1),
            b'r' | b'j' => self.unsigned(4),
            _ => {
                let line = self.line()?;
                let key = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok());
                key.ok_or_else(|| "a memo whose key is no number".to_owned())
            }
        }
    }

    fn remember(&mut self, opcode: u8) -> Result<(), String> {
        let key = if opcode == 0x94 { self.memo.len() } else { self.memo_key(opcode)? };
        let id = *self.stack.last().ok_or("an empty stack")?;
        self.memo.insert(key, id);
        Ok(())
    }

    fn recall(&mut self, opcode: u8) -> Result<(), String> {
        let key = self.memo_key(opcode)?;
        let id = *self.memo.get(&key).ok_or_else(|| format!("a reference to the unknown memo {key}"))?;
        self.again(id)
    }

    /// Tuples, sets that do not change, and the lists of protocol 0.
    fn sequence(&mut self, opcode: u8) -> Result<(), String> {
        let items = if let 0x85..=0x87 = opcode {
            let mut items = Vec::new();
            for _ in 0..opcode - 0x84 {
                items.push(self.pop()?);
            }
            items.reverse();
            items
        } else {
            self.pop_to_mark()?
        };
        self.push(if opcode == b'l' { Value::List(items) } else { Value::Tuple(items) })
    }

    /// The dictionaries of protocol 0.
    fn dictionary(&mut self) -> Result<(), String> {
        let items = self.pop_to_mark()?;
        self.push(Value::Dict(pairs(&items)?))
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
        let id = *self.stack.last().ok_or("an empty stack")?;
        let target = &mut self.values[id as usize];
        match (opcode, &mut *target) {
            (b'a' | b'e' | 0x90, Value::List(list)) => list.extend(items),
            (b's' | b'u', Value::Dict(dict)) => dict.extend(pairs(&items)?),
            // A class of its own that is a dictionary: its entries are data like any others.
            (b's' | b'u', Value::Object(_)) => *target = Value::Dict(pairs(&items)?),
            (b'a' | b'e' | 0x90, Value::Object(_)) => *target = Value::List(items),
            (_, other) => return Err(format!("items for what takes none: {}", brief(other))),
        }
        Ok(())
    }

    fn class(&mut self, opcode: u8) -> Result<(), String> {
        let (module, name) = if opcode == b'c' {
            self.named_class()?
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            (module, name)
        };
        let class = self.class_of(module, name)?;
        self.push(Value::Class(class))
    }

    /// Module and name of a class, a line each.
    fn named_class(&mut self) -> Result<(Id, Id), String> {
        let mut next = || {
            let line = self.line()?;
            self.add(Value::Text(String::from_utf8_lossy(line)))
        };
        Ok((next()?, next()?))
    }

    fn class_of(&self, module: Id, name: Id) -> Result<Class, String> {
        let (Value::Text(module_text), Value::Text(name_text)) = (self.get(module), self.get(name)) else {
            return Err("a class whose name is no text".to_owned());
        };
        Ok(Class::parse(module_text, name_text).unwrap_or(Class::Other(module, name)))
    }

    /// Attributes, such as the versions of the modules of a dictionary: of no use here.
    fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        let id = *self.stack.last().ok_or("an empty stack")?;
        if let Value::Object(_) = self.get(id) {
            self.states.insert(id, state);
        }
        match self.get(id) {
            Value::Dict(_) | Value::List(_) | Value::Object(_) | Value::Tensor(_) | Value::Class(_) => Ok(()),
            other => Err(format!("attributes for {}", brief(other))),
        }
    }

    /// Objects of protocol 0: of a class that is named here, or of the first value after the mark.
    fn old_object(&mut self, opcode: u8) -> Result<(), String> {
        let class = if opcode == b'i' {
            let (module, name) = self.named_class()?;
            let class = self.class_of(module, name)?;
            self.pop_to_mark()?;
            self.add(Value::Class(class))?
        } else {
            let items = self.pop_to_mark()?;
            *items.first().ok_or("an object without a class")?
        };
        self.push(Value::Object(class))
    }

    /// Counts items that are copied out of a list, so that naming it often does not cost more than the file is long.
    pub(super) fn charge(&mut self, items: usize) -> Result<(), String> {
        self.copied = self.copied.saturating_add(items);
        if self.copied > self.bytes.len() {
            Err("one list taken over again and again".to_owned())
        } else {
            Ok(())
        }
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    let (pairs, rest) = items.as_chunks::<2>();
    if rest.is_empty() {
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    } else {
        Err("a key without a value".to_owned())
    }
}
