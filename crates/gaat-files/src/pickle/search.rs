//! The dictionaries of a checkpoint that hold tensors, wherever they lie.

use super::StateDict;
use super::brief::brief;
use super::machine::Pickle;
use super::tensors::TensorInfo;
use super::value::{Id, Value};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

/// Dictionaries further inside are not looked at: no known writer wraps a state dict so often.
const MOST_LEVELS: usize = 8;
/// Further names of dictionaries that have one.
const MOST_ALIASES: usize = 16;
/// Longer keys name no tensor.
const MOST_NAME: usize = 300;
/// More tensors than any checkpoint has, in all its dictionaries.
const MOST_TENSORS: usize = 1 << 17;
/// Other entries that are told by name, in all dictionaries.
const MOST_OTHERS: usize = 1 << 12;

/// Where a dictionary lies: in which other one, and under which key.
struct Node {
    id: Id,
    parent: Option<usize>,
    key: Key,
    level: usize,
}

#[derive(Clone, Copy)]
enum Key {
    /// The value that holds the text.
    Text(Id),
    Place(usize),
    /// Of the only item of a list.
    Sole,
    Root,
}

/// All dictionaries that hold tensors under names, the outer before the inner. `wanted` looks at the names before anything
/// else is done with a dictionary.
pub(super) fn dictionaries(
    pickle: &Pickle<'_>,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<StateDict>, String> {
    let nodes = walk(pickle);
    let mut found = Vec::new();
    let (mut tensors_left, mut others_left) = (MOST_TENSORS, MOST_OTHERS);
    for (place, node) in nodes.iter().enumerate() {
        let Value::Dict(items) = pickle.get(node.id) else { continue };
        let is_wanted = items.iter().any(|(key, value)| {
            matches!(pickle.get(*value), Value::Tensor(_))
                && pickle.text(*key).is_some_and(|name| name.len() <= MOST_NAME && wanted(name))
        });
        if is_wanted {
            let path = path(pickle, &nodes, place);
            let dictionary = dictionary(pickle, items, path, tensors_left, others_left)?;
            tensors_left -= dictionary.tensors.len();
            others_left -= dictionary.others.len();
            found.push(dictionary);
        }
    }
    Ok(found)
}

fn walk(pickle: &Pickle<'_>) -> Vec<Node> {
    let mut known = vec![false; pickle.values.len()];
    let mut nodes = vec![Node { id: pickle.root, parent: None, key: Key::Root, level: 0 }];
    known[pickle.root as usize] = true;
    let (mut next, mut aliases) = (0, 0);
    while next < nodes.len() {
        let Node { id, level, .. } = nodes[next];
        if level < MOST_LEVELS {
            let mut visit = |child: Id, key: Key| {
                let is_container =
                    matches!(pickle.get(child), Value::Dict(_) | Value::List(_) | Value::Tuple(_));
                if !is_container {
                    return;
                }
                let is_new = !std::mem::replace(&mut known[child as usize], true);
                // A dictionary that is there already has another name here; what lies in it is known.
                let is_alias =
                    !is_new && aliases < MOST_ALIASES && matches!(pickle.get(child), Value::Dict(_));
                aliases += usize::from(is_alias);
                if is_new || is_alias {
                    let level = if is_new { level + 1 } else { MOST_LEVELS };
                    nodes.push(Node { id: child, parent: Some(next), key, level });
                }
            };
            match pickle.get(id) {
                Value::Dict(items) => {
                    for (key, value) in items {
                        if pickle.text(*key).is_some_and(|name| name.len() <= MOST_NAME) {
                            visit(*value, Key::Text(*key));
                        }
                    }
                }
                Value::List(items) | Value::Tuple(items) => {
                    for (place, item) in items.iter().enumerate() {
                        visit(*item, if items.len() == 1 { Key::Sole } else { Key::Place(place) });
                    }
                }
                _ => {}
            }
        }
        next += 1;
    }
    nodes
}

fn path(pickle: &Pickle<'_>, nodes: &[Node], place: usize) -> Vec<String> {
    let mut path = Vec::new();
    let mut here = Some(place);
    while let Some(Node { parent, key, .. }) = here.map(|place| &nodes[place]) {
        match key {
            Key::Text(id) => path.extend(pickle.text(*id).map(str::to_owned)),
            Key::Place(place) => path.push(place.to_string()),
            Key::Sole | Key::Root => {}
        }
        here = *parent;
    }
    path.reverse();
    path
}

fn dictionary(
    pickle: &Pickle<'_>,
    items: &[(Id, Id)],
    path: Vec<String>,
    most_tensors: usize,
    most_others: usize,
) -> Result<StateDict, String> {
    let mut known = HashSet::new();
    let (mut tensors, mut others) = (Vec::new(), Vec::new());
    for (key, value) in items {
        let Some(name) = pickle.text(*key).filter(|name| name.len() <= MOST_NAME) else { continue };
        if !known.insert(name) {
            return Err(format!("{}, which comes twice", brief(name)));
        }
        if let Value::Tensor(view) = pickle.get(*value) {
            if tensors.len() == most_tensors {
                return Err(format!("more than {MOST_TENSORS} tensors"));
            }
            tensors.push(TensorInfo::resolve(pickle, name, *view)?);
        } else if others.len() < most_others {
            others.push((name.to_owned(), pickle.describe(*value)));
        }
    }
    Ok(StateDict { path, tensors, others })
}

/// What a file without a single named tensor holds instead.
pub(super) fn without_tensors(pickle: &Pickle<'_>) -> String {
    let mut keys = String::new();
    if let Value::Dict(items) = pickle.get(pickle.root) {
        for (key, value) in items.iter().take(8) {
            let _ = write!(keys, " {} ({})", brief(pickle.get(*key)), pickle.describe(*value));
        }
        format!("a dictionary without tensors, with the keys{keys}")
    } else {
        let found = pickle.describe(pickle.root);
        format!("{found}, which is code and not numbers; save the state dict alone, model.state_dict()")
    }
}

/// The classes of closed objects in the file, each once, the most frequent first.
pub(super) fn closed(pickle: &Pickle<'_>) -> Vec<String> {
    let mut counts: HashMap<Id, usize> = HashMap::new();
    for value in &pickle.values {
        if let Value::Object(class) = value {
            *counts.entry(*class).or_default() += 1;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_unstable_by_key(|(class, count)| (std::cmp::Reverse(*count), *class));
    let mut names: Vec<String> = Vec::new();
    for (class, _) in counts.into_iter().take(64) {
        let name = pickle.describe(class);
        let name = name.trim_start_matches("the class ").to_owned();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
