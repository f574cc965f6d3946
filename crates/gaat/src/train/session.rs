//! One run in memory: networks, data, optimiser, record; and how a step, a validation and a checkpoint are done.

mod launched;
#[cfg(test)]
mod trial;
mod watching;

pub(super) use launched::Stepped;
use launched::{IN_FLIGHT, Launched, located};

use super::averaging::Averaging;
use super::checkpoint::{self, Position};
use super::epoch::EpochSums;
use super::mark::Mark;
use super::methods;
use super::reading::Reading;
use super::validation::Validation;
use super::watch::Watch;
use super::{Augmentation, Natural, Optimizer, Placement, Setting, StepContext, TrainingMethod};
use crate::batch::{Batch, Images, to_unit};
use crate::dataset::{self, Dataset};
use crate::nn::{BuildOptions, Classifier, InputShape, Mode, Rng, build, try_algorithms};
use crate::run::{Place, RunDirectory};
use crate::weights::{self, Description};
use crate::{Error, Result};
use gaat_data::epoch_order;
use gaat_spec::record::{ModelRecord, SCHEMA};
use gaat_spec::{AttackStatistics, CheckedRecipe, EpochRecord, Event, Passes, RunRecord, Seconds, Status};
use std::collections::VecDeque;
use std::time::Instant;
use tch::{Kind, Tensor};

/// Said where nothing can confirm a collapse.
const UNCONFIRMED: &str = "without validation images no probe can confirm a collapse: the alarm hangs on the gain ratio alone; \
    a --validation-fraction over 0 helps";

pub(super) struct Session<'a> {
    recipe: &'a CheckedRecipe,
    directory: &'a RunDirectory,
    classifier: Box<dyn Classifier>,
    averaging: Option<Averaging>,
    optimizer: Optimizer,
    natural: Natural,
    method: Box<dyn TrainingMethod>,
    watch: Option<Watch>,
    augmentation: Augmentation,
    train: Images,
    validation: Images,
    /// The part of the validation images that is attacked.
    attacked: Images,
    class_names: Vec<String>,
    /// What the reader of the data had to say.
    pub(super) warnings: Vec<String>,
    rng: Rng,
    /// Places of the training images in the order of the epoch, `[N]`, i64, on the device.
    order: Tensor,
    order_epoch: usize,
    pub(super) record: RunRecord,
    pub(super) sums: EpochSums,
    /// Steps that the device was told to do.
    pub(super) steps: usize,
    /// Those of them that were not read yet.
    launched: VecDeque<Launched>,
}

impl<'a> Session<'a> {
    /// Loads the data and builds everything, at step 0; `precision` as written.
    pub(super) fn new(
        recipe: &'a CheckedRecipe,
        directory: &'a RunDirectory,
        precision: &str,
    ) -> Result<Self> {
        let Dataset { splits, digest, mut warnings } = dataset::load(recipe, None)?;
        let train = splits.train.images();
        let shape = train.shape();
        let input = InputShape {
            channels: shape.channels as i64,
            height: shape.height as i64,
            width: shape.width as i64,
        };
        let place = Place::parse(&recipe.device, precision, &recipe.model, input)?;
        let options = BuildOptions {
            device: place.device,
            precision: place.precision,
            kind: Kind::Float,
            seed: recipe.seed,
            normalization: dataset::normalization(recipe.normalization, train),
        };
        let network = || build(&recipe.model, input, train.class_count() as i64, &options);
        let classifier = network()?;
        let averaging = match recipe.weight_averaging {
            Some(decay) => Some(Averaging::new(network()?, classifier.store(), decay)?),
            None => None,
        };
        let setting = Setting {
            threat: recipe.threat,
            images: train.len(),
            classes: train.class_count() as i64,
            batch_size: recipe.batch_size,
            shape: input,
            device: place.device,
            kind: classifier.store().kind(),
        };
        let validation = splits.validation.images();
        // The split may keep the order of the files, class by class; the attacked part must not.
        let mut attacked = epoch_order(recipe.seed, 0, validation.len());
        attacked.truncate(recipe.validation_limit);
        let steps_per_epoch = train.len().div_ceil(recipe.batch_size);
        let watch = Watch::new(recipe, &setting, steps_per_epoch)?;
        if watch.is_some() && attacked.is_empty() {
            warnings.push(UNCONFIRMED.to_owned());
        }
        let upload = |images| Images::upload(images, place.device);
        let record = new_record(recipe, &place, digest, classifier.as_ref());
        Ok(Self {
            optimizer: Optimizer::new(classifier.store(), recipe.optimizer),
            natural: Natural,
            method: methods::build(recipe.method, recipe.awp, &setting)?,
            watch,
            augmentation: Augmentation::new(recipe.augmentation),
            train: upload(train)?,
            validation: upload(validation)?,
            attacked: upload(&validation.select(&attacked))?,
            warnings,
            class_names: train.class_names().to_vec(),
            rng: Rng::new(recipe.seed),
            order: Tensor::new(),
            order_epoch: 0,
            sums: EpochSums::default(),
            steps: 0,
            launched: VecDeque::new(),
            recipe,
            directory,
            classifier,
            averaging,
            record,
        })
    }

