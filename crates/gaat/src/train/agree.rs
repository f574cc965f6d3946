//! Before the first step of several processes: all train the same on the same, and begin where the leader is, which may continue from a
//! state that it has found.

use super::run::Run;
use super::state_file::{Position, State};
use crate::error::{Error, Result};
use crate::nn::Classifier;
use crate::world::{World, document_of_leader, same_everywhere};
use gaat_spec::{Plan, Recipe, RunRecord};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// Keys of a recipe that may differ from machine to machine; what lies there is compared by its digest.
const OF_A_MACHINE: [&str; 7] =
    ["data-dir", "device", "threads", "model-file", "eval-program", "extra-data", "from"];

/// Insists that all of `world` train alike: by `plan`, on the images and from the weights of `record`, the same `network`.
///
/// # Errors
/// [`Error::Apart`] everywhere where they do not, or when one of the others cannot be reached.
pub(super) fn check_alike(
    world: &dyn World,
    plan: &Plan,
    record: &RunRecord,
    network: &dyn Classifier,
) -> Result<()> {
    if world.size() == 1 {
        return Ok(());
    }
    let recipe = serde_json::to_value(plan.recipe()).map_err(std::io::Error::from)?;
    let keys = Recipe::keys().iter().filter(|key| !OF_A_MACHINE.contains(key));
    let keys =
        keys.map(|key| (*key, recipe.get(*key).map_or_else(|| "unset".to_owned(), ToString::to_string)));
    let start = serde_json::to_string(&record.start.as_ref().map(|start| &start.digest));
    let outline =
        network.store().named().iter().map(|entry| format!("{} {:?}", entry.name, entry.tensor.size()));
    let mut facts = vec![("their version of gaat", record.environment.version.clone())];
    facts.extend(keys);
    facts.extend([
        ("the digest of the images", record.data_digest.clone()),
        ("the digest of the extra images", record.extra_digest.clone().unwrap_or_else(|| "none".to_owned())),
        ("the weights that they begin with", start.map_err(std::io::Error::from)?),
        ("the precision that computes", record.environment.precision.clone()),
        ("the network", outline.collect::<Vec<_>>().join(", ")),
    ]);
    same_everywhere(world, &facts)
}

/// The state that the leader has found, if any, in all of `world`.
///
/// # Errors
/// When one of the others cannot be reached, or has another version.
pub(super) fn found_by_leader(world: &dyn World, found: Option<State>) -> Result<Option<State>> {
    if world.size() == 1 {
        return Ok(found);
    }
    let unreadable = |error| Error::Usage(format!("the leader's state cannot be read: {error}"));
    let outline = found.as_ref().map(Outline::of);
    let document = serde_json::to_vec(&outline).map_err(unreadable)?;
    let document = document_of_leader(world, document)?;
    let Some(outline) = serde_json::from_slice::<Option<Outline>>(&document).map_err(unreadable)? else {
        return Ok(None);
    };
    let state = match found {
        Some(state) => state,
        None => State::new(outline.position, outline.tensors.iter().map(empty).collect::<Result<_>>()?),
    };
    world.share(&state.tensors.iter().map(|(_, tensor)| tensor.shallow_clone()).collect::<Vec<_>>())?;
    Ok(Some(state))
}

/// A state without the numbers in its tensors.
#[derive(Serialize, Deserialize)]
struct Outline {
    position: Position,
    /// Name, shape and name of the dtype.
    tensors: Vec<(String, Vec<i64>, String)>,
}

impl Outline {
    fn of(state: &State) -> Self {
        let outline =
            |(name, tensor): &(String, Tensor)| (name.clone(), tensor.size(), format!("{:?}", tensor.kind()));
        Self { position: state.position.clone(), tensors: state.tensors.iter().map(outline).collect() }
    }
}

fn empty((name, shape, kind): &(String, Vec<i64>, String)) -> Result<(String, Tensor)> {
    let kind = KINDS.iter().find(|known| format!("{known:?}") == *kind).copied();
    let kind =
        kind.ok_or_else(|| Error::Usage(format!("the leader's tensor `{name}` has an unknown dtype")))?;
    Ok((name.clone(), Tensor::f_zeros(shape.as_slice(), (kind, Device::Cpu))?))
}

/// Dtypes of what a state holds.
const KINDS: [Kind; 8] =
    [Kind::Float, Kind::Double, Kind::BFloat16, Kind::Half, Kind::Uint8, Kind::Int, Kind::Int64, Kind::Bool];

impl Run<'_> {
    /// Begins with the leader's numbers, where nothing was found to continue from.
    ///
    /// # Errors
    /// When one of the others cannot be reached.
    pub(super) fn begin_alike(&self) -> Result<()> {
        let tensors = self.trained.state()?.into_iter().map(|(_, tensor)| tensor.detach());
        self.world.share(&tensors.collect::<Vec<_>>())
    }
}
