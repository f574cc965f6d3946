//! The verdict class by class.

use super::ledger::Ledger;
use crate::batch::Images;
use crate::error::Result;
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
    let count = |places: &mut dyn Iterator<Item = usize>| {
        let mut counts = vec![0usize; names.len()];
        for label in places.filter_map(|place| labels.get(place)) {
            if let Some(count) = counts.get_mut(*label) {
                *count += 1;
            }
        }
        counts
    };
    let withstood = |stages: &[usize]| {
        let places = ledger.withstood_all(stages).into_iter();
        count(&mut places.map(|(batch, place)| batch * batch_size + place as usize))
    };
    let all = count(&mut (0..labels.len()));
    let (clean, robust) = (withstood(&[]), withstood(stages));
    let share = |right: usize, all: usize| if all == 0 { 0.0 } else { right as f64 / all as f64 };
    let result = |(index, name): (usize, &String)| ClassResult {
        name: name.clone(),
        examples: all[index],
        clean_accuracy: share(clean[index], all[index]),
        robust_accuracy: share(robust[index], all[index]),
    };
    Ok(names.iter().enumerate().map(result).collect())
}
