//! Several methods under one recipe, judged alike, in one table.
//!
//! Runs go seed by seed, the methods of a seed next to each other, so that whatever slows the machine down for a while
//! slows all methods. Everything is on disk after every run, and a verdict after every batch of images; the same comparison
//! continues where it stopped.

mod plan;
mod saved;
mod turn;

pub use plan::{CompareOptions, Plan};
pub(crate) use saved::judgement;
pub use turn::{Happened, Observer, Turn};

use crate::error::{Error, Result};
use crate::files::write_text;
use crate::report::{COMPARISON, keep_gallery, refresh, write_comparison};
use gaat::evaluate::{Control, EvaluateOptions, Progress, evaluate_resumable};
use gaat::nn::Catalogue;
use gaat::run::OpenedRun;
use gaat::train::{TrainOptions, train_of};
use gaat_data::TestSet;
use gaat_report::comparison::SCHEMA;
use gaat_report::{ComparedRun, Comparison, Summary, frontier};
use gaat_spec::collapse::Training;
use gaat_spec::{ComputePrecision, DatasetName, Evaluation, RunRecord, Status};
use plan::Job;
use saved::{Found, Judgement};
use std::path::PathBuf;

/// Images judged at once.
const BATCH_SIZE: usize = 500;

/// Trains and judges every run of `plan` as far as that is left to do, and tells `observer`. Runs that fail by themselves are
/// counted and named; the others continue.
///
/// The directory holds `compare.json`, `README.md`, `report.html`, `frontier.svg` and the runs.
///
/// # Errors
/// When a run directory is taken or in use, when data, device or disk fail, or when `observer` asks to stop
/// ([`Error::is_interruption`]); the same comparison continues from there.
pub fn compare(plan: &Plan, catalogue: &Catalogue, observer: &mut dyn Observer) -> Result<Comparison> {
    let mut plan = plan.clone();
    // A run of another recipe is found before hours of training, not after.
    let found =
        plan.jobs.iter().map(|job| saved::find(job, &plan.judging)).collect::<Result<Vec<Found>>>()?;
    let _owner = gaat::lock::Owner::of(&plan.directory, "comparing")?;
    share_precision(&mut plan.jobs)?;
    let mut comparison = begun(&plan);
    let mut bench = Bench { plan: &plan, catalogue, observer, test: None };
    for (index, (job, found)) in plan.jobs.iter().zip(found).enumerate() {
        let turn = Turn { index, count: plan.jobs.len(), method: job.method, seed: job.seed };
        let run = bench.finish(job, found, &turn)?;
        comparison.add(run.clone());
        save(&comparison, &plan)?;
        bench.tell(&turn, Happened::Ended(&run))?;
    }
    Ok(comparison)
}

/// What `auto` stood for in the first run of an earlier start it stands for in all: on another machine it might be another
/// precision, and another method would not be the only difference between two runs.
fn share_precision(jobs: &mut [Job]) -> Result<()> {
    let begun =
        jobs.iter().find_map(|job| Some((job.directory.clone(), gaat::run::record(&job.directory).ok()?)));
    let Some((directory, record)) = begun else { return Ok(()) };
    // The recipes as they were written are the same already, and say `auto` or what was taken.
    for job in jobs {
        let device = gaat::device::parse_device(&job.recipe.device)?;
        gaat::run::check_precision_kept(&directory, &record.environment.precision, device)?;
        job.recipe.precision.clone_from(&record.environment.precision);
    }
    Ok(())
}

/// What tells one set of test images from another; seed and method do not.
type Images = (Option<DatasetName>, Option<PathBuf>, Option<gaat_spec::Size>);

/// What all runs of a comparison share.
struct Bench<'a> {
    plan: &'a Plan,
    catalogue: &'a Catalogue,
    observer: &'a mut dyn Observer,
    /// The test images of the last run, and which these are.
    test: Option<(Images, TestSet)>,
}

