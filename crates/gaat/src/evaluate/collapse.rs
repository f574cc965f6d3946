//! What a judgement says of a collapse, by the rule of [`gaat_spec::collapse`].

use gaat_spec::Evaluation;
use gaat_spec::collapse::Training;

/// The alarm of a network that withstands one step, or the attack of its training, and falls to many steps.
pub(super) fn alarm(training: &Training, verdict: &Evaluation) -> Option<String> {
    let found = training.collapse(verdict)?;
    let meaning = match training.method {
        Some(method) => format!("{method} has collapsed, and the accuracy under one step says nothing about robustness"),
        None => "if the network was trained by attacks of one step, the training has collapsed; a network that was trained on clean images alone may look \
                 the same"
            .to_owned(),
    };
    Some(format!("collapse: {found}: {meaning}"))
}

/// What the same numbers mean for a network that was never trained against attacks.
pub(super) fn note(training: &Training, verdict: &Evaluation) -> Option<String> {
    let found = training.gap(verdict).filter(|_| training.is_natural())?;
    Some(format!(
        "{found}: the network was trained on clean images alone and never was robust, so that this is no collapse; the accuracy under \
         one step says nothing about robustness"
    ))
}
