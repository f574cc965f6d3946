//! Mixed images and extra images, read from a recipe.

use super::Recipe;
use super::read::within;
use crate::error::{Error, Result};
use crate::method::{BaseMethod, MethodName};
use crate::one_step::AttackStart;
use crate::plan::{ExtraSpec, MixSpec};

/// How the filled recipe `f` mixes the images of a batch; `None` where it does not. Methods that need one class for each image, or the
/// same image again, are refused by name.
pub(super) fn mixing(f: &Recipe, method: MethodName) -> Result<Option<MixSpec>> {
    let mixup = within(f.mixup.or(Some(0.0)), "mixup", 0.0, 1.0)?;
    let cutmix = within(f.cutmix.or(Some(0.0)), "cutmix", 0.0, 1.0)?;
    let (key, value) = if mixup > 0.0 { ("mixup", mixup) } else { ("cutmix", cutmix) };
    if value == 0.0 {
        return Ok(None);
    }
    let refused = |why: &str| Err(Error::value(key, value, format!("{method} {why}; leave {key} out")));
    if method.base.remembers_images() {
        return refused("remembers a perturbation of each image, and a mixed image does not come again");
    }
    if method.base == BaseMethod::Mart {
        return refused("weighs images by the probability of one class, and a mixed image has two");
    }
    if f.start == Some(AttackStart::LabelIndicative) {
        return refused(
            "starts at a perturbation of the image's class (start = label-indicative), and a mixed image has two",
        );
    }
    Ok(Some(MixSpec { mixup, cutmix }))
}

/// The extra images that the filled recipe `f` names.
pub(super) fn extra(f: &Recipe, method: MethodName) -> Result<Option<ExtraSpec>> {
    let Some(file) = &f.extra_data else {
        return match f.extra_share {
            Some(share) => {
                Err(Error::value("extra-share", share, "means nothing without extra-data = FILE.npz"))
            }
            None => Ok(None),
        };
    };
    let share = within(f.extra_share.or(Some(EXTRA_SHARE)), "extra-share", 0.0, 1.0)?;
    if share == 0.0 || share == 1.0 {
        let reason = "needs a share of every batch between 0 and 1, both excluded, such as 0.7";
        return Err(Error::value("extra-share", share, reason));
    }
    if method.base.remembers_images() {
        let reason = format!(
            "{method} remembers a perturbation of each image from epoch to epoch, and an extra image may not come again for many; leave \
             extra-data out"
        );
        return Err(Error::value("extra-data", file.display(), reason));
    }
    Ok(Some(ExtraSpec { share }))
}

/// Share of a batch that is extra where the recipe does not say: Rebuffi et al. (2021) and Wang et al. (2023) with up to a million
/// images.
const EXTRA_SHARE: f64 = 0.7;
