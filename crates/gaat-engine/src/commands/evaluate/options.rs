//! What `gaat evaluate` is to judge, out of its arguments.

use crate::commands::selection;
use anyhow::{Result, bail};
use gaat::evaluate::{EvaluateOptions, ProbeOptions};
use gaat::world::World;
use gaat_cli::arguments::EvaluateArguments;
use gaat_study::attacks::Attacks;
use gaat_study::question::{Bounds, Question};
use gaat_study::{Subject, Work};

pub(super) fn options(arguments: &EvaluateArguments, subject: &Subject) -> Result<EvaluateOptions> {
    let attacked = &arguments.attacked;
    let question = Question {
        norm: attacked.norm,
        epsilon: attacked.epsilon,
        attacks: Attacks { names: &arguments.attack, budget: arguments.budget },
        curve: if arguments.curve { Bounds::Usual } else { Bounds::These(&arguments.epsilons) },
        curve_attack: arguments.curve_attack,
    };
    let options = EvaluateOptions {
        limit: attacked.limit.or(attacked.first),
        selection: selection(attacked.first),
        seed: attacked.seed,
        probes: Some(ProbeOptions { images: arguments.probe_images, noise_draws: arguments.noise_draws }),
        ..subject.asked(&question, attacked.batch_size)?
    };
    if arguments.svg.is_some() && options.curve.is_empty() {
        bail!("--svg draws robust accuracy over epsilon; add --curve or --epsilons");
    }
    Ok(options)
}

/// What of it is done by this process.
pub(super) fn work<'a>(arguments: &'a EvaluateArguments, world: &'a dyn World) -> Work<'a> {
    match (arguments.shard, arguments.state.as_deref()) {
        _ if !arguments.merge.is_empty() => Work::Merge(&arguments.merge),
        (Some(shard), Some(state)) => Work::Part { shard, state },
        (_, state) => Work::Whole { world, state },
    }
}
