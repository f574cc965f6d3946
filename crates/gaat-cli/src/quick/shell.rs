//! `gaat completions` and `gaat man`, both made from the definition of the arguments.

use crate::arguments::{Arguments, CompletionsArguments, ManArguments};
use crate::directory::write_whole;
use crate::printer::Printer;
use crate::process::Outcome;
use anyhow::{Context, Result, bail};
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use gaat_spec::visible_path;
use std::path::Path;

/// Prints the completions for a shell.
///
/// # Errors
/// When stdout cannot be written to.
pub fn completions(arguments: &CompletionsArguments, printer: &Printer) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "gaat", &mut script);
    printer.text(&String::from_utf8(script)?)?;
    Ok(Outcome::Done)
}

/// Prints a manual page, or writes all of them.
///
/// # Errors
/// When there is no such page, or a page cannot be written.
pub fn man(arguments: &ManArguments, printer: &Printer) -> Result<Outcome> {
    let pages = pages()?;
    if let Some(out) = &arguments.out {
        write_all(&pages, out)?;
        printer.text(&format!(
            "{} pages in {}; to read one: man -l {}",
            pages.len(),
            visible_path(out),
            visible_path(&out.join("gaat.1"))
        ))?;
        return Ok(Outcome::Done);
    }
    let name = match &arguments.command {
        Some(command) => format!("gaat-{command}"),
        None => "gaat".to_owned(),
    };
    let Some(page) = pages.iter().find(|page| page.name == name) else {
        let known: Vec<&str> = pages.iter().filter_map(|page| page.name.strip_prefix("gaat-")).collect();
        bail!("there is no page about `{}`; known: {}", name.trim_start_matches("gaat-"), known.join(", "));
    };
    printer.text(&page.text)?;
    Ok(Outcome::Done)
}

/// A manual page.
struct Page {
    /// `gaat`, `gaat-train`, `gaat-data-fetch`.
    name: String,
    /// In roff.
    text: String,
}

/// The page of `gaat` and those of its commands, and of theirs.
fn pages() -> Result<Vec<Page>> {
    let mut command = Arguments::command();
    command.build();
    let mut pages = Vec::new();
    collect(&command, &mut pages)?;
    Ok(pages)
}

fn collect(command: &Command, pages: &mut Vec<Page>) -> Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut text = Vec::new();
    Man::new(command.clone()).render(&mut text).context("writing a manual page")?;
    pages.push(Page { name, text: String::from_utf8(text)? });
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        collect(below, pages)?;
    }
    Ok(())
}

fn write_all(pages: &[Page], out: &Path) -> Result<()> {
    for page in pages {
        write_whole(&out.join(format!("{}.1", page.name)), &page.text)?;
    }
    Ok(())
}
