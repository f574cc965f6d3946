//! A comparison as people read it: one table with footnotes, as text and as a Markdown page.

use crate::compare::{ComparedRun, Row, Spread, Summary};
use crate::format::{NOTHING, count, decimals, percent, ratio, seconds, spread, spread_of_seconds};
use crate::table::{Align, Table};
use gaat_spec::judged_in;
use gaat_spec::record::Environment;

const COLLAPSED: &str = "†";
const FAILED: &str = "‡";

/// What there is to show.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// First line, such as `digits, convnet, linf 0.15`.
    pub title: &'a str,
    /// How many runs were asked for.
    pub planned: usize,
    /// The runs so far.
    pub runs: &'a [ComparedRun],
    /// Their summary.
    pub summary: &'a Summary,
}

impl Document<'_> {
    /// For a terminal: title, table, footnotes.
    pub fn to_text(&self) -> String {
        format!("{}\n\n{}\n{}\n", self.title, self.table().to_text(), self.notes().join("\n"))
    }

    /// A page: title, table, footnotes, and every run with its directory.
    pub fn to_markdown(&self) -> String {
        let mut notes = self.notes();
        notes.extend(self.circumstances());
        let notes = notes.join("\n- ");
        let done = self.runs.len();
        let state = if done < self.planned {
            format!("{done} of {} runs so far.\n\n", self.planned)
        } else {
            String::new()
        };
        let (table, runs) = (self.table().to_markdown(), self.runs_table().to_markdown());
        format!("# {}\n\n{state}{table}\n- {notes}\n\n## Runs\n\n{runs}", self.title)
    }

    /// Every run, finished or not.
    pub(crate) fn runs_table(&self) -> Table {
        let mut runs = Table::new([
            ("run", Align::Left),
            ("state", Align::Left),
            ("clean %", Align::Right),
            ("worst case %", Align::Right),
            ("seconds", Align::Right),
        ]);
        for run in self.runs {
            runs.push(self.run_cells(run));
        }
        runs
    }

    fn run_cells(&self, run: &ComparedRun) -> Vec<String> {
        let name = format!("{}-s{}", run.method, run.seed);
        let state =
            run.failure.as_ref().map_or_else(|| "done".to_owned(), |reason| format!("failed: {reason}"));
        let digits = decimals(self.summary.examples);
        let accuracy =
            |value: Option<f64>| value.map_or_else(|| NOTHING.to_owned(), |value| percent(value, digits));
        vec![
            name,
            state,
            accuracy(run.evaluation.as_ref().map(|evaluation| evaluation.clean_accuracy)),
            accuracy(run.evaluation.as_ref().map(|evaluation| evaluation.robust_accuracy)),
            run.record.as_ref().map_or_else(|| NOTHING.to_owned(), |record| seconds(record.seconds.total)),
        ]
    }

    /// A row a method.
    pub(crate) fn table(&self) -> Table {
        let attacks = self.summary.rows.iter().find(|row| !row.attacks.is_empty());
        let attacks: Vec<String> = attacks
            .map(|row| row.attacks.iter().map(|attack| format!("{} %", attack.name)).collect())
            .unwrap_or_default();
        let worst_case = self.has_worst_case().then(|| "worst case %".to_owned());
        let mut columns = vec![("method".to_owned(), Align::Left)];
        let numbers = ["clean %".to_owned()]
            .into_iter()
            .chain(attacks.iter().cloned())
            .chain(worst_case)
            .chain(["seconds", "passes", "vs natural", "vs rat", "saved %", "runs"].map(str::to_owned));
        columns.extend(numbers.map(|title| (title, Align::Right)));
        let mut table = Table::new(columns);
        for row in &self.summary.rows {
            table.push(self.cells(row, attacks.len()));
        }
        table
    }

    /// Whether several attacks make the worst case another number than each of theirs.
    fn has_worst_case(&self) -> bool {
        self.summary.rows.iter().any(|row| row.attacks.len() > 1)
    }

    fn cells(&self, row: &Row, attacks: usize) -> Vec<String> {
        let digits = decimals(self.summary.examples);
        let accuracy = |value| spread(value, |value| percent(value, digits));
        let mut name = row.method.to_string();
        for (mark, applies) in [(COLLAPSED, !row.collapsed.is_empty()), (FAILED, !row.failed.is_empty())] {
            if applies {
                name = format!("{name} {mark}");
            }
        }
        let clean = if row.finished == 0 { "failed".to_owned() } else { accuracy(row.clean.as_ref()) };
        let mut cells = vec![name, clean];
        for index in 0..attacks {
            cells.push(accuracy(row.attacks.get(index).and_then(|attack| attack.accuracy.as_ref())));
        }
        if self.has_worst_case() {
            cells.push(accuracy(row.worst_case.as_ref()));
        }
        cells.push(spread_of_seconds(row.seconds.as_ref()));
        // Passes of one recipe do not depend on the seed, nor do their ratios.
        cells.push(row.cost_ratio.map_or_else(|| NOTHING.to_owned(), |passes| ratio(passes.mean)));
        cells.push(of_ratio(row.seconds_over_natural, ratio));
        cells.push(of_ratio(row.seconds_over_rat, ratio));
        cells.push(of_ratio(row.rat_seconds_saved, |share| percent(share, 1)));
        cells.push(if row.finished == row.runs {
            row.runs.to_string()
        } else {
            format!("{} of {}", row.finished, row.runs)
        });
        cells
    }

    /// What the table rests on, and what makes it less than it looks.
    pub(crate) fn notes(&self) -> Vec<String> {
        let rows = &self.summary.rows;
        let images = count(self.summary.examples as u64);
        let mut notes = vec![match rows.iter().map(|row| row.finished).max().unwrap_or(0) {
            0 => "No run finished.".to_owned(),
            1 => format!("Accuracy on {images} test images; one seed, so no spread is known."),
            _ => format!("Accuracy on {images} test images; mean ± standard deviation over the seeds."),
        }];
        if self.has_worst_case() {
            notes.push(
                "Worst case: an image counts only if it is classified correctly under all attacks."
                    .to_owned(),
            );
        }
        notes.push(
            "Seconds: time of the training, without validation; vs natural, vs rat: divided by the seconds of that method; saved: \
             the share of the seconds of rat that the method saves. Passes: counted, divided by those of natural training."
                .to_owned(),
        );
        for row in rows {
            for run in &row.collapsed {
                let (method, seed, how) = (row.method, run.seed, run.collapse);
                notes.push(format!("{COLLAPSED} collapsed: {method}, seed {seed}: {how}."));
            }
            for run in &row.failed {
                notes.push(format!("{FAILED} failed: {}, seed {}: {}", row.method, run.seed, run.reason));
            }
        }
        notes.extend(self.summary.warnings.iter().map(|warning| format!("Note: {warning}.")));
        notes
    }

    /// How the attacks were set and where the runs were made, from the first finished one.
    pub(crate) fn circumstances(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(evaluation) = self.runs.iter().find_map(|run| run.evaluation.as_ref()) {
            lines.push(format!("Threat model: {}.", evaluation.threat));
            lines.push(format!("Judged {}.", judged_in(evaluation.precision)));
            lines.extend(
                evaluation
                    .attacks
                    .iter()
                    .map(|result| format!("{}: {}.", result.name, result.attack.numbers())),
            );
        }
        if let Some(record) = self.runs.iter().find_map(|run| run.record.as_ref()) {
            let Environment { version, libtorch, device, threads, processes, precision, cpu } =
                &record.environment;
            let processes =
                processes.map_or_else(String::new, |count| format!("{count} processes, each with "));
            lines.push(format!(
                "Machine: {cpu}, device {device}, {processes}threads {threads}, trained in {precision}; gaat {version}, libtorch \
                 {libtorch}."
            ));
        }
        lines
    }
}

