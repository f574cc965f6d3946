//! Which runs a comparison consists of, all checked before the first begins.

use crate::attacks::Attacks;
use crate::error::{Error, Result};
use gaat::nn::Catalogue;
use gaat_report::Judging;
use gaat_spec::method::BaseMethod;
use gaat_spec::{
    AttackName, Budget, CheckedRecipe, Checkpoint, ComputePrecision, MethodName, Recipe, Selection, bounds,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is to be compared, and how it is judged.
#[derive(Debug, Clone)]
pub struct CompareOptions {
    /// What all runs have in common, with sections for single methods.
    pub recipe: Recipe,
    /// The methods.
    pub methods: Vec<MethodName>,
    /// Runs of each method, with seeds counted up from that of the recipe.
    pub seeds: u64,
    /// Directory of all runs; `None` for `runs/compare-DATASET-MODEL`.
    pub directory: Option<PathBuf>,
    /// Attacks to judge by.
    pub attacks: Vec<AttackName>,
    /// Their numbers, where these are not customary.
    pub budget: Budget,
    /// Which weights of each run are judged.
    pub checkpoint: Checkpoint,
    /// How many test images are judged; `None` for all.
    pub limit: Option<usize>,
    /// Which images these are.
    pub selection: Selection,
    /// The command, to be shown in the report.
    pub command: Option<String>,
}

impl CompareOptions {
    /// `methods` under `recipe`, a run each, judged by FGSM and PGD on all test images.
    pub fn new(recipe: Recipe, methods: Vec<MethodName>) -> Self {
        Self {
            recipe,
            methods,
            seeds: 1,
            directory: None,
            attacks: vec![AttackName::Fgsm, AttackName::Pgd],
            budget: Budget::default(),
            checkpoint: Checkpoint::Best,
            limit: None,
            selection: Selection::Seeded,
            command: None,
        }
    }
}

/// One run.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) method: MethodName,
    pub(super) seed: u64,
    pub(super) directory: PathBuf,
    pub(super) recipe: CheckedRecipe,
}

/// A comparison before it begins: every run of it, checked.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) directory: PathBuf,
    pub(super) title: String,
    pub(super) threads: Option<usize>,
    pub(super) judging: Judging,
    pub(super) jobs: Vec<Job>,
    pub(super) command: Option<String>,
}

impl Plan {
    /// The runs that `options` ask for, of networks of `catalogue`.
    ///
    /// # Errors
    /// When a recipe, a method or a number does not do.
    pub fn new(options: &CompareOptions, catalogue: &Catalogue) -> Result<Self> {
        let CompareOptions { recipe: written, methods, seeds, .. } = options;
        let seeds = bounds::SEEDS.check(usize::try_from(*seeds).unwrap_or(usize::MAX))?;
        check_methods(methods)?;
        check_policy(written, methods)?;
        let shared = shared(written, catalogue)?;
        let directory = options
            .directory
            .clone()
            .unwrap_or_else(|| PathBuf::from(format!("runs/compare-{}-{}", shared.dataset, shared.model)));
        let judging = judging(options, &shared)?;
        let mut jobs = Vec::new();
        for offset in 0..seeds as u64 {
            let seed = shared.plan.seed().checked_add(offset);
            let seed = seed.ok_or_else(|| Error::Usage("the seeds count beyond all numbers".to_owned()))?;
            for method in methods {
                jobs.push(job(written, *method, seed, &directory, catalogue)?);
            }
        }
        let (title, threads) = (title(&shared, &judging), shared.resolved.threads);
        Ok(Self { directory, title, threads, judging, jobs, command: options.command.clone() })
    }

    /// Directory of all runs.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Threads of libtorch that the recipe asks for, to be set before anything is computed.
    pub fn threads(&self) -> Option<usize> {
        self.threads
    }

    /// How many runs there are.
    pub fn count(&self) -> usize {
        self.jobs.len()
    }
}

/// What all methods have in common: the recipe without method and sections. Natural training asks the least of it.
fn shared(written: &Recipe, catalogue: &Catalogue) -> Result<CheckedRecipe> {
    let recipe = Recipe { methods: BTreeMap::new(), delay: None, on_collapse: None, ..written.clone() };
    Ok(catalogue.check(&Recipe { method: Some(MethodName::plain(BaseMethod::Natural)), ..recipe })?)
}

fn job(written: &Recipe, method: MethodName, seed: u64, out: &Path, catalogue: &Catalogue) -> Result<Job> {
    // A delay that is shared is meant for the methods that are delayed by name.
    let delay = written.delay.filter(|_| method.delayed);
    let recipe = Recipe { seed: Some(seed), delay, ..written.clone() };
    let recipe = catalogue
        .check(&recipe.for_method(method)?)
        .map_err(|error| Error::Method { method: method.to_string(), source: Box::new(error.into()) })?;
    if recipe.plan.seed() != seed {
        return Err(Error::Usage(format!(
            "[methods.{method}] sets a seed; seeds are counted up from the shared one for all methods alike"
        )));
    }
    Ok(Job { method, seed, directory: out.join(format!("{method}-s{seed}")), recipe })
}

/// Refuses a method that is named twice, and none.
fn check_methods(methods: &[MethodName]) -> Result<()> {
    if methods.is_empty() {
        return Err(Error::Usage("there is no method to compare".to_owned()));
    }
    for (index, method) in methods.iter().enumerate() {
        if methods[..index].contains(method) {
            return Err(Error::Usage(format!("the method {method} is named twice")));
        }
    }
    Ok(())
}

/// Refuses a policy for all methods where one of them has no signal to act on, and says where it belongs.
fn check_policy(written: &Recipe, methods: &[MethodName]) -> Result<()> {
    let lacking = methods.iter().find(|method| !method.base.predicts());
    let (Some(policy), Some(lacking)) = (written.on_collapse, lacking) else { return Ok(()) };
    let others: Vec<_> = methods.iter().filter(|method| method.base.predicts()).collect();
    if others.is_empty() {
        return Err(Error::Usage(format!(
            "on-collapse = {policy}: {lacking} reports no gain ratio, nor does any other of the methods; leave it out"
        )));
    }
    let section = |method: &&MethodName| {
        let name = method.to_string();
        // TOML takes a plus within quotes alone.
        if name.contains('+') { format!("[methods.\"{name}\"]") } else { format!("[methods.{name}]") }
    };
    let sections: Vec<String> = others.iter().map(section).collect();
    Err(Error::Usage(format!(
        "on-collapse = {policy}: {lacking} reports no gain ratio; set it in the recipe for the others alone, below {}",
        sections.join(" and ")
    )))
}

fn judging(options: &CompareOptions, shared: &CheckedRecipe) -> Result<Judging> {
    let attacks = Attacks { names: &options.attacks, budget: options.budget };
    options.limit.map(|limit| bounds::JUDGE_LIMIT.check(limit)).transpose()?;
    Ok(Judging {
        threat: shared.plan.threat(),
        attacks: attacks.specs(&shared.plan.threat(), shared.dataset)?,
        checkpoint: options.checkpoint,
        limit: options.limit,
        selection: options.selection,
        seed: 0,
        precision: Some(ComputePrecision::Fp32),
    })
}

fn title(shared: &CheckedRecipe, judging: &Judging) -> String {
    let CheckedRecipe { dataset, model, .. } = shared;
    let epochs = shared.plan.epochs();
    let epochs = if epochs == 1 { "1 epoch".to_owned() } else { format!("{epochs} epochs") };
    format!("{dataset}, {model}, {epochs}, {}", judging.threat)
}
