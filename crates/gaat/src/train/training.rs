//! A training: the parts that the loop needs, from any maker, and every way in which the loop ends.

use super::agree::{check_alike, found_by_leader};
use super::averaging::Averaging;
use super::batches::Batches;
use super::books::Books;
use super::calendar::Calendar;
use super::chance::Chance;
use super::collapse::Guard;
use super::events::Observer;
use super::feed::Feed;
use super::keeper::{Keeper, Nothing};
use super::methods;
use super::optimizer::Optimizer;
use super::run::Run;
use super::smooth::ConvergeSmooth;
use super::start::Start;
use super::state_file::WeightsOnDisk;
use super::statistics::check_joined;
use super::step::{Setting, TrainingMethod};
use super::trained::Trained;
use super::validation::Validation;
use crate::batch::Images;
use crate::dataset::{self, Dataset, Extra};
use crate::device::{Compute, environment, parse_device};
use crate::error::{Error, Result};
use crate::exported::doubt;
use crate::nn::{BuildOptions, Catalogue, Classifier, Mode, Rng};
use crate::world::{Alone, World};
use gaat_data::{ImageSource, epoch_order};
use gaat_spec::record::{ModelRecord, SCHEMA};
use gaat_spec::{CheckedRecipe, Event, Passes, Plan, Residence, RunRecord, Seconds, Status};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use tch::{Device, Kind};

/// Said where nothing can confirm a collapse.
const UNCONFIRMED: &str = "without validation images no check can confirm a collapse: the alarm depends on the gain ratio \
    alone; a validation-fraction over 0 helps";

/// The parts of a training. A recipe is one way to make them; a caller with a better one passes it in.
///
/// ```no_run
/// use gaat::nn::Catalogue;
/// use gaat::train::{Nothing, Quiet, Training};
///
/// let recipe = gaat::spec::Recipe::from_toml("method = \"gaat\"\nepochs = 5")?.check()?;
/// let record = Training::of(&recipe, &Catalogue::standard())?.run(&mut Nothing, &mut Quiet)?;
/// # Ok::<(), gaat::Error>(())
/// ```
pub struct Training {
    /// What learns.
    pub network: Box<dyn Classifier>,
    /// Training and validation images; the test images are not looked at.
    pub data: Dataset,
    /// What a step does.
    pub method: Box<dyn TrainingMethod>,
    /// Epochs, threat model, schedule and all other numbers.
    pub plan: Plan,
    /// The weights to begin with.
    pub start: Start,
    /// This process alone, or one of several that train together.
    pub world: Arc<dyn World>,
}

impl Training {
    /// Every part as `recipe` says, the network from `catalogue`.
    ///
    /// # Errors
    /// When data, model or device cannot be had.
    pub fn of(recipe: &CheckedRecipe, catalogue: &Catalogue) -> Result<Self> {
        // Before the data is read, which may take a while.
        parse_device(&recipe.device)?;
        let data = dataset::load(recipe, None)?;
        let start = Start::of(recipe, data.input())?;
        Self::on(data, recipe, catalogue, start)
    }

    /// Every part as `recipe` says, with given weights: the network takes their normalisation, without which they mean
    /// nothing.
    ///
    /// # Errors
    /// As [`of`](Self::of). Weights that do not fit are refused by [`run`](Self::run).
    pub fn starting(recipe: &CheckedRecipe, catalogue: &Catalogue, start: Start) -> Result<Self> {
        parse_device(&recipe.device)?;
        Self::on(dataset::load(recipe, None)?, recipe, catalogue, start)
    }

    /// Every part but the images as `recipe` says: the network fits those of `data`.
    ///
    /// # Errors
    /// As [`starting`](Self::starting).
    pub fn on(data: Dataset, recipe: &CheckedRecipe, catalogue: &Catalogue, start: Start) -> Result<Self> {
        let train = data.splits.train.images();
        let input = data.input();
        let compute = Compute::parse(&recipe.device, &recipe.precision, &recipe.model, input)?;
        let normalization = match start.normalization(input.channels)? {
            Some(given) => given.clone(),
            None => dataset::normalization(&recipe.normalization, train)?,
        };
        let options = BuildOptions {
            device: compute.device,
            precision: compute.precision,
            kind: Kind::Float,
            seed: recipe.plan.seed(),
            normalization,
        };
        let network = catalogue.build(&recipe.model, input, train.class_count() as i64, &options)?;
        let setting = Setting::of(&recipe.plan, &data, network.as_ref())?;
        let method = methods::build(recipe.method, recipe.plan.awp(), &setting)?;
        Ok(Self { network, data, method, plan: recipe.plan.clone(), start, world: Arc::new(Alone) })
    }

