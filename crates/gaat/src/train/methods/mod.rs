//! Training methods, one file each.

mod awp;
mod fgsm_rs;
mod free;
mod gaat;
mod mep;
mod n_fgsm;
mod natural;
mod rat;

pub use awp::Awp;
pub use fgsm_rs::FgsmRs;
pub use free::Free;
pub use gaat::Gaat;
pub use mep::FgsmMep;
pub use n_fgsm::NFgsm;
pub use natural::Natural;
pub use rat::Rat;

use super::{Setting, TrainingMethod};
use crate::Result;
use gaat_spec::{AwpSpec, MethodSpec};

/// The method of a specification, its weights perturbed where `awp` says so.
///
/// # Errors
/// When the device has no room for what the method remembers.
pub fn build(spec: MethodSpec, awp: Option<AwpSpec>, setting: &Setting) -> Result<Box<dyn TrainingMethod>> {
    let method: Box<dyn TrainingMethod> = match spec {
        MethodSpec::Natural => Box::new(Natural),
        MethodSpec::Rat(pgd) => Box::new(Rat::new(pgd)),
        MethodSpec::Gaat(gaat) => Box::new(Gaat::new(gaat)),
        MethodSpec::FgsmRs { step_size } => Box::new(FgsmRs::new(step_size)),
        MethodSpec::NFgsm { step_size, noise } => Box::new(NFgsm::new(step_size, noise)),
        MethodSpec::Free { step_size, .. } => Box::new(Free::new(step_size, setting)?),
        MethodSpec::FgsmMep { step_size, regularization, reset_epochs } => {
            Box::new(FgsmMep::new(step_size, regularization, reset_epochs, setting)?)
        }
        _ => return Err(crate::Error::Usage("not there yet".to_owned())),
    };
    Ok(match awp {
        Some(awp) => Box::new(Awp::new(method, awp)),
        None => method,
    })
}
