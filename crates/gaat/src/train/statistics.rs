//! Statistics of batches where several processes train: each follows its own images and all take the mean after an epoch, or all
//! normalise by the whole batch.

use crate::error::{Error, Result};
use crate::nn::{Classifier, Joined};
use crate::world::World;
use gaat_spec::{AttackStatistics, Plan, Refinement};
use tch::Tensor;

/// The processes that normalise by the whole batch, where `plan` says so.
pub(super) fn joined(plan: &Plan, world: &dyn World) -> Option<Joined> {
    let group = world.recording().filter(|_| plan.sync_batch_norm() && world.size() > 1)?.clone();
    Some(Joined { group, rank: world.rank(), size: world.size() })
}

/// Refuses what cannot be normalised together.
///
/// # Errors
/// [`Error::Usage`], with a way out.
pub(super) fn check_joined(plan: &Plan, world: &dyn World, network: &dyn Classifier) -> Result<()> {
    if !plan.sync_batch_norm() || world.size() == 1 {
        return Ok(());
    }
    let refused = |reason: &str| Err(Error::Usage(format!("sync-batch-norm: {reason}")));
    if world.recording().is_none() {
        return refused("these processes cannot add up within a graph; leave the key out");
    }
    if network.exported().is_some() {
        return refused(
            "a network of torch.export normalises as its file says, each process by its own images; leave the key out",
        );
    }
    // Where a part of the images is attacked on, a process may have none of them, and the others would wait for it.
    let refines = plan.recipe().refinement.is_some_and(|refinement| refinement != Refinement::Off);
    if refines && plan.attack_statistics() == AttackStatistics::Batch {
        return refused(
            "refinement attacks a part of a batch, whose statistics are not those of the batch; set attack-statistics to running, or \
             refinement to off",
        );
    }
    Ok(())
}

/// Sets the running statistics of `network` to their means over `world`: each process has followed its own images.
pub(super) fn average_statistics(world: &dyn World, network: &dyn Classifier) -> Result<()> {
    if world.size() == 1 {
        return Ok(());
    }
    let _no_grad = tch::no_grad_guard();
    let entries = network.store().named().iter();
    let statistics = entries.filter(|entry| !entry.role.is_trainable() && entry.tensor.is_floating_point());
    let statistics: Vec<Tensor> = statistics.map(|entry| entry.tensor.detach()).collect();
    world.sum(&statistics)?;
    for mut tensor in statistics {
        let _ = tensor.f_div_scalar_(world.size() as f64)?;
    }
    Ok(())
}
