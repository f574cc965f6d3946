//! Processes that were started together, on one machine or several: libtorch's own process groups.

use super::World;
use super::environment::Place;
use crate::error::{Error, Result};
use gaat_shim::{Joining, LibtorchError, Store};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

/// Between two looks at who has come.
const PAUSE: Duration = Duration::from_millis(20);
/// How long one try to reach the meeting place takes at most.
const ONE_TRY: Duration = Duration::from_secs(5);
/// How long somebody who has lost the others looks for the reason, and how long the store outlives its server's own work.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// This process among those that work together.
#[derive(Debug)]
pub struct Group {
    // Dropped before `meeting`: closed connections wake the processes that wait for this one, and these read its reason in the store.
    joined: gaat_shim::Group,
    meeting: Meeting,
}

/// The store at which a group has met, where everybody says how it ended.
#[derive(Debug)]
struct Meeting {
    store: Arc<Store>,
    rank: usize,
    size: usize,
    serves: bool,
    /// Begins every key of this group in the store.
    prefix: String,
}

impl Group {
    /// Meets the others where `place` says.
    ///
    /// # Errors
    /// [`Error::Absent`], which names who did not come; or when nothing can be served or reached there.
    pub fn meet(place: &Place) -> Result<Self> {
        let Place { rank, size, is_served, patience_at_start: patience, .. } = *place;
        let (host, port, begun) = (&place.host, place.port, Instant::now());
        let serves = rank == 0 && !is_served;
        if !serves {
            // libtorch would write pages about every try.
            answers(host, port, patience).map_err(|reason| Error::Absent {
                who: if is_served { "the launcher" } else { "rank 0" }.to_owned(),
                reason: format!("nothing answers at {host}:{port} ({reason})"),
                seconds: patience.as_secs(),
            })?;
        }
        let store = Store::connect(host, port, serves, patience).map_err(|error| {
            let doing = if serves { "served" } else { "reached" };
            Error::Launch { reason: format!("the store at {host}:{port} cannot be {doing} ({error})") }
        })?;
        let store = Arc::new(store);
        let prefix = gathered(&store, place, begun)?;
        let is_here = ["127.0.0.1", "localhost", "::1"].contains(&host.as_str());
        let joining = Joining {
            prefix: &prefix,
            rank,
            size,
            patience: place.patience,
            interface: place.interface.as_deref(),
            host: is_here.then_some("127.0.0.1"),
        };
        let joined = gaat_shim::Group::join(Arc::clone(&store), joining)?;
        let group = Self { joined, meeting: Meeting { store, rank, size, serves, prefix } };
        // Gloo fails in a process that still connects when another process closes its connections. This sum ends only after every
        // process has connected, so that no process leaves before.
        group.sum(&[Tensor::f_zeros([1], (Kind::Float, Device::Cpu))?])?;
        Ok(group)
    }
}

impl Meeting {
    /// Who of the others has come to an end, with the reason of those that have failed, and who says nothing; `None` where the store
    /// is gone.
    fn ends(&self, kind: &str) -> Option<Vec<(usize, Option<String>)>> {
        let others = (0..self.size).filter(|rank| *rank != self.rank);
        let end = |rank| Some((rank, self.store.get(&key(&self.prefix, kind, rank)).ok()?));
        others.map(end).collect()
    }

