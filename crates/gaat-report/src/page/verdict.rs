//! The report of one verdict, of a network that no run directory belongs to.

use super::headline::verdict_headline;
use super::results::{classes, evaluation};
use super::{Section, Tile, document};
use crate::format::{decimals, duration, percent};
use gaat_spec::{Evaluation, judged_in};
use maud::html;

/// What the report of a verdict is made from.
#[derive(Debug, Clone, Copy)]
pub struct VerdictPage<'a> {
    /// What was judged.
    pub name: &'a str,
    /// The verdict.
    pub evaluation: &'a Evaluation,
}

impl VerdictPage<'_> {
    /// The page.
    pub fn html(&self) -> String {
        let found = self.evaluation;
        let digits = decimals(found.examples);
        let tile = |value: String, words: String| Tile { value, words };
        let tiles = [
            tile(format!("{} %", percent(found.clean_accuracy, digits)), "clean accuracy".to_owned()),
            tile(
                format!("{} %", percent(found.robust_accuracy, digits)),
                format!("robust accuracy, {}, worst of the attacks below", found.threat),
            ),
            tile(duration(found.seconds), "attacks".to_owned()),
        ];
        let subtitle = html! {
            (verdict_headline(found))
            p.soft { (found.examples) " images, " (judged_in(found.precision)) }
        };
        let sections = [
            Section { id: "results", heading: "Results", body: evaluation(found) },
            Section { id: "classes", heading: "Classes", body: classes(&found.classes) },
        ];
        document(self.name, &subtitle, &tiles, &sections)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_what_was_found_and_escapes_the_name() {
        let text = r#"{"examples": 10, "threat": {"norm": "linf", "epsilon": "0.3"}, "clean_accuracy": 0.9,
            "clean_interval": [0.6, 1.0], "attacks": [], "robust_accuracy": 0.5, "robust_interval": [0.2, 0.8],
            "alarms": ["gradients are masked"], "seconds": 1.0}"#;
        let evaluation: Evaluation = serde_json::from_str(text).unwrap();
        let page = VerdictPage { name: "<net>", evaluation: &evaluation }.html();
        let first = "50.0 % of 10 test images withstand all attacks";
        for part in ["&lt;net&gt;", "90.0 %", first, "gradients are masked", "Do not trust this number"] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        assert!(!page.contains("<net>"));
        let sound = Evaluation { alarms: Vec::new(), ..evaluation };
        let page = VerdictPage { name: "net", evaluation: &sound }.html();
        assert!(page.contains("No alarm was raised, but AutoAttack was not among the attacks"), "{page}");
    }
}
