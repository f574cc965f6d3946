//! The verdict class by class.

use super::ledger::Ledger;
use crate::Result;
use crate::batch::Images;
use gaat_spec::ClassResult;

/// Shares of each of the classes `names`, over `images` judged in batches of `batch_size`; an image is robust if it
/// withstood every one of the `stages`.
pub(super) fn classes(
    names: &[String],
    images: &Images,
    batch_size: usize,
    ledger: &Ledger,
    stages: &[usize],
) -> Result<Vec<ClassResult>> {
    let labels = images.classes()?;
    let count = |places: Vec<usize>| {
        let mut counts = vec![0usize; names.len()];
        for place in places {
            if let Some(count) = labels.get(place).and_then(|label| counts.get_mut(*label)) {
                *count += 1;
            }
        }
        counts
    };
    let all = count((0..labels.len()).collect());
    let clean = count(ledger.survivors_of_all(&[], batch_size));
    let robust = count(ledger.survivors_of_all(stages, batch_size));
    let share = |right: usize, all: usize| if all == 0 { 0.0 } else { right as f64 / all as f64 };
    let result = |(index, name): (usize, &String)| ClassResult {
        name: name.clone(),
        examples: all[index],
        clean_accuracy: share(clean[index], all[index]),
        robust_accuracy: share(robust[index], all[index]),
    };
    Ok(names.iter().enumerate().map(result).collect())
}
