//! What a run is made from and what it leaves: parts from a recipe and its data, weights and state on disk.

use super::averaging::Averaging;
use super::batches::{self, Batches, least_batch};
use super::books::Books;
use super::calendar::Calendar;
use super::collapse::{Guard, Snapshot};
use super::feed::Feed;
use super::launch::located;
use super::methods;
use super::named::prefixed;
use super::optimizer::Optimizer;
use super::run::Run;
use super::state_file::{Position, State};
use super::step::Setting;
use super::trained::Trained;
use super::validation::Validation;
use crate::batch::Images;
use crate::dataset::{self, Dataset};
use crate::nn::{BuildOptions, Classifier, InputShape, Rng, build, finite};
use crate::run::{Place, RunDirectory};
use crate::weights::{self, Description};
use crate::{Error, Result};
use gaat_data::epoch_order;
use gaat_spec::record::{ModelRecord, SCHEMA};
use gaat_spec::{CheckedRecipe, Event, Passes, RunRecord, Seconds, Status};
use tch::{Kind, Tensor};

/// Prefixes of the state file beside those of the network.
const METHOD: &str = "method.";
const HEALTHY: &str = "healthy.";

/// Said where nothing can confirm a collapse.
const UNCONFIRMED: &str = "without validation images no probe can confirm a collapse: the alarm hangs on the gain ratio alone; \
    a validation-fraction over 0 helps";

impl<'a> Run<'a> {
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
        let (padding, side) = (recipe.augmentation.crop_padding, shape.height.max(shape.width));
        if padding > side {
            let reason = format!("needs at most {side}, the longer side of the images");
            return Err(gaat_spec::Error::value("crop-padding", padding, reason).into());
        }
        let place = Place::parse(&recipe.device, precision, &recipe.model, input)?;
        let options = BuildOptions {
            device: place.device,
            precision: place.precision,
            kind: Kind::Float,
            seed: recipe.seed,
            normalization: dataset::normalization(recipe.normalization, train),
        };
        let build = || build(&recipe.model, input, train.class_count() as i64, &options);
        let network = build()?;
        let average = match recipe.weight_averaging {
            Some(decay) => Some(Averaging::new(build()?, network.store(), decay)?),
            None => None,
        };
        let kind = network.store().kind();
        let least = least_batch(network.as_ref())?;
        batches::check(&network.name(), train.len(), recipe.batch_size, least)?;
        let batches = Batches::new(train.len(), recipe.batch_size, least);
        let setting = Setting {
            threat: recipe.threat,
            images: train.len(),
            classes: train.class_count() as i64,
            batch_size: batches.largest(),
            shape: input,
            device: place.device,
            kind,
        };
        let calendar = Calendar::new(recipe, batches);
        let validation = splits.validation.images();
        // The split may keep the order of the files, class by class; the attacked part must not.
        let mut attacked = epoch_order(recipe.seed, 0, validation.len());
        attacked.truncate(recipe.validation_limit);
        let guard = Guard::new(recipe, &setting, calendar)?;
        if guard.is_some() && attacked.is_empty() {
            warnings.push(UNCONFIRMED.to_owned());
        }
        let upload = |images| Images::upload(images, place.device);
        let record = new_record(recipe, &place, digest, network.as_ref());
        Ok(Self {
            calendar,
            feed: Feed::new(upload(train)?, batches, recipe, kind),
            method: methods::build(recipe.method, recipe.awp, &setting)?,
            guard,
            validation: Validation {
                images: upload(validation)?,
                attacked: upload(&validation.select(&attacked))?,
                threat: recipe.threat,
                steps: recipe.validation_steps,
                rng: Rng::new(recipe.seed),
            },
            books: Books::new(record, place.device),
            trained: Trained {
                optimizer: Optimizer::new(network.store(), recipe.optimizer),
                network,
                average,
            },
            class_names: train.class_names().to_vec(),
            warnings,
            recipe,
            directory,
        })
    }

    /// Goes to where the saved state of the run directory was.
    pub(super) fn restore(&mut self) -> Result<()> {
        let path = self.directory.state();
        let failed = |reason: String| Error::File { path: path.clone(), reason };
        let misfit = |error: Error| failed(error.to_string());
        let state = State::read(&path)?;
        self.trained.load(&state.tensors, state.position.steps as u64).map_err(misfit)?;
        self.method.load_state(&state.part(METHOD)).map_err(misfit)?;
        let healthy = Snapshot::of(state.part(HEALTHY));
        let State { mut position, .. } = state;
        if position.record.data_digest != self.books.record.data_digest {
            return Err(failed(format!(
                "was trained on another data set (digest {}) than the one found now ({}); give the original data",
                position.record.data_digest, self.books.record.data_digest
            )));
        }
        let (before, now) = (position.record.environment.threads, self.books.record.environment.threads);
        if before != now {
            self.warnings.push(format!(
                "the run started with {before} threads and goes on with {now}: the result may differ in the last \
                 bits from that of a run that never stopped"
            ));
        }
        if let Some(guard) = &mut self.guard {
            guard.state = position.guard.take().unwrap_or_default();
            guard.healthy = healthy;
        }
        self.books.resume(position);
        Ok(())
    }

    /// What observers are told at the start.
    pub(super) fn started(&self) -> Event {
        Event::Started {
            record: Box::new(self.books.record.clone()),
            steps_per_epoch: self.calendar.steps_per_epoch,
            steps_done: self.books.steps(),
            warnings: self.warnings.clone(),
        }
    }

    /// Saves the weights after the whole epoch `epoch`; tells whether it is the best by validation.
    pub(super) fn save_weights(&mut self, epoch: usize) -> Result<bool> {
        let is_best = self.books.is_last_best(&self.recipe.method);
        let judged = self.trained.judged();
        let description = Description::new(judged, self.recipe.model, &self.class_names, epoch);
        weights::save(&self.directory.weights("last"), judged, &description)?;
        if is_best {
            weights::save(&self.directory.weights("best"), judged, &description)?;
            self.books.record.best_epoch = Some(epoch);
        }
        Ok(is_best)
    }

    /// All tensors that the next step depends on, by the names of the state file.
    fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let mut tensors = self.trained.state()?;
        tensors.extend(prefixed(METHOD, self.method.state()));
        if let Some(healthy) = self.guard.as_ref().and_then(|guard| guard.healthy.as_ref()) {
            tensors.extend(prefixed(HEALTHY, healthy.tensors()));
        }
        Ok(tensors)
    }

    /// Refuses a network with its average, its optimiser and its method that holds a number that is not finite: before any
    /// file of it is written, so that those of earlier epochs stay.
    pub(super) fn check_finite(&self) -> Result<()> {
        let (tensors, steps) = (self.tensors()?, self.books.steps());
        let named = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        let checked = finite::check("after this step the tensors of the run", named);
        checked.map_err(|error| located(error, self.calendar.epoch(steps.saturating_sub(1)), steps))
    }

    /// Saves everything that the next step depends on, and the record.
    pub(super) fn save_state(&self) -> Result<()> {
        let guard = self.guard.as_ref();
        let tensors = self.tensors()?;
        let position = Position {
            steps: self.books.steps(),
            sums: self.books.sums.clone(),
            record: self.books.record.clone(),
            guard: guard.map(|guard| guard.state.clone()),
        };
        State { position, tensors }.write(&self.directory.state())?;
        self.directory.write_record(&self.books.record)
    }
}