    /// Goes to where the saved state of the run directory was.
    pub(super) fn restore(&mut self) -> Result<()> {
        let average = self.averaging.as_ref().map(Averaging::network);
        let path = self.directory.state();
        let (network, method) = (self.classifier.as_ref(), self.method.as_mut());
        let (position, healthy) = checkpoint::load(&path, network, average, &mut self.optimizer, method)?;
        if position.record.data_digest != self.record.data_digest {
            return Err(Error::File {
                path,
                reason:
                    "was trained on other images than those found now; point --data-dir to the first ones"
                        .to_owned(),
            });
        }
        let environment = self.record.environment.clone();
        let (before, now) = (position.record.environment.threads, environment.threads);
        if before != now {
            self.warnings.push(format!(
                "the run started with {before} threads and goes on with {now}: the result may differ in the last \
                 bits from that of a run that never stopped"
            ));
        }
        self.record = RunRecord { environment, status: Status::Running, failure: None, ..position.record };
        self.sums = position.sums;
        self.steps = position.steps;
        if let Some(watch) = &mut self.watch {
            watch.state = position.watch.unwrap_or_default();
            watch.healthy = healthy;
        }
        Ok(())
    }

    pub(super) fn steps_per_epoch(&self) -> usize {
        self.train.len().div_ceil(self.recipe.batch_size)
    }

    pub(super) fn total_steps(&self) -> usize {
        self.steps_per_epoch() * self.recipe.epochs
    }

    /// The epoch of the next step, from 1.
    pub(super) fn epoch(&self) -> usize {
        self.steps / self.steps_per_epoch() + 1
    }

    /// One optimiser step, which [`settled`](Self::settled) hands out once it is read.
    pub(super) fn step(&mut self) -> Result<()> {
        let (epoch, step) = (self.epoch(), self.steps + 1);
        self.launch().map_err(|error| located(error, epoch, step))
    }

