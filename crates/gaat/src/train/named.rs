//! Tensors by name: how a state file keeps the parts of a run apart, and how a part continues from its own.

use crate::error::{Error, Result};
use crate::nn::finite;
use tch::Tensor;

/// `state` with `prefix` before each name.
pub(super) fn prefixed(
    prefix: &str,
    state: Vec<(String, Tensor)>,
) -> impl Iterator<Item = (String, Tensor)> + '_ {
    state.into_iter().map(move |(name, tensor)| (format!("{prefix}{name}"), tensor))
}

/// The tensors under `prefix`, without it, sharing storage.
pub(super) fn part(named: &[(String, Tensor)], prefix: &str) -> Vec<(String, Tensor)> {
    let strip = |(name, tensor): &(String, Tensor)| {
        Some((name.strip_prefix(prefix)?.to_owned(), tensor.shallow_clone()))
    };
    named.iter().filter_map(strip).collect()
}

/// Copies `state` into `targets`, name by name; what else `state` holds is ignored. `what` opens the messages.
///
/// # Errors
/// When a tensor is missing, has another shape or holds a number that is not finite; then nothing was changed.
pub(super) fn copy_into(
    what: &str,
    targets: Vec<(String, Tensor)>,
    state: &[(String, Tensor)],
) -> Result<()> {
    let mut pairs = Vec::with_capacity(targets.len());
    for (name, target) in targets {
        match state.iter().find(|(key, _)| *key == name).map(|(_, tensor)| tensor) {
            Some(tensor) if tensor.size() == target.size() => pairs.push((target, tensor)),
            Some(tensor) => {
                return Err(Error::Shape {
                    what: format!("{what} memory `{name}`"),
                    expected: format!("{:?}", target.size()),
                    found: format!("{:?}", tensor.size()),
                });
            }
            None => return Err(Error::Usage(format!("{what} memory `{name}` is missing"))),
        }
    }
    finite::check(
        &format!("the {what} memories"),
        state.iter().map(|(name, tensor)| (name.as_str(), tensor)),
    )?;
    tch::no_grad(|| -> Result<()> {
        for (mut target, tensor) in pairs {
            target.f_copy_(tensor)?;
        }
        Ok(())
    })
}