    /// Why a call that all make has failed here with `error`.
    fn lost(&self, error: &LibtorchError) -> Error {
        let lost = |reason: String| Error::Lost { reason };
        // Each process that loses a connection writes the key "lost". A process that writes neither "lost" nor "end" is the one that is gone.
        let noted = self.store.set(&key(&self.prefix, "lost", self.rank), "1");
        let begun = Instant::now();
        loop {
            let (Ok(()), Some(ends), Some(waiting)) = (&noted, self.ends("end"), self.ends("lost")) else {
                return lost(format!("rank 0, which serves the store, is gone ({error})"));
            };
            let failed =
                ends.iter().find_map(|(rank, end)| Some((rank, end.as_ref().filter(|end| !end.is_empty())?)));
            if let Some((rank, reason)) = failed {
                return lost(format!("rank {rank} has failed: {reason}"));
            }
            let silent =
                ends.iter().zip(&waiting).filter(|((_, end), (_, waits))| end.is_none() && waits.is_none());
            let silent: Vec<usize> = silent.map(|((rank, _), _)| *rank).collect();
            if begun.elapsed() > AFTERWARDS || silent.is_empty() {
                let ended: Vec<usize> =
                    ends.iter().filter(|(_, end)| end.is_some()).map(|(rank, _)| *rank).collect();
                return lost(match (silent.is_empty(), ended.is_empty()) {
                    (false, _) => format!("{} is gone or does not answer ({error})", ranks(&silent)),
                    (true, false) => format!("{} has ended already ({error})", ranks(&ended)),
                    (true, true) => error.to_string(),
                });
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl World for Group {
    fn rank(&self) -> usize {
        self.meeting.rank
    }

    fn size(&self) -> usize {
        self.meeting.size
    }

    fn sum(&self, tensors: &[Tensor]) -> Result<()> {
        let tensors: Vec<&Tensor> = tensors.iter().collect();
        self.joined.sum(&tensors).map_err(|error| self.meeting.lost(&error))
    }

    fn share(&self, tensors: &[Tensor]) -> Result<()> {
        let tensors: Vec<&Tensor> = tensors.iter().collect();
        self.joined.share(&tensors).map_err(|error| self.meeting.lost(&error))
    }

    fn recording(&self) -> Option<&gaat_shim::Group> {
        Some(&self.joined)
    }

    fn part(&self, failure: Option<&str>) {
        let Meeting { store, rank, prefix, .. } = &self.meeting;
        // A process that can no longer say so has lost the others, and says that.
        let _ = store.set(&key(prefix, "end", *rank), failure.unwrap_or_default());
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        let begun = Instant::now();
        while self.serves && begun.elapsed() < AFTERWARDS {
            match self.ends("end") {
                Some(ends) if ends.iter().any(|(_, end)| end.is_none()) => std::thread::sleep(PAUSE),
                _ => return,
            }
        }
    }
}

/// Waits at `store` until all have come, since `begun`; what begins the keys of this group there.
fn gathered(store: &Store, place: &Place, begun: Instant) -> Result<String> {
    let Place { rank, size, port, patience_at_start: patience, .. } = *place;
    let host = &place.host;
    let mut absent: Vec<usize> = (0..size).collect();
    let lost = |absent: &[usize], error: &LibtorchError| Error::Lost {
        reason: format!("the store at {host}:{port} is gone, while {} had not come ({error})", ranks(absent)),
    };
    // A launcher may start several commands one after the other, which must not meet each other's past.
    let turn =
        store.add(&format!("{}/turn/{rank}", place.prefix), 1).map_err(|error| lost(&absent, &error))?;
    let prefix = format!("{}/{turn}", place.prefix);
    store.set(&key(&prefix, "here", rank), &size.to_string()).map_err(|error| lost(&absent, &error))?;
    loop {
        let mut left = Vec::new();
        for other in &absent {
            let said = store.get(&key(&prefix, "here", *other)).map_err(|error| lost(&absent, &error))?;
            match said {
                None => left.push(*other),
                Some(said) if said != size.to_string() => {
                    let reason =
                        format!("rank {other} was told of {said} processes, and rank {rank} of {size}");
                    return Err(Error::Launch { reason });
                }
                Some(_) => {}
            }
        }
        absent = left;
        if absent.is_empty() {
            return Ok(prefix);
        }
        if begun.elapsed() > patience {
            return Err(Error::Absent {
                who: ranks(&absent),
                reason: format!("{} of {size} processes met at {host}:{port}", size - absent.len()),
                seconds: patience.as_secs(),
            });
        }
        std::thread::sleep(PAUSE);
    }
}

/// Waits until a process listens at `host`:`port`; why none does where that takes longer than `patience`.
fn answers(host: &str, port: u16, patience: Duration) -> std::result::Result<(), String> {
    let begun = Instant::now();
    loop {
        let error = match (host, port).to_socket_addrs() {
            Ok(addresses) => {
                let tried = addresses.map(|address| TcpStream::connect_timeout(&address, ONE_TRY));
                match tried.reduce(|one, other| if one.is_ok() { one } else { other }) {
                    Some(Ok(_)) => return Ok(()),
                    Some(Err(error)) => error.to_string(),
                    None => "the name has no address".to_owned(),
                }
            }
            Err(error) => error.to_string(),
        };
        if begun.elapsed() > patience {
            return Err(error);
        }
        std::thread::sleep(10 * PAUSE);
    }
}

fn key(prefix: &str, kind: &str, rank: usize) -> String {
    format!("{prefix}/{kind}/{rank}")
}

/// `rank 1` or `ranks 1 and 3`.
fn ranks(all: &[usize]) -> String {
    match all {
        [one] => format!("rank {one}"),
        [before @ .., last] => {
            let before: Vec<String> = before.iter().map(ToString::to_string).collect();
            format!("ranks {} and {last}", before.join(", "))
        }
        [] => "no rank".to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use gaat_testkit::free_port;
    use tch::{Device, Kind};

    fn place(rank: usize, size: usize, port: u16) -> Place {
        let patience = Duration::from_mins(1);
        Place { patience, patience_at_start: patience, ..Place::new(rank, size, "127.0.0.1", port) }
    }

    /// What each of `size` threads, which meet as processes do, makes of `work`.
    pub(crate) fn together<T: Send>(size: usize, work: impl Fn(Group) -> T + Sync) -> Vec<T> {
        let port = free_port();
        std::thread::scope(|scope| {
            let work = &work;
            let members: Vec<_> = (0..size)
                .map(|rank| scope.spawn(move || work(Group::meet(&place(rank, size, port)).unwrap())))
                .collect();
            members.into_iter().map(|member| member.join().unwrap()).collect()
        })
    }

    #[test]
    fn who_does_not_come_is_named() {
        let port = free_port();
        let quick = |rank| {
            let second = Duration::from_secs(1);
            Place { patience_at_start: second, ..place(rank, 4, port) }
        };
        let errors = std::thread::scope(|scope| {
            let members: Vec<_> = [0, 2]
                .map(|rank| scope.spawn(move || Group::meet(&quick(rank)).unwrap_err().to_string()))
                .into_iter()
                .collect();
            members.into_iter().map(|member| member.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(errors[0].contains("ranks 1 and 3") && errors[0].contains("1 s"), "{errors:?}");
        let text = Group::meet(&Place { port: free_port(), ..quick(2) }).unwrap_err().to_string();
        assert!(text.contains("rank 0") && text.contains("127.0.0.1"), "{text}");
    }

    #[test]
    fn processes_that_were_told_of_other_numbers_do_not_wait_for_each_other() {
        let port = free_port();
        let errors = std::thread::scope(|scope| {
            let members = [(0, 2), (1, 3)].map(|(rank, size)| {
                scope.spawn(move || Group::meet(&place(rank, size, port)).unwrap_err().to_string())
            });
            members.map(|member| member.join().unwrap())
        });
        assert!(errors[0].contains("rank 1 was told of 3 processes, and rank 0 of 2"), "{errors:?}");
    }

    #[test]
    fn whoever_fails_tells_the_others_why_and_whoever_goes_silently_is_named() {
        let one = || [Tensor::ones([3], (Kind::Float, Device::Cpu))];
        let said = together(3, |group| {
            group.sum(&one()).unwrap();
            if group.rank() == 1 {
                group.part(Some("the disk is full"));
                return String::new();
            }
            group.sum(&one()).unwrap_err().to_string()
        });
        for rank in [0, 2] {
            assert!(said[rank].contains("rank 1 has failed: the disk is full"), "{said:?}");
        }
        let silent = together(3, |group| {
            if group.rank() == 2 {
                return String::new();
            }
            group.sum(&one()).unwrap_err().to_string()
        });
        for rank in [0, 1] {
            assert!(silent[rank].contains("rank 2 is gone"), "{silent:?}");
        }
    }

    #[test]
    fn the_reason_of_the_process_that_serves_the_store_is_heard() {
        let one = || [Tensor::ones([3], (Kind::Float, Device::Cpu))];
        for round in 0..10 {
            let begun = Instant::now();
            let said = together(3, |group| {
                if group.rank() == 0 {
                    group.part(Some("the directory is taken"));
                    return String::new();
                }
                let lost = group.sum(&one()).unwrap_err().to_string();
                group.part(Some(&lost));
                lost
            });
            for rank in [1, 2] {
                assert!(
                    said[rank].contains("rank 0 has failed: the directory is taken"),
                    "{round}: {said:?}"
                );
            }
            assert!(begun.elapsed() < AFTERWARDS, "{round}: they waited until the store closed");
        }
    }

    #[test]
    fn one_group_after_the_other_meets_at_the_same_store() {
        let port = free_port();
        // As an agent of torchrun serves it.
        let _store = Store::connect("127.0.0.1", port, true, Duration::from_secs(10)).unwrap();
        std::thread::scope(|scope| {
            for rank in 0..2 {
                scope.spawn(move || {
                    for _ in 0..3 {
                        let group = Group::meet(&Place { is_served: true, ..place(rank, 2, port) }).unwrap();
                        let tensor = Tensor::ones([1], (Kind::Float, Device::Cpu));
                        group.sum(&[tensor.shallow_clone()]).unwrap();
                        assert_eq!(tensor.double_value(&[0]), 2.0);
                        group.part(None);
                    }
                });
            }
        });
    }

    #[test]
    fn ranks_are_said_as_one_says_them() {
        assert_eq!(
            [&[1][..], &[0, 2], &[0, 2, 5]].map(ranks),
            ["rank 1", "ranks 0 and 2", "ranks 0, 2 and 5"]
        );
    }
}
