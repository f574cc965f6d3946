//! The most that a count may be: of steps, draws, images and so on, before anything is done or allocated for it.
//!
//! The bounds lie far above all that is of use, so that what passes them is a slip of the hand.

use crate::error::{Error, Result};

/// The range of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The recipe key, flag or name of the count, kebab-case.
    pub key: &'static str,
    /// The least value.
    pub least: usize,
    /// The largest value.
    pub most: usize,
}

impl Bound {
    const fn to(key: &'static str, most: usize) -> Self {
        Self { key, least: 1, most }
    }

    const fn from_zero(key: &'static str, most: usize) -> Self {
        Self { key, least: 0, most }
    }

    /// `value`, if it lies in the range.
    ///
    /// # Errors
    /// When it does not; the message names key and bound.
    pub fn check(self, value: usize) -> Result<usize> {
        let Self { key, least, most } = self;
        if value < least {
            Err(Error::value(key, value, format!("needs at least {least}")))
        } else if value > most {
            Err(Error::value(key, value, format!("needs at most {most}")))
        } else {
            Ok(value)
        }
    }
}

/// Sides of an image that all are brought to, and of what is cut out of it.
pub const RESIZE: Bound = Bound::to("resize", 8192);
/// The same of a crop.
pub const CROP: Bound = Bound::to("crop", 8192);
/// Steps of an attack.
pub const STEPS: Bound = Bound::to("steps", 100_000);
/// Steps of the validation's attack.
pub const VALIDATION_STEPS: Bound = Bound::to("validation-steps", 100_000);
/// Expansions of a Taylor model in one attack.
pub const REFRESHES: Bound = Bound::to("refreshes", 100_000);
/// Random starts of an attack.
pub const RESTARTS: Bound = Bound::to("restarts", 10_000);
/// Queries of a random search.
pub const QUERIES: Bound = Bound::to("queries", 1_000_000);
/// Weights of a binary search.
pub const SEARCHES: Bound = Bound::to("searches", 100);
/// Labels drawn an image for a sampled curvature, each with a gradient that is kept.
pub const CURVATURE_DRAWS: Bound = Bound::to("curvature-draws", 1000);
/// Passes over the training images.
pub const EPOCHS: Bound = Bound::to("epochs", 1_000_000);
/// Steps from one that differentiates both sides of a consistency to the next; 0 for none.
pub const CONSISTENCY_EVERY: Bound = Bound::from_zero("consistency-every", 1_000_000);
/// Epochs between two resets of a memory.
pub const MEMORY_RESET: Bound = Bound::to("memory-reset", 1_000_000);
/// Epochs without weight perturbation.
pub const AWP_WARMUP: Bound = Bound::from_zero("awp-warmup", 1_000_000);
/// Steps in succession on one batch.
pub const REPLAYS: Bound = Bound::to("replays", 1000);
/// Runs of each method in a comparison.
pub const SEEDS: Bound = Bound::to("seeds", 1000);
/// Images that a comparison judges.
pub const JUDGE_LIMIT: Bound = Bound::to("judge-limit", 1_000_000_000);
/// Images in a batch.
pub const BATCH_SIZE: Bound = Bound::to("batch-size", 1_000_000);
/// Batches whose gradients one step adds up.
pub const ACCUMULATE: Bound = Bound::to("accumulate", 100_000);
/// Images that something is limited to.
pub const LIMIT: Bound = Bound::to("limit", 1_000_000_000);
/// Images that the validation's attack is limited to.
pub const VALIDATION_LIMIT: Bound = Bound::to("validation-limit", 1_000_000_000);
/// Pixels of padding on each side.
pub const CROP_PADDING: Bound = Bound::from_zero("crop-padding", 1000);
/// Side of a square that is blacked out.
pub const CUTOUT: Bound = Bound::from_zero("cutout", 8192);
/// Images that the probes of an evaluation are limited to.
pub const PROBE_IMAGES: Bound = Bound::from_zero("probe-images", 1_000_000);
/// Draws of random noise an image.
pub const NOISE_DRAWS: Bound = Bound::from_zero("noise-draws", 100_000);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_and_bound_are_named() {
        assert_eq!(CURVATURE_DRAWS.check(1000).unwrap(), 1000);
        for (value, bound) in [(0, "at least 1"), (1001, "at most 1000"), (2_147_483_648, "at most 1000")] {
            let text = CURVATURE_DRAWS.check(value).unwrap_err().to_string();
            assert!(text.contains(&format!("curvature-draws = {value}")) && text.contains(bound), "{text}");
        }
        assert_eq!(NOISE_DRAWS.check(0).unwrap(), 0);
        assert!(NOISE_DRAWS.check(usize::MAX).is_err());
    }
}
