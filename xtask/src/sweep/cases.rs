//! Shapes of convolutions, drawn at random: all the narrow ones, and those of `efficientnet-b0`.

const WIDE: [u64; 9] = [16, 24, 32, 40, 48, 80, 96, 112, 144];
/// Numbers that a sum has at most, so that a case takes milliseconds.
const MOST_NUMBERS: u64 = 20_000;

/// Numbers that a seed alone determines: splitmix64 (Steele et al. 2014).
pub(super) struct Draws(pub(super) u64);

impl Draws {
    /// Below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn channels(&mut self) -> u64 {
        match self.below(5) {
            0 => self.one_of(&WIDE),
            1 | 2 => 1 + self.below(16),
            _ => 1 + self.below(72),
        }
    }
}

/// `count` cases as `gaat-bench convolve` reads them.
pub(super) fn drawn(seed: u64, count: usize) -> Vec<String> {
    let mut draws = Draws(seed);
    (0..count).map(|_| case(&mut draws)).collect()
}

fn case(draws: &mut Draws) -> String {
    let (mut inputs, mut outputs, mut groups) = (draws.channels(), draws.channels(), 1);
    // A third of them of the kind that is known to be hit without routes.
    let (kernel, stride): (u64, u64) = match draws.below(3) {
        0 => (1, 2 + draws.below(2)),
        _ => (draws.one_of(&[1, 2, 3, 4, 5, 7]), draws.one_of(&[1, 1, 2, 2, 3])),
    };
    match draws.below(10) {
        0 | 1 => {
            outputs = inputs;
            groups = inputs;
        }
        2 => {
            groups = 2 + draws.below(3);
            inputs *= groups;
            outputs *= groups;
        }
        _ => {}
    }
    let padding = draws.one_of(&[0, kernel / 2, kernel / 2]);
    let mut side = draws.one_of(&[1, 2, 3, 4, 5, 7, 8, 9, 14, 16, 16, 28, 32]);
    if inputs * side * side > MOST_NUMBERS {
        side = 8;
    }
    let side = side.max(kernel.saturating_sub(2 * padding));
    let precision = draws.one_of(&["bf16", "bf16", "fp32"]);
    let order = draws.one_of(&["last", "last", "last", "first"]);
    let (threads, batch) = (1 + draws.below(4), 1 + draws.below(17));
    format!(
        "{precision} {order} {threads} {batch} {side} {inputs} {outputs} {kernel} {stride} {padding} {groups}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_draw_equal_cases_that_can_be_computed() {
        assert_eq!(drawn(3, 50), drawn(3, 50));
        assert_ne!(drawn(3, 50), drawn(4, 50));
        for case in drawn(1, 2_000) {
            let numbers: Vec<u64> = case.split(' ').skip(2).map(|word| word.parse().unwrap()).collect();
            let [_, _, side, inputs, outputs, kernel, _, padding, groups] = numbers[..] else {
                panic!("{case}")
            };
            assert!(side + 2 * padding >= kernel && inputs % groups == 0 && outputs % groups == 0, "{case}");
        }
    }
}
