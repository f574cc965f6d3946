//! In which order the images of an epoch come: those of the data set, and in a fixed share of every batch those of a second source.
//!
//! An epoch has as many steps as without a second source (Rebuffi et al. 2021; `semisup.py` of Wang et al. 2023 with a number of
//! batches): its own images fill what the others leave of every batch, so that some of the epoch's permutation are left out. The second
//! source is gone through permutation by permutation, on from epoch to epoch.

use super::batches::Batches;
use gaat_data::{epoch_order, extra_order};

/// The order of every epoch: a pure function of seed and epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ordering {
    pub(super) seed: u64,
    pub(super) batches: Batches,
    /// Images of the data set.
    pub(super) images: usize,
    /// Images of the second source, which come after those, and their share of every batch.
    pub(super) extra: Option<(usize, f64)>,
}

impl Ordering {
    /// Places of the images in `epoch`, from 1, one after the other: as many as the data set has images.
    pub(super) fn of_epoch(&self, epoch: usize) -> Vec<usize> {
        let own = epoch_order(self.seed, epoch as u64, self.images);
        let Some((others, share)) = self.extra else { return own };
        let extra_of = |batch: usize| {
            let (start, end) = self.batches.range(batch);
            (end - start, ((end - start) as f64 * share).round() as usize)
        };
        let of_epoch: usize = (0..self.batches.count()).map(|batch| extra_of(batch).1).sum();
        let mut next = (epoch - 1) * of_epoch;
        let mut round = (usize::MAX, Vec::new());
        let mut other = || {
            let number = next / others;
            if round.0 != number {
                round = (number, extra_order(self.seed, number as u64, others));
            }
            let place = self.images + round.1[next % others];
            next += 1;
            place
        };
        let mut own = own.into_iter();
        let mut order = Vec::with_capacity(self.images);
        for batch in 0..self.batches.count() {
            let (length, extra) = extra_of(batch);
            for place in 0..length {
                // Spread evenly, so that every part of a batch has its share.
                let is_extra = (place + 1) * extra / length > place * extra / length;
                order.extend(if is_extra { Some(other()) } else { own.next() });
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_batch_has_its_share_and_both_sources_are_gone_through_evenly() {
        let batches = Batches::new(50, 8, 1);
        let ordering = |share| Ordering { seed: 3, batches, images: 50, extra: Some((13, share)) };
        for (share, of_each) in [(0.25, [2; 6]), (0.7, [6; 6])] {
            let mut seen = Vec::new();
            for epoch in 1..=20 {
                let order = ordering(share).of_epoch(epoch);
                assert_eq!(order.len(), 50);
                assert_eq!(order, ordering(share).of_epoch(epoch), "a pure function");
                let counts =
                    order[..48].chunks(8).map(|batch| batch.iter().filter(|place| **place >= 50).count());
                assert_eq!(counts.collect::<Vec<_>>(), of_each);
                let mut own: Vec<usize> = order.iter().copied().filter(|place| *place < 50).collect();
                let count = own.len();
                own.sort_unstable();
                own.dedup();
                assert_eq!(own.len(), count, "no own image twice in an epoch");
                seen.extend(order.into_iter().filter(|place| *place >= 50));
            }
            // Round after round of all of them.
            for round in seen.chunks_exact(13) {
                let mut round = round.to_vec();
                round.sort_unstable();
                assert_eq!(round, (50..63).collect::<Vec<_>>());
            }
        }
        let plain = Ordering { extra: None, ..ordering(0.5) };
        assert_eq!(plain.of_epoch(4), epoch_order(3, 4, 50));
    }
}
