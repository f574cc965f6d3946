//! The one owner of stdout and stderr. What is printed may quote files, so that it goes out in visible characters alone.

use crate::arguments::OutputArguments;
use anyhow::Context;
use gaat_spec::{visible_json, visible_lines};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::io::{ErrorKind, IsTerminal, Write};
use std::time::Duration;

/// Between two plain lines about something that takes long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Redraws per second: enough to be alive, few enough to be calm.
const REDRAWS: u8 = 4;
const LIVE: &str = "{prefix}  [{bar:24}] {percent:>3} %  {eta} left\n  {wide_msg}";

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Not at all.
    Silent,
    /// A line now and then, for files and pipes.
    Lines,
    /// A display that redraws itself, for terminals.
    Live,
}

/// Writes results to stdout, and progress and errors to stderr.
#[derive(Debug)]
pub struct Printer {
    json: bool,
    style: Style,
    /// Another process says what there is to say, but for errors.
    is_silent: bool,
}

impl Printer {
    /// One that speaks as `output` asks.
    pub fn new(output: OutputArguments) -> Self {
        let style = match (output.quiet, std::io::stderr().is_terminal()) {
            (true, _) => Style::Silent,
            (false, true) => Style::Live,
            (false, false) => Style::Lines,
        };
        Self { json: output.json, style, is_silent: false }
    }

    /// The printer of a process whose work another one tells of: it says errors alone.
    #[must_use]
    pub fn of_follower(&self) -> Self {
        Self { json: self.json, style: Style::Silent, is_silent: true }
    }

    /// Prints the result in the form that was asked for: `document`, or what `text` makes of it.
    ///
    /// # Errors
    /// When stdout cannot be written to.
    pub fn result<T: Serialize>(&self, document: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        if self.is_silent {
            return Ok(());
        }
        if self.json {
            return to_stdout(&visible_json(&serde_json::to_string_pretty(document)?));
        }
        self.text(&text(document))
    }

    /// Prints a result that has one form only.
    ///
    /// # Errors
    /// When stdout cannot be written to.
    pub fn text(&self, text: &str) -> anyhow::Result<()> {
        if self.is_silent {
            return Ok(());
        }
        to_stdout(&visible_lines(text))
    }

    /// A line of progress that stays.
    pub fn progress(&self, line: &str) {
        if self.style != Style::Silent {
            to_stderr(line);
        }
    }

    /// A line that matters although the command continues; shown even when progress is not.
    pub fn warning(&self, line: &str) {
        self.notice(&format!("warning: {line}"));
    }

    /// The same of several.
    pub fn warnings(&self, lines: &[String]) {
        for line in lines {
            self.warning(line);
        }
    }

    /// A line that says how the command ended, such as that it was interrupted.
    pub fn notice(&self, line: &str) {
        if !self.is_silent {
            to_stderr(line);
        }
    }

    /// Why the command failed, what led to it, and what to type about it.
    pub fn error(&self, error: &anyhow::Error, advice: Option<&str>) {
        let mut said = error.to_string();
        let mut text = format!("error: {said}");
        for cause in error.chain().skip(1).map(ToString::to_string) {
            // Transparent errors repeat the text of what they wrap.
            if !said.contains(&cause) {
                text.push_str("\n  because: ");
                text.push_str(&cause);
            }
            said = cause;
        }
        if let Some(advice) = advice {
            text.push_str("\n  advice: ");
            text.push_str(advice);
        }
        to_stderr(&text);
    }

    /// Whether progress is plain lines.
    pub fn shows_lines(&self) -> bool {
        self.style == Style::Lines
    }

    /// A live display of `total` units and the time left, where stderr is a terminal.
    pub fn live(&self, total: u64) -> Option<ProgressBar> {
        self.display(total, LIVE)
    }

    /// A live display of `total` units in the form of `template`, where stderr is a terminal.
    pub fn display(&self, total: u64, template: &str) -> Option<ProgressBar> {
        if self.style != Style::Live {
            return None;
        }
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(REDRAWS));
        // Templates are fixed; were one wrong, the plain bar would still do.
        Some(match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style.progress_chars("=> ")),
            Err(_) => bar,
        })
    }
}

fn to_stdout(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        // The reader closed the pipe and wants no more output: this is no error.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing the result to stdout"),
    }
}

/// A closed stderr is no reason to stop a training.
fn to_stderr(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", visible_lines(text));
}
