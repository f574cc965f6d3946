//! Numbers about maps: how far two agree, how few pixels one rests on, how much a gradient looks like its image.
//!
//! A map is a list of saliencies of 0 and above, one a pixel. Where a number is not defined there is `None`.

/// Share of the pixels that count as most salient.
const TOP: f64 = 0.1;

/// Spearman's rank correlation; equal saliencies share their mean rank. `None` where a map is constant or not finite.
pub(super) fn rank_correlation(left: &[f64], right: &[f64]) -> Option<f64> {
    if !is_finite(left) || !is_finite(right) {
        return None;
    }
    let (left, right) = (ranks(left), ranks(right));
    let center = (left.len() as f64 - 1.0) / 2.0;
    let product =
        |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a - center) * (b - center)).sum() };
    let (own, others) = (product(&left, &left), product(&right, &right));
    (own > 0.0 && others > 0.0).then(|| product(&left, &right) / (own * others).sqrt())
}

/// Ranks from 0, ties sharing their mean.
fn ranks(values: &[f64]) -> Vec<f64> {
    let order = ascending(values);
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let value = values[order[start]];
        let ties = order[start..].iter().take_while(|index| values[**index] == value).count();
        for index in &order[start..start + ties] {
            ranks[*index] = start as f64 + (ties as f64 - 1.0) / 2.0;
        }
        start += ties;
    }
    ranks
}

fn ascending(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    order
}

/// Share of the most salient tenth of the pixels (one at least) that both maps have; a chance of 0.1 for unrelated maps.
/// `None` also where a map has no tenth that is salient at all: which of its zeros were meant would be chance.
pub(super) fn top_overlap(left: &[f64], right: &[f64]) -> Option<f64> {
    let count = ((left.len() as f64 * TOP).round() as usize).max(1);
    let is_fit =
        |values: &[f64]| is_finite(values) && values.iter().filter(|value| **value > 0.0).count() >= count;
    if left.len() != right.len() || is_constant(left) || is_constant(right) || !is_fit(left) || !is_fit(right)
    {
        return None;
    }
    let top = |values: &[f64]| {
        let mut is_top = vec![false; values.len()];
        for index in ascending(values).into_iter().rev().take(count) {
            is_top[index] = true;
        }
        is_top
    };
    let both = top(left).into_iter().zip(top(right)).filter(|pair| *pair == (true, true)).count();
    Some(both as f64 / count as f64)
}

fn is_finite(values: &[f64]) -> bool {
    values.iter().all(|value| value.is_finite())
}

fn is_constant(values: &[f64]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
}

/// Gini index (Hurley and Rickard 2009): 0 where all saliencies are equal, `1 - 1/n` where one pixel has all. `None` for an
/// empty map.
pub(super) fn gini(values: &[f64]) -> Option<f64> {
    let total: f64 = values.iter().sum();
    if !total.is_finite() || total <= 0.0 {
        return None;
    }
    let n = values.len() as f64;
    let weighted: f64 = ascending(values)
        .into_iter()
        .enumerate()
        .map(|(rank, index)| values[index] / total * (n - rank as f64 - 0.5) / n)
        .sum();
    Some(1.0 - 2.0 * weighted)
}

/// Absolute cosine between a gradient and the image; `None` where either is nothing.
pub(super) fn alignment(gradient: &[f64], image: &[f64]) -> Option<f64> {
    let product = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let lengths = (product(gradient, gradient) * product(image, image)).sqrt();
    (lengths > 0.0).then(|| product(gradient, image).abs() / lengths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_correlate_as_the_textbook_says() {
        assert_eq!(ranks(&[10.0, 30.0, 10.0, 20.0]), [0.5, 3.0, 0.5, 2.0]);
        assert_eq!(rank_correlation(&[1.0, 2.0, 3.0], &[10.0, 200.0, 3000.0]), Some(1.0));
        assert_eq!(rank_correlation(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), Some(-1.0));
        // 1 - 6 sum d^2 / n (n^2 - 1) = 1 - 6 * 4 / 60 for d = 1, 1, 1, 1.
        let found = rank_correlation(&[1.0, 2.0, 3.0, 4.0], &[2.0, 1.0, 4.0, 3.0]).unwrap();
        assert!((found - 0.6).abs() < 1e-12, "{found}");
        assert_eq!(rank_correlation(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(rank_correlation(&[1.0, f64::NAN], &[1.0, 2.0]), None);
    }

    #[test]
    fn the_top_tenth_is_counted_in_both_maps() {
        let left: Vec<f64> = (0..20).map(f64::from).collect();
        let mut right = left.clone();
        right.swap(18, 0);
        assert_eq!(top_overlap(&left, &left), Some(1.0));
        assert_eq!(top_overlap(&left, &right), Some(0.5));
        assert_eq!(top_overlap(&left, &[1.0; 20]), None);
        let single: Vec<f64> = (0..20).map(|place| f64::from(u8::from(place == 19))).collect();
        assert_eq!(top_overlap(&left, &single), None, "one salient pixel is no tenth of 20");
        assert_eq!(top_overlap(&left, &[f64::NAN; 20]), None);
    }

    #[test]
    fn gini_is_zero_for_even_and_near_one_for_single_pixels() {
        assert!(gini(&[2.0; 5]).unwrap().abs() < 1e-12);
        let single = gini(&[0.0, 0.0, 0.0, 7.0]).unwrap();
        assert!((single - 0.75).abs() < 1e-12, "{single}");
        assert_eq!(gini(&[0.0; 3]), None);
    }

    #[test]
    fn alignment_is_the_size_of_the_cosine() {
        assert_eq!(alignment(&[-2.0, 0.0], &[1.0, 0.0]), Some(1.0));
        assert_eq!(alignment(&[0.0, 3.0], &[1.0, 0.0]), Some(0.0));
        assert_eq!(alignment(&[0.0, 0.0], &[1.0, 0.0]), None);
    }
}
