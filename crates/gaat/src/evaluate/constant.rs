//! A network that says the same of every image: nothing fools it, so that it looks perfectly robust.

use crate::batch::Images;
use crate::error::Result;
use crate::nn::{Classifier, Mode, answer};
use gaat_spec::ClassResult;

/// Images that may be taken for another class than nearly all are, as a share of those that are of another class.
const SLACK: f64 = 0.01;

/// The alarm of a network that takes nearly all of `images` for one class, though they have several; `classes` is what was
/// found for each class of them.
pub(super) fn alarm(
    classifier: &dyn Classifier,
    images: &Images,
    batch_size: usize,
    classes: &[ClassResult],
) -> Result<Option<String>> {
    let total = images.len();
    let right: Vec<usize> = classes.iter().map(right).collect();
    let all_right: usize = right.iter().sum();
    // Whatever is correctly taken for another class is one image less of the one: most networks need no second look.
    let may_be = |class: usize| is_constant(total, classes, class, total - (all_right - right[class]));
    if !(0..classes.len()).any(may_be) {
        return Ok(None);
    }
    let answers = answers(classifier, images, batch_size, classes.len())?;
    let constant = (0..classes.len()).find(|class| is_constant(total, classes, *class, answers[*class]));
    Ok(constant.map(|class| {
        format!(
            "constant-predictor: {} of {total} images are classified as {}, although {} images are of that class: a network that gives one \
             class to all images is never fooled, and its robust accuracy means nothing",
            answers[class], classes[class].name, classes[class].examples
        )
    }))
}

/// How many images of a class were classified correctly.
fn right(class: &ClassResult) -> usize {
    (class.clean_accuracy * class.examples as f64).round() as usize
}

/// Whether `taken` of `total` images for `class` are nearly all, beside those that are of another class. Images of one
/// class alone prove nothing.
fn is_constant(total: usize, classes: &[ClassResult], class: usize, taken: usize) -> bool {
    let of_others = total - classes[class].examples;
    of_others > 0 && (total - taken) as f64 <= SLACK * of_others as f64
}

/// How many images are taken for each of the classes.
fn answers(
    classifier: &dyn Classifier,
    images: &Images,
    batch_size: usize,
    classes: usize,
) -> Result<Vec<usize>> {
    let mut counts = vec![0; classes];
    for (_, batch) in images.batches(batch_size, classifier.store().kind()) {
        let logits = tch::no_grad(|| classifier.logits(&batch?.pixels, Mode::Eval))?;
        for answer in Vec::<i64>::try_from(answer::verdicts(&logits)?)? {
            if let Some(count) = counts.get_mut(answer as usize) {
                *count += 1;
            }
        }
    }
    Ok(counts)
}