    fn launch(&mut self) -> Result<()> {
        try_algorithms(true);
        let device = self.classifier.store().device();
        let started = Mark::now(device)?;
        let progress = self.progress();
        let learning_rate = self.recipe.schedule.at(progress);
        let attack_scale = self.recipe.attack_scale(progress);
        let Served { batch, indices, placement } = self.next_batch()?;
        let natural = self.epoch() <= self.recipe.natural_epochs;
        let epoch = if natural { self.epoch() } else { self.epoch() - self.recipe.natural_epochs };
        let replay = self.replayed() % self.recipe.method.replays();
        let attack_mode = match self.recipe.attack_statistics {
            AttackStatistics::Batch => Mode::TrainFrozenStats,
            AttackStatistics::Running => Mode::Eval,
        };
        let mut context = StepContext {
            classifier: self.classifier.as_ref(),
            optimizer: &mut self.optimizer,
            threat: self.recipe.threat.scaled(attack_scale),
            attack_scale,
            attack_mode,
            draws: self.rng.seeded("attack", self.steps as u64),
            indices,
            placement,
            epoch,
            replay,
            progress,
            weight_reach: None,
            learning_rate,
            clip_norm: self.recipe.clip_norm,
            passes: Passes::default(),
            attacks: Vec::new(),
        };
        let burst = self.watch.as_mut().and_then(Watch::burst);
        let method: &mut dyn TrainingMethod =
            if natural { &mut self.natural } else { burst.unwrap_or(self.method.as_mut()) };
        let report = method.step(&mut context, &batch)?;
        let (passes, attacks) = (context.passes, context.attacks);
        let reading = Reading::start(&report, batch.len())?;
        if let Some(averaging) = &self.averaging {
            averaging.update(self.classifier.store())?;
        }
        self.launched.push_back(Launched {
            epoch: self.epoch(),
            step: self.steps + 1,
            learning_rate,
            reading,
            started,
            attacks,
            ended: Mark::now(device)?,
        });
        self.record.passes += passes;
        self.record.images += batch.len() as u64;
        self.record.cost_ratio = self.record.passes.cost_ratio(self.record.images);
        self.steps += 1;
        Ok(())
    }

    /// The oldest step that was not handed out yet, read; `None` while a GPU may have as many unread steps as there are.
    /// With `all` none may stay unread.
    pub(super) fn settled(&mut self, all: bool) -> Result<Option<Stepped>> {
        let is_cuda = self.classifier.store().device().is_cuda();
        let unread = if all || !is_cuda { 0 } else { IN_FLIGHT };
        if self.launched.len() <= unread {
            return Ok(None);
        }
        let Some(launched) = self.launched.pop_front() else { return Ok(None) };
        let stepped = launched.read()?;
        self.sums.seconds += stepped.seconds;
        self.sums.add(&stepped.outcome, stepped.learning_rate);
        self.method.observe(&stepped.outcome);
        Ok(Some(stepped))
    }

    /// Share of the run done in the middle of the coming step, so that neither end has a learning rate of 0.
    fn progress(&self) -> f64 {
        (self.steps as f64 + 0.5) / self.total_steps() as f64
    }

    /// Number of the coming step's batch: steps that replay a batch share it. Natural epochs of a delay replay nothing.
    fn batch_number(&self) -> usize {
        let replayed = self.replayed();
        self.steps - replayed + replayed / self.recipe.method.replays()
    }

    /// Steps so far after the natural epochs of a delay.
    fn replayed(&self) -> usize {
        self.steps.saturating_sub(self.recipe.natural_epochs * self.steps_per_epoch())
    }

    /// The coming step's batch. Order and augmentation hang on its number alone, so that replays see the same images.
    fn next_batch(&mut self) -> Result<Served> {
        let number = self.batch_number();
        let epoch = number / self.steps_per_epoch() + 1;
        if self.order_epoch != epoch {
            let order = epoch_order(self.recipe.seed, epoch as u64, self.train.len());
            self.order = self.train.indices(&order)?;
            self.order_epoch = epoch;
        }
        let start = (number % self.steps_per_epoch()) * self.recipe.batch_size;
        let end = (start + self.recipe.batch_size).min(self.train.len());
        let indices = self.order.f_narrow(0, start as i64, (end - start) as i64)?;
        let (bytes, labels) = self.train.gather(&indices)?;
        let draws = self.rng.seeded("augment", number as u64);
        let placement = self.augmentation.plan(&bytes.size(), bytes.device(), &draws)?;
        let pixels = to_unit(&placement.forward(&bytes)?, self.classifier.store().kind())?;
        Ok(Served { batch: Batch { pixels, labels }, indices, placement })
    }

