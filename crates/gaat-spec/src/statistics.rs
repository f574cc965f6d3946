//! The little statistics that honest tables need.

/// Mean of the values; NaN when there are none.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Sample standard deviation (n - 1); `None` with fewer than two values, where no spread is known.
pub fn standard_deviation(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let center = mean(values);
    let squares: f64 = values.iter().map(|value| (value - center).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// 95 % Wilson score interval of a share: `hits` of `total`. The whole of `[0, 1]` when `total` is 0.
///
/// Wilson (1927), which unlike the normal approximation stays inside `[0, 1]` and is sensible at 0 and 1.
pub fn wilson_interval(hits: usize, total: usize) -> (f64, f64) {
    const Z: f64 = 1.959_963_984_540_054;
    if total == 0 {
        return (0.0, 1.0);
    }
    let n = total as f64;
    let share = hits as f64 / n;
    let center = share + Z * Z / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    // The ends are exact at 0 and 1; rounding must not leave a hair between.
    let low = if hits == 0 { 0.0 } else { (center - half) / scale };
    let high = if hits == total { 1.0 } else { (center + half) / scale };
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_needs_two_values() {
        assert_eq!(standard_deviation(&[3.0]), None);
        assert_eq!(standard_deviation(&[1.0, 3.0]), Some(2f64.sqrt()));
    }

    #[test]
    fn wilson_agrees_with_a_published_example() {
        // Newcombe (1998), table I: 81 of 263 gives 0.2553 to 0.3662.
        let (low, high) = wilson_interval(81, 263);
        assert!((low - 0.2553).abs() < 5e-5 && (high - 0.3662).abs() < 5e-5, "{low} {high}");
        assert_eq!(wilson_interval(0, 0), (0.0, 1.0));
        assert_eq!(wilson_interval(10, 10).1, 1.0);
    }
}
