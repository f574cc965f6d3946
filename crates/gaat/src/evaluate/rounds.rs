//! Judging in rounds: batch after batch of each stage of the plan, several at once and in several processes, entered into the ledger.

use super::crew::Crew;
use super::judge::Judge;
use super::ledger::{Entry, Ledger};
use super::plan::{Planned, Task, plan};
use super::saved::Saved;
use super::{EvaluateOptions, Progress, Set, Stage};
use crate::batch::{Batch, Images};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::libtorch::Doing as _;
use crate::nn::{Classifier, Rng, try_algorithms};
use crate::world::{World, any, documents};
use gaat_spec::{Passes, Shard};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::time::Instant;
use tch::Kind;

/// Which batches are judged, by whom, and where what was found is kept.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) world: &'a dyn World,
    pub(super) shard: Shard,
    pub(super) saved: Option<&'a Saved>,
}

/// Judges what of `part` is not in the `ledger` yet.
pub(super) fn judge(
    classifier: &dyn Classifier,
    Set { images, .. }: &Set<'_>,
    options: &EvaluateOptions,
    part: Part<'_>,
    ledger: &mut Ledger,
    observer: &mut dyn FnMut(&Progress) -> Control,
) -> Result<()> {
    try_algorithms(false);
    let plan = plan(options, classifier.class_count() as usize)?;
    let own: Vec<usize> = part.shard.batches(images.batch_count(options.batch_size)).collect();
    let mut crew = Crew::new(classifier, own.len().div_ceil(part.world.size()))?;
    let run = Run { images, plan: &plan, options, kind: classifier.store().kind(), part, own: &own };
    run.stages(&mut crew, ledger, observer)
}

/// An evaluation under way.
struct Run<'a> {
    images: &'a Images<'a>,
    plan: &'a [Planned],
    options: &'a EvaluateOptions,
    kind: Kind,
    part: Part<'a>,
    /// Numbers of the batches to be judged; the ledger has them in this order.
    own: &'a [usize],
}

/// One batch to be judged.
struct Job {
    index: usize,
    batch: Batch,
    /// Places of the images that are attacked.
    standing: Vec<i64>,
}

impl Run<'_> {
    /// Runs what is left of the plan, and writes it into the ledger.
    fn stages(
        &self,
        crew: &mut Crew<'_>,
        ledger: &mut Ledger,
        observer: &mut dyn FnMut(&Progress) -> Control,
    ) -> Result<()> {
        let Part { world, saved, .. } = self.part;
        // A round is as large as all processes can judge at once.
        let hands = self.common_hands(crew)?;
        for (stage, planned) in self.plan.iter().enumerate() {
            if ledger.stages.len() == stage {
                ledger.stages.push(Entry::default());
            }
            while let first = ledger.stages[stage].survivors.len()
                && first < self.own.len()
            {
                let last = (first + hands * world.size()).min(self.own.len());
                let mine = |rank: usize| (first + hands * rank).min(last);
                let found = self.batches(crew, planned, mine(world.rank())..mine(world.rank() + 1), ledger);
                self.enter(&found?, &mut ledger.stages[stage])?;
                if let Some(saved) = saved {
                    saved.write(ledger)?;
                }
                let (done, total) = (self.images_in(&self.own[..last]), self.images_in(self.own));
                let robust_accuracy = ledger.stages[stage].withstood() as f64 / done as f64;
                let stage = match &planned.task {
                    Task::Clean => Stage::Clean,
                    Task::Attack(..) | Task::Curve(..) => Stage::Attack { name: planned.name.clone() },
                };
                let control = observer(&Progress { stage, done, total, robust_accuracy });
                if any(world, control == Control::Stop)? {
                    return Err(Error::Interrupted);
                }
            }
        }
        Ok(())
    }

    /// Batches that each process judges at once: as many as the one with the fewest hands.
    fn common_hands(&self, crew: &Crew<'_>) -> Result<usize> {
        let own = (crew.hands() as u64).to_le_bytes().to_vec();
        let all = documents(self.part.world, own)?;
        let hands = |bytes: &Vec<u8>| {
            bytes.as_slice().try_into().map_or(1, |bytes| u64::from_le_bytes(bytes) as usize)
        };
        Ok(all.iter().map(hands).min().unwrap_or(1))
    }

    /// Images in the batches of these numbers.
    fn images_in(&self, batches: &[usize]) -> usize {
        let (size, images) = (self.options.batch_size, self.images.len());
        batches.iter().map(|batch| size.min(images - batch * size)).sum()
    }

    /// Some of the own batches of one stage, at the same time.
    fn batches(
        &self,
        crew: &mut Crew<'_>,
        planned: &Planned,
        places: Range<usize>,
        ledger: &Ledger,
    ) -> Result<Found> {
        let started = Instant::now();
        let jobs = places.map(|place| self.job(planned, place, ledger)).collect::<Result<Vec<_>>>()?;
        let rng = Rng::new(self.options.seed);
        let found = crew.each(jobs, |classifier, Job { index, batch, standing }| {
            let judge = Judge { classifier, rng };
            match &planned.task {
                Task::Clean => Ok((judge.clean(&batch, index)?, Passes::default())),
                Task::Attack(_, part) | Task::Curve(part) => {
                    judge.attack((part, &planned.threat), &batch, index, &standing)
                }
            }
        });
        let doing = |one: Result<_>| one.doing(|| format!("judging under {}", planned.name));
        let batches = found.into_iter().map(doing).collect::<Result<_>>()?;
        Ok(Found { batches, seconds: started.elapsed().as_secs_f64() })
    }

    /// Enters what every process has `found` in a round, in the order of the batches.
    fn enter(&self, found: &Found, entry: &mut Entry) -> Result<()> {
        let own = serde_json::to_vec(found).map_err(std::io::Error::from)?;
        let mut seconds = 0f64;
        for found in documents(self.part.world, own)? {
            let found: Found = serde_json::from_slice(&found).map_err(std::io::Error::from)?;
            for (left, passes) in found.batches {
                entry.survivors.push(left);
                entry.passes += passes;
            }
            seconds = seconds.max(found.seconds);
        }
        entry.seconds += seconds;
        Ok(())
    }

    fn job(&self, planned: &Planned, place: usize, ledger: &Ledger) -> Result<Job> {
        let index = self.own[place];
        let batch = self.images.batch(index, self.options.batch_size, self.kind)?;
        let before = ledger.stages.get(planned.after).and_then(|before| before.survivors.get(place));
        Ok(Job { index, batch, standing: before.cloned().unwrap_or_default() })
    }
}

/// What one process has found in a round.
#[derive(Serialize, Deserialize)]
struct Found {
    /// Places of the images that withstood, and the passes, of each batch.
    batches: Vec<(Vec<i64>, Passes)>,
    seconds: f64,
}
