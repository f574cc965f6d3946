//! The order in which images are visited: permutations that are pure functions of their arguments.
//!
//! `ChaCha8` keyed with (seed, stream, counter) drives a Fisher-Yates shuffle. The bounded draw is written out here, so
//! that an update of a library cannot change an order that a saved run depends on.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a permutation is for; two streams of one seed are independent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    Epoch = 1,
    Validation = 2,
    TrainLimit = 3,
    TestLimit = 4,
    Extra = 5,
}

/// The order of the images in one epoch: a permutation of `0..length`.
///
/// Depends on nothing but its arguments, so that a resumed run continues with the order it would have had.
pub fn epoch_order(seed: u64, epoch: u64, length: usize) -> Vec<usize> {
    permutation(Stream::Epoch, seed, epoch, length)
}

/// The order in which the images of a second source are gone through for the time `round`, from 0: a permutation of `0..length`.
pub fn extra_order(seed: u64, round: u64, length: usize) -> Vec<usize> {
    permutation(Stream::Extra, seed, round, length)
}

/// A permutation of `0..length`, drawn uniformly by (stream, seed, counter).
pub(crate) fn permutation(stream: Stream, seed: u64, counter: u64, length: usize) -> Vec<usize> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(stream as u64).to_le_bytes());
    key[16..24].copy_from_slice(&counter.to_le_bytes());
    let mut random = ChaCha8Rng::from_seed(key);
    let mut order: Vec<usize> = (0..length).collect();
    for last in (1..length).rev() {
        let other = below(&mut random, last as u64 + 1) as usize;
        order.swap(last, other);
    }
    order
}

/// A uniform number below `bound` (not 0), without bias: Lemire (2019), "Fast random integer generation in an interval".
fn below(random: &mut ChaCha8Rng, bound: u64) -> u64 {
    let threshold = bound.wrapping_neg() % bound;
    loop {
        let product = u128::from(random.next_u64()) * u128::from(bound);
        if product as u64 >= threshold {
            return (product >> 64) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_order_is_a_permutation_and_pure(seed: u64, epoch: u64, length in 0_usize..300) {
            let order = epoch_order(seed, epoch, length);
            prop_assert_eq!(&order, &epoch_order(seed, epoch, length));
            let mut sorted = order;
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..length).collect::<Vec<_>>());
        }
    }

    #[test]
    fn epochs_seeds_and_streams_differ() {
        let base = epoch_order(1, 0, 50);
        assert_ne!(base, epoch_order(1, 1, 50));
        assert_ne!(base, epoch_order(2, 0, 50));
        assert_ne!(base, epoch_order(0, 1, 50));
        assert_ne!(base, permutation(Stream::Validation, 1, 0, 50));
    }

    #[test]
    fn every_position_is_equally_likely() {
        let mut counts = [0; 4];
        for epoch in 0..8000 {
            let order = epoch_order(3, epoch, 4);
            counts[order.iter().position(|&index| index == 0).unwrap()] += 1;
        }
        // Five standard deviations of a binomial with n = 8000 and p = 1/4.
        assert!(counts.iter().all(|count: &i32| (count - 2000).abs() < 194), "{counts:?}");
    }

    #[test]
    fn the_order_never_changes_between_versions() {
        assert_eq!(epoch_order(7, 3, 10), GOLDEN);
    }

    const GOLDEN: [usize; 10] = [4, 5, 2, 8, 1, 6, 9, 0, 7, 3];
}
