//! `compare.json`: one type for what is written and read, with the version of its layout.

use crate::compare::{ComparedRun, Summary, summarize};
use crate::document::Document;
use gaat_spec::{AttackSpec, Checkpoint, ComputePrecision, Selection, ThreatModel};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Version of the layout of `compare.json`.
pub const SCHEMA: &str = "gaat-compare-1";

/// A comparison as far as it came, in the form of `compare.json`. [`str::parse`] reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// [`SCHEMA`].
    pub schema: String,
    /// Its directory, as shown to the user.
    pub directory: String,
    /// The command that it came from; `None` where no command was typed.
    #[serde(default)]
    pub command: Option<String>,
    /// First line, such as `digits, convnet, 1 epoch, linf 0.15`.
    pub title: String,
    /// How every run is judged.
    pub judging: Judging,
    /// How many runs were asked for.
    pub planned: usize,
    /// The runs so far.
    pub runs: Vec<ComparedRun>,
    /// The runs by method; follows from them, and is made again where it is read.
    #[serde(skip_deserializing)]
    pub summary: Summary,
}

/// How every run of a comparison is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judging {
    /// Which perturbations count.
    pub threat: ThreatModel,
    /// The attacks.
    pub attacks: Vec<AttackSpec>,
    /// Which weights of each run.
    pub checkpoint: Checkpoint,
    /// How many test images; `None` for all.
    pub limit: Option<usize>,
    /// Which images these are.
    #[serde(default = "seeded")]
    pub selection: Selection,
    /// Seed of the random starts.
    pub seed: u64,
    /// Older versions judged in that of the training and did not say so: such verdicts are found again.
    #[serde(default)]
    pub precision: Option<ComputePrecision>,
}

/// How images were chosen before there was a choice.
fn seeded() -> Selection {
    Selection::Seeded
}

/// Why a text is no comparison that this version reads.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// It does not say what it is.
    #[error("is no comparison of gaat: it names no schema, where `{SCHEMA}` is expected")]
    NoSchema,
    /// It is of another layout.
    #[error(
        "has the schema `{}`, and this version of gaat reads `{SCHEMA}`: read it with the version that wrote it",
        gaat_spec::visible(found)
    )]
    Schema {
        /// The schema that it names.
        found: String,
    },
    /// It is not what its schema says.
    #[error("is damaged ({0}); the command that wrote it writes it again")]
    Damaged(#[from] serde_json::Error),
}

impl FromStr for Comparison {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        /// What is looked at before anything else.
        #[derive(Deserialize)]
        struct Head {
            schema: Option<String>,
        }
        let head: Head = serde_json::from_str(text)?;
        let schema = head.schema.ok_or(Unreadable::NoSchema)?;
        if schema != SCHEMA {
            return Err(Unreadable::Schema { found: schema });
        }
        let mut read: Self = serde_json::from_str(text)?;
        read.summary = summarize(&read.runs);
        Ok(read)
    }
}

impl Comparison {
    /// As people read it.
    pub fn document(&self) -> Document<'_> {
        Document { title: &self.title, planned: self.planned, runs: &self.runs, summary: &self.summary }
    }

    /// Runs that an error ended.
    pub fn failed(&self) -> usize {
        self.runs.iter().filter(|run| run.failure.is_some()).count()
    }

    /// Adds a run, in its place of the summary too.
    pub fn add(&mut self, run: ComparedRun) {
        self.runs.push(run);
        self.summary = summarize(&self.runs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::samples::{failed, run};
    use gaat_spec::Norm;

    fn comparison() -> Comparison {
        let threat = ThreatModel::new(Norm::Linf, "0.3".parse().unwrap()).unwrap();
        let mut comparison = Comparison {
            schema: SCHEMA.to_owned(),
            directory: "runs/c".to_owned(),
            command: None,
            title: "digits, convnet, 1 epoch, linf 0.3".to_owned(),
            judging: Judging {
                threat,
                attacks: vec![AttackSpec::pgd(&threat, 3, 1, None).unwrap()],
                checkpoint: Checkpoint::Last,
                limit: Some(60),
                selection: Selection::First,
                seed: 0,
                precision: Some(ComputePrecision::Fp32),
            },
            planned: 2,
            runs: Vec::new(),
            summary: Summary::default(),
        };
        comparison.add(run("gaat", 0, 20.0, 0.9, 0.7));
        comparison
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut written = comparison();
        let text = serde_json::to_string(&written).unwrap();
        assert_eq!(text.parse::<Comparison>().unwrap(), written);
        // A number that is none is written as null; of a failed run the reason is what matters.
        written.add(failed("rat", 1));
        let read: Comparison = serde_json::to_string(&written).unwrap().parse().unwrap();
        assert_eq!(
            (read.failed(), &read.runs[1].record, &read.runs[1].failure),
            (1, &None, &written.runs[1].failure)
        );
        assert_eq!(read.summary.rows.len(), 2);
    }

    #[test]
    fn another_schema_is_a_sentence() {
        let text = serde_json::to_string(&comparison()).unwrap();
        let later = text.replace(SCHEMA, "gaat-compare-2").parse::<Comparison>().unwrap_err().to_string();
        assert!(later.contains("`gaat-compare-2`") && later.contains("reads `gaat-compare-1`"), "{later}");
        let none = r#"{"title": "x"}"#.parse::<Comparison>().unwrap_err().to_string();
        assert!(none.contains("names no schema"), "{none}");
        let part = format!(r#"{{"schema": "{SCHEMA}"}}"#).parse::<Comparison>().unwrap_err().to_string();
        assert!(part.contains("is damaged") && part.contains("directory"), "{part}");
    }

    #[test]
    fn a_run_that_ended_well_has_its_numbers() {
        let mut run = serde_json::to_value(run("gaat", 0, 20.0, 0.9, 0.7)).unwrap();
        run["record"]["cost_ratio"] = serde_json::Value::Null;
        let error = serde_json::from_value::<ComparedRun>(run.clone()).unwrap_err().to_string();
        assert!(error.contains("gaat, seed 0") && error.contains("null"), "{error}");
        run["failure"] = "the loss is NaN".into();
        assert_eq!(serde_json::from_value::<ComparedRun>(run).unwrap().record, None);
    }
}
