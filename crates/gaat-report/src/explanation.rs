//! Saliency maps in numbers: what they are like, and how far those of two networks agree, by training.

use crate::compare::Spread;
use crate::format::{NOTHING, count, percent, spread};
use crate::table::{Align, Table};
use gaat_spec::Explanation;
use gaat_spec::explanation::{ExplainedRun, MapAgreement, MapStatistics, Mean, Pair};
use maud::{Markup, html};

/// For a terminal: two tables, and what their columns mean.
pub fn explanation_text(explanation: &Explanation) -> String {
    let Tables { maps, agreement } = Tables::of(explanation);
    let agreement = agreement.map(|table| format!("\n{}", table.to_text())).unwrap_or_default();
    format!("{}{agreement}{}\n{}\n", maps.to_text(), lines(explanation), legend(explanation))
}

/// The same as Markdown, for a page of results.
pub fn explanation_markdown(explanation: &Explanation) -> String {
    let Tables { maps, agreement } = Tables::of(explanation);
    let agreement = agreement.map(|table| format!("\n{}", table.to_markdown())).unwrap_or_default();
    format!("{}{agreement}{}\n{}\n", maps.to_markdown(), lines(explanation), legend(explanation))
}

/// The same for a page.
pub(crate) fn explanation_markup(explanation: &Explanation) -> Markup {
    let Tables { maps, agreement } = Tables::of(explanation);
    html! {
        (maps.to_html())
        @if let Some(table) = agreement { h3 { "Agreement" } (table.to_html()) }
        @for note in notes(explanation) { p { (note) } }
        p.soft { (legend(explanation)) }
    }
}

struct Tables {
    maps: Table,
    /// With two runs or more.
    agreement: Option<Table>,
}

impl Tables {
    fn of(explanation: &Explanation) -> Self {
        let agreement = (!explanation.pairs.is_empty()).then(|| agreement(explanation));
        Self { maps: maps(explanation), agreement }
    }
}

fn maps(explanation: &Explanation) -> Table {
    let mut table = Table::new([
        ("training", Align::Left),
        ("saliency", Align::Left),
        ("runs", Align::Right),
        ("clean %", Align::Right),
        ("sparsity", Align::Right),
        ("alignment", Align::Right),
    ]);
    for label in distinct(explanation.runs.iter().map(|run| run.label.clone())) {
        let own: Vec<_> = explanation.runs.iter().filter(|run| run.label == label).collect();
        let clean: Vec<f64> = own.iter().map(|run| run.clean_accuracy).collect();
        for method in distinct(own.iter().flat_map(|run| run.maps.iter().map(|maps| maps.method))) {
            let found: Vec<&MapStatistics> =
                own.iter().flat_map(|run| run.maps.iter().filter(|maps| maps.method == method)).collect();
            table.push([
                label.clone(),
                method.to_string(),
                own.len().to_string(),
                spread(Spread::of(&clean).as_ref(), |share| percent(share, 1)),
                means(found.iter().map(|maps| maps.sparsity)),
                means(found.iter().map(|maps| maps.alignment)),
            ]);
        }
    }
    table
}

