//! Calls in a pickle: the few that state dicts are made of are answered without calling, all others stay closed.

use super::brief::brief;
use super::machine::Machine;
use super::value::{Class, Id, Storage, Value, View};

impl Machine<'_> {
    /// `('storage', class, key, device, count)`, in the old layout with a sixth item for views, which must be none; or
    /// `('module', class, ...)`, which the old layout wrote for classes of networks.
    pub(super) fn persistent(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let Value::Tuple(items) = self.get(id) else {
            return Err(format!("a persistent id of {}", brief(self.get(id))));
        };
        let found = match items.as_slice() {
            [kind, class, key, _, count] => Some((*kind, *class, *key, *count)),
            [kind, class, key, _, count, view] if *self.get(*view) == Value::None => {
                Some((*kind, *class, *key, *count))
            }
            [kind, class, ..] if self.is_text(*kind, "module") => return self.again(*class),
            _ => None,
        };
        let storage = found.and_then(|(kind, class, key, count)| {
            let (Value::Class(class), Value::Text(_), Value::Int(count)) =
                (self.get(class), self.get(key), self.get(count))
            else {
                return None;
            };
            let count = usize::try_from(*count).ok()?;
            self.is_text(kind, "storage").then_some((*class, key, count))
        });
        match storage {
            Some((Class::Storage(scalar), key, count)) => {
                self.push(Value::Storage(Storage { key, scalar, count }))
            }
            // Numbers of a type that is newer than this reader: closed, and an error where they are wanted.
            Some((Class::Other(..), ..)) => {
                let Value::Tuple(items) = self.get(id) else { return Ok(()) };
                let class = items[1];
                self.push(Value::Object(class))
            }
            _ => Err(format!("a persistent id of {}", self.described(id))),
        }
    }

    /// A call, or a new object with arguments of its own.
    pub(super) fn call(&mut self, opcode: u8) -> Result<(), String> {
        const NEW_WITH_NAMES: u8 = 0x92;
        if opcode == NEW_WITH_NAMES {
            self.pop()?;
        }
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let (class, Value::Tuple(items)) = (self.get(callee), self.get(arguments)) else {
            return Err("a call of what is no class".to_owned());
        };
        match class {
            Value::Class(class) => {
                let (class, first) = (*class, items.iter().copied().take(4).collect::<Vec<_>>());
                self.answer(class, &first, callee, arguments)
            }
            // What an unknown function made may be called in turn.
            Value::Object(class) => {
                let class = *class;
                self.push(Value::Object(class))
            }
            _ => Err("a call of what is no class".to_owned()),
        }
    }

    /// `first` are the first four of `arguments`, `callee` is the value that holds `class`.
    fn answer(&mut self, class: Class, first: &[Id], callee: Id, arguments: Id) -> Result<(), String> {
        match (class, first) {
            (Class::OrderedDict, []) => self.push(Value::Dict(Vec::new())),
            // As Python 2 wrote them: one list of pairs.
            (Class::OrderedDict, [items]) => self.ordered(*items),
            (Class::RebuildTensor, [storage, offset, shape, stride]) => match self.get(*storage) {
                Value::Storage(_) => {
                    let (storage, offset, shape, stride) = (*storage, *offset, *shape, *stride);
                    self.push(Value::Tensor(View { storage, offset, shape, stride }))
                }
                Value::Object(class) => {
                    let class = *class;
                    self.push(Value::Object(class))
                }
                _ => Err(format!("{class:?} of {}", self.described(arguments))),
            },
            (Class::RebuildParameter | Class::Size, [inner, ..]) => self.again(*inner),
            (Class::RebuildFromType, [function, _, inner, ..]) => {
                let (function, inner) = (*function, *inner);
                match (self.get(function), self.get(inner)) {
                    (Value::Class(class), Value::Tuple(items)) if *class != Class::RebuildFromType => {
                        let (class, first) = (*class, items.iter().copied().take(4).collect::<Vec<_>>());
                        self.answer(class, &first, function, inner)
                    }
                    _ => Err(format!("{class:?} of {}", self.described(arguments))),
                }
            }
            (Class::Other(..) | Class::Storage(_), _) => {
                self.push(Value::Object(callee))?;
                let object = *self.stack.last().ok_or("an empty stack")?;
                self.arguments.insert(object, arguments);
                Ok(())
            }
            (class, _) => Err(format!("{class:?} of {}", self.described(arguments))),
        }
    }

    fn ordered(&mut self, items: Id) -> Result<(), String> {
        let Value::List(list) = self.get(items) else {
            return Err(format!("OrderedDict of {}", brief(self.get(items))));
        };
        let count = list.len();
        self.charge(count)?;
        let Value::List(list) = self.get(items) else { return Ok(()) };
        let pair = |id: &Id| match self.get(*id) {
            Value::List(pair) | Value::Tuple(pair) => match pair.as_slice() {
                [key, value] => Ok((*key, *value)),
                _ => Err("an entry of an OrderedDict that is no pair".to_owned()),
            },
            other => Err(format!("an entry of an OrderedDict of {}", brief(other))),
        };
        let pairs = list.iter().map(pair).collect::<Result<_, _>>()?;
        self.push(Value::Dict(pairs))
    }

    fn is_text(&self, id: Id, text: &str) -> bool {
        matches!(self.get(id), Value::Text(found) if found == text)
    }

    /// How many items a tuple has, and the first of them.
    fn described(&self, tuple: Id) -> String {
        let Value::Tuple(items) = self.get(tuple) else { return brief(self.get(tuple)) };
        let first: Vec<_> = items.iter().take(4).map(|id| self.get(*id)).collect();
        format!("{} values that begin with {}", items.len(), brief(&first))
    }
}
