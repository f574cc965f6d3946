//! Normalisation of pixels that a network from elsewhere keeps among its tensors: a mean and a deviation a channel.

use super::names::{common, split};
use super::source::Info;

/// Where mean and deviation lie in an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scaling {
    pub(super) mean: usize,
    pub(super) std: usize,
    /// What they stand behind.
    parent: String,
}

/// The pairs of mean and deviation among the tensors at `places`, for images of so many channels. `names` are the plain names.
pub(super) fn pairs(names: &[String], tensors: &[Info], places: &[usize], channels: i64) -> Vec<Scaling> {
    let fits = |place: usize| tensors[place].is_float && is_column(&tensors[place].size, channels);
    let means = places.iter().copied().filter(|place| is_mean(split(&names[*place]).1) && fits(*place));
    let mut pairs = Vec::new();
    for mean in means {
        let (parent, own) = split(&names[mean]);
        let beside = places.iter().copied().filter(|place| {
            let (other, name) = split(&names[*place]);
            other == parent && is_std(name) && undecorated(name) == undecorated(own) && fits(*place)
        });
        let found: Vec<usize> = beside.collect();
        if let [std] = found[..] {
            pairs.push(Scaling { mean, std, parent: parent.to_owned() });
        }
    }
    pairs
}

/// The pair that belongs to the network behind `prefix`: the one that shares the most of its path. `None` where two are as near.
pub(super) fn nearest(mut pairs: Vec<Scaling>, prefix: &str) -> Option<Scaling> {
    let nearness = |pair: &Scaling| common(&pair.parent, prefix);
    let most = pairs.iter().map(nearness).max()?;
    pairs.retain(|pair| nearness(pair) == most);
    if pairs.len() == 1 { pairs.pop() } else { None }
}

/// One number a channel, or one for all.
fn is_column(size: &[i64], channels: i64) -> bool {
    let count: i64 = size.iter().fold(1, |count, side| count.saturating_mul(*side));
    size.len() <= 4 && (count == channels || count == 1)
}

const MEANS: [&str; 3] = ["mean", "mu", "means"];
const STDS: [&str; 7] = ["std", "sigma", "stds", "stdev", "stddev", "std_dev", "sd"];

fn is_mean(name: &str) -> bool {
    is_one_of(name, &MEANS) && !name.to_lowercase().starts_with("running")
}

fn is_std(name: &str) -> bool {
    is_one_of(name, &STDS)
}

/// Whether a name is one of `words`, or has one in front or behind, as `_mean` and `pixel_mean` have.
fn is_one_of(name: &str, words: &[&str]) -> bool {
    let name = name.to_lowercase();
    words.iter().any(|word| {
        name == *word || name.ends_with(&format!("_{word}")) || name.starts_with(&format!("{word}_"))
    })
}

/// What is left of a name without the word for mean or deviation: `pixel` of `pixel_mean`.
fn undecorated(name: &str) -> String {
    let name = name.to_lowercase();
    let mut parts: Vec<&str> = name.split('_').filter(|part| !part.is_empty()).collect();
    parts.retain(|part| !MEANS.contains(part) && !STDS.contains(part) && *part != "dev");
    parts.join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, size: &[i64]) -> Info {
        Info { name: name.to_owned(), size: size.to_vec(), is_float: true }
    }

    fn found(tensors: &[Info], channels: i64) -> Vec<(usize, usize)> {
        let names: Vec<String> = tensors.iter().map(|tensor| tensor.name.clone()).collect();
        let places: Vec<usize> = (0..tensors.len()).collect();
        pairs(&names, tensors, &places, channels).iter().map(|pair| (pair.mean, pair.std)).collect()
    }

    #[test]
    fn pairs_are_found_by_name_and_size() {
        for (mean, std) in [
            ("mean", "std"),
            ("0.mu", "0.sigma"),
            ("normalize._mean", "normalize._std"),
            ("x.pixel_mean", "x.pixel_std"),
        ] {
            for size in [&[3][..], &[3, 1, 1], &[1, 3, 1, 1], &[1]] {
                assert_eq!(found(&[info(mean, size), info(std, size)], 3), [(0, 1)], "{mean} {size:?}");
            }
        }
        for (mean, std, size) in [
            ("bn.running_mean", "bn.std", 3),
            ("a.mean", "b.std", 3),
            ("mean", "std", 4),
            ("mean", "x_std", 3),
        ] {
            assert_eq!(found(&[info(mean, &[size]), info(std, &[size])], 3), [], "{mean}, {std}");
        }
    }

    #[test]
    fn of_two_pairs_the_one_nearer_to_the_network_is_taken() {
        let tensors = [
            info("model.0.mean", &[1]),
            info("model.0.std", &[1]),
            info("ema.0.mean", &[1]),
            info("ema.0.std", &[1]),
        ];
        let names: Vec<String> = tensors.iter().map(|tensor| tensor.name.clone()).collect();
        let both = pairs(&names, &tensors, &[0, 1, 2, 3], 1);
        assert_eq!(both.len(), 2);
        assert_eq!(nearest(both.clone(), "ema.1.").map(|pair| pair.mean), Some(2));
        assert_eq!(nearest(both, "net."), None);
    }
}
