//! When Auto-PGD looks back, from the number of steps alone (Croce and Hein 2020, section 3.1).

/// A look back after step `at` (counted from 1) over the `window` steps before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) at: usize,
    pub(super) window: usize,
}

/// The looks back within `steps` steps: the first after 0.22 of them, each next one 0.03 sooner, down to 0.06.
pub(super) fn checkpoints(steps: usize) -> Vec<Checkpoint> {
    // The reference multiplies and truncates in double precision, and never goes below one step.
    let share = |share: f64| ((share * steps as f64) as usize).max(1);
    let (mut window, least, decrease) = (share(0.22), share(0.06), share(0.03));
    let mut found = Vec::new();
    let mut at = window;
    while at <= steps {
        found.push(Checkpoint { at, window });
        window = window.saturating_sub(decrease).max(least);
        at += window;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_steps_are_looked_back_on_as_in_the_paper() {
        let found: Vec<_> = checkpoints(100).iter().map(|check| (check.at, check.window)).collect();
        let expected = [(22, 22), (41, 19), (57, 16), (70, 13), (80, 10), (87, 7), (93, 6), (99, 6)];
        assert_eq!(found, expected);
    }

    #[test]
    fn few_steps_are_looked_back_on_after_each() {
        assert_eq!(checkpoints(3).len(), 3);
        assert!(checkpoints(0).is_empty());
        let found: Vec<_> = checkpoints(10).iter().map(|check| check.at).collect();
        assert_eq!(found, [2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }
}
