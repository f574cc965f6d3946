//! What a run keeps, and how it continues from what was kept.

use super::collapse::Snapshot;
use super::events::{Control, Observer};
use super::launch::located;
use super::named::prefixed;
use super::run::Run;
use super::state_file::{Position, STATE_SCHEMA, State, WeightsOnDisk};
use super::validation::Accuracy;
use crate::error::{Error, Result};
use crate::nn::finite;
use crate::weights::{Checkpoint, Description};
use crate::world::any;
use gaat_spec::{Event, RunRecord};
use tch::Tensor;

/// Prefixes of the state file beside those of the network.
const METHOD: &str = "method.";
const HEALTHY: &str = "healthy.";

impl Run<'_> {
    /// Goes to where `state` was saved, and makes again what a kill has kept from being written after it.
    pub(super) fn restore(&mut self, state: State) -> Result<()> {
        let misfit = |error: Error| state.refuse(error.to_string());
        self.trained.load(&state.tensors, state.position.steps as u64).map_err(misfit)?;
        self.method.load_state(&state.part(METHOD)).map_err(misfit)?;
        let healthy = Snapshot::of(state.part(HEALTHY));
        state.position.check(&self.calendar).map_err(|reason| state.refuse(reason))?;
        let (before, now) = (&state.position.record, &self.books.record);
        if before.data_digest != now.data_digest {
            return Err(state.refuse(format!(
                "was trained on another data set (digest {}) than the one found now ({}); give the original data",
                before.data_digest, now.data_digest
            )));
        }
        if before.extra_digest != now.extra_digest {
            let shown = |digest: &Option<String>| digest.clone().unwrap_or_else(|| "none".to_owned());
            return Err(state.refuse(format!(
                "was trained with other extra images (digest {}) than those found now ({}); give the original extra-data",
                shown(&before.extra_digest),
                shown(&now.extra_digest)
            )));
        }
        if before.start != now.start {
            return Err(state.refuse("began with other weights than those given now; give the original ones"));
        }
        let processes = |record: &RunRecord| record.environment.processes.unwrap_or(1);
        if processes(before) != processes(now) {
            self.warnings.push(format!(
                "the run continues with {} processes after {}: the result may differ by rounding, and by the statistics of batches where \
                 the network has any",
                processes(now),
                processes(before)
            ));
        }
        let (before, now) = (before.environment.threads, now.environment.threads);
        if before != now {
            self.warnings.push(format!(
                "the run started with {before} threads and continues with {now}: the result may differ in the last \
                 bits from that of a run that never stopped"
            ));
        }
        let mut position = state.position;
        if let Some(guard) = &mut self.guard {
            guard.state = position.guard.take().unwrap_or_default();
            guard.healthy = healthy;
        }
        let weights = position.weights;
        self.books.resume(position);
        let averaged = self.books.record.epochs.last().and_then(|epoch| epoch.averaged);
        self.trained.prefer_average(averaged.unwrap_or(true));
        match weights {
            WeightsOnDisk::Outdated => self.follow_state(),
            WeightsOnDisk::Current => self.keeper.record(&self.books.record),
        }
    }

    /// Tells the keeper and then `observer` of `event`.
    pub(super) fn tell(&mut self, event: &Event, observer: &mut dyn Observer) -> Result<Control> {
        self.keeper.event(event)?;
        observer.on_event(event)
    }

    /// What is told at the start.
    pub(super) fn started(&self) -> Event {
        Event::Started {
            record: Box::new(self.books.record.clone()),
            steps_per_epoch: self.calendar.steps_per_epoch,
            steps_done: self.books.steps(),
            warnings: self.warnings.clone(),
        }
    }

    /// Closes the books of `epoch`, validated to `accuracy`, keeps it with `alarms`, lets the guard act, and tells of it.
    ///
    /// The state comes first, after all that leads to it: what a kill keeps from being written after it, weights and record,
    /// is made again from it.
    pub(super) fn keep_epoch(
        &mut self,
        epoch: usize,
        accuracy: Accuracy,
        alarms: Vec<Event>,
        observer: &mut dyn Observer,
    ) -> Result<Control> {
        let saved = self.books.record.clone();
        let record = self.books.close_epoch(epoch, accuracy);
        let best = self.books.is_last_best(self.method.is_natural());
        if best {
            self.books.record.best_epoch = Some(epoch);
        }
        let done = Event::Epoch { record, cost_ratio: self.books.record.cost_ratio };
        let events: Vec<Event> =
            alarms.into_iter().chain([done, Event::Checkpoint { epoch, best }]).collect();
        if let Err(error) = self.save_epoch(&events) {
            // No record tells of an epoch whose state is not there.
            self.books.record = saved;
            return Err(error);
        }
        self.follow_state()?;
        let mut control = Control::Continue;
        for event in &events {
            control = control.or(observer.on_event(event)?);
        }
        Ok(control)
    }

    /// Saves the state of a whole epoch, after the `events` that tell of the epoch.
    fn save_epoch(&mut self, events: &[Event]) -> Result<()> {
        for event in events {
            self.keeper.event(event)?;
        }
        self.save_state(WeightsOnDisk::Outdated)
    }

    /// Does what comes after the state of a whole epoch was saved: the network as it was judged goes into its files, the record
    /// follows, and the guard acts.
    pub(super) fn follow_state(&mut self) -> Result<()> {
        let epoch = self.books.record.epochs.len();
        let judged = self.trained.judged();
        let about = Description::new(judged, &self.class_names, epoch)?;
        self.keeper.weights(Checkpoint::Last, judged, &about)?;
        if self.books.record.best_epoch == Some(epoch) {
            self.keeper.weights(Checkpoint::Best, judged, &about)?;
        }
        self.keeper.record(&self.books.record)?;
        match &mut self.guard {
            Some(guard) => guard.act(&mut self.trained),
            None => Ok(()),
        }
    }

    /// All tensors that the next step depends on, by the names of the state file; of several processes all ask at once.
    fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        self.tensors_with(self.method.whole_state(self.world.as_ref())?)
    }

    /// The same, those of the method being `method`.
    fn tensors_with(&self, method: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>> {
        let mut tensors = self.trained.state()?;
        tensors.extend(prefixed(METHOD, method));
        if let Some(healthy) = self.guard.as_ref().and_then(|guard| guard.healthy.as_ref()) {
            tensors.extend(prefixed(HEALTHY, healthy.tensors()));
        }
        Ok(tensors)
    }

    /// Refuses a network with its average, its optimiser and its method that holds a number that is not finite: before any
    /// file of it is written, so that those of earlier epochs stay.
    pub(super) fn check_finite(&self) -> Result<()> {
        let (tensors, steps) = (self.tensors_with(self.method.state())?, self.books.steps());
        let named = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        let mut checked = finite::check("after this step the tensors of the run", named);
        // What the method remembers each of several processes has for itself.
        if any(self.world.as_ref(), checked.is_err())? && checked.is_ok() {
            checked = Err(Error::NotFinite(
                "after this step the memory of another process holds numbers that are not finite".to_owned(),
            ));
        }
        checked.map_err(|error| located(error, self.calendar.epoch(steps.saturating_sub(1)), steps))
    }

    /// Saves everything that the next step depends on; `weights` says how far those beside it are.
    pub(super) fn save_state(&mut self, weights: WeightsOnDisk) -> Result<()> {
        let tensors = self.tensors()?;
        let position = self.position(weights);
        self.keeper.state(&State::new(position, tensors))
    }

    /// Where the run is; `weights` says how far those beside the state are.
    pub(super) fn position(&self, weights: WeightsOnDisk) -> Position {
        Position {
            schema: STATE_SCHEMA.to_owned(),
            steps: self.books.steps(),
            sums: self.books.sums.clone(),
            record: self.books.record.clone(),
            guard: self.guard.as_ref().map(|guard| guard.state.clone()),
            weights,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Catalogue, Classifier};
    use crate::train::directory::{KeptRun, TrainOptions};
    use crate::train::events::Quiet;
    use crate::train::training::Training;
    use gaat_spec::{Recipe, Status};

    type Change = fn(&mut Position);

    #[test]
    fn what_is_not_finite_after_the_last_step_of_an_epoch_overwrites_no_file() {
        tch::set_num_threads(1);
        let text = "dataset = \"digits\"\nprecision = \"fp32\"\nmodel = \"wide-resnet-10-1\"\nmethod = \"fgsm-mep\"\n\
            limit = 24\nbatch-size = 10\nepochs = 1\noptimizer = \"adam\"\nweight-averaging = 0.9\nvalidation-steps = 1\n";
        let recipe = Recipe::from_toml(text).unwrap().check().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let options = TrainOptions { run_dir: folder.path().to_owned(), resume: false };
        let mut kept = KeptRun::open(&recipe, &options).unwrap();
        let mut run = Training::of(&recipe, &Catalogue::standard()).unwrap().assemble(&mut kept).unwrap();
        assert_eq!(run.run(&mut Quiet).unwrap(), Status::Done);
        let paths = ["best", "last", "state"]
            .map(|name| folder.path().join("checkpoints").join(format!("{name}.safetensors")));
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

    #[test]
    fn a_network_that_answers_nothing_is_not_kept_where_nothing_is_validated_either() {
        tch::set_num_threads(1);
        let text = "dataset = \"digits\"\nprecision = \"fp32\"\nmodel = \"mlp\"\nmethod = \"natural\"\nlimit = 24\nbatch-size = 10\n\
            epochs = 2\nvalidation-fraction = 0.0\n";
        let recipe = Recipe::from_toml(text).unwrap().check().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let options = TrainOptions { run_dir: folder.path().to_owned(), resume: false };
        let mut kept = KeptRun::open(&recipe, &options).unwrap();
        let mut run = Training::of(&recipe, &Catalogue::standard()).unwrap().assemble(&mut kept).unwrap();
        assert_eq!(run.run(&mut Quiet).unwrap(), Status::Done);
        assert!(run.books.record.epochs.iter().all(|epoch| epoch.validation_clean.is_none()));
        let last = folder.path().join("checkpoints/last.safetensors");
        let before = fs_err::read(&last).unwrap();
        // Finite, all of them; a sum of their products is not.
        for entry in run.trained.network.store().named() {
            let _ = tch::no_grad(|| entry.tensor.shallow_clone().fill_(1e30));
        }
        let text = run.end_epoch(&mut Quiet).unwrap_err().to_string();
        assert!(text.contains("epoch 2, step 6") && text.contains("logits that are not finite"), "{text}");
        assert_eq!(fs_err::read(&last).unwrap(), before);
    }

    #[test]
    fn a_state_in_an_impossible_position_is_refused_by_name() {
        tch::set_num_threads(1);
        let text = "dataset = \"digits\"\nprecision = \"fp32\"\nmodel = \"mlp\"\nmethod = \"natural\"\nlimit = 24\nbatch-size = 10\n\
            epochs = 4\nvalidation-steps = 1\n";
        let recipe = Recipe::from_toml(text).unwrap().check().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let options = TrainOptions { run_dir: folder.path().to_owned(), resume: true };
        let stop = &mut |event: &Event| match event {
            Event::Epoch { record, .. } if record.epoch == 2 => Control::Stop,
            _ => Control::Continue,
        };
        crate::train::train(&recipe, &options, stop).unwrap();
        let path = folder.path().join("checkpoints/state.safetensors");
        let whole = fs_err::read(&path).unwrap();
        let cases: [(&str, Change); 9] = [
            ("100 steps done of", |position| position.steps = 100),
            ("whole epochs after 4 steps", |position| position.steps = 4),
            ("whole epochs after 0 steps", |position| position.steps = 0),
            ("epoch 2 is the best of 1", |position| drop(position.record.epochs.pop())),
            ("0 whole epochs after", |position| {
                position.record.epochs.clear();
                position.record.best_epoch = None;
            }),
            ("its epoch 1 is called 7", |position| position.record.epochs[0].epoch = 7),
            ("epoch 3 is the best of 2", |position| position.record.best_epoch = Some(3)),
            ("epoch 0 is the best of 2", |position| position.record.best_epoch = Some(0)),
            ("data set", |position| position.record.data_digest = "00".to_owned()),
        ];
        for (expected, change) in cases {
            let mut state = State::read(&path).unwrap();
            change(&mut state.position);
            state.write(&path).unwrap();
            let text = crate::train::train(&recipe, &options, &mut Quiet).unwrap_err().to_string();
            assert!(text.contains("state.safetensors") && text.contains(expected), "{expected}: {text}");
            fs_err::write(&path, &whole).unwrap();
        }
        let schema = |schema: &str| {
            let mut state = State::read(&path).unwrap();
            state.position.schema = schema.to_owned();
            state.write(&path).unwrap();
            State::read(&path).unwrap_err().to_string()
        };
        assert!(schema("gaat-training-state-9").contains("has layout gaat-training-state-9"));
        fs_err::write(&path, &whole).unwrap();
        assert_eq!(crate::train::train(&recipe, &options, &mut Quiet).unwrap().status, Status::Done);
    }

    #[test]
    fn an_epoch_whose_state_could_not_be_written_is_in_no_record() {
        tch::set_num_threads(1);
        let text = "dataset = \"digits\"\nprecision = \"fp32\"\nmodel = \"mlp\"\nmethod = \"natural\"\nlimit = 24\nepochs = 2\n";
        let recipe = Recipe::from_toml(text).unwrap().check().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let options = TrainOptions { run_dir: folder.path().to_owned(), resume: true };
        for failing in [1, 2] {
            let state = folder.path().join("checkpoints/state.safetensors");
            let saved = fs_err::read(&state).ok();
            // Nothing can be renamed to a folder that is not empty, as nothing can be written to a full disk.
            let block = &mut |event: &Event| {
                if matches!(event, Event::Validating { epoch } if *epoch == failing) {
                    let _ = fs_err::remove_file(&state);
                    fs_err::create_dir_all(state.join("full")).unwrap();
                }
                Control::Continue
            };
            crate::train::train(&recipe, &options, block).unwrap_err();
            let record = crate::run::record(folder.path()).unwrap();
            assert_eq!((record.status, record.epochs.len()), (Status::Failed, failing - 1));
            fs_err::remove_dir_all(&state).unwrap();
            if let Some(saved) = saved {
                fs_err::write(&state, saved).unwrap();
            }
            if failing == 1 {
                let stop = &mut |event: &Event| match event {
                    Event::Epoch { .. } => Control::Stop,
                    _ => Control::Continue,
                };
                assert_eq!(crate::train::train(&recipe, &options, stop).unwrap().status, Status::Interrupted);
            }
        }
        assert_eq!(crate::train::train(&recipe, &options, &mut Quiet).unwrap().status, Status::Done);
    }
}
