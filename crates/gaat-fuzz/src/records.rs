//! Text that runs leave: recipes, records, comparisons; each as far as the page that is made of it.

use crate::told;
use gaat_report::{Comparison, ComparisonPage, RunPage};
use gaat_spec::{Recipe, RunRecord};
use std::path::Path;

pub(crate) fn recipe(bytes: &[u8], _: &Path) -> Result<(), String> {
    let recipe = Recipe::from_toml(&String::from_utf8_lossy(bytes));
    told(recipe.and_then(|recipe| recipe.check().map(drop)))
}

pub(crate) fn recipe_seeds() -> Vec<Vec<u8>> {
    let written = "method = \"gaat\"\nmodel = \"convnet\"\ndataset = \"mnist\"\nepochs = 3\nbatch-size = 64\nepsilon = \"8/255\"\n\
                   learning-rate = 0.1\nnorm = \"linf\"\n";
    vec![written.into(), "method = \"natural\"\ndataset = \"digits\"\n".into()]
}

/// `run.json`, and the page of the run.
pub(crate) fn record(bytes: &[u8], _: &Path) -> Result<(), String> {
    let record: RunRecord = serde_json::from_slice(bytes).map_err(|error| shown(&error))?;
    let page = RunPage {
        directory: "run",
        record: &record,
        judged: &[],
        analysis: None,
        gallery: None,
        explanation: None,
    };
    let page = page.report();
    assert_eq!(gaat_spec::visible_lines(&page.html), page.html);
    Ok(())
}

pub(crate) fn record_seeds() -> Vec<Vec<u8>> {
    let all = comparison();
    let runs = all["runs"].as_array().into_iter().flatten().take(2);
    runs.map(|run| run["record"].to_string().into_bytes()).collect()
}

/// As the printer shows it: serde quotes keys as they are.
fn shown(error: &serde_json::Error) -> String {
    gaat_spec::visible_lines(&error.to_string()).into_owned()
}

/// `compare.json`, its table and its page.
pub(crate) fn compare(bytes: &[u8], _: &Path) -> Result<(), String> {
    let read = String::from_utf8_lossy(bytes).parse::<Comparison>();
    let comparison = read.map_err(|error| gaat_spec::visible_lines(&error.to_string()).into_owned())?;
    let document = comparison.document();
    drop(document.to_text());
    let page =
        ComparisonPage { directory: "runs", command: None, document, galleries: &[], explanation: None };
    let page = page.report();
    assert_eq!(gaat_spec::visible_lines(&page.html), page.html);
    Ok(())
}

pub(crate) fn compare_seeds() -> Vec<Vec<u8>> {
    let mut all = comparison();
    if let Some(runs) = all["runs"].as_array_mut() {
        runs.truncate(2);
    }
    vec![all.to_string().into_bytes()]
}

/// One that was measured.
fn comparison() -> serde_json::Value {
    serde_json::from_str(include_str!("../../../results/2026-11-25-mnist-refined/compare.json")).unwrap()
}