    /// Whether the step just done was the last of its epoch.
    pub(super) fn is_epoch_end(&self) -> bool {
        self.steps.is_multiple_of(self.steps_per_epoch())
    }

    /// Validates, and closes the books of the epoch just done; also what the watch says of it.
    pub(super) fn finish_epoch(&mut self) -> Result<(EpochRecord, Option<Event>)> {
        try_algorithms(false);
        let started = Instant::now();
        let validation =
            Validation { threat: self.recipe.threat, steps: self.recipe.validation_steps, rng: self.rng };
        let accuracy = validation.judge(self.judged(), &self.validation, &self.attacked)?;
        let evaluation = started.elapsed().as_secs_f64();
        self.sums.seconds += Seconds { evaluation, ..Seconds::default() };
        let event = self.watch_epoch(accuracy.robust);
        let mut record = self.sums.record(self.epoch() - 1);
        record.validation_clean = accuracy.clean;
        record.validation_robust = accuracy.robust;
        self.record.seconds += self.sums.seconds;
        self.record.epochs.push(record.clone());
        self.sums = EpochSums::default();
        Ok((record, event))
    }

    /// The network that is judged and saved: the average where there is one.
    fn judged(&self) -> &dyn Classifier {
        self.averaging.as_ref().map_or(self.classifier.as_ref(), Averaging::network)
    }

    /// Saves state and weights after a whole epoch; tells whether it is the best by validation.
    pub(super) fn checkpoint_epoch(&mut self) -> Result<bool> {
        let epoch = self.record.epochs.len();
        let is_best = self.record.best_epoch.is_none_or(|best| {
            let score = |epoch: usize| score(&self.record.epochs[epoch - 1], self.is_natural());
            score(epoch) >= score(best)
        });
        let description = Description::new(self.judged(), self.recipe.model, &self.class_names, epoch);
        weights::save(&self.directory.weights("last"), self.judged(), &description)?;
        if is_best {
            weights::save(&self.directory.weights("best"), self.judged(), &description)?;
            self.record.best_epoch = Some(epoch);
        }
        self.follow_watch()?;
        self.save_state()?;
        Ok(is_best)
    }

    fn is_natural(&self) -> bool {
        self.recipe.method == gaat_spec::MethodSpec::Natural
    }

    /// Saves everything that the next step depends on, and the record.
    pub(super) fn save_state(&self) -> Result<()> {
        let position = Position {
            steps: self.steps,
            sums: self.sums.clone(),
            record: self.record.clone(),
            watch: self.watch.as_ref().map(|watch| watch.state.clone()),
        };
        let healthy = self.watch.as_ref().and_then(|watch| watch.healthy.as_ref());
        let average = self.averaging.as_ref().map(Averaging::network);
        let path = self.directory.state();
        let (network, method) = (self.classifier.as_ref(), self.method.as_ref());
        checkpoint::save(&path, &position, network, average, &self.optimizer, method, healthy)?;
        self.directory.write_record(&self.record)
    }
}

/// The record of a run at step 0.
fn new_record(
    recipe: &CheckedRecipe,
    place: &Place,
    data_digest: String,
    classifier: &dyn Classifier,
) -> RunRecord {
    RunRecord {
        schema: SCHEMA.to_owned(),
        status: Status::Running,
        failure: None,
        recipe: recipe.resolved.clone(),
        environment: place.environment(),
        data_digest,
        model: ModelRecord {
            name: classifier.name(),
            variant: classifier.variant().to_owned(),
            parameters: classifier.store().parameter_count() as u64,
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

/// A batch, and where its images come from.
struct Served {
    batch: Batch,
    indices: Tensor,
    placement: Placement,
}

/// What the best epoch has most of: robust accuracy; clean accuracy for natural training or where nothing is attacked.
fn score(epoch: &EpochRecord, natural: bool) -> f64 {
    let robust = if natural { None } else { epoch.validation_robust };
    // Without validation images the last epoch counts as the best.
    robust.or(epoch.validation_clean).unwrap_or(epoch.epoch as f64)
}
