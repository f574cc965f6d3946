//! The numbers of a method, read from a recipe.

use super::Recipe;
use super::read::{count, need, within};
use crate::bounds;
use crate::error::{Error, Result};
use crate::method::{Anchor, AwpSpec, BaseMethod, GaatSpec, MethodName, MethodSpec, PgdSpec};
use crate::threat::PixelLength;

/// The method that the filled recipe `f` asks for.
pub(super) fn of(f: &Recipe, method: MethodName) -> Result<MethodSpec> {
    Ok(match method.base {
        BaseMethod::Natural => MethodSpec::Natural,
        BaseMethod::Rat => MethodSpec::Rat(pgd(f)?),
        BaseMethod::Gaat | BaseMethod::GaatPaper | BaseMethod::GaatPaperDiagonal => {
            MethodSpec::Gaat(gaat(f)?)
        }
        BaseMethod::GaatMemory => {
            MethodSpec::GaatMemory { step_size: step_size(f)?, noise: within(f.noise, "noise", 0.0, 100.0)? }
        }
        BaseMethod::FgsmRs => MethodSpec::FgsmRs { step_size: step_size(f)? },
        BaseMethod::NFgsm => {
            MethodSpec::NFgsm { step_size: step_size(f)?, noise: within(f.noise, "noise", 0.0, 100.0)? }
        }
        BaseMethod::Free | BaseMethod::GaatFree => MethodSpec::Free {
            step_size: step_size(f)?,
            replays: count(f.replays, bounds::REPLAYS)?,
            random_start: need(f.random_start, "random-start")?,
        },
        BaseMethod::FgsmMep => MethodSpec::FgsmMep {
            step_size: step_size(f)?,
            regularization: regularization(f)?,
            reset_epochs: count(f.memory_reset, bounds::MEMORY_RESET)?,
        },
        BaseMethod::GradAlign => {
            MethodSpec::GradAlign { step_size: step_size(f)?, regularization: regularization(f)? }
        }
        BaseMethod::Trades => MethodSpec::Trades { attack: pgd(f)?, regularization: regularization(f)? },
        BaseMethod::Mart => MethodSpec::Mart { attack: pgd(f)?, regularization: regularization(f)? },
    })
}

/// The weight perturbation of `awp+METHOD`.
pub(super) fn awp(f: &Recipe) -> Result<AwpSpec> {
    let gamma = within(f.awp_gamma, "awp-gamma", 0.0, 1.0)?;
    if gamma == 0.0 {
        return Err(Error::value("awp-gamma", gamma, "needs a share over 0; or leave `awp+` out"));
    }
    Ok(AwpSpec { gamma, warmup_epochs: count(f.awp_warmup, bounds::AWP_WARMUP)? })
}

fn gaat(f: &Recipe) -> Result<GaatSpec> {
    let PgdSpec { steps, step_size, random_start } = pgd(f)?;
    let anchor = need(f.anchor, "anchor")?;
    if anchor == Anchor::RandomStart && !random_start {
        return Err(Error::value("anchor", anchor, "needs random-start = true"));
    }
    let curvature = need(f.curvature, "curvature")?;
    let draws = count(f.curvature_draws, bounds::CURVATURE_DRAWS)?;
    let refreshes = count(f.refreshes, bounds::REFRESHES)?;
    if refreshes > steps {
        let reason = format!("needs at most one for each of {steps} steps");
        return Err(Error::value("refreshes", refreshes, reason));
    }
    let refinement = need(f.refinement, "refinement")?;
    Ok(GaatSpec { steps, step_size, random_start, curvature, anchor, draws, refreshes, refinement })
}

fn pgd(f: &Recipe) -> Result<PgdSpec> {
    let steps = count(f.steps, bounds::STEPS)?;
    Ok(PgdSpec { steps, step_size: step_size(f)?, random_start: need(f.random_start, "random-start")? })
}

fn step_size(f: &Recipe) -> Result<PixelLength> {
    let step_size = need(f.step_size, "step-size")?;
    if step_size.value() == 0.0 {
        return Err(Error::value("step-size", step_size, "needs a length over 0"));
    }
    Ok(step_size)
}

fn regularization(f: &Recipe) -> Result<f64> {
    within(f.regularization, "regularization", 0.0, 1e6)
}
