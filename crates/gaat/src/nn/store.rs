//! Parameters and buffers of a network by name.

use super::finite;
use super::outline::{Sized, is_ignored, misfit, misfits};
use crate::error::{Error, Result};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use tch::{Device, Kind, Tensor};

/// How the names of running variances end.
const VARIANCE: &str = "running_var";

/// What a tensor is for: weight decay and initialisation depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Weight of a convolution or linear layer.
    Weight,
    /// Bias of a convolution or linear layer.
    Bias,
    /// Scale of a batch or layer normalisation.
    NormScale,
    /// Shift of a batch or layer normalisation.
    NormShift,
    /// Class token or positions of a transformer; not decayed, like a bias.
    Embedding,
    /// Running statistic, or a parameter that its owner froze: saved, but not trained.
    Buffer,
    /// Buffer in a dtype of its own, such as a count of batches: saved as it is.
    Counter,
}

impl Role {
    /// Whether an optimiser changes it.
    pub fn is_trainable(self) -> bool {
        !matches!(self, Self::Buffer | Self::Counter)
    }
}

/// One named tensor of a network.
#[derive(Debug)]
pub struct Entry {
    /// Its key in a PyTorch state dict.
    pub name: String,
    /// The tensor itself, shared with the layer that uses it.
    pub tensor: Tensor,
    /// What it is for.
    pub role: Role,
}

/// All tensors of a network in the order of their definition.
///
/// Layers hold the same tensors, so a change in place is a change of the network.
#[derive(Debug)]
pub struct ParameterStore {
    entries: Vec<Entry>,
    /// Second names of tensors, each with the place of its entry.
    aliases: Vec<(String, usize)>,
    /// Places of entries that are frozen.
    frozen: RefCell<HashSet<usize>>,
    device: Device,
    kind: Kind,
}

impl ParameterStore {
    /// An empty store whose tensors will live on `device` as `kind`.
    pub fn new(device: Device, kind: Kind) -> Self {
        Self { entries: Vec::new(), aliases: Vec::new(), frozen: RefCell::default(), device, kind }
    }

    /// Takes in a tensor and hands back a handle that shares its memory.
    ///
    /// The tensor is moved to the device and dtype of the store (but for a counter, which keeps its own), and requires a gradient
    /// unless it is a buffer.
    ///
    /// # Errors
    /// When the name is taken, or libtorch cannot move the tensor.
    pub fn add(&mut self, name: &str, tensor: &Tensor, role: Role) -> Result<Tensor> {
        self.check_free(name)?;
        let kind = if role == Role::Counter { tensor.kind() } else { self.kind };
        let tensor = tensor.f_detach()?.f_to_device(self.device)?.f_to_kind(kind)?;
        let tensor = self.laid_out(tensor)?.f_set_requires_grad(role.is_trainable())?;
        let handle = tensor.shallow_clone();
        self.entries.push(Entry { name: name.to_owned(), tensor, role });
        Ok(handle)
    }

    /// Takes in a tensor of a network that somebody else built, as it is: the very variable, so that a gradient that is asked for
    /// through the store is one of the graph that the network records.
    ///
    /// # Errors
    /// When the name is taken, the tensor lies on another device than the store, or it is to be trained and has another dtype or is
    /// no leaf that requires a gradient.
    pub fn adopt(&mut self, name: &str, tensor: &Tensor, role: Role) -> Result<()> {
        self.check_free(name)?;
        if tensor.device() != self.device {
            return Err(Error::Usage(format!(
                "`{name}` lies on {:?}, other tensors of the network on {:?}: bring them all to one device",
                tensor.device(),
                self.device
            )));
        }
        if role.is_trainable() && tensor.kind() != self.kind {
            return Err(Error::Usage(format!(
                "`{name}` holds {:?}, other parameters of the network {:?}: give them all one dtype",
                tensor.kind(),
                self.kind
            )));
        }
        if role.is_trainable() && !(tensor.requires_grad() && tensor.is_leaf()) {
            return Err(Error::Usage(format!(
                "`{name}` is to be trained, but is no leaf that requires a gradient"
            )));
        }
        self.entries.push(Entry { name: name.to_owned(), tensor: tensor.shallow_clone(), role });
        Ok(())
    }

