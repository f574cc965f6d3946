//! Several batches at once, each on threads of its own.
//!
//! Threads that share one batch of a small network wait for each other after every short layer; side by side they do not.
//! Decision record 0015 has what that is worth.

use crate::error::Result;
use crate::nn::Classifier;
use std::panic::resume_unwind;
use std::thread;
use tch::Device;

/// Parameters from which one batch keeps all threads busy, and its activations are better not held twice.
const LARGE: usize = 1_000_000;

/// A network, and its replicas for other threads.
pub(super) struct Crew<'a> {
    classifier: &'a dyn Classifier,
    replicas: Vec<Box<dyn Classifier>>,
    threads: usize,
}

impl<'a> Crew<'a> {
    /// As many hands as there are threads and batches, where `classifier` is small, on the CPU, and has replicas.
    pub(super) fn new(classifier: &'a dyn Classifier, batches: usize) -> Result<Self> {
        let threads = tch::get_num_threads().max(1) as usize;
        let store = classifier.store();
        let mut replicas = Vec::new();
        if store.device() == Device::Cpu && store.parameter_count() < LARGE {
            while replicas.len() + 1 < threads.min(batches) {
                let Some(replica) = classifier.replica()? else { break };
                replicas.push(replica);
            }
        }
        Ok(Self { classifier, replicas, threads })
    }

    /// Jobs that it does at once.
    pub(super) fn hands(&self) -> usize {
        self.replicas.len() + 1
    }

    /// Does `jobs`, at most one a hand, side by side; the results in the order of the jobs. The threads of the process
    /// are divided among them.
    pub(super) fn each<J: Send, R: Send>(
        &mut self,
        jobs: Vec<J>,
        work: impl Fn(&dyn Classifier, J) -> Result<R> + Sync,
    ) -> Vec<Result<R>> {
        debug_assert!(jobs.len() <= self.hands(), "a job without a hand would be lost");
        let mut jobs = jobs.into_iter();
        let Some(own) = jobs.next() else { return Vec::new() };
        if jobs.len() == 0 {
            return vec![work(self.classifier, own)];
        }
        let _restored = Restored(self.threads);
        let share = self.threads / (jobs.len() + 1);
        let work = &work;
        thread::scope(|scope| {
            let lent = self.replicas.iter_mut().zip(jobs);
            let others = lent.map(|(replica, job)| {
                scope.spawn(move || {
                    use_threads(share);
                    work(replica.as_ref(), job)
                })
            });
            let others: Vec<_> = others.collect();
            use_threads(share);
            let mut done = vec![work(self.classifier, own)];
            done.extend(
                others.into_iter().map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic))),
            );
            done
        })
    }
}

/// Lets libtorch use so many threads for what this thread asks of it.
fn use_threads(count: usize) {
    tch::set_num_threads(count.max(1) as i32);
}

/// Gives this thread back its number of threads, whatever happens.
struct Restored(usize);

impl Drop for Restored {
    fn drop(&mut self) {
        use_threads(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{BuildOptions, ComputePrecision, InputShape, Normalization, build};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use tch::Kind;

    fn network(model: &str) -> Box<dyn Classifier> {
        let options = BuildOptions {
            device: Device::Cpu,
            precision: ComputePrecision::Fp32,
            kind: Kind::Float,
            seed: 0,
            normalization: Normalization::identity(3),
        };
        let input = InputShape { channels: 3, height: 32, width: 32 };
        build(&model.parse().unwrap(), input, 10, &options).unwrap()
    }

    fn hands(model: &str, threads: i32, batches: usize) -> usize {
        tch::set_num_threads(threads);
        Crew::new(network(model).as_ref(), batches).unwrap().hands()
    }

    #[test]
    fn there_are_hands_for_threads_and_batches_of_small_networks() {
        assert_eq!([(1, 9), (2, 9), (3, 2), (2, 1)].map(|(t, b)| hands("mlp", t, b)), [1, 2, 2, 1]);
        assert_eq!(hands("wide-resnet-16-4", 2, 9), 1, "2.7 million parameters");
    }

    #[test]
    fn jobs_keep_their_order_and_threads_come_back_even_from_a_panic() {
        let network = network("mlp");
        tch::set_num_threads(4);
        let mut crew = Crew::new(network.as_ref(), 3).unwrap();
        let found = crew.each(vec![1, 2, 3], |_, job| Ok((job, tch::get_num_threads())));
        let found: Vec<_> = found.into_iter().map(Result::unwrap).collect();
        assert_eq!(found, [(1, 1), (2, 1), (3, 1)]);
        let alone = crew.each(vec![7], |_, job| Ok((job, tch::get_num_threads())));
        assert_eq!(alone.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [(7, 4)]);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            crew.each(vec![1, 2], |_, job| if job == 2 { panic!("out of memory") } else { Ok(()) })
        }));
        assert!(panicked.is_err());
        assert_eq!(tch::get_num_threads(), 4);
    }
}
