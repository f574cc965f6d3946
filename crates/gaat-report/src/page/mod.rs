//! Reports as one HTML page each: no script, no address of any other file, light and dark, for a desk and for a phone.
//!
//! All text goes through maud, which escapes it; only plots, which escape their own words, are put in as they are. Characters that
//! are not seen, such as marks that turn the writing round, are written out at the end.

mod comparison;
mod gallery;
mod headline;
mod results;
mod run;
mod verdict;

pub use comparison::ComparisonPage;
pub use run::{Judged, RunPage};
pub use verdict::VerdictPage;

use crate::plot::Plot;
use gaat_spec::visible_lines;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");
/// Nothing is fetched, whatever a name that comes from outside might try.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// A report: the page, and its plots as files too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// HTML.
    pub html: String,
    /// The plots that the page holds.
    pub plots: Vec<Plot>,
}

/// A part of a page.
struct Section {
    /// Name within the page.
    id: &'static str,
    heading: &'static str,
    body: Markup,
}

/// A number that says a lot.
struct Tile {
    value: String,
    words: String,
}

/// The whole page. `subtitle` stands below the title, `tiles` below that.
fn document(title: &str, subtitle: &Markup, tiles: &[Tile], sections: &[Section]) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (title) }
                    (subtitle)
                    nav { @for section in sections { a href={ "#" (section.id) } { (section.heading) } } }
                    @if !tiles.is_empty() {
                        div.tiles {
                            @for tile in tiles { div.tile { b { (tile.value) } span.soft { (tile.words) } } }
                        }
                    }
                    @for section in sections {
                        section id=(section.id) { h2 { (section.heading) } (section.body) }
                    }
                    footer { "Written by gaat " (version) ". This page needs no other file and no network." }
                }
            }
        }
    };
    visible_lines(&page.into_string()).into_owned()
}

/// Plots side by side where there is room.
fn figures(plots: &[&Plot]) -> Markup {
    html! {
        div.plots { @for plot in plots { figure data-file=(plot.file) { (PreEscaped(&plot.svg)) } } }
    }
}

/// What would fill an empty place.
fn missing(what: &str, command: &str) -> Markup {
    html! { p.soft { (what) " This command fills the place: " code { (command) } } }
}

/// Names with their values.
fn facts(rows: &[(&str, String)]) -> Markup {
    html! {
        div.scroll {
            table.facts { @for (name, value) in rows { tr { th { (name) } td { (value) } } } }
        }
    }
}

#[cfg(test)]
mod tests;
