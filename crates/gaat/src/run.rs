//! Run directories: `recipe.toml`, `run.json`, `events.jsonl`, curves for TensorBoard, `checkpoints/`; what training leaves
//! and everything else reads.

use crate::dataset::{self, Dataset};
use crate::device::Compute;
use crate::error::{Error, Result};
use crate::exported::{self, ExportedFile};
use crate::files::write_atomically;
use crate::lock::{self, Owner, Writer};
use crate::nn::{Architecture, Catalogue, Classifier, ComputePrecision, PrecisionRequest, has_bf16};
use crate::tensors;
use crate::weights::{self, Description};
use gaat_data::TestSet;
use gaat_spec::record::TestRecord;
use gaat_spec::{CheckedRecipe, Evaluation, ModelChoice, NormalizationChoice, Recipe, RunRecord};
use std::path::{Path, PathBuf};
use tch::Device;

/// Refuses to continue on `device` with what `began` says was begun in `precision`, where that is not available: a run keeps its
/// precision, and the runs of a comparison share it.
///
/// # Errors
/// Then.
pub fn check_precision_kept(began: &Path, precision: &str, device: Device) -> Result<()> {
    if precision != PrecisionRequest::Bf16.to_string() || has_bf16(device) {
        return Ok(());
    }
    let reason = format!(
        "was begun in bf16, which {device:?} does not have here, and the precision is kept to the end: continue on a machine \
         that has bf16, or begin again elsewhere with precision fp32"
    );
    Err(Error::File { path: began.to_owned(), reason })
}

pub use crate::weights::Checkpoint;

const CHECKPOINTS: &str = "checkpoints";

/// The layout of a run directory.
#[derive(Debug, Clone)]
pub(crate) struct RunDirectory {
    root: PathBuf,
}

impl RunDirectory {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn weights(&self, which: Checkpoint) -> PathBuf {
        let name = match which {
            Checkpoint::Best => "best",
            Checkpoint::Last => "last",
        };
        self.root.join(CHECKPOINTS).join(format!("{name}.safetensors"))
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.join(CHECKPOINTS).join("state.safetensors")
    }

    pub(crate) fn graph(&self) -> PathBuf {
        self.root.join(exported::GRAPH)
    }

    pub(crate) fn events(&self) -> PathBuf {
        self.root.join("events.jsonl")
    }

    /// TensorBoard takes every file with `tfevents` in its name, and calls the run by the name of its folder.
    pub(crate) fn curves(&self) -> PathBuf {
        self.root.join("events.out.tfevents.gaat")
    }

    fn recipe(&self) -> PathBuf {
        self.root.join("recipe.toml")
    }

    fn record(&self) -> PathBuf {
        self.root.join("run.json")
    }

    /// Refuses a directory that holds anything but what a run leaves that was killed as it began.
    pub(crate) fn check_vacant(&self) -> Result<()> {
        if self.is_vacant()? { Ok(()) } else { Err(Error::Occupied { path: self.root.clone() }) }
    }

