//! A small table renderer: the same cells as aligned text, as Markdown and as HTML.

use gaat_spec::visible;
use maud::{Markup, html};

/// Side on which a column lines up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Headed columns of text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: impl IntoIterator<Item = (impl Into<String>, Align)>) -> Self {
        let columns = columns.into_iter().map(|(title, align)| (cell(title), align)).collect();
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row; cells that are missing stay empty and those beyond the last column are dropped.
    pub fn push(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        let mut row: Vec<String> = cells.into_iter().map(cell).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }

    /// Columns lined up with spaces, for a terminal; ends with a newline.
    pub fn to_text(&self) -> String {
        let widths = self.widths(str::to_owned);
        let titles: Vec<String> = self.columns.iter().map(|(title, _)| title.clone()).collect();
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        let mut text = String::new();
        for row in [&titles, &rule].into_iter().chain(&self.rows) {
            let line = self.padded(row, &widths).join("  ");
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// A Markdown table; ends with a newline.
    pub fn to_markdown(&self) -> String {
        let widths = self.widths(escaped);
        let titles: Vec<String> = self.columns.iter().map(|(title, _)| escaped(title)).collect();
        let rule: Vec<String> = self
            .columns
            .iter()
            .zip(&widths)
            .map(|((_, align), width)| match align {
                Align::Left => "-".repeat(*width),
                Align::Right => format!("{}:", "-".repeat(width - 1)),
            })
            .collect();
        let rows = self.rows.iter().map(|row| row.iter().map(|cell| escaped(cell)).collect());
        let mut text = String::new();
        for row in [titles, rule].into_iter().chain(rows) {
            text.push_str("| ");
            text.push_str(&self.padded(&row, &widths).join(" | "));
            text.push_str(" |\n");
        }
        text
    }

    /// A table of HTML in a box that scrolls sideways.
    pub fn to_html(&self) -> Markup {
        let side = |index: usize| match self.columns.get(index) {
            Some((_, Align::Right)) => "right",
            _ => "left",
        };
        html! {
            div.scroll {
                table {
                    tr { @for (index, (title, _)) in self.columns.iter().enumerate() { th class=(side(index)) { (title) } } }
                    @for row in &self.rows {
                        tr { @for (index, cell) in row.iter().enumerate() { td class=(side(index)) { (cell) } } }
                    }
                }
            }
        }
    }

    /// Width of each column in characters; Markdown needs three for its rule.
    fn widths(&self, shown: impl Fn(&str) -> String) -> Vec<usize> {
        let width = |text: &str| shown(text).chars().count();
        let of_column = |(index, (title, _)): (usize, &(String, Align))| {
            self.rows.iter().map(|row| width(&row[index])).max().unwrap_or(0).max(width(title)).max(3)
        };
        self.columns.iter().enumerate().map(of_column).collect()
    }

    fn padded(&self, cells: &[String], widths: &[usize]) -> Vec<String> {
        cells
            .iter()
            .zip(&self.columns)
            .zip(widths)
            .map(|((cell, (_, align)), width)| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            })
            .collect()
    }
}

/// Names in cells come from files; a line break in one would end its row.
fn cell(text: impl Into<String>) -> String {
    visible(&text.into()).into_owned()
}

/// A cell that Markdown cannot take for structure.
fn escaped(cell: &str) -> String {
    cell.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new([("method", Align::Left), ("clean", Align::Right)]);
        table.push(["natural", "97.0 ± 0.1"]);
        table.push(["rat"]);
        table
    }

    #[test]
    fn text_lines_up_by_characters_and_leaves_no_trailing_spaces() {
        let expected = "method        clean\n-------  ----------\nnatural  97.0 ± 0.1\nrat\n";
        assert_eq!(table().to_text(), expected);
    }

    #[test]
    fn markdown_marks_the_sides_and_escapes_bars() {
        let mut table = table();
        table.push(["a|b", "1"]);
        let expected = "| method  |      clean |\n| ------- | ---------: |\n| natural | 97.0 ± 0.1 |\n\
                        | rat     |            |\n| a\\|b    |          1 |\n";
        assert_eq!(table.to_markdown(), expected);
    }

    #[test]
    fn html_escapes_its_cells() {
        let mut table = table();
        table.push(["<b>&", "1"]);
        let html = table.to_html().into_string();
        assert!(html.contains("<td class=\"left\">&lt;b&gt;&amp;</td><td class=\"right\">1</td>"), "{html}");
    }

    #[test]
    fn a_table_without_rows_is_its_head() {
        let empty = Table::new([("a", Align::Right)]);
        assert_eq!(empty.to_text(), "  a\n---\n");
    }
}