/// The record of a run at step 0.
fn new_record(
    recipe: &CheckedRecipe,
    place: &Place,
    data_digest: String,
    network: &dyn Classifier,
) -> RunRecord {
    RunRecord {
        schema: SCHEMA.to_owned(),
        status: Status::Running,
        failure: None,
        recipe: recipe.resolved.clone(),
        environment: place.environment(),
        data_digest,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::events::Quiet;
    use gaat_spec::Recipe;

    #[test]
    fn what_is_not_finite_after_the_last_step_of_an_epoch_overwrites_no_file() {
        tch::set_num_threads(1);
        let text = "dataset = \"digits\"\nprecision = \"fp32\"\nmodel = \"wide-resnet-10-1\"\nmethod = \"fgsm-mep\"\n\
            limit = 24\nbatch-size = 10\nepochs = 1\noptimizer = \"adam\"\nweight-averaging = 0.9\nvalidation-steps = 1\n";
        let recipe = Recipe::from_toml(text).unwrap().check().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let directory = RunDirectory::new(folder.path());
        directory.create(&recipe).unwrap();
        let mut run = Run::new(&recipe, &directory, &recipe.precision).unwrap();
        assert_eq!(run.run(&mut Quiet).unwrap(), Status::Done);
        let paths = [directory.weights("best"), directory.weights("last"), directory.state()];
        let files = || paths.each_ref().map(|path| fs_err::read(path).unwrap());
        let before = files();
        let of_store = |prefix: &str, network: &dyn Classifier| -> Vec<(String, Tensor)> {
            let entries = network.store().named().iter();
            entries.map(|entry| (format!("{prefix}.{}", entry.name), entry.tensor.shallow_clone())).collect()
        };
        let average = run.trained.average.as_ref().unwrap().network();
        let mut live = of_store("weights", run.trained.network.as_ref());
        live.extend(of_store("average", average));
        live.extend(prefixed("optimizer.", run.trained.optimizer.state()));
        live.extend(prefixed(METHOD, run.method.state()));
        let mut kinds = std::collections::BTreeSet::new();
        for (name, tensor) in live.iter().filter(|(_, tensor)| tensor.is_floating_point()) {
            kinds.insert(name.split('.').next().unwrap_or_default());
            let mut first = tch::no_grad(|| tensor.detach().flatten(0, -1).get(0));
            let value = first.double_value(&[]);
            let _ = first.fill_(if value < 0.0 { f64::NEG_INFINITY } else { f64::NAN });
            let error = run.end_epoch(&mut Quiet).unwrap_err();
            assert!(matches!(error, Error::Training { epoch: 1, .. }), "{error:?}");
            assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
            assert_eq!(files(), before, "{name}");
            let _ = first.fill_(value);
        }
        assert_eq!(kinds.len(), 4, "{kinds:?}");
        run.end_epoch(&mut Quiet).unwrap();
    }
}
