//! What `gaat data info` and `gaat data verify` show of a data set.

use crate::advice;
use gaat_data::{Condition, DatasetReport, FileReport, Remedy};
use gaat_report::format::count;
use gaat_spec::{visible, visible_path};
use serde::Serialize;
use std::path::Path;

/// A report as JSON.
#[derive(Serialize)]
pub(super) struct Shown {
    dataset: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    location: Option<String>,
    searched: Vec<String>,
    image: Option<String>,
    classes: Vec<ShownClass>,
    train: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    validation: Option<usize>,
    test: Option<usize>,
    files: Vec<ShownFile>,
    /// Test images that are training images too; only after verifying.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicates: Option<usize>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct ShownClass {
    name: String,
    train: usize,
    test: usize,
}

#[derive(Serialize)]
struct ShownFile {
    path: String,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    official: Option<bool>,
}

/// `problem` with what to type about it.
fn advised(problem: &str, remedy: Option<Remedy>) -> String {
    remedy.map_or(problem.to_owned(), |remedy| format!("{problem}\n{}", advice::of_remedy(remedy)))
}

impl Shown {
    pub(super) fn of(report: DatasetReport) -> Self {
        let (state, problem) = match report.condition {
            Condition::Missing { problem, remedy } => ("missing", Some(advised(&problem, remedy))),
            Condition::Unusable { problem, remedy } => ("unusable", Some(advised(&problem, remedy))),
            Condition::Readable => ("readable", None),
            Condition::NotOfficial => ("not-official", None),
            Condition::Official => ("official", None),
        };
        let contents = report.contents.as_ref();
        let classes = contents.map_or_else(Vec::new, |contents| {
            let counts = contents.train_per_class.iter().zip(&contents.test_per_class);
            let class = |(name, (train, test)): (&String, (&usize, &usize))| ShownClass {
                name: name.clone(),
                train: *train,
                test: *test,
            };
            contents.class_names.iter().zip(counts).map(class).collect()
        });
        Self {
            dataset: report.dataset.to_string(),
            state,
            problem,
            location: report.location.map(|location| location.to_string()),
            searched: report.searched.iter().map(|path| shown(path)).collect(),
            image: contents.and_then(|contents| contents.shape).map(|shape| shape.to_string()),
            train: contents.map(gaat_data::Contents::train),
            validation: contents.map(gaat_data::Contents::validation).filter(|count| *count > 0),
            test: contents.map(gaat_data::Contents::test),
            classes,
            files: report.files.into_iter().map(ShownFile::of).collect(),
            duplicates: report.duplicates.map(|found| found.images),
            notes: report.notes,
        }
    }

    /// What a person wants to know; `brief` when it is one of many.
    pub(super) fn text(&self, brief: bool) -> String {
        let state = match self.state {
            "official" => "whole and official",
            "not-official" => "readable, not the official files",
            other => other,
        };
        let mut lines = vec![match &self.location {
            Some(location) => format!("{:<13} {state}, {location}", self.dataset),
            None => format!("{:<13} {state}", self.dataset),
        }];
        let mut more = |text: String| lines.extend(text.lines().map(|line| format!("{:<13} {line}", "")));
        if let (Some(train), Some(test)) = (self.train, self.test) {
            let image = self.image.as_ref().map(|image| format!(", {image}")).unwrap_or_default();
            let (train, test) = (count(train as u64), count(test as u64));
            let validation =
                self.validation.map(|own| format!(", {} validation", count(own as u64))).unwrap_or_default();
            more(format!(
                "{train} training{validation} and {test} test images, {} classes{image}",
                self.classes.len()
            ));
        }
        // A missing data set among all is normal; the remedy is shown when the user names the data set.
        if let Some(problem) = self.problem.as_ref().filter(|_| !brief || self.state != "missing") {
            more(problem.clone());
        }
        self.notes.iter().cloned().for_each(&mut more);
        if !brief {
            for class in &self.classes {
                more(format!(
                    "class {}: {} training, {} test",
                    visible(&class.name),
                    class.train,
                    class.test
                ));
            }
            self.files.iter().map(ShownFile::text).for_each(&mut more);
        }
        lines.join("\n")
    }
}

impl ShownFile {
    fn of(file: FileReport) -> Self {
        let FileReport { path, bytes, images, sha256, official } = file;
        Self { path: shown(&path), bytes, images, sha256, official }
    }

    fn text(&self) -> String {
        let images = self.images.map(|images| format!(", {images} images")).unwrap_or_default();
        let digest = match self.official {
            Some(true) => ", official",
            Some(false) => ", NOT the official file",
            None => "",
        };
        format!("{} ({} bytes{images}{digest})", self.path, count(self.bytes))
    }
}

fn shown(path: &Path) -> String {
    visible_path(path)
}