fn agreement(explanation: &Explanation) -> Table {
    let mut table = Table::new([
        ("saliency", Align::Left),
        ("trainings", Align::Left),
        ("seed", Align::Left),
        ("pairs", Align::Right),
        ("rank correlation", Align::Right),
        ("top tenth shared", Align::Right),
    ]);
    let label = |place: usize| explanation.runs.get(place).map_or("", |run| run.label.as_str());
    // The order of the runs within a pair means nothing. Runs of one seed begin with the same weights and see the same
    // batches, so that they agree for another reason than their training.
    let order = distinct(explanation.runs.iter().map(|run| run.label.clone()));
    let place = |name: &str| order.iter().position(|label| label == name);
    let seed = |place: usize| explanation.runs.get(place).and_then(|run| run.seed);
    let kind = |(left, right): (usize, usize)| {
        let seeds = match (seed(left), seed(right)) {
            (Some(one), Some(other)) if one == other => "same",
            (Some(_), Some(_)) => "other",
            _ => NOTHING,
        };
        let (left, right) = (label(left), label(right));
        if place(left) <= place(right) { (left, right, seeds) } else { (right, left, seeds) }
    };
    let mut kinds = distinct(explanation.pairs.iter().map(|pair| kind(pair.runs)));
    kinds.sort_by_key(|(left, right, seeds)| (*seeds == "same", place(left), place(right)));
    for method in
        distinct(explanation.pairs.iter().flat_map(|pair| pair.agreement.iter().map(|found| found.method)))
    {
        for (left, right, seeds) in &kinds {
            let pairs = explanation.pairs.iter().filter(|pair| kind(pair.runs) == (*left, *right, *seeds));
            let found: Vec<&MapAgreement> =
                pairs.flat_map(|pair| pair.agreement.iter().filter(|found| found.method == method)).collect();
            table.push([
                method.to_string(),
                format!("{left} - {right}"),
                (*seeds).to_owned(),
                found.len().to_string(),
                means(found.iter().map(|found| found.rank_correlation)),
                means(found.iter().map(|found| found.top_overlap)),
            ]);
        }
    }
    table
}

/// Mean and standard deviation over runs or pairs.
fn means(values: impl Iterator<Item = Option<Mean>>) -> String {
    let values: Vec<f64> = values.flatten().map(|value| value.mean).collect();
    match Spread::of(&values) {
        None => NOTHING.to_owned(),
        found => spread(found.as_ref(), |value| format!("{value:.3}")),
    }
}

fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut found: Vec<T> = Vec::new();
    for value in values {
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found
}

/// Why numbers are missing, a paragraph each.
fn lines(explanation: &Explanation) -> String {
    let notes = notes(explanation);
    notes.iter().flat_map(|note| ["\n", note.as_str(), "\n"]).collect()
}

/// Which numbers are not defined, and why: `measures` of the library says for which maps that is so.
fn notes(explanation: &Explanation) -> Vec<String> {
    let run = |place: usize| explanation.runs.get(place).map_or("", |run| run.run.as_str());
    let several = |count: usize| if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
    let mut notes = Vec::new();
    for method in distinct(explanation.runs.iter().flat_map(|run| run.maps.iter().map(|maps| maps.method))) {
        let of_method = |maps: &&MapStatistics| maps.method == method;
        let is_empty =
            |run: &&ExplainedRun| run.maps.iter().filter(of_method).any(|maps| maps.sparsity.is_none());
        let empty: Vec<_> = explanation.runs.iter().filter(is_empty).collect();
        if let Some(first) = empty.first() {
            let (run, more) = (&first.run, several(empty.len()));
            notes
                .push(format!("{method}: no sparsity for {run}{more}, since its maps are 0 at every pixel."));
        }
        let of_method = |found: &&MapAgreement| found.method == method;
        let is_flat = |pair: &&Pair| {
            pair.agreement.iter().filter(of_method).any(|found| found.rank_correlation.is_none())
        };
        let flat: Vec<_> = explanation.pairs.iter().filter(is_flat).collect();
        if let Some(first) = flat.first() {
            let (left, right, more) = (run(first.runs.0), run(first.runs.1), several(flat.len()));
            notes.push(format!(
                "{method}: no rank correlation and no top tenth for {left} and {right}{more}, since of every image one of \
                 the two maps is the same at all pixels."
            ));
        }
    }
    notes
}

