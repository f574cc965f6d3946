//! The keys of attacks of one gradient, read from a recipe.

use super::Recipe;
use super::method::step_size;
use super::read::within;
use crate::error::{Error, Result};
use crate::method::{BaseMethod, MethodName, Refinement};
use crate::one_step::{AttackStart, OneStepSpec, OpeningSpec, Projection, StepDraw};

/// Refuses keys of one gradient where `method` does not go by one, rather than ignore them.
pub(super) fn check_keys(f: &Recipe, method: MethodName) -> Result<()> {
    type Takes = fn(BaseMethod) -> bool;
    let (opens, steps): (Takes, Takes) = (BaseMethod::has_opening, BaseMethod::is_one_step);
    let set = [
        ("start", f.start.is_some(), opens),
        ("step-draw", f.step_draw.is_some(), opens),
        ("project", f.project.is_some(), opens),
        ("zeroed", f.zeroed.is_some(), steps),
        ("step-limit", f.step_limit.is_some(), steps),
    ];
    for (key, is_set, takes) in set {
        if is_set && !takes(method.base) {
            let known = BaseMethod::ALL.iter().filter(|base| takes(**base));
            let known = known.map(|base| base.as_str()).collect::<Vec<_>>().join(", ");
            let reason =
                format!("{method} does not go one step along one gradient; the key applies to {known}");
            return Err(Error::value(key, "set", reason));
        }
    }
    Ok(())
}

/// How the attack of `base` begins where the recipe says nothing else.
pub(super) fn opening(f: &Recipe, base: BaseMethod) -> Result<OpeningSpec> {
    Ok(OpeningSpec {
        start: f.start.unwrap_or(AttackStart::Noise),
        noise: within(f.noise.or(Some(1.0)), "noise", 0.0, 100.0)?,
        draw: f.step_draw.unwrap_or(StepDraw::Fixed),
        projection: projection(f, base)?,
    })
}

fn projection(f: &Recipe, base: BaseMethod) -> Result<Projection> {
    let usual = if base == BaseMethod::NFgsm { Projection::Never } else { Projection::Always };
    let projection = f.project.unwrap_or(usual);
    let has_ratio = base == BaseMethod::Gaat && f.refinement == Some(Refinement::Adaptive);
    if projection == Projection::Adaptive && !has_ratio {
        let reason =
            "goes by the gain ratio that gaat with refinement = adaptive watches; write always or never";
        return Err(Error::value("project", projection, reason));
    }
    Ok(projection)
}

/// The method `base`, one step along one gradient.
pub(super) fn one_step(f: &Recipe, base: BaseMethod) -> Result<OneStepSpec> {
    let zeroed = within(f.zeroed.or(Some(0.0)), "zeroed", 0.0, 1.0)?;
    if zeroed >= 1.0 {
        return Err(Error::value("zeroed", zeroed, "needs a share below 1, or no pixel moves"));
    }
    let limit = within(f.step_limit.or(Some(0.0)), "step-limit", 0.0, 100.0)?;
    if limit > 0.0 && f.consistency.is_some_and(|weight| weight > 0.0) {
        let reason = "goes by the gradient of the loss alone, which a descent with consistency does not leave; leave one of them out";
        return Err(Error::value("step-limit", limit, reason));
    }
    let limit = (limit > 0.0).then_some(limit);
    Ok(OneStepSpec { step_size: step_size(f)?, opening: opening(f, base)?, zeroed, limit })
}