impl Bench<'_> {
    /// Trains and judges the run of `job` as far as that is left to do.
    fn finish(&mut self, job: &Job, found: Found, turn: &Turn) -> Result<ComparedRun> {
        self.tell(turn, Happened::Begins)?;
        let during =
            |doing, error| Error::During { doing, directory: job.directory.clone(), source: Box::new(error) };
        match found {
            Found::Judged(whole) => return Ok(judged(job, whole.0, whole.1)),
            Found::Trained => {}
            Found::Unfinished => match self.train(job, turn) {
                Ok(()) => {}
                Err(Error::Engine(error)) if is_of_the_run(&error) => return Ok(failed(job, &error)),
                Err(error) => return Err(during("in", error)),
            },
        }
        let evaluation = self.judge(job, turn).map_err(|error| during("judging", error))?;
        Ok(judged(job, gaat::run::record(&job.directory)?, evaluation))
    }

    fn train(&mut self, job: &Job, turn: &Turn) -> Result<()> {
        let options = TrainOptions { run_dir: job.directory.clone(), resume: job.directory.exists() };
        let mut observer = turn::TrainingObserver { turn, observer: &mut *self.observer };
        let record = train_of(self.catalogue, &job.recipe, &options, &mut observer)?;
        if record.status == Status::Interrupted { Err(gaat::Error::Interrupted.into()) } else { Ok(()) }
    }

    /// Judges the run of `job`, from where an earlier start stopped.
    fn judge(&mut self, job: &Job, turn: &Turn) -> Result<Evaluation> {
        let judging = &self.plan.judging;
        let opened = gaat::run::open_of(
            self.catalogue,
            &job.directory,
            judging.checkpoint,
            None,
            ComputePrecision::Fp32,
        )?;
        let recipe = &job.recipe.resolved;
        let images = (recipe.dataset, recipe.data_dir.clone(), recipe.resize);
        let test = match self.test.take() {
            Some((read, test)) if read == images => test,
            _ => gaat::run::test_images(recipe, None)?,
        };
        let evaluation = self.evaluate(job, turn, &opened, &test)?;
        Judgement::save(job, judging, &evaluation)?;
        saved::remove_state(&job.directory)?;
        gaat::run::record_test(&job.directory, &evaluation)?;
        let classifier = opened.classifier.as_ref();
        let warnings = [
            keep_gallery(&job.directory, classifier, test.images(), judging.threat),
            refresh(&job.directory),
        ];
        for warning in warnings.iter().flatten() {
            self.tell(turn, Happened::Warning(warning))?;
        }
        self.test = Some((images, test));
        Ok(evaluation)
    }

    fn evaluate(&mut self, job: &Job, turn: &Turn, opened: &OpenedRun, test: &TestSet) -> Result<Evaluation> {
        let judging = &self.plan.judging;
        let options = EvaluateOptions {
            limit: judging.limit,
            selection: judging.selection,
            training: opened.record.as_ref().map(Training::of).unwrap_or_default(),
            seed: judging.seed,
            ..EvaluateOptions::new(judging.threat, judging.attacks.clone(), BATCH_SIZE)
        };
        let (classifier, images) = (opened.classifier.as_ref(), test.images());
        let state = saved::state(&job.directory);
        let observer = &mut *self.observer;
        let mut watch = |now: &Progress| observer.on(turn, Happened::Judging(now));
        match evaluate_resumable(classifier, images, &options, &state, &mut watch) {
            // Of weights that were trained on since, or of other attacks.
            Err(gaat::Error::OtherEvaluation { .. }) => {
                saved::remove_state(&job.directory)?;
                self.tell(
                    turn,
                    Happened::Warning("what was judged so far was judged otherwise: judging begins again"),
                )?;
                let observer = &mut *self.observer;
                let mut watch = |now: &Progress| observer.on(turn, Happened::Judging(now));
                Ok(evaluate_resumable(classifier, images, &options, &state, &mut watch)?)
            }
            judged => Ok(judged?),
        }
    }

    /// Tells the observer, who may stop the comparison.
    fn tell(&mut self, turn: &Turn, happened: Happened<'_>) -> Result<()> {
        match self.observer.on(turn, happened) {
            Control::Continue => Ok(()),
            Control::Stop => Err(gaat::Error::Interrupted.into()),
        }
    }
}

/// Whether an error comes from this recipe's mathematics, and not from data or disk, which all runs share.
fn is_of_the_run(error: &gaat::Error) -> bool {
    matches!(error, gaat::Error::Training { .. } | gaat::Error::Model { .. })
}

fn judged(job: &Job, record: RunRecord, evaluation: Evaluation) -> ComparedRun {
    ComparedRun { record: Some(record), evaluation: Some(evaluation), ..unjudged(job) }
}

fn failed(job: &Job, error: &gaat::Error) -> ComparedRun {
    // A record without a number where one is needed cannot be read back; the reason is what matters.
    let record = gaat::run::record(&job.directory).ok();
    ComparedRun { failure: Some(error.to_string()), record, ..unjudged(job) }
}

fn unjudged(job: &Job) -> ComparedRun {
    ComparedRun {
        method: job.method,
        seed: job.seed,
        directory: job.directory.display().to_string(),
        failure: None,
        record: None,
        evaluation: None,
    }
}

fn begun(plan: &Plan) -> Comparison {
    Comparison {
        schema: SCHEMA.to_owned(),
        directory: plan.directory.display().to_string(),
        command: plan.command.clone(),
        title: plan.title.clone(),
        judging: plan.judging.clone(),
        planned: plan.jobs.len(),
        runs: Vec::new(),
        summary: Summary::default(),
    }
}

fn save(comparison: &Comparison, plan: &Plan) -> Result<()> {
    crate::files::write_json(&plan.directory.join(COMPARISON), comparison)?;
    let mut page = comparison.document().to_markdown();
    if let Some(svg) = frontier(&comparison.title, &comparison.summary) {
        write_text(&plan.directory.join("frontier.svg"), &svg)?;
        page.push_str("\n![robust accuracy over cost](frontier.svg)\n");
    }
    write_text(&plan.directory.join("README.md"), &page)?;
    write_comparison(&plan.directory, comparison)
}
