//! Larger budgets: more steps must not leave more, nor a larger ball, and in one that holds every image nothing may be
//! left (Athalye et al. 2018; Carlini et al. 2019, section 5).

use super::{Prober, all_places, percent};
use crate::attack::survival::survivors;
use crate::batch::Batch;
use crate::error::Result;
use crate::evaluate::judge::build;
use gaat_spec::evaluation::{BudgetProbe, Probes};
use gaat_spec::{AttackSpec, Norm, PixelLength, ThreatModel};

const FEW_STEPS: usize = 10;
const MANY_STEPS: usize = 40;
/// Share of the images by which a larger budget may leave more: other steps end elsewhere.
const SLACK: f64 = 0.01;

/// PGD as it is, with more steps, in twice the ball, and in one that holds every image.
pub(super) fn probe(prober: &Prober, batch: &Batch) -> Result<Vec<BudgetProbe>> {
    let own = prober.threat;
    let whole = whole_box(own.norm(), batch)?;
    let doubled = own.epsilon_length().scaled(2.0);
    let doubled = if doubled.value() < whole.value() { doubled } else { whole };
    let budgets = [
        (FEW_STEPS, own),
        (MANY_STEPS, own),
        (FEW_STEPS, ThreatModel::new(own.norm(), doubled)?),
        (MANY_STEPS, ThreatModel::new(own.norm(), whole)?),
    ];
    budgets.into_iter().map(|(steps, threat)| under(prober, batch, steps, &threat)).collect()
}

/// The most that parts two images of the box.
fn whole_box(norm: Norm, batch: &Batch) -> Result<PixelLength> {
    let numbers: i64 = batch.pixels.size()[1..].iter().product();
    let most = match norm {
        Norm::Linf => 1.0,
        Norm::L2 => (numbers as f64).sqrt(),
    };
    Ok(PixelLength::new(most)?)
}

fn under(prober: &Prober, batch: &Batch, steps: usize, threat: &ThreatModel) -> Result<BudgetProbe> {
    let attack = AttackSpec::pgd(threat, steps, 1, None)?;
    let draws = prober.rng.seeded("evaluate/budget", 0);
    let built = build(&attack, 0)?;
    let all_places = all_places(batch)?;
    let (left, _) = survivors(prober.classifier, batch, &all_places, built.as_ref(), threat, &draws)?;
    let accuracy = left.size()[0] as f64 / batch.len() as f64;
    Ok(BudgetProbe { attack, epsilon: threat.epsilon_length(), accuracy })
}

pub(super) fn alarms(probes: &Probes) -> Vec<String> {
    let [few, many, wide, everything] = probes.budget.as_slice() else { return Vec::new() };
    let slack = SLACK.max(1.0 / probes.examples as f64);
    let said = |probe: &BudgetProbe| {
        format!("{} at epsilon {} leaves {}", probe.attack, probe.epsilon, percent(probe.accuracy))
    };
    let mut found = Vec::new();
    for more in [many, wide] {
        if more.accuracy > few.accuracy + slack {
            found.push(format!("more-budget-not-stronger: {}, {}", said(few), said(more)));
        }
    }
    if everything.accuracy > slack {
        found.push(format!(
            "more-budget-not-stronger: {}, although a perturbation of that size can make any image of any other",
            said(everything)
        ));
    }
    found
}
