//! Which runs a comparison consists of, all checked before the first begins.

use crate::arguments::{CheckpointChoice, CompareArguments};
use crate::commands::subject::selection;
use crate::judging::Attacks;
use crate::recipes;
use anyhow::{Context, Result, bail};
use gaat_spec::method::BaseMethod;
use gaat_spec::{
    AttackSpec, Budget, CheckedRecipe, ComputePrecision, MethodName, Recipe, Selection, ThreatModel, bounds,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How every run is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Judging {
    pub(super) threat: ThreatModel,
    pub(super) attacks: Vec<AttackSpec>,
    pub(super) checkpoint: CheckpointChoice,
    pub(super) limit: Option<usize>,
    /// Which images these are.
    #[serde(default = "seeded")]
    pub(super) selection: Selection,
    pub(super) seed: u64,
    /// Older versions judged in that of the training and did not say so: such verdicts are found again.
    #[serde(default)]
    pub(super) precision: Option<ComputePrecision>,
}

/// How images were chosen before there was a choice.
fn seeded() -> Selection {
    Selection::Seeded
}

/// One run.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) method: MethodName,
    pub(super) seed: u64,
    pub(super) directory: PathBuf,
    pub(super) recipe: CheckedRecipe,
}

/// The whole comparison.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) out: PathBuf,
    pub(super) title: String,
    pub(super) threads: Option<usize>,
    pub(super) judging: Judging,
    pub(super) jobs: Vec<Job>,
}

impl Plan {
    pub(super) fn new(arguments: &CompareArguments) -> Result<Self> {
        if arguments.recipe.method.is_some() {
            bail!("--method is for one run; a comparison takes --methods natural,rat,gaat");
        }
        let seeds = bounds::SEEDS.check(usize::try_from(arguments.seeds).unwrap_or(usize::MAX))?;
        let written = recipes::read(arguments.file.as_deref(), &arguments.recipe)?;
        check_methods(&arguments.methods)?;
        check_policy(&written, &arguments.methods)?;
        let shared = shared(&written)?;
        let out = arguments
            .out
            .clone()
            .unwrap_or_else(|| PathBuf::from(format!("runs/compare-{}-{}", shared.dataset, shared.model)));
        let judging = judging(arguments, &shared)?;
        let mut jobs = Vec::new();
        for offset in 0..seeds as u64 {
            let seed = shared
                .plan
                .seed()
                .checked_add(offset)
                .context("--seed and --seeds count beyond all numbers")?;
            for method in &arguments.methods {
                jobs.push(job(&written, *method, seed, &out)?);
            }
        }
        Ok(Self { title: title(&shared, &judging), threads: shared.resolved.threads, out, judging, jobs })
    }
}

/// What all methods have in common: the recipe without method and sections. Natural training asks the least of it.
fn shared(written: &Recipe) -> Result<CheckedRecipe> {
    let recipe = Recipe { methods: BTreeMap::new(), delay: None, on_collapse: None, ..written.clone() };
    Ok(Recipe { method: Some(MethodName::plain(BaseMethod::Natural)), ..recipe }.check()?)
}

fn job(written: &Recipe, method: MethodName, seed: u64, out: &Path) -> Result<Job> {
    // A delay that is shared is meant for the methods that are delayed by name.
    let delay = written.delay.filter(|_| method.delayed);
    let recipe = Recipe { seed: Some(seed), delay, ..written.clone() };
    let recipe = recipe.for_method(method)?.check().with_context(|| format!("method {method}"))?;
    if recipe.plan.seed() != seed {
        bail!("[methods.{method}] sets a seed; seeds are counted up from --seed for all methods alike");
    }
    Ok(Job { method, seed, directory: out.join(format!("{method}-s{seed}")), recipe })
}

/// Refuses a method that is named twice.
fn check_methods(methods: &[MethodName]) -> Result<()> {
    for (index, method) in methods.iter().enumerate() {
        if methods[..index].contains(method) {
            bail!("--methods names {method} twice");
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
        bail!(
            "on-collapse = {policy}: {lacking} reports no gain ratio, nor does any other of --methods; leave it out"
        );
    }
    let section = |method: &&MethodName| {
        let name = method.to_string();
        // TOML takes a plus within quotes alone.
        if name.contains('+') { format!("[methods.\"{name}\"]") } else { format!("[methods.{name}]") }
    };
    let sections: Vec<String> = others.iter().map(section).collect();
    bail!(
        "on-collapse = {policy}: {lacking} reports no gain ratio; set it in the recipe for the others alone, below {}",
        sections.join(" and ")
    )
}

fn judging(arguments: &CompareArguments, shared: &CheckedRecipe) -> Result<Judging> {
    let judge = &arguments.judge;
    let attacks = Attacks {
        names: &judge.judge,
        budget: Budget {
            steps: judge.judge_steps,
            restarts: judge.judge_restarts,
            step_size: judge.judge_step_size,
            random_start: judge.judge_random_start,
            ..Budget::default()
        },
    };
    let limit = judge.judge_limit.or(judge.judge_first);
    limit.map(|limit| bounds::JUDGE_LIMIT.check(limit)).transpose()?;
    Ok(Judging {
        threat: shared.plan.threat(),
        attacks: attacks.specs(&shared.plan.threat(), shared.dataset)?,
        checkpoint: judge.checkpoint,
        limit,
        selection: selection(judge.judge_first),
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
