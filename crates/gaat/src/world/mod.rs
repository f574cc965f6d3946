//! The processes that work together: who this one is, and what they add up and hand on.

mod environment;
mod group;
mod nodes;

pub use environment::Place;
pub use group::Group;

use crate::error::{Error, Result};
use tch::{Device, Kind, Tensor};

/// One of the processes, or threads, that work together. All make the same calls in the same order.
pub trait World: Send + Sync {
    /// Which one this is, from 0; 0 is the leader, which keeps the files.
    fn rank(&self) -> usize;

    /// How many there are, at least 1.
    fn size(&self) -> usize;

    /// Sets each of `tensors`, which have the same shapes everywhere, to its sum over all, in place and to the same bits
    /// everywhere.
    ///
    /// # Errors
    /// When one of the others cannot be reached.
    fn sum(&self, tensors: &[Tensor]) -> Result<()>;

    /// Sets each of `tensors`, which have the same shapes everywhere, to the leader's, in place.
    ///
    /// # Errors
    /// As [`sum`](Self::sum).
    fn share(&self, tensors: &[Tensor]) -> Result<()>;

    /// What can add up within a graph, as statistics of batches need it; `None` where nothing can.
    fn recording(&self) -> Option<&gaat_shim::Group> {
        None
    }

    /// Says that this one has come to its end, or why it has failed, for the others to tell of.
    fn part(&self, failure: Option<&str>) {
        let _ = failure;
    }
}

/// A work in one process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl World for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn sum(&self, _tensors: &[Tensor]) -> Result<()> {
        Ok(())
    }

    fn share(&self, _tensors: &[Tensor]) -> Result<()> {
        Ok(())
    }
}

/// Whether any of `world` says `flag`.
pub(crate) fn any(world: &dyn World, flag: bool) -> Result<bool> {
    if world.size() == 1 {
        return Ok(flag);
    }
    let count = Tensor::from_slice(&[i64::from(flag)]);
    world.sum(&[count.shallow_clone()])?;
    Ok(count.f_int64_value(&[0])? > 0)
}

/// The leader's `numbers`.
pub(crate) fn of_leader<const N: usize>(world: &dyn World, numbers: [f64; N]) -> Result<[f64; N]> {
    if world.size() == 1 {
        return Ok(numbers);
    }
    let shared = Tensor::from_slice(&numbers);
    world.share(&[shared.shallow_clone()])?;
    let shared = Vec::<f64>::try_from(shared)?;
    Ok(std::array::from_fn(|index| shared[index]))
}

/// The leader's `document`.
pub(crate) fn document_of_leader(world: &dyn World, document: Vec<u8>) -> Result<Vec<u8>> {
    let [length] = of_leader(world, [document.len() as f64])?;
    if world.size() == 1 || length == 0.0 {
        return Ok(document);
    }
    let bytes = if world.rank() == 0 {
        Tensor::f_from_slice(&document)?
    } else {
        Tensor::f_zeros([length as i64], (Kind::Uint8, Device::Cpu))?
    };
    world.share(&[bytes.shallow_clone()])?;
    Ok(Vec::try_from(bytes)?)
}

/// The `documents` of all, by rank.
pub(crate) fn documents(world: &dyn World, own: Vec<u8>) -> Result<Vec<Vec<u8>>> {
    if world.size() == 1 {
        return Ok(vec![own]);
    }
    let mut lengths = vec![0i64; world.size()];
    lengths[world.rank()] = own.len() as i64;
    let lengths = Tensor::from_slice(&lengths);
    world.sum(&[lengths.shallow_clone()])?;
    let lengths = Vec::<i64>::try_from(lengths)?;
    let whole = Tensor::f_zeros([lengths.iter().sum()], (Kind::Uint8, Device::Cpu))?;
    let start: i64 = lengths[..world.rank()].iter().sum();
    whole.f_narrow(0, start, own.len() as i64)?.f_copy_(&Tensor::f_from_slice(&own)?)?;
    world.sum(&[whole.shallow_clone()])?;
    let mut rest = Vec::<u8>::try_from(whole)?;
    let mut found = Vec::with_capacity(lengths.len());
    for length in lengths {
        let after = rest.split_off(length as usize);
        found.push(rest);
        rest = after;
    }
    Ok(found)
}

/// Insists that every process has the same of each of `facts`, a name and what it is here.
///
/// # Errors
/// [`Error::Apart`], the same everywhere, which names the first that differs and who differs.
pub(crate) fn same_everywhere(world: &dyn World, facts: &[(&str, String)]) -> Result<()> {
    if world.size() == 1 {
        return Ok(());
    }
    let own = serde_json::to_vec(&facts.iter().map(|(_, fact)| fact).collect::<Vec<_>>());
    let all = documents(world, own.map_err(std::io::Error::from)?)?;
    let all: Vec<Vec<String>> = all
        .iter()
        .map(|own| serde_json::from_slice(own))
        .collect::<serde_json::Result<_>>()
        .map_err(std::io::Error::from)?;
    for (place, (name, _)) in facts.iter().enumerate() {
        let fact = |rank: usize| all[rank].get(place).map_or("", String::as_str);
        if let Some(other) = (1..all.len()).find(|rank| fact(*rank) != fact(0)) {
            let (leaders, others) = (fact(0).to_owned(), fact(other).to_owned());
            return Err(Error::Apart { what: (*name).to_owned(), rank: other, leaders, others });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use group::tests::together;

    #[test]
    fn documents_of_any_length_come_to_all() {
        let found = together(3, |group| {
            let own = vec![group.rank() as u8; [2, 0, 5][group.rank()]];
            let leaders = document_of_leader(&group, own.clone()).unwrap();
            (documents(&group, own).unwrap(), leaders, document_of_leader(&group, Vec::new()).unwrap())
        });
        for (all, leaders, none) in found {
            assert_eq!(all, [vec![0, 0], vec![], vec![2; 5]]);
            assert_eq!((leaders, none), (vec![0, 0], vec![]));
        }
    }

    #[test]
    fn what_differs_is_an_error_with_the_same_words_everywhere() {
        let found = together(3, |group| {
            let facts = [
                ("recipe", "the same".to_owned()),
                ("data", format!("digest {}", u8::from(group.rank() == 2))),
            ];
            same_everywhere(&group, &facts[..1]).unwrap();
            same_everywhere(&group, &facts).unwrap_err().to_string()
        });
        assert!(found.iter().all(|text| text == &found[0]), "{found:?}");
        assert!(found[0].contains("data") && found[0].contains("rank 2"), "{}", found[0]);
        assert!(found[0].contains("digest 0") && found[0].contains("digest 1"), "{}", found[0]);
    }
}
