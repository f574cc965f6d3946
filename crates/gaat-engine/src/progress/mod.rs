//! What is seen while a command works: a calm display on a terminal, plain lines elsewhere, nothing with `--quiet`.

mod analysis;
mod comparison;
mod evaluation;
mod standing;
mod training;

pub(crate) use analysis::AnalysisProgress;
pub(crate) use comparison::ComparisonProgress;
pub(crate) use evaluation::EvaluationProgress;
pub(crate) use training::TrainingProgress;

/// `prefix` and `text`, with room between them where there is a prefix.
fn joined(prefix: &str, text: &str) -> String {
    if prefix.is_empty() { text.to_owned() } else { format!("{prefix}  {text}") }
}