    /// Trains; what is to be kept goes to `keeper`, and what happens is told to `observer`.
    ///
    /// Of several processes the leader alone keeps anything; the others continue from what it has found.
    ///
    /// The record that comes back has status [`Status::Done`], or [`Status::Interrupted`] when the observer asked to stop.
    ///
    /// # Errors
    /// When the parts do not fit together, the loss is not a number, or something cannot be kept. The record that was kept
    /// says what happened.
    pub fn run(self, keeper: &mut dyn Keeper, observer: &mut dyn Observer) -> Result<RunRecord> {
        let world = Arc::clone(&self.world);
        let ended = self.run_to_end(keeper, observer);
        world.part(ended.as_ref().err().map(ToString::to_string).as_deref());
        ended
    }

    fn run_to_end(self, keeper: &mut dyn Keeper, observer: &mut dyn Observer) -> Result<RunRecord> {
        let mut nothing = Nothing;
        let keeper = if self.world.rank() == 0 { keeper } else { &mut nothing };
        let mut run = self.assemble(keeper)?;
        // tch panics where libtorch throws, out of memory above all; the record must not say "running" for ever.
        let outcome = match catch_unwind(AssertUnwindSafe(|| run.run(observer))) {
            Ok(outcome) => outcome,
            Err(panic) => {
                fail(&mut run, "libtorch or gaat panicked; the error output says why");
                resume_unwind(panic);
            }
        };
        let ended = |run: &Run<'_>| Event::Ended { record: Box::new(run.books.record.clone()) };
        match outcome {
            Ok(status) => {
                run.books.record.status = status;
                // The logs are whole before the state is, and the record comes from the state.
                let ended = ended(&run);
                run.keeper.event(&ended)?;
                run.save_state(WeightsOnDisk::Current)?;
                run.keeper.record(&run.books.record)?;
                observer.on_event(&ended)?;
                Ok(run.books.record)
            }
            Err(error) => {
                // The state that was kept stays that of the last checkpoint: it is whole and the weights now may not be.
                fail(&mut run, &error.to_string());
                // A second failure must not hide why the run has failed.
                let _ = run.tell(&ended(&run), observer);
                Err(error)
            }
        }
    }

    /// The run at step 0, or where `keeper` has found a state.
    pub(super) fn assemble(self, keeper: &mut dyn Keeper) -> Result<Run<'_>> {
        let Self { network, data, method, plan, start, world } = self;
        check_joined(&plan, world.as_ref(), network.as_ref())?;
        let mut method = smoothed(method, &plan, network.store().device())?;
        method.divide(world.as_ref())?;
        check_method(method.as_ref(), &plan, world.as_ref())?;
        let found = found_by_leader(world.as_ref(), keeper.found()?)?;
        if found.is_none() {
            start.apply(network.as_ref())?;
        }
        if let Some(prefixes) = &plan.recipe().freeze {
            network.store().freeze(prefixes)?;
        }
        check_fit(network.as_ref(), &plan, &data)?;
        // Validation judges.
        network.check_mode(Mode::Train)?;
        network.check_mode(Mode::Eval)?;
        if let Some(network) = network.exported().filter(|_| method.takes_second_order()) {
            network.check_second_order()?;
        }
        let setting = Setting::of(&plan, &data, network.as_ref())?;
        let Dataset { splits, digest, extra, mut warnings } = data;
        check_extra(&plan, extra.as_ref())?;
        if found.is_none() && (start.is_whole() || network.exported().is_some()) {
            warnings.extend(doubt(network.as_ref(), splits.train.images())?);
        }
        warnings.extend(keeper.warnings());
        let train = splits.train.images();
        let average = match plan.weight_averaging() {
            Some(decay) => Some(Averaging::of(network.as_ref(), decay)?),
            None => None,
        };
        let lie = if train.is_resident() { Residence::Resident } else { Residence::Streamed };
        let batches = Batches::of(&plan, train.len(), network.as_ref(), world.size())?;
        let calendar = Calendar::new(&plan, batches, method.replays());
        warnings.extend(plan.notes());
        warnings.extend(start.notes());
        let guard = Guard::new(&plan, &setting, calendar)?;
        let validation = validation(&splits.validation.shared(), &plan, setting.device)?;
        if plan.on_collapse().is_some() && validation.attacked.is_empty() {
            warnings.push(UNCONFIRMED.to_owned());
        }
        let mut record = new_record(&plan, &start, (digest, lie), network.as_ref());
        let (extra, extra_digest) = extra.map(|extra| (extra.images, extra.digest)).unzip();
        record.extra_digest = extra_digest;
        record.environment.processes = (world.size() > 1).then(|| world.size());
        check_alike(world.as_ref(), &plan, &record, network.as_ref())?;
        let mut run = Run {
            calendar,
            feed: Feed::new(splits.train.shared(), extra, batches, &plan, (setting.kind, setting.device))?,
            method,
            guard,
            chance: Chance::new(train, &plan, calendar),
            validation,
            books: Books::new(record, setting.device),
            trained: Trained {
                optimizer: Optimizer::new(network.store(), plan.optimizer()),
                network,
                average,
            },
            class_names: train.class_names().to_vec(),
            warnings,
            plan,
            world,
            keeper,
        };
        match found {
            Some(state) => run.restore(state)?,
            None => run.begin_alike()?,
        }
        Ok(run)
    }
}