fn legend(explanation: &Explanation) -> String {
    format!(
        "Maps of the logit of each image's class, on the {} of {} test images that every network classifies correctly, computed in {}. \
         Each number is a mean over the images, then a mean ± standard deviation over the runs, or over pairs of runs (one run can be in \
         several pairs). seed: runs of the same seed begin with the same weights and batches. sparsity: the Gini index, 0 where all \
         pixels count alike. alignment: the absolute cosine between gradient and image, for maps that are gradients. rank correlation: \
         Spearman's, over the pixels. top tenth shared: the share of the tenth of the pixels that is most salient in one map which is so \
         in the other map too; unrelated maps share 0.1.",
        count(explanation.examples as u64),
        count(explanation.candidates as u64),
        explanation.environment.precision
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use gaat_spec::SaliencyName;
    use gaat_spec::explanation::SCHEMA;
    use gaat_spec::record::Environment;

    /// Two networks of `rat` and one of a training called `other`.
    pub(crate) fn sample(other: &str) -> Explanation {
        let mean = |mean| Some(Mean { mean, deviation: None, images: 7 });
        let run = |label: &str, seed, sparsity| ExplainedRun {
            run: format!("runs/{label}"),
            label: label.to_owned(),
            seed: Some(seed),
            clean_accuracy: 0.5,
            maps: vec![MapStatistics {
                method: SaliencyName::GradCam,
                sparsity: mean(sparsity),
                alignment: None,
            }],
        };
        let pair = |runs, rank| Pair {
            runs,
            agreement: vec![MapAgreement {
                method: SaliencyName::GradCam,
                rank_correlation: mean(rank),
                top_overlap: None,
            }],
        };
        Explanation {
            schema: SCHEMA.to_owned(),
            candidates: 20,
            subset: None,
            examples: 7,
            seed: 0,
            environment: Environment::default(),
            runs: vec![run("rat", 0, 0.25), run(other, 0, 0.5), run("rat", 1, 0.75)],
            pairs: vec![pair((0, 1), 0.5), pair((0, 2), 0.9), pair((1, 2), 0.7)],
            seconds: 1.0,
        }
    }

    #[test]
    fn runs_and_pairs_are_grouped_by_training() {
        let text = explanation_text(&sample("gaat"));
        let words = |start: &str| -> Vec<&str> {
            text.lines().find(|line| line.starts_with(start)).unwrap().split_whitespace().collect()
        };
        let spread = ["0.500", "±", "0.354"];
        assert_eq!(
            words("rat "),
            [&["rat", "grad-cam", "2", "50.0", "±", "0.0"][..], &spread, &["-"]].concat()
        );
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("grad-cam")).collect();
        let words: Vec<Vec<&str>> =
            lines.iter().map(|line| line.split_whitespace().skip(1).collect()).collect();
        assert_eq!(words[0], ["rat", "-", "rat", "other", "1", "0.900", "-"]);
        assert_eq!(words[1], ["rat", "-", "gaat", "other", "1", "0.700", "-"]);
        assert_eq!(words[2], ["rat", "-", "gaat", "same", "1", "0.500", "-"]);
        assert!(text.contains("the 7 of 20 test images"), "{text}");
        assert!(explanation_markdown(&sample("gaat")).starts_with("| training |"));
    }

    #[test]
    fn a_number_that_is_missing_has_its_reason_below_the_table() {
        let whole = sample("gaat");
        assert_eq!(notes(&whole), Vec::<String>::new());
        let mut flat = whole;
        flat.pairs[1].agreement[0].rank_correlation = None;
        flat.pairs[2].agreement[0].rank_correlation = None;
        flat.runs[1].maps[0].sparsity = None;
        let [sparsity, agreement] = notes(&flat).try_into().unwrap();
        assert!(sparsity.starts_with("grad-cam: no sparsity for runs/gaat, since"), "{sparsity}");
        assert!(agreement.contains("for runs/rat and runs/rat and 1 more, since"), "{agreement}");
        for text in
            [explanation_text(&flat), explanation_markdown(&flat), explanation_markup(&flat).into_string()]
        {
            assert!(text.contains(&sparsity) && text.contains(&agreement), "{text}");
        }
    }
}