    fn is_vacant(&self) -> Result<bool> {
        if !self.root.exists() {
            return Ok(true);
        }
        if !self.root.is_dir() {
            return Ok(false);
        }
        self.sweep();
        for entry in fs_err::read_dir(&self.root)? {
            let entry = entry?;
            let is_empty =
                |path: &Path| Ok::<_, Error>(path.is_dir() && fs_err::read_dir(path)?.next().is_none());
            let name = entry.file_name();
            if name != lock::FILE && !(name == CHECKPOINTS && is_empty(&entry.path())?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes the temporary files of writers that were killed here.
    pub(crate) fn sweep(&self) {
        for folder in ["", CHECKPOINTS, "plots", "analysis", "explanation"] {
            gaat_files::sweep(&self.root.join(folder));
        }
    }

    /// The record in the state to continue from, of the very `recipe`; `None` where the run has to begin.
    ///
    /// # Errors
    /// When the directory is of another recipe, is not a run directory, or when the state is damaged or gone.
    pub(crate) fn find_state(&self, recipe: &CheckedRecipe) -> Result<Option<RunRecord>> {
        let state = self.state();
        if state.exists() {
            if self.recipe().exists() {
                check_recipe(&self.recipe(), &self.read_recipe()?, recipe)?;
            }
            let record = read_state_record(&state)?;
            check_recipe(&state, &record.recipe, recipe)?;
            return Ok(Some(record));
        }
        if self.is_vacant()? {
            return Ok(None);
        }
        if !self.recipe().exists() {
            return Err(Error::Occupied { path: self.root.clone() });
        }
        check_recipe(&self.recipe(), &self.read_recipe()?, recipe)?;
        match self.further_than_the_start()? {
            Some(there) => Err(Error::StateGone { path: state, there }),
            None => Ok(None),
        }
    }

    /// What tells that there was a state once.
    fn further_than_the_start(&self) -> Result<Option<String>> {
        for (which, name) in [(Checkpoint::Last, "last"), (Checkpoint::Best, "best")] {
            if self.weights(which).exists() {
                return Ok(Some(format!("{CHECKPOINTS}/{name}.safetensors")));
            }
        }
        let has_epochs = self.record().exists() && !self.read_record()?.epochs.is_empty();
        Ok(has_epochs.then(|| "run.json".to_owned()))
    }

    pub(crate) fn create(&self, recipe: &CheckedRecipe) -> Result<()> {
        fs_err::create_dir_all(self.root.join(CHECKPOINTS))?;
        write_atomically(&self.recipe(), recipe.resolved.to_toml()?.as_bytes())
    }

    /// Makes recipe and record again where a kill has kept them from being written after the last `record` of the state; the
    /// verdict on the test images stays. Hands back the record.
    pub(crate) fn complete(&self, recipe: &CheckedRecipe, record: RunRecord) -> Result<RunRecord> {
        if !self.recipe().exists() {
            self.create(recipe)?;
        }
        let there = self.record().exists().then(|| self.read_record()).transpose()?;
        if let Some(there) = there
            && (RunRecord { test: None, ..there.clone() }) == record
        {
            return Ok(there);
        }
        self.write_record(&record)?;
        Ok(record)
    }

    pub(crate) fn write_record(&self, record: &RunRecord) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(record).map_err(std::io::Error::from)?;
        text.push(b'\n');
        write_atomically(&self.record(), &text)
    }

    pub(crate) fn read_record(&self) -> Result<RunRecord> {
        let path = self.record();
        let text = gaat_files::read_text(&path)?;
        serde_json::from_str(&text)
            .map_err(|error| Error::File { path, reason: format!("cannot be read: {error}") })
    }

    pub(crate) fn read_recipe(&self) -> Result<Recipe> {
        let path = self.recipe();
        let text = gaat_files::read_text(&path)?;
        let recipe = Recipe::from_toml(&text);
        // It was checked as it was written, so that what is wrong with it is the file's own.
        let checked = recipe.and_then(|recipe| recipe.check_with(&|_| true).map(|_| recipe));
        checked.map_err(|error| Error::File { path, reason: error.to_string() })
    }
}

/// Reads the network that `recipe` names by its file, and gives the recipe its name; the catalogue has it beside the published ones.
/// Where a run continues, the graph of its directory is taken.
///
/// # Errors
/// When the file cannot be read, or is not the one that the recipe was of.
pub fn settled(recipe: Recipe, run_dir: Option<&Path>) -> Result<(Recipe, Catalogue)> {
    let standard = Catalogue::standard();
    let (path, expected) = match (&recipe.model, &recipe.model_file) {
        (Some(ModelChoice::File(path)), _) | (None, Some(path)) => (path.clone(), None),
        (Some(ModelChoice::Named(name)), Some(path)) => (path.clone(), Some(*name)),
        (_, None) if recipe.eval_program.is_some() => {
            return Err(Error::Usage(
                "eval-program is the evaluation mode of a network of torch.export; name the file of that network as the model"
                    .to_owned(),
            ));
        }
        (_, None) => return Ok((recipe, standard)),
    };
    let state = run_dir.map(|run_dir| RunDirectory::new(run_dir).state()).filter(|state| state.exists());
    let kept = state.map(|state| ExportedFile::beside(&state)).transpose()?.flatten();
    let file = match (kept, expected) {
        (Some(kept), Some(name)) if kept.claims(&name.to_string()) => kept,
        _ => ExportedFile::read_with(&path, recipe.eval_program.as_deref())?,
    };
    let name = file.name();
    if let Some(expected) = expected.filter(|expected| !file.claims(&expected.to_string())) {
        return Err(exported::fault(
            &path,
            format!(
                "holds {name}, and the recipe is of {expected}; give the file that the recipe was of (and its eval-program, where it had \
                 one), or name this one as the model"
            ),
        ));
    }
    let recipe = Recipe {
        model: Some(name.parse()?),
        model_file: Some(path),
        normalization: Some(recipe.normalization.clone().unwrap_or(NormalizationChoice::None)),
        ..recipe
    };
    Ok((recipe, standard.with(file)))
}

/// What a state without a checksum is told.
pub(crate) const WITHOUT_CHECKSUM: &str = "is the state of a run without a checksum: of an early version, or damaged; finish the run \
    with the version that began it, or begin again in another directory";

/// Where the state of a run keeps its numbers in the metadata.
pub(crate) const STATE_KEY: &str = "gaat-training-state";

/// The record in the state at `path`.
fn read_state_record(path: &Path) -> Result<RunRecord> {
    /// What is needed here of the numbers.
    #[derive(serde::Deserialize)]
    struct Numbers {
        record: RunRecord,
    }
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    let metadata = tensors::read_metadata(path)?.ok_or_else(|| failed(WITHOUT_CHECKSUM.to_owned()))?;
    let text = metadata.get(STATE_KEY).ok_or_else(|| failed("is not the state of a run".to_owned()))?;
    let numbers: Numbers =
        serde_json::from_str(text).map_err(|error| failed(format!("its state cannot be read: {error}")))?;
    Ok(numbers.record)
}

/// Refuses another recipe than the one `saved` in the file at `path`.
fn check_recipe(path: &Path, saved: &Recipe, recipe: &CheckedRecipe) -> Result<()> {
    let differences = saved.differences(&recipe.resolved)?;
    if differences.is_empty() {
        return Ok(());
    }
    let differing: Vec<&str> = differences.iter().map(|found| found.key.as_str()).collect();
    let reason = format!(
        "was started with another recipe ({}); resume with the same recipe, or choose another directory",
        differing.join(", ")
    );
    Err(Error::File { path: path.to_owned(), reason })
}

/// A trained network, ready to judge.
pub struct OpenedRun {
    /// The network.
    pub classifier: Box<dyn Classifier>,
    /// What the weights file says about it.
    pub description: Description,
    /// The record, when a run directory was opened.
    pub record: Option<RunRecord>,
}

impl OpenedRun {
    /// A warning where the weights are of an early version, whose files carry no checksum.
    pub fn without_checksum(&self) -> Option<String> {
        let note = "the weights were saved without a checksum, by an early version: damage would not show";
        (!self.description.carries_checksum()).then(|| note.to_owned())
    }
}

/// Opens a run directory, or a weights file saved by [`weights::save`].
///
/// `device` defaults to that of the run, or cpu. `precision` depends on no run: judged in [`ComputePrecision::Fp32`] the network is
/// the one that the weights file holds, as every other program computes it.
///
/// # Errors
/// When there is nothing to open, it is damaged, or the device does not have the precision.
pub fn open(
    path: &Path,
    checkpoint: Checkpoint,
    device: Option<&str>,
    precision: ComputePrecision,
) -> Result<OpenedRun> {
    open_of(&Catalogue::standard(), path, checkpoint, device, precision)
}

/// The same, of a network of `catalogue`.
///
/// # Errors
/// As [`open`].
pub fn open_of(
    catalogue: &Catalogue,
    path: &Path,
    checkpoint: Checkpoint,
    device: Option<&str>,
    precision: ComputePrecision,
) -> Result<OpenedRun> {
    let (file, record) = saved(path, checkpoint)?;
    let recipe = record.as_ref().map(|record| &record.recipe);
    let (description, state) = weights::load(&file)?;
    let device = device.or(recipe.and_then(|recipe| recipe.device.as_deref())).unwrap_or("cpu");
    let compute = Compute::judging(device, precision, &description.model, description.shape())?;
    let catalogue = exported::with_graph_of(catalogue, &file, &description.model)?;
    let classifier = weights::build_network(&file, &description, &state, &catalogue, compute)?;
    Ok(OpenedRun { classifier, description, record })
}

/// The same, with the weights set in `network`, which no catalogue needs to know: names and shapes of its tensors say whether they fit,
/// and its variant where it has one.
///
/// # Errors
/// As [`open`], and when a name, a shape or the variant differs.
pub fn open_with(network: Box<dyn Classifier>, path: &Path, checkpoint: Checkpoint) -> Result<OpenedRun> {
    let (file, record) = saved(path, checkpoint)?;
    let (description, state) = weights::load(&file)?;
    // A network that has no variants is known by its tensors alone: the module whose exported program a run has trained, say.
    if !network.variant().is_empty() {
        weights::of_the_variant(&file, &description, network.as_ref())?;
    }
    weights::fill(&file, &state, network.as_ref())?;
    Ok(OpenedRun { classifier: network, description, record })
}

/// The file of weights that is meant, and the record beside it.
fn saved(path: &Path, checkpoint: Checkpoint) -> Result<(PathBuf, Option<RunRecord>)> {
    let directory = RunDirectory::new(path);
    let record = if path.is_dir() { Some(directory.read_record()?) } else { None };
    let file = match (&record, checkpoint) {
        (None, _) => path.to_owned(),
        (Some(_), which) => directory.weights(which),
    };
    if record.is_some() && !file.exists() {
        let reason = "is missing: the run has not finished an epoch; resume the training first";
        return Err(Error::File { path: file, reason: reason.to_owned() });
    }
    Ok((file, record))
}

/// The test images of a recipe.
///
/// # Errors
/// When the data is missing or damaged, or its classes are not those of the network.
pub fn test_images(recipe: &Recipe, data_dir: Option<PathBuf>) -> Result<TestSet> {
    Ok(test_images_with_warnings(recipe, data_dir)?.0)
}

/// The same, with what the reader has to say that stopped nothing.
///
/// # Errors
/// As [`test_images`].
pub fn test_images_with_warnings(
    recipe: &Recipe,
    data_dir: Option<PathBuf>,
) -> Result<(TestSet, Vec<String>)> {
    // Nothing is judged on extra training images, which may be large and gone by now.
    let recipe = Recipe { extra_data: None, extra_share: None, ..recipe.clone() };
    let Dataset { splits, warnings, .. } = dataset::load(&recipe.check_with(&|_| true)?, data_dir)?;
    Ok((splits.test, warnings))
}

/// Whether there is nothing at `run_dir`, or only what a run leaves that was killed as it began.
///
/// # Errors
/// When it cannot be looked at.
pub fn is_vacant(run_dir: &Path) -> Result<bool> {
    RunDirectory::new(run_dir).is_vacant()
}

/// The resolved recipe of a run directory: that of its state, where there is one; `None` where no run was begun.
///
/// # Errors
/// When the state or the recipe is damaged.
pub fn recipe(run_dir: &Path) -> Result<Option<Recipe>> {
    let directory = RunDirectory::new(run_dir);
    if directory.recipe().exists() {
        return directory.read_recipe().map(Some);
    }
    let state = directory.state();
    if state.exists() { Ok(Some(read_state_record(&state)?.recipe)) } else { Ok(None) }
}

/// The record of a run directory; that of its state where a kill has kept the record from being written.
///
/// # Errors
/// When it is missing or damaged.
pub fn record(run_dir: &Path) -> Result<RunRecord> {
    let directory = RunDirectory::new(run_dir);
    let state = directory.state();
    if !directory.record().exists() && state.exists() {
        return read_state_record(&state);
    }
    directory.read_record()
}

/// Writes a verdict on the test images into the record of a run directory.
///
/// # Errors
/// When the record cannot be read or written.
pub fn record_test(run_dir: &Path, evaluation: &Evaluation) -> Result<()> {
    let directory = RunDirectory::new(run_dir);
    // A training writes the record too, and would lose the verdict or be lost itself.
    let _turn = Writer::in_directory(run_dir)?;
    let _owner = Owner::of(run_dir, "entering a verdict")?;
    let mut record = directory.read_record()?;
    record.test = Some(TestRecord {
        examples: evaluation.examples,
        precision: evaluation.precision,
        clean: evaluation.clean_accuracy,
        robust: evaluation
            .attacks
            .iter()
            .map(|attack| (attack.name.clone(), attack.robust_accuracy))
            .collect(),
    });
    directory.write_record(&record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_keeps_its_precision_or_says_why_not() {
        let began = Path::new("runs/began");
        check_precision_kept(began, "fp32", Device::Mps).unwrap();
        let error = check_precision_kept(began, "bf16", Device::Mps).unwrap_err().to_string();
        assert!(error.contains("runs/began") && error.contains("begun in bf16"), "{error}");
        assert_eq!(check_precision_kept(began, "bf16", Device::Cpu).is_ok(), has_bf16(Device::Cpu));
    }
}
