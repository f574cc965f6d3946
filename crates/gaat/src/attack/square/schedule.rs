//! How large the squares are, and what is in them (Andriushchenko et al. 2020, sections 3.2 and 3.3).

/// Share of the pixels that the first squares cover.
const FIRST_SHARE: f64 = 0.8;
/// Queries after which the share is halved, for any number of queries in all: AutoAttack does not rescale them.
const HALVED_AFTER: [usize; 9] = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000];

/// Share of the pixels that a square covers at `query`, counted from 0.
fn share(query: usize) -> f64 {
    let halvings = HALVED_AFTER.iter().filter(|after| query > **after).count();
    FIRST_SHARE / f64::from(1u32 << halvings)
}

/// Side of the square at `query` in an image of `height` times `width`, from 1 to the shorter side.
pub(super) fn side(query: usize, height: i64, width: i64) -> i64 {
    let side = (share(query) * (height * width) as f64).sqrt().round_ties_even() as i64;
    side.clamp(1, height.min(width))
}

/// The same for L2: odd and at least 3, where the image has room for it.
pub(super) fn odd_side(query: usize, height: i64, width: i64) -> i64 {
    let side = ((share(query) * (height * width) as f64).sqrt().round_ties_even() as i64).max(3);
    let most = height.min(width);
    let most = if most % 2 == 0 { most - 1 } else { most };
    (side + 1 - side % 2).min(most).max(1)
}

/// A square of `side` with a positive and a negative half, each highest in its middle, of length 1 in all; by rows.
pub(super) fn two_hills(side: usize) -> Vec<f64> {
    let above = hill(side / 2, side);
    let below = hill(side - side / 2, side);
    let both: Vec<f64> = above.into_iter().chain(below.into_iter().map(|value| -value)).collect();
    normalised(both)
}

/// A hill of `rows` times `columns`: nested rectangles, the k-th adding `1 / k^2`, of length 1 in all.
fn hill(rows: usize, columns: usize) -> Vec<f64> {
    let mut heights = vec![0.0; rows * columns];
    let (middle_row, middle_column) = (rows / 2, columns / 2);
    for ring in 0..(middle_row + 1).max(middle_column + 1) {
        let row_start = middle_row as i64 - ring as i64;
        let column_start = middle_column as i64 - ring as i64;
        let end = |start: i64, most: usize| ((start + 2 * ring as i64 + 1).max(0) as usize).min(most);
        for row in row_start.max(0) as usize..end(row_start, rows) {
            for column in column_start.max(0) as usize..end(column_start, columns) {
                heights[row * columns + column] += 1.0 / ((ring + 1) * (ring + 1)) as f64;
            }
        }
    }
    normalised(heights)
}

fn normalised(values: Vec<f64>) -> Vec<f64> {
    let length = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    if length == 0.0 { values } else { values.into_iter().map(|value| value / length).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_shrink_at_the_published_queries() {
        let sides: Vec<i64> =
            [0, 10, 11, 51, 201, 501, 1001, 2001, 4001, 4999].map(|query| side(query, 28, 28)).into();
        assert_eq!(sides, [25, 25, 18, 13, 9, 6, 4, 3, 2, 2]);
        assert_eq!(side(9000, 28, 28), 1);
        let odd: Vec<i64> = [0, 11, 51, 201, 501, 1001, 4001].map(|query| odd_side(query, 28, 28)).into();
        assert_eq!(odd, [25, 19, 13, 9, 7, 5, 3]);
        assert_eq!((side(0, 4, 40), odd_side(0, 4, 4), odd_side(0, 2, 2)), (4, 3, 1));
    }

    #[test]
    fn hills_have_length_one_and_are_highest_in_the_middle() {
        for side in 1..9 {
            let hills = two_hills(side);
            assert_eq!(hills.len(), side * side);
            assert!((hills.iter().map(|value| value * value).sum::<f64>() - 1.0).abs() < 1e-12, "{side}");
        }
        let hills = two_hills(5);
        let (most, least) =
            (hills.iter().copied().fold(0.0, f64::max), hills.iter().copied().fold(0.0, f64::min));
        // Two rows above with their middle in the second, three below with theirs in the middle.
        assert_eq!((hills[5 + 2], hills[15 + 2]), (most, least));
        assert!(hills[..10].iter().all(|value| *value > 0.0) && hills[10..].iter().all(|value| *value < 0.0));
    }
}
