//! Training methods, one file each.

mod gaat;
mod natural;
mod rat;

pub use gaat::Gaat;
pub use natural::Natural;
pub use rat::Rat;

use super::TrainingMethod;
use gaat_spec::MethodSpec;

/// The method of a specification.
pub fn build(spec: MethodSpec) -> Box<dyn TrainingMethod> {
    match spec {
        MethodSpec::Natural => Box::new(Natural),
        MethodSpec::Rat(pgd) => Box::new(Rat::new(pgd)),
        MethodSpec::Gaat(gaat) => Box::new(Gaat::new(gaat)),
    }
}
