//! Numbers as people read them: percent, seconds, ratios, counts.

use crate::compare::Spread;
use gaat_spec::Recipe;
use std::path::Path;

/// Shown where there is no number.
pub const NOTHING: &str = "-";

/// Decimals of a percentage that was counted on `examples` images: as many as one image is worth.
pub fn decimals(examples: usize) -> usize {
    if examples < 2000 { 1 } else { 2 }
}

/// A fraction in percent, without the sign: `0.971` is `97.1`.
pub fn percent(fraction: f64, decimals: usize) -> String {
    if fraction.is_finite() { format!("{:.decimals$}", 100.0 * fraction) } else { NOTHING.to_owned() }
}

/// A duration: `0.42 s`, `12.3 s`, `4 min 05 s`, `2 h 03 min`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return NOTHING.to_owned();
    }
    let whole = seconds.round() as u64;
    match whole {
        0..=9 => format!("{seconds:.2} s"),
        10..=119 => format!("{seconds:.1} s"),
        120..=7199 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

/// Seconds alone, with the decimals that matter: `0.42`, `12.3`, `1234`.
pub fn seconds(value: f64) -> String {
    seconds_beside(value, value)
}

/// A mean of seconds with its spread, both with the decimals of the mean.
pub fn spread_of_seconds(value: Option<&Spread>) -> String {
    let mean = value.map_or(0.0, |value| value.mean);
    spread(value, |value| seconds_beside(value, mean))
}

fn seconds_beside(value: f64, larger: f64) -> String {
    match larger {
        _ if !value.is_finite() => NOTHING.to_owned(),
        _ if larger < 10.0 => format!("{value:.2}"),
        _ if larger < 1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A ratio: `7.67x`.
pub fn ratio(value: f64) -> String {
    if value.is_finite() { format!("{value:.2}x") } else { NOTHING.to_owned() }
}

/// A count with thousands separated: `10,000`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A mean with its spread, each formatted by `one`; the spread is left out where there is none.
pub fn spread(value: Option<&Spread>, one: impl Fn(f64) -> String) -> String {
    match value {
        None => NOTHING.to_owned(),
        Some(Spread { mean, standard_deviation: None, .. }) => one(*mean),
        Some(Spread { mean, standard_deviation: Some(deviation), .. }) => {
            format!("{} ± {}", one(*mean), one(*deviation).trim_end_matches('x'))
        }
    }
}

/// The run in a few words, from its resolved recipe, such as `gaat, mnist, convnet, 5 epochs, seed 0`.
pub fn run_name(recipe: &Recipe) -> String {
    let parts = [
        recipe.method.map(|method| method.to_string()),
        recipe.dataset.map(|dataset| dataset.to_string()),
        recipe.model.as_ref().map(ToString::to_string),
        recipe.epochs.map(|epochs| format!("{epochs} epoch{}", if epochs == 1 { "" } else { "s" })),
        recipe.seed.map(|seed| format!("seed {seed}")),
    ];
    parts.into_iter().flatten().collect::<Vec<String>>().join(", ")
}

/// A path as it can be typed into a shell.
pub fn typed(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |character: char| character.is_alphanumeric() || "/._-+=:,@%".contains(character);
    if !text.is_empty() && text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_the_decimals_that_matter() {
        assert_eq!(percent(0.97125, decimals(300)), "97.1");
        assert_eq!(percent(0.97125, decimals(10_000)), "97.12");
        assert_eq!(percent(f64::NAN, 1), "-");
        assert_eq!(
            (seconds(0.421), seconds(12.34), seconds(1234.5)),
            ("0.42".into(), "12.3".into(), "1234".into())
        );
        assert_eq!(ratio(23.0 / 3.0), "7.67x");
        assert_eq!((ratio(f64::INFINITY), seconds(f64::NAN)), ("-".into(), "-".into()));
    }

    #[test]
    fn durations_grow_into_minutes_and_hours() {
        let cases = [
            (0.421, "0.42 s"),
            (12.34, "12.3 s"),
            (245.0, "4 min 05 s"),
            (7380.0, "2 h 03 min"),
            (-1.0, "-"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn counts_have_their_thousands_apart() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (60_000, "60,000"), (1_234_567, "1,234,567")];
        for (value, text) in cases {
            assert_eq!(count(value), text);
        }
    }

    #[test]
    fn one_value_has_no_spread() {
        let shown = |values: &[f64]| spread(Spread::of(values).as_ref(), |value| percent(value, 1));
        assert_eq!(shown(&[0.5]), "50.0");
        assert_eq!(shown(&[0.5, 0.6]), "55.0 ± 7.1");
        assert_eq!(shown(&[]), "-");
        assert_eq!(spread(Spread::of(&[2.0, 4.0]).as_ref(), ratio), "3.00x ± 1.41");
    }

    #[test]
    fn odd_paths_are_quoted() {
        assert_eq!(typed(Path::new("runs/digits-convnet-dat+gaat-s0")), "runs/digits-convnet-dat+gaat-s0");
        assert_eq!(typed(Path::new("my runs/it's")), r"'my runs/it'\''s'");
    }
}
