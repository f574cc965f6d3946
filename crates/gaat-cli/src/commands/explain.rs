//! `gaat explain`.

use super::Outcome;
use super::subject::{Subject, selection};
use crate::arguments::{ExplainArguments, SubjectArguments};
use crate::directory::write_whole;
use crate::interrupt;
use crate::printer::Printer;
use crate::reports;
use anyhow::{Result, bail};
use gaat::explain::{Control, ExplainOptions, Explained, Subject as Network, explain};
use gaat_report::{explanation_markdown, explanation_text};
use gaat_spec::{ComputePrecision, visible_path};
use std::path::{Path, PathBuf};

pub(crate) fn run(arguments: &ExplainArguments, printer: &Printer) -> Result<Outcome> {
    let opened = open(arguments)?;
    let Some(first) = opened.first() else { bail!("name at least one run") };
    // All look at the same images.
    printer.warnings(&first.warnings);
    let subjects: Vec<Network> = arguments.runs.iter().zip(&opened).map(network).collect();
    let options = ExplainOptions {
        methods: arguments.method.clone(),
        limit: arguments.first.unwrap_or(arguments.limit),
        selection: selection(arguments.first),
        seed: arguments.seed,
    };
    let mut observer = |now: &str| {
        printer.progress(now);
        if interrupt::requested() { Control::Stop } else { Control::Continue }
    };
    let found = match explain(&subjects, first.test.images(), &options, &mut observer) {
        Ok(found) => found,
        Err(gaat::Error::Interrupted) => {
            printer.notice("interrupted; an explanation starts anew when it is repeated");
            return Ok(Outcome::Interrupted);
        }
        Err(error) => return Err(error.into()),
    };
    let out = arguments.out.clone().unwrap_or_else(|| default_directory(&arguments.runs));
    save(&out, &found)?;
    if let Some(directory) = out.parent().filter(|_| arguments.out.is_none())
        && reports::is_reported(directory)
    {
        reports::refresh(directory, printer);
    }
    printer.result(&found.explanation, |explanation| {
        format!(
            "{}\nexplanation.json, README.md and pictures: {}",
            explanation_text(explanation),
            visible_path(&out)
        )
    })?;
    Ok(Outcome::Done)
}

/// Opens every run, and checks that all speak of the same images.
fn open(arguments: &ExplainArguments) -> Result<Vec<Subject>> {
    let mut opened: Vec<Subject> = Vec::new();
    for run in &arguments.runs {
        let subject = Subject::open(&SubjectArguments {
            run: run.clone(),
            checkpoint: arguments.checkpoint,
            dataset: arguments.dataset,
            data_dir: arguments.data_dir.clone(),
            normalization: arguments.normalization.clone(),
            device: Some(arguments.device.clone()),
            precision: ComputePrecision::Fp32,
            threads: arguments.threads,
        })?;
        if let Some(first) = opened.first()
            && first.test.images().digest()? != subject.test.images().digest()?
        {
            let (one, other) = (visible_path(&arguments.runs[0]), visible_path(run));
            bail!("{one} and {other} were trained on different images, so that their maps do not compare");
        }
        opened.push(subject);
    }
    Ok(opened)
}

fn network<'a>((run, subject): (&PathBuf, &'a Subject)) -> Network<'a> {
    let recipe = subject.opened.record.as_ref().map(|record| &record.recipe);
    let method = recipe.and_then(|recipe| recipe.method).map(|method| method.to_string());
    Network {
        run: run.display().to_string(),
        label: method.unwrap_or_else(|| subject.opened.classifier.name()),
        seed: recipe.and_then(|recipe| recipe.seed),
        classifier: subject.opened.classifier.as_ref(),
    }
}

/// In the directory of a single run; of several, beside the first of them.
fn default_directory(runs: &[PathBuf]) -> PathBuf {
    let first = runs.first().map_or(Path::new("."), PathBuf::as_path);
    let beside = || first.parent().unwrap_or(Path::new("."));
    let root = if runs.len() == 1 && first.is_dir() { first } else { beside() };
    root.join("explanation")
}

fn save(out: &Path, found: &Explained) -> Result<()> {
    let Explained { explanation, maps } = found;
    write_whole(&out.join("explanation.json"), &(serde_json::to_string_pretty(explanation)? + "\n"))?;
    let mut parts = vec![format!("# Saliency\n\n{}", explanation_markdown(explanation))];
    for (index, (run, maps)) in explanation.runs.iter().zip(maps).enumerate() {
        let seed = run.seed.map(|seed| format!("-s{seed}")).unwrap_or_default();
        let file = format!("{index}-{}{seed}.png", run.label);
        maps.save_grid(&out.join(&file))?;
        let methods: Vec<String> = run.maps.iter().map(|maps| maps.method.to_string()).collect();
        let (name, rows) = (&run.label, methods.join(", "));
        parts.push(format!("{name}{seed}: images, {rows}:\n\n![{name}{seed}]({file})\n"));
    }
    write_whole(&out.join("README.md"), &parts.join("\n"))
}
