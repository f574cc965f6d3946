//! What an evaluation found so far, batch by batch: enough to continue from, and to compute every number of the verdict.

use gaat_spec::Passes;
use serde::{Deserialize, Serialize};

/// What one stage found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Places of the images that withstood, a list for each batch done.
    pub(super) survivors: Vec<Vec<i64>>,
    pub(super) passes: Passes,
    pub(super) seconds: f64,
}

impl Entry {
    /// How many withstood, over the batches done.
    pub(super) fn withstood(&self) -> usize {
        self.survivors.iter().map(Vec::len).sum()
    }
}

/// One entry a stage, in the order of the plan; those not begun are missing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Ledger {
    pub(super) stages: Vec<Entry>,
}

impl Ledger {
    /// Batch and place in it of each image that withstood every one of the `stages`, in order.
    pub(super) fn withstood_all(&self, stages: &[usize]) -> Vec<(usize, i64)> {
        let batches = self.stages.first().map_or(0, |entry| entry.survivors.len());
        let survivors = |stage: &usize, batch: usize| {
            self.stages
                .get(*stage)
                .and_then(|entry| entry.survivors.get(batch))
                .map_or(&[][..], Vec::as_slice)
        };
        let withstood = |batch: usize, place: &i64| {
            stages.iter().all(|stage| survivors(stage, batch).binary_search(place).is_ok())
        };
        (0..batches)
            .flat_map(|batch| survivors(&0, batch).iter().map(move |place| (batch, *place)))
            .filter(|(batch, place)| withstood(*batch, place))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_counts_if_it_withstood_every_stage() {
        let entry = |survivors: &[&[i64]]| Entry {
            survivors: survivors.iter().map(|batch| batch.to_vec()).collect(),
            ..Entry::default()
        };
        let ledger = Ledger {
            stages: vec![entry(&[&[0, 1, 2], &[0, 4]]), entry(&[&[0, 2], &[4]]), entry(&[&[1, 2], &[]])],
        };
        assert_eq!((ledger.withstood_all(&[]).len(), ledger.withstood_all(&[1]).len()), (5, 3));
        assert_eq!(ledger.withstood_all(&[2]), [(0, 1), (0, 2)]);
        assert_eq!(ledger.withstood_all(&[1, 2]), [(0, 2)]);
        assert_eq!(ledger.stages[1].withstood(), 3);
    }
}
