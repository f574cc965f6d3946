//! Turns: each side does a work once a round, so that a disturbance of the machine hits all of them.

use crate::check::Guard;
use crate::outcome::{Measured, Outcome};
use crate::sample::Sample;
use crate::side::Side;
use crate::work::Work;
use crate::{RunArguments, synthetic};
use anyhow::Context as _;

/// Measures `works`, each in the rounds that were asked for and in as many more as `guard` needs to decide.
pub(crate) fn measure(arguments: &RunArguments, works: &[Work], guard: &Guard) -> anyhow::Result<Outcome> {
    let data = tempfile::tempdir()?;
    if works.iter().any(|work| matches!(work, Work::Step { .. } | Work::Epoch { .. } | Work::InPython { .. }))
    {
        synthetic::write(data.path())?;
    }
    let mut outcome = Outcome::new(&arguments.device, arguments.threads, arguments.rounds);
    for work in works {
        let mut turns: Vec<(Side, Vec<Sample>)> =
            Side::of(work, &arguments.sides, &arguments.device, arguments.earlier.is_some())
                .into_iter()
                .map(|side| (side, Vec::new()))
                .collect();
        if matches!(work, Work::Exported { .. }) {
            Side::export(work, data.path(), arguments)?;
        }
        let most = arguments.rounds.max(arguments.most_rounds);
        for round in 1..=most {
            for (side, samples) in &mut turns {
                eprintln!("{work}, round {round} of {} to {most}: {side}", arguments.rounds);
                samples.push(side.turn(work, data.path(), arguments)?);
            }
            let measured: Vec<Measured> =
                turns.iter().map(|(side, samples)| Measured::new(work, *side, samples)).collect();
            if round == most || round >= arguments.rounds && guard.is_decided(&measured) {
                outcome.add(measured);
                break;
            }
        }
        // A benchmark that is cut short has not been in vain.
        if let Some(folder) = &arguments.out {
            outcome.write(folder).with_context(|| format!("writing to {}", folder.display()))?;
        }
    }
    Ok(outcome)
}
