//! Colours of plots, on light paper and on dark: drawn light, and changed by the style that every plot carries.

use std::fmt::Write;

/// What something is drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// The background.
    Paper,
    /// Words and frames.
    Text,
    /// Lines behind the data.
    Grid,
    /// Lines that only guide the eye.
    Faint,
    /// What went wrong.
    Alarm,
    /// The series or method of this number.
    Series(usize),
}

const PLAIN: [(Ink, &str, &str, &str); 5] = [
    (Ink::Paper, "paper", "#ffffff", "#1a1d21"),
    (Ink::Text, "text", "#222222", "#e3e3e3"),
    (Ink::Grid, "grid", "#e6e6e6", "#34393f"),
    (Ink::Faint, "faint", "#9a9a9a", "#8b8f94"),
    (Ink::Alarm, "alarm", "#c1121f", "#ff6b6b"),
];

/// Light and dark; each row told apart by most kinds of colour-blindness (after Tol 2021, bright, with brown, black and two more).
const SERIES: [(&str, &str); 11] = [
    ("#3a6fb0", "#7fb2e5"),
    ("#e0556a", "#ff8d9b"),
    ("#228833", "#62c472"),
    ("#aa3377", "#dd83bd"),
    ("#b59a14", "#e6d75f"),
    ("#2aa3c7", "#7fdcf5"),
    ("#8c510a", "#d0995b"),
    ("#222222", "#eeeeee"),
    ("#888888", "#aaaaaa"),
    ("#6a51a3", "#b9a3e3"),
    ("#006d5b", "#4fc3ac"),
];

impl Ink {
    /// Name in the style, and colour on light paper.
    fn look(self) -> (String, &'static str) {
        match self {
            Self::Series(index) => {
                let index = index % SERIES.len();
                (format!("s{index}"), SERIES[index].0)
            }
            plain => {
                let found = PLAIN.iter().find(|(ink, ..)| *ink == plain);
                found.map_or_else(
                    || ("text".to_owned(), "#222222"),
                    |(_, name, light, _)| ((*name).to_owned(), light),
                )
            }
        }
    }

    /// Attributes that make `currentColor` this ink; a viewer that knows no style sheets shows the light one.
    pub(super) fn attributes(self) -> String {
        let (name, light) = self.look();
        format!("class=\"{name}\" color=\"{light}\"")
    }
}

/// The style of a plot whose root has the class `gaat-plot`: the dark colours where the reader prefers them.
pub(super) fn style() -> String {
    let mut rules = String::new();
    let named = PLAIN.iter().map(|(_, name, _, dark)| ((*name).to_owned(), *dark));
    let series = SERIES.iter().enumerate().map(|(index, (_, dark))| (format!("s{index}"), *dark));
    for (name, dark) in named.chain(series) {
        // Writing to a String cannot fail.
        let _ = write!(rules, ".gaat-plot .{name}{{color:{dark}}}");
    }
    format!("<style>@media (prefers-color-scheme:dark){{{rules}}}</style>")
}
