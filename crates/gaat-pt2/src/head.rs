//! The last layer of a graph: what a new set of classes replaces.

use crate::graph::{Target, ValueId};
use crate::program::Program;
use crate::stored::{Kept, Stored};

impl Program {
    /// The layer that makes the logits, by its name in PyTorch: the last node that takes parameters, a linear layer or a convolution with one
    /// output for each class. `None` where the last parameters are not those of such a layer, or serve another layer too.
    pub fn head(&self) -> Option<&str> {
        let (node, last) = self.nodes.iter().rev().find_map(|node| {
            let values: Vec<ValueId> = node.inputs.iter().flat_map(|input| input.argument.values()).collect();
            let taken: Vec<&Stored> = self
                .tensors
                .iter()
                .filter(|stored| is_parameter(stored) && values.contains(&stored.value))
                .collect();
            (!taken.is_empty()).then_some((node, taken))
        })?;
        let Target::Operator { base, .. } = &node.target else { return None };
        let weight = last.iter().find(|stored| stored.name.ends_with(".weight"))?;
        let layer = weight.name.strip_suffix(".weight")?;
        let is_its =
            |stored: &&Stored| stored.name.strip_prefix(layer).is_some_and(|rest| rest.starts_with('.'));
        let is_shared =
            |stored: &&Stored| self.tensors.iter().any(|other| !is_its(&other) && stored.is_tied_to(other));
        let makes_logits =
            matches!(base.as_str(), "linear" | "conv2d") && weight.sizes.first() == Some(&self.classes);
        (makes_logits && last.iter().all(|stored| is_its(stored) && !is_shared(stored))).then_some(layer)
    }
}

fn is_parameter(stored: &Stored) -> bool {
    matches!(stored.kept, Kept::Parameter { .. })
}
