//! The numbers of a method, read from a recipe.

use super::Recipe;
use super::one_step::{check_keys, one_step, opening};
use super::read::{count, need, within};
use crate::bounds;
use crate::error::{Error, Result};
use crate::method::{Anchor, AwpSpec, BaseMethod, Curvature, GaatSpec, MethodName, MethodSpec, PgdSpec};
use crate::one_step::OpeningSpec;
use crate::threat::{Norm, PixelLength, ThreatModel};

/// The method that the filled recipe `f` asks for.
pub(super) fn of(f: &Recipe, method: MethodName) -> Result<MethodSpec> {
    check_keys(f, method)?;
    Ok(match method.base {
        BaseMethod::Natural => MethodSpec::Natural,
        BaseMethod::Rat => MethodSpec::Rat(pgd(f)?),
        BaseMethod::Gaat | BaseMethod::GaatPaper | BaseMethod::GaatPaperDiagonal => {
            MethodSpec::Gaat(gaat(f, method)?)
        }
        BaseMethod::GaatMemory => {
            MethodSpec::GaatMemory { step_size: step_size(f)?, noise: within(f.noise, "noise", 0.0, 100.0)? }
        }
        BaseMethod::FgsmRs
        | BaseMethod::NFgsm
        | BaseMethod::ZeroGrad
        | BaseMethod::Sora
        | BaseMethod::Liet
        | BaseMethod::FgsmUap => MethodSpec::OneStep(one_step(f, method.base)?),
        BaseMethod::Nuat => MethodSpec::Nuat { step_size: step_size(f)?, regularization: regularization(f)? },
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

fn gaat(f: &Recipe, method: MethodName) -> Result<GaatSpec> {
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
    let opening = match method.base {
        BaseMethod::Gaat => opening(f, method.base)?,
        _ => OpeningSpec::USUAL,
    };
    let spec =
        GaatSpec { steps, step_size, random_start, curvature, anchor, draws, refreshes, refinement, opening };
    check_opening(&spec, need(f.norm, "norm")?)?;
    Ok(spec)
}

/// Refuses another beginning than the usual one where there is more than the one gradient of it, rather than begin otherwise for a
/// part of the attack.
fn check_opening(spec: &GaatSpec, norm: Norm) -> Result<()> {
    let is_one_gradient = spec.anchor == Anchor::RandomStart
        && spec.curvature == Curvature::None
        && spec.refreshes == 1
        && (norm == Norm::Linf || spec.steps == 1);
    if spec.opening == OpeningSpec::USUAL || is_one_gradient {
        return Ok(());
    }
    let reason = "needs an attack of one gradient: with gaat leave anchor, curvature and refreshes as they are by default, and under \
                  l2 set steps = 1";
    Err(Error::value("start, step-draw, noise or project", "set", reason))
}

fn pgd(f: &Recipe) -> Result<PgdSpec> {
    let steps = count(f.steps, bounds::STEPS)?;
    Ok(PgdSpec { steps, step_size: step_size(f)?, random_start: need(f.random_start, "random-start")? })
}

pub(super) fn step_size(f: &Recipe) -> Result<PixelLength> {
    let step_size = need(f.step_size, "step-size")?;
    ThreatModel::new(need(f.norm, "norm")?, need(f.epsilon, "epsilon")?)?.check_step(step_size)?;
    Ok(step_size)
}

fn regularization(f: &Recipe) -> Result<f64> {
    within(f.regularization, "regularization", 0.0, 1e6)
}
