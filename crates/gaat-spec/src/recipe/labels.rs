//! Soft labels, read from a recipe.

use super::Recipe;
use super::read::within;
use crate::error::{Error, Result};
use crate::method::{BaseMethod, MethodName};
use crate::names::{AttackLabels, SmoothingForm};
use crate::plan::LabelSpec;

/// What the filled recipe `f` asks for, whose images are `mixed` or not. What a method cannot take is refused rather than ignored.
pub(super) fn of(f: &Recipe, method: MethodName, mixed: bool) -> Result<Option<LabelSpec>> {
    let smoothing = within(f.label_smoothing.or(Some(0.0)), "label-smoothing", 0.0, 1.0)?;
    if smoothing >= 1.0 {
        return Err(Error::value("label-smoothing", smoothing, "needs a share below 1, such as 0.1"));
    }
    if smoothing == 0.0 {
        for (key, is_set, others) in [
            ("label-smoothing-form", f.label_smoothing_form.is_some(), ""),
            ("attack-labels", f.attack_labels.is_some() && !mixed, ", mixup or cutmix"),
        ] {
            if is_set {
                let reason = format!("means nothing without label-smoothing = SHARE{others}");
                return Err(Error::value(key, "set", reason));
            }
        }
        if !mixed {
            return Ok(None);
        }
    }
    if method.base == BaseMethod::Mart {
        let reason = "the loss of mart is made of the probability of one class, so that labels cannot be soft; leave \
                      label-smoothing out, or use trades";
        return Err(Error::value("label-smoothing", smoothing, reason));
    }
    Ok(Some(LabelSpec {
        smoothing,
        form: f.label_smoothing_form.unwrap_or(SmoothingForm::Even),
        in_attack: in_attack(f, method, mixed)?,
    }))
}

/// Where images are mixed an attack climbs the loss of both classes unless the recipe says otherwise.
fn in_attack(f: &Recipe, method: MethodName, mixed: bool) -> Result<bool> {
    let Some(labels) = f.attack_labels else {
        return Ok(method.base.climbs_soft_labels() || mixed && method.base != BaseMethod::Trades);
    };
    let refused =
        |why: &str| Err(Error::value("attack-labels", labels, format!("{method} {why}; leave it out")));
    match (method.base, labels) {
        (BaseMethod::Natural, _) => refused("attacks nothing"),
        (BaseMethod::Trades, _) => refused("climbs a divergence, which has no labels"),
        (base, AttackLabels::Hard) if base.shares_the_gradient() => {
            refused("attacks with the gradient of the descent, whose labels are soft")
        }
        (_, labels) => Ok(labels == AttackLabels::Soft),
    }
}