/// `method` with smooth convergence round it where `plan` says so.
fn smoothed(method: Box<dyn TrainingMethod>, plan: &Plan, device: Device) -> Result<Box<dyn TrainingMethod>> {
    let Some(weight) = plan.converge_smooth() else { return Ok(method) };
    let epochs = plan.epochs() - plan.natural_epochs();
    Ok(Box::new(ConvergeSmooth::new(method, weight, epochs, device)?))
}

/// Refuses a method that cannot be divided as `plan` and `world` want it.
///
/// # Errors
/// [`Error::Usage`], which names what cannot be divided, and a way out.
fn check_method(method: &dyn TrainingMethod, plan: &Plan, world: &dyn World) -> Result<()> {
    if let (Some(reason), true) = (method.indivisible(), world.size() > 1) {
        return Err(Error::Usage(format!(
            "the method cannot be divided among {} processes: {reason}; train in one process, or by another method",
            world.size()
        )));
    }
    if let (Some(reason), true) = (method.needs_whole_graph(), plan.accumulate() > 1) {
        let name = plan.recipe().method.map_or_else(|| "the method".to_owned(), |name| name.to_string());
        return Err(Error::Usage(format!(
            "{name} cannot accumulate over {} batches: {reason}, so that the graph of all of them would lie in memory at once; leave \
             accumulate out, or train by another method",
            plan.accumulate()
        )));
    }
    Ok(())
}

/// Refuses a plan that wants a share of extra images where there are none, and the other way round.
fn check_extra(plan: &Plan, extra: Option<&Extra>) -> Result<()> {
    match (plan.extra(), extra) {
        (Some(_), None) => Err(Error::Usage(
            "the plan takes a share of every batch from extra images (extra-share), and the data has none: give them as \
             Dataset::extra"
                .to_owned(),
        )),
        (None, Some(_)) => Err(Error::Usage(
            "the data has extra images, and the plan takes none of them: set extra-data and extra-share in the recipe".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// How a run of `plan` validates on `images`.
fn validation(images: &Arc<dyn ImageSource>, plan: &Plan, device: Device) -> Result<Validation> {
    // The split may keep the order of the files, class by class; the attacked part must not.
    let mut attacked = epoch_order(plan.seed(), 0, images.len());
    attacked.truncate(plan.validation_limit());
    Ok(Validation {
        images: Images::upload_shared(Arc::clone(images), (0..images.len()).collect(), device)?,
        attacked: Images::upload_shared(Arc::clone(images), attacked, device)?,
        threat: plan.threat(),
        steps: plan.validation_steps(),
        rng: Rng::new(plan.seed()),
    })
}

/// Refuses a network that takes other images, or tells other classes apart, than those of the data, and a crop beyond them.
fn check_fit(network: &dyn Classifier, plan: &Plan, data: &Dataset) -> Result<()> {
    let train = data.splits.train.images();
    let (padding, shape) = (plan.augmentation().crop_padding, train.shape());
    let side = shape.height.max(shape.width);
    if padding > side {
        let reason = format!("needs at most {side}, the longer side of the images");
        return Err(gaat_spec::Error::value("crop-padding", padding, reason).into());
    }
    let needed = (data.input(), train.class_count() as i64);
    let found = (network.input_shape(), network.class_count());
    if found == needed {
        return Ok(());
    }
    Err(Error::Shape {
        what: format!("network {}", network.name()),
        expected: format!("images of {} in {} classes", needed.0, needed.1),
        found: format!("images of {} in {} classes", found.0, found.1),
    })
}

/// Records that the run has failed and why. Where that cannot be kept, on a full disk say, the caller's own error or panic is
/// still the one to tell of.
fn fail(run: &mut Run<'_>, why: &str) {
    run.books.record.status = Status::Failed;
    run.books.record.failure = Some(why.to_owned());
    let _ = run.keeper.record(&run.books.record);
}

/// The record of a run at step 0.
fn new_record(plan: &Plan, start: &Start, data: (String, Residence), network: &dyn Classifier) -> RunRecord {
    let (data_digest, images_lay) = data;
    RunRecord {
        schema: SCHEMA.to_owned(),
        status: Status::Running,
        failure: None,
        recipe: plan.recipe().clone(),
        environment: environment(network),
        data_digest,
        extra_digest: None,
        images_lay: Some(images_lay),
        start: start.record(network),
        model: ModelRecord {
            name: network.name(),
            variant: network.variant().to_owned(),
            parameters: network.store().parameter_count() as u64,
        },
        passes: Passes::default(),
        images: 0,
        seconds: Seconds::default(),
        cost_ratio: 0.0,
        epochs: Vec::new(),
        best_epoch: None,
        test: None,
    }
}