    fn check_free(&self, name: &str) -> Result<()> {
        if self.entries.iter().any(|entry| entry.name == name) {
            return Err(Error::Usage(format!("two parameters of a network are called `{name}`")));
        }
        Ok(())
    }

    /// Gives the entry at `place` a second name: state dicts hold tied weights once under each.
    pub(super) fn alias(&mut self, name: &str, place: usize) {
        self.aliases.push((name.to_owned(), place));
    }

    /// `tensor` in the memory order that convolutions want: on a GPU that of the maps, channels last, which they would bring
    /// it into every time; the CPU's bring weights into an order of their own.
    fn laid_out(&self, tensor: Tensor) -> Result<Tensor> {
        let is_kernel = self.device.is_cuda() && tensor.dim() == 4;
        if is_kernel { Ok(gaat_shim::channels_last(&tensor)?) } else { Ok(tensor) }
    }

    /// The entries, without the store.
    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// All entries in order.
    pub fn named(&self) -> &[Entry] {
        &self.entries
    }

    /// Handles of the tensors that an optimiser changes, in order.
    pub fn trainable(&self) -> Vec<Tensor> {
        self.trainable_entries().map(|entry| entry.tensor.shallow_clone()).collect()
    }

    /// The entries that an optimiser changes, in the order of [`trainable`](Self::trainable).
    pub fn trainable_entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.role.is_trainable() && entry.tensor.requires_grad())
    }

    /// Freezes every tensor whose name begins with one of `prefixes`: no optimiser changes it, and a batch normalisation among them
    /// normalises by its running statistics, which stay.
    ///
    /// # Errors
    /// When no name begins with one of them, or nothing would be left to train.
    pub fn freeze(&self, prefixes: &[String]) -> Result<()> {
        let begins = |entry: &Entry, prefix: &String| entry.name.starts_with(prefix.as_str());
        if let Some(unknown) = prefixes.iter().find(|prefix| !self.entries.iter().any(|e| begins(e, prefix)))
        {
            let mut layers: Vec<&str> =
                self.entries.iter().filter_map(|entry| entry.name.split('.').next()).collect();
            layers.dedup();
            return Err(Error::Usage(format!(
                "freeze: no layer of the network begins with `{unknown}`; they are {}",
                layers.join(", ")
            )));
        }
        let is_left = |entry: &&Entry| !prefixes.iter().any(|prefix| begins(entry, prefix));
        if self.trainable_entries().filter(is_left).count() == 0 {
            return Err(Error::Usage(
                "freeze: nothing would be left to train; freeze fewer layers".to_owned(),
            ));
        }
        for (place, entry) in self.entries.iter().enumerate().filter(|(_, entry)| !is_left(entry)) {
            let _ = entry.tensor.f_set_requires_grad(false)?;
            self.frozen.borrow_mut().insert(place);
        }
        Ok(())
    }

    /// Whether the entry at `place` was frozen.
    pub(super) fn is_frozen(&self, place: usize) -> bool {
        self.frozen.borrow().contains(&place)
    }

    /// Freezes what `other`, the store of an equal network, has frozen.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn freeze_as(&self, other: &Self) -> Result<()> {
        for (mine, theirs) in self.entries.iter().zip(&other.entries) {
            let _ = mine.tensor.f_set_requires_grad(theirs.tensor.requires_grad())?;
        }
        self.frozen.borrow_mut().clone_from(&other.frozen.borrow());
        Ok(())
    }

    /// Handles of the running statistics and counters, in order.
    pub fn buffers(&self) -> Vec<Tensor> {
        let buffers = self.entries.iter().filter(|entry| !entry.role.is_trainable());
        buffers.map(|entry| entry.tensor.shallow_clone()).collect()
    }

    /// Number of trainable numbers, frozen ones included.
    pub fn parameter_count(&self) -> usize {
        let all = self.entries.iter().filter(|entry| entry.role.is_trainable());
        all.map(|entry| entry.tensor.numel()).sum()
    }

    /// Where the tensors live.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The dtype of the tensors.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Copies of all tensors by each of their names: a snapshot that later training does not change.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let named = self.entries.iter().map(|entry| (&entry.name, &entry.tensor));
        let again = self.aliases.iter().map(|(name, place)| (name, &self.entries[*place].tensor));
        let copy =
            |(name, tensor): (&String, &Tensor)| Ok((name.clone(), tensor.f_detach()?.f_alias_copy()?));
        named.chain(again).map(copy).collect()
    }

    /// Sets all tensors from a state dict. `num_batches_tracked` may be missing, and is ignored where the network has none; of the
    /// names of tied weights the first counts.
    ///
    /// # Errors
    /// Lists every missing, unexpected or repeated name and every differing shape; [`Error::NotFinite`] names tensors with a
    /// number that is not finite in the dtype of the store, or a negative variance. Then nothing was changed.
    pub fn load(&self, state: &[(String, Tensor)]) -> Result<()> {
        let given: HashMap<&str, &Tensor> =
            state.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let faults = self.misfits(state);
        if !faults.is_empty() {
            return Err(misfit(&faults));
        }
        let named: Vec<(&Entry, &Tensor)> =
            self.entries.iter().filter_map(|entry| Some((entry, *given.get(entry.name.as_str())?))).collect();
        self.check_numbers(named.iter().copied().filter(|(entry, _)| entry.role != Role::Counter))?;
        copy_all(&named.iter().map(|(entry, tensor)| (&entry.tensor, *tensor)).collect::<Vec<_>>())
    }

    /// Whether a tensor of this name is a counter, or a second name.
    fn is_apart(&self, name: &str) -> bool {
        self.aliases.iter().any(|(alias, _)| alias == name)
            || self.entries.iter().any(|entry| entry.role == Role::Counter && entry.name == name)
    }

    /// Every missing, unexpected or repeated name of `state`, and every differing shape.
    pub(crate) fn misfits(&self, state: &[(String, Tensor)]) -> Vec<String> {
        let sizes: Vec<Vec<i64>> = state.iter().map(|(_, tensor)| tensor.size()).collect();
        let found = state.iter().zip(&sizes).map(|((name, tensor), size)| {
            let is_float = tensor.is_floating_point();
            Sized { name, size, is_float }
        });
        let found = found.filter(|found| !self.is_apart(found.name));
        let own: Vec<Vec<i64>> = self.entries.iter().map(|entry| entry.tensor.size()).collect();
        let expected = self.entries.iter().zip(&own).filter(|(entry, _)| entry.role != Role::Counter);
        let expected = expected.map(|(entry, size)| (entry.name.as_str(), size.as_slice()));
        let mut faults = misfits(expected, found);
        for entry in self.entries.iter().filter(|entry| entry.role == Role::Counter) {
            let (name, wanted) = (&entry.name, (entry.tensor.size(), entry.tensor.kind()));
            let given = state.iter().find(|(given, _)| given == name);
            match given.map(|(_, tensor)| (tensor.size(), tensor.kind())) {
                None if is_ignored(name) => {}
                None => faults.push(format!("`{name}` is missing")),
                Some(found) if found != wanted => faults.push(format!(
                    "`{name}` is {:?} of {:?} instead of {:?} of {:?}",
                    found.1, found.0, wanted.1, wanted.0
                )),
                Some(_) => {}
            }
        }
        faults
    }

    /// Looks at the numbers that each entry is to get, as the store will hold them.
    fn check_numbers<'t>(&self, numbers: impl Iterator<Item = (&'t Entry, &'t Tensor)>) -> Result<()> {
        let mut held = Vec::new();
        for (entry, tensor) in numbers {
            let tensor = tensor.f_detach()?.f_to_kind(self.kind)?;
            if entry.name.ends_with(VARIANCE) && tensor.f_lt(0.0)?.f_any()?.f_int64_value(&[])? != 0 {
                let reason = format!("`{}` holds a negative variance, which has no square root", entry.name);
                return Err(Error::NotFinite(reason));
            }
            held.push((entry.name.as_str(), tensor));
        }
        finite::check("the weights", held.iter().map(|(name, tensor)| (*name, tensor)))
    }

    /// Sets all tensors but those of the layer `head` from a state dict, whose own tensors of that layer are ignored.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_but(&self, head: &str, state: &[(String, Tensor)]) -> Result<()> {
        self.load(&self.with_own_head(head, state)?)
    }

    /// `state` with the tensors of the layer `head` as they are here.
    pub(crate) fn with_own_head(
        &self,
        head: &str,
        state: &[(String, Tensor)],
    ) -> Result<Vec<(String, Tensor)>> {
        let is_head = |name: &str| name.strip_prefix(head).is_some_and(|rest| rest.starts_with('.'));
        let given = state.iter().filter(|(name, _)| !is_head(name));
        let kept = self.state()?.into_iter().filter(|(name, _)| is_head(name));
        let all = given.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).chain(kept);
        Ok(all.collect())
    }

    /// Sets all tensors to those of a network of the same architecture.
    ///
    /// # Errors
    /// When names or shapes differ; then nothing was changed.
    pub fn copy_from(&self, other: &Self) -> Result<()> {
        self.check_equal(other)?;
        let tensors = self.entries.iter().zip(&other.entries);
        copy_all(&tensors.map(|(mine, theirs)| (&mine.tensor, &theirs.tensor)).collect::<Vec<_>>())
    }

    /// Makes the tensors of this store share the memory of those of `other`, a network of the same architecture: what
    /// changes one in place changes both. Gradients stay apart.
    ///
    /// # Errors
    /// When names, shapes or dtypes differ; then nothing was changed.
    pub(super) fn share(&self, other: &Self) -> Result<()> {
        self.check_equal(other)?;
        if (self.device, self.kind) != (other.device, other.kind) {
            return Err(Error::Usage(
                "parameters can be shared on one device and in one dtype only".to_owned(),
            ));
        }
        for (mine, theirs) in self.entries.iter().zip(&other.entries) {
            mine.tensor.shallow_clone().f_set_data(&theirs.tensor.f_detach()?)?;
        }
        Ok(())
    }

    /// A store of the same tensors: memory is shared, gradients are not.
    ///
    /// # Errors
    /// When libtorch has no room.
    pub(super) fn replica(&self) -> Result<Self> {
        let entry = |entry: &Entry| {
            let tensor = entry.tensor.f_detach()?.f_set_requires_grad(entry.role.is_trainable())?;
            Ok(Entry { name: entry.name.clone(), tensor, role: entry.role })
        };
        let entries = self.entries.iter().map(entry).collect::<Result<_>>()?;
        Ok(Self {
            entries,
            aliases: self.aliases.clone(),
            frozen: self.frozen.clone(),
            device: self.device,
            kind: self.kind,
        })
    }

    fn check_equal(&self, other: &Self) -> Result<()> {
        let is_same =
            self.entries.len() == other.entries.len()
                && self.entries.iter().zip(&other.entries).all(|(mine, theirs)| {
                    mine.name == theirs.name && mine.tensor.size() == theirs.tensor.size()
                });
        if is_same {
            return Ok(());
        }
        Err(Error::Usage("parameters go from one network to an equal one only".to_owned()))
    }
}

fn copy_all(pairs: &[(&Tensor, &Tensor)]) -> Result<()> {
    tch::no_grad(|| {
        for (target, source) in pairs {
            target.shallow_clone().f_copy_(source)?;
        }
        Ok(())
    })
}