/// A ratio with its spread; that of a method to itself has none to show.
fn of_ratio(value: Option<Spread>, one: impl Fn(f64) -> String) -> String {
    let shown = value.map(|value| Spread {
        standard_deviation: value.standard_deviation.filter(|deviation| *deviation != 0.0),
        ..value
    });
    spread(shown.as_ref(), one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::samples::{failed, run};
    use crate::compare::summarize;

    fn text(runs: &[ComparedRun]) -> (String, String) {
        let summary = summarize(runs);
        let document = Document { title: "digits, convnet", planned: runs.len(), runs, summary: &summary };
        (document.to_text(), document.to_markdown())
    }

    /// The words of the line that begins with `name`.
    fn line<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
        text.lines().find(|line| line.starts_with(name)).unwrap().split_whitespace().collect()
    }

    #[test]
    fn one_table_has_accuracy_time_and_what_it_saves() {
        let (text, markdown) = text(&[
            run("natural", 0, 10.0, 0.1, 0.0),
            run("rat", 0, 100.0, 0.9, 0.85),
            run("gaat", 0, 20.0, 0.9, 0.8125),
        ]);
        let expected =
            ["gaat", "97.00", "90.00", "81.25", "81.25", "20.0", "1.00x", "2.00x", "0.20x", "80.0", "1"];
        assert_eq!(line(&text, "gaat"), expected);
        assert!(line(&text, "method").contains(&"pgd-50x10"), "{text}");
        assert!(text.contains("worst case %") && text.contains("correctly under all attacks"), "{text}");
        assert!(text.contains("10,000 test images; one seed"), "{text}");
        assert!(markdown.starts_with("# digits, convnet\n\n| method"), "{markdown}");
        assert!(markdown.contains("| gaat-s0"), "{markdown}");
        assert!(markdown.contains("- pgd-50x10: steps 50 of 0.01500, starts 10.\n- Machine: "), "{markdown}");
    }

    #[test]
    fn the_worst_case_is_that_of_the_rows_and_stands_beside_several_attacks_alone() {
        let mut runs = [run("rat", 0, 100.0, 0.9, 0.8)];
        let evaluation = runs[0].evaluation.as_mut().unwrap();
        // No attack alone fells so many.
        evaluation.robust_accuracy = 0.75;
        let (several, _) = text(&runs);
        assert_eq!(line(&several, "rat")[1..6], ["97.00", "90.00", "80.00", "75.00", "100.0"]);
        runs[0].evaluation.as_mut().unwrap().attacks.truncate(1);
        let (one, _) = text(&runs);
        assert!(!one.to_lowercase().contains("worst case"), "{one}");
        assert_eq!(line(&one, "rat")[1..4], ["97.00", "90.00", "100.0"]);
    }

    #[test]
    fn without_rat_its_columns_hold_a_dash() {
        let (text, _) = text(&[run("natural", 0, 10.0, 0.1, 0.0)]);
        let words = line(&text, "natural");
        assert_eq!(words[words.len() - 3..], ["-", "-", "1"]);
    }

    #[test]
    fn collapsed_and_failed_runs_are_marked_and_explained() {
        let (text, markdown) =
            text(&[run("gaat-paper", 0, 20.0, 0.92, 0.003), failed("gaat-paper", 1), failed("gaat", 0)]);
        for page in [&text, &markdown] {
            assert!(page.contains("gaat-paper † ‡"), "{page}");
            assert!(
                page.contains(
                    "† collapsed: gaat-paper, seed 0: 92.0 % under one step, 0.3 % under many steps."
                ),
                "{page}"
            );
            assert!(page.contains("‡ failed: gaat, seed 0: training stopped at epoch 1"), "{page}");
        }
        assert_eq!(line(&text, "gaat ‡")[2], "failed");
        assert!(text.contains("1 of 2") && text.contains("0 of 1"), "{text}");
        assert!(self::text(&[failed("gaat", 0)]).0.contains("No run finished."));
    }

    #[test]
    fn several_seeds_show_their_spread() {
        let (text, _) = text(&[run("rat", 0, 100.0, 0.9, 0.8), run("rat", 1, 110.0, 0.9, 0.9)]);
        assert!(text.contains("85.00 ± 7.07") && text.contains("105.0 ± 7.1"), "{text}");
        assert!(text.contains(" 1.00x      0.0 "), "no spread of rat over itself: {text}");
    }

    #[test]
    fn an_unfinished_comparison_says_so() {
        let runs = [run("rat", 0, 100.0, 0.9, 0.8)];
        let summary = summarize(&runs);
        let page = Document { title: "t", planned: 6, runs: &runs, summary: &summary }.to_markdown();
        assert!(page.contains("1 of 6 runs so far"), "{page}");
    }
}
