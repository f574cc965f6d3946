//! A subset with the class shares of the whole.
//!
//! Every image gets the key (rank + 1/2) / n, its rank by seed among the n images of its class; the smallest keys are
//! taken. That is the apportionment of Sainte-Laguë: each class gets its share to within one image or so, and a smaller
//! subset is contained in a larger one.

use crate::order::{Stream, permutation};

/// Chosen and left-over indices, both ascending.
#[derive(Debug)]
pub(crate) struct Division {
    pub(crate) chosen: Vec<usize>,
    pub(crate) rest: Vec<usize>,
}

/// Chooses `count` of the images (all, if there are fewer) with the class shares of `labels`.
pub(crate) fn divide(labels: &[i64], classes: usize, count: usize, stream: Stream, seed: u64) -> Division {
    let mut members = vec![Vec::new(); classes];
    for (index, &label) in labels.iter().enumerate() {
        members[label as usize].push(index);
    }
    let mut ranked = Vec::with_capacity(labels.len());
    for (class, members) in members.iter().enumerate() {
        let order = permutation(stream, seed, class as u64, members.len());
        for (rank, &member) in order.iter().enumerate() {
            ranked.push(Ranked { rank, of: members.len(), class, index: members[member] });
        }
    }
    ranked.sort_unstable_by(Ranked::compare);
    let indices = |part: &[Ranked]| {
        let mut indices: Vec<usize> = part.iter().map(|entry| entry.index).collect();
        indices.sort_unstable();
        indices
    };
    let (chosen, rest) = ranked.split_at(count.min(ranked.len()));
    Division { chosen: indices(chosen), rest: indices(rest) }
}

struct Ranked {
    rank: usize,
    of: usize,
    class: usize,
    index: usize,
}

impl Ranked {
    /// Compares (2 rank + 1) / n exactly, by cross multiplication; ties go to the lower class.
    fn compare(&self, other: &Self) -> std::cmp::Ordering {
        let odd = |rank: usize| 2 * rank as u128 + 1;
        let ours = odd(self.rank) * other.of as u128;
        let theirs = odd(other.rank) * self.of as u128;
        ours.cmp(&theirs).then(self.class.cmp(&other.class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn classes_get_their_share_and_nothing_is_lost(
            labels in proptest::collection::vec(0_i64..4, 0..200), share in 0.0_f64..1.0, seed: u64,
        ) {
            let count = (share * labels.len() as f64) as usize;
            let Division { chosen, rest } = divide(&labels, 4, count, Stream::Validation, seed);
            prop_assert_eq!(chosen.len(), count);
            let mut all = [chosen.as_slice(), rest.as_slice()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());
            for class in 0..4 {
                let of = labels.iter().filter(|&&label| label == class).count() as f64;
                let got = chosen.iter().filter(|&&index| labels[index] == class).count() as f64;
                let due = of * count as f64 / labels.len().max(1) as f64;
                prop_assert!((got - due).abs() < 2.0, "class {} got {} of due {}", class, got, due);
            }
        }
    }

    #[test]
    fn smaller_subsets_are_contained_in_larger_ones() {
        let labels: Vec<i64> = (0..90).map(|index| i64::from(index % 7 == 0)).collect();
        let small = divide(&labels, 2, 20, Stream::TrainLimit, 5).chosen;
        let large = divide(&labels, 2, 50, Stream::TrainLimit, 5).chosen;
        assert!(small.iter().all(|index| large.contains(index)));
    }
}
