//! Before the first step of several processes: all begin where the leader is, which may go on from a state that it has found.

use super::collapse::Snapshot;
use super::run::Run;
use super::state_file::{Position, State, WeightsOnDisk};
use super::world::of_leader;
use crate::{Error, Result};
use tch::{Kind, Tensor};

impl Run<'_> {
    /// Takes over the leader's position and tensors; refuses to train on other images, or from other weights, than it does.
    ///
    /// # Errors
    /// When one of the others cannot be reached, or the leader trains on something else.
    pub(super) fn agree(&mut self) -> Result<()> {
        let is_leader = self.world.rank() == 0;
        if self.world.size() == 1 {
            return Ok(());
        }
        let text =
            serde_json::to_vec(&self.position(WeightsOnDisk::Current)).map_err(std::io::Error::from)?;
        let has_healthy = self.guard.as_ref().is_some_and(|guard| guard.healthy.is_some());
        let [length, has_healthy] =
            of_leader(self.world.as_ref(), [text.len() as f64, f64::from(u8::from(has_healthy))])?;
        let bytes = if is_leader {
            Tensor::f_from_slice(&text)?
        } else {
            Tensor::f_zeros([length as i64], (Kind::Uint8, tch::Device::Cpu))?
        };
        self.world.share(&[bytes.shallow_clone()])?;
        if let (Some(guard), false, true) = (&mut self.guard, is_leader, has_healthy > 0.0) {
            // Of the right shapes; the leader's numbers follow.
            guard.healthy = Some(Snapshot::take(&self.trained)?);
        }
        let copy = |(name, tensor): (String, Tensor)| Ok((name, tensor.f_detach()?.f_alias_copy()?));
        let tensors = self.tensors()?.into_iter().map(copy).collect::<Result<Vec<_>>>()?;
        self.world.share(&tensors.iter().map(|(_, tensor)| tensor.shallow_clone()).collect::<Vec<_>>())?;
        if is_leader {
            return Ok(());
        }
        let position: Position = serde_json::from_slice(&Vec::<u8>::try_from(bytes)?)
            .map_err(|error| Error::Usage(format!("the leader's position cannot be read: {error}")))?;
        self.restore(State::new(position, tensors))
    }
}
