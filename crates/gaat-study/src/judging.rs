//! Judging a subject, and keeping the verdict where it belongs: the record of the run, its verdicts, its report.

use crate::error::Result;
use crate::report::{keep_gallery, refresh, warning};
use crate::subject::Subject;
use crate::verdicts;
use gaat::evaluate::{Control, EvaluateOptions, Progress, evaluate_in, evaluate_shard, merge};
use gaat::world::{Alone, World};
use gaat_report::Judged;
use gaat_report::format::count;
use gaat_spec::{Checkpoint, Evaluation, Shard, Subset, judged_in, visible, visible_path};
use std::path::{Path, PathBuf};

/// What of an evaluation is done here.
#[derive(Clone, Copy)]
pub enum Work<'a> {
    /// All of it, in one of the processes of `world`; progress is saved in the file `state`.
    Whole {
        /// This process and the others.
        world: &'a dyn World,
        /// The file of the progress.
        state: Option<&'a Path>,
    },
    /// One part of the images, by a process that is not connected to the others; what was found stays in the file `state`.
    Part {
        /// Which part of how many.
        shard: Shard,
        /// The file of what was found.
        state: &'a Path,
    },
    /// The verdict out of the files of all parts, or of the directories that hold them.
    Merge(&'a [PathBuf]),
}

/// What a verdict has to reach.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Requirements {
    /// The least robust accuracy, a fraction.
    pub robust: Option<f64>,
    /// Whether no alarm may have been raised.
    pub no_alarms: bool,
}

impl Requirements {
    /// A line for each requirement that `evaluation` misses.
    pub fn missed(&self, evaluation: &Evaluation) -> Vec<String> {
        let found = evaluation.robust_accuracy;
        let robust = self.robust.filter(|required| found < *required);
        let robust =
            robust.map(|required| format!("robust accuracy {found:.4} is below the required {required}"));
        let alarms = evaluation.alarms.len();
        let alarms = (self.no_alarms && alarms > 0).then(|| format!("{alarms} alarms, and none is allowed"));
        robust.into_iter().chain(alarms).collect()
    }
}

impl Subject {
    /// Judges the network on the test images. With `state` all that was found is kept in that file after every batch, and an
    /// evaluation that the file belongs to continues where it stopped.
    ///
    /// # Errors
    /// As [`evaluate_resumable`](gaat::evaluate::evaluate_resumable); [`Error::is_interruption`](crate::Error::is_interruption) where `observer` asked to stop.
    pub fn evaluate(
        &self,
        options: &EvaluateOptions,
        state: Option<&Path>,
        observer: &mut dyn FnMut(&Progress) -> Control,
    ) -> Result<Evaluation> {
        self.evaluate_in(&Alone, options, state, observer)
    }

    /// The same in one of several processes, which all do so; the leader alone reads and writes `state`.
    ///
    /// # Errors
    /// As [`evaluate_in`].
    pub fn evaluate_in(
        &self,
        world: &dyn World,
        options: &EvaluateOptions,
        state: Option<&Path>,
        observer: &mut dyn FnMut(&Progress) -> Control,
    ) -> Result<Evaluation> {
        let (classifier, images) = (self.opened.classifier.as_ref(), self.test.images());
        Ok(evaluate_in(world, classifier, images, options, state, observer)?)
    }

    /// Does `work`; `None` where only a part of the images was judged, which has no verdict.
    ///
    /// # Errors
    /// As [`evaluate_in`], [`evaluate_shard`] or [`merge`].
    pub fn judge(
        &self,
        work: Work<'_>,
        options: &EvaluateOptions,
        observer: &mut dyn FnMut(&Progress) -> Control,
    ) -> Result<Option<Evaluation>> {
        let (classifier, images) = (self.opened.classifier.as_ref(), self.test.images());
        Ok(match work {
            Work::Whole { world, state } => Some(self.evaluate_in(world, options, state, observer)?),
            Work::Part { shard, state } => {
                evaluate_shard(classifier, images, options, (shard, state), observer)?;
                None
            }
            Work::Merge(states) => Some(merge(classifier, images, options, states)?),
        })
    }

    /// Keeps the verdict that `options` led to with the run, and writes its report again; `command` is what was typed. What
    /// hinders it is told in warnings, for the verdict is worth showing all the same.
    #[must_use = "the warnings are for the user"]
    pub fn keep(
        &self,
        evaluation: &Evaluation,
        options: &EvaluateOptions,
        command: Option<String>,
    ) -> Vec<String> {
        let (run, checkpoint) = (&self.options.run, self.options.checkpoint);
        let mut warnings = Vec::new();
        if !self.is_of_a_run() {
            return warnings;
        }
        let is_own = checkpoint == Checkpoint::Best && options.threat == self.trained.plan.threat();
        // The record holds the verdict on the whole test set alone.
        if is_own && options.limit.is_none() {
            let recorded = gaat::run::record_test(run, evaluation).map_err(crate::Error::from);
            warnings.extend(warning("the result is not in run.json", recorded));
        }
        let verdict = Judged { command, checkpoint, evaluation: evaluation.clone() };
        warnings.extend(warning("the result is not in the report", verdicts::keep(run, verdict)));
        if is_own {
            let classifier = self.opened.classifier.as_ref();
            warnings.extend(keep_gallery(run, classifier, self.test.images(), options.threat));
        }
        warnings.extend(refresh(run));
        warnings
    }

    /// What an evaluation is of, in a line: run, model, method, images, threat model, precision.
    pub fn title(&self, evaluation: &Evaluation) -> String {
        let method = self.method().map(|method| format!(", {method}")).unwrap_or_default();
        format!(
            "{}: {}{method}, {} test images of {}, {}, {}",
            visible_path(&self.options.run),
            visible(&self.opened.classifier.name()),
            images(evaluation.subset, evaluation.examples),
            self.trained.dataset,
            evaluation.threat,
            judged_in(evaluation.precision)
        )
    }
}

/// How many images, and which where these are not all.
pub(crate) fn images(subset: Option<Subset>, examples: usize) -> String {
    subset.map_or_else(|| count(examples as u64), |subset| subset.words())
}
