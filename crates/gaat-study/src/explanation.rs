//! Several subjects on the same images: what each looks at, and how far they agree.

use crate::error::{Error, Result};
use crate::files::{write_json, write_text};
use crate::report::{is_reported, refresh};
use crate::subject::Subject;
use gaat::explain::{Control, ExplainOptions, Explained, Subject as Network, explain};
use gaat_report::explanation_markdown;
use gaat_spec::visible_path;
use std::path::{Path, PathBuf};

/// Maps what `subjects` look at in the test images, which must be the same for all.
///
/// # Errors
/// When there is no subject, or one has other images; as [`explain`]; [`Error::is_interruption`] where `observer` asked to stop.
pub fn explain_all(
    subjects: &[Subject],
    options: &ExplainOptions,
    observer: &mut dyn FnMut(&str) -> Control,
) -> Result<Explained> {
    let Some(first) = subjects.first() else {
        return Err(Error::Usage("there is no run to explain".to_owned()));
    };
    for other in subjects {
        if first.test.images().digest()? != other.test.images().digest()? {
            let (one, other) = (visible_path(&first.options.run), visible_path(&other.options.run));
            return Err(Error::Usage(format!(
                "{one} and {other} were trained on different images, so that their maps do not compare"
            )));
        }
    }
    let networks: Vec<Network> = subjects.iter().map(network).collect();
    Ok(explain(&networks, first.test.images(), options, observer)?)
}

fn network(subject: &Subject) -> Network<'_> {
    let label = subject.method().map(|method| method.to_string());
    Network {
        run: subject.options.run.display().to_string(),
        label: label.unwrap_or_else(|| subject.opened.classifier.name()),
        seed: subject.opened.record.as_ref().and_then(|record| record.recipe.seed),
        classifier: subject.opened.classifier.as_ref(),
    }
}

/// Where an explanation of `runs` goes unless another place is named: into the directory of a single run; of several, beside the
/// first of them.
pub fn explanation_directory(runs: &[PathBuf]) -> PathBuf {
    let first = runs.first().map_or(Path::new("."), PathBuf::as_path);
    let beside = || first.parent().unwrap_or(Path::new("."));
    let root = if runs.len() == 1 && first.is_dir() { first } else { beside() };
    root.join("explanation")
}

/// Writes `explanation.json`, a page and a picture of each network into `out`.
///
/// # Errors
/// When a file cannot be written.
pub fn save_explanation(out: &Path, found: &Explained) -> Result<()> {
    let Explained { explanation, maps } = found;
    write_json(&out.join("explanation.json"), explanation)?;
    let mut parts = vec![format!("# Saliency\n\n{}", explanation_markdown(explanation))];
    for (index, (run, maps)) in explanation.runs.iter().zip(maps).enumerate() {
        let seed = run.seed.map(|seed| format!("-s{seed}")).unwrap_or_default();
        let file = format!("{index}-{}{seed}.png", run.label);
        maps.save_grid(&out.join(&file))?;
        let methods: Vec<String> = run.maps.iter().map(|maps| maps.method.to_string()).collect();
        let (name, rows) = (&run.label, methods.join(", "));
        parts.push(format!("{name}{seed}: images, {rows}:\n\n![{name}{seed}]({file})\n"));
    }
    write_text(&out.join("README.md"), &parts.join("\n"))
}

/// Writes the report again that an explanation in `out` belongs to, if there is one.
#[must_use = "the warning is for the user"]
pub fn refresh_beside(out: &Path) -> Option<String> {
    out.parent().filter(|directory| is_reported(directory)).and_then(refresh)
}
