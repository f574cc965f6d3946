//! A few test images with what an attack does to them, for people to look at.

use crate::error::{Error, Result};
use crate::evaluate::{GradientSource, PerturbOptions, amplified, perturb};
use crate::explain::{attribution, coloured, methods_for};
use crate::nn::Classifier;
use crate::pictures::{png, rgb};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gaat_data::{ImageSet, ImageSource};
use gaat_spec::gallery::{Example, Picture, SCHEMA};
use gaat_spec::{AttackSpec, Gallery, Selection, ThreatModel};
use tch::Tensor;

/// Images shown at most.
const MOST: usize = 10;
/// Steps of PGD: enough to show what the network is open to, few enough to cost nothing beside an evaluation.
const STEPS: usize = 20;

/// The first image of each class of `images`, of ten classes at most: clean, under PGD with exact gradients, and what the
/// network looks at in the clean one.
///
/// # Errors
/// When there is no image, or the attack fails.
pub fn gallery(
    classifier: &dyn Classifier,
    images: &dyn ImageSource,
    threat: ThreatModel,
    seed: u64,
) -> Result<Gallery> {
    let chosen = ImageSet::of(images, &first_of_each_class(images))?;
    let attack = AttackSpec::pgd(&threat, STEPS, 1, None)?;
    let options = PerturbOptions {
        threat,
        attack,
        gradient: GradientSource::Exact,
        batch_size: MOST,
        limit: None,
        selection: Selection::Seeded,
        seed,
    };
    let found = perturb(classifier, &chosen, &options)?;
    let (difference, amplification) = amplified(&found.clean, &found.perturbed)?;
    let views = [("clean", &found.clean), ("perturbed", &found.perturbed), ("difference", &difference)];
    let views = views.map(|(name, images)| Ok((name, encoded(images)?)));
    let mut views = views.into_iter().collect::<Result<Vec<_>>>()?;
    let device = classifier.store().device();
    let (clean, labels) = (found.clean.f_to_device(device)?, found.labels.f_to_device(device)?);
    for method in methods_for(classifier) {
        let found = attribution(classifier, &clean, &labels, method, seed)?;
        views.push((method.as_str(), encoded(&coloured(&found)?)?));
    }
    let names = |classes: &Tensor| -> Result<Vec<String>> {
        let classes = Vec::<i64>::try_from(classes.shallow_clone())?;
        classes.into_iter().map(|class| name(images, class)).collect()
    };
    let words = names(&found.labels)?.into_iter().zip(names(&found.clean_predictions)?);
    let examples = words.zip(names(&found.predictions)?).enumerate();
    let examples = examples.map(|(index, ((label, clean_prediction), prediction))| {
        let picture = |(name, pngs): &(&str, Vec<String>)| Picture {
            name: (*name).to_owned(),
            png: pngs[index].clone(),
        };
        Example { label, clean_prediction, prediction, pictures: views.iter().map(picture).collect() }
    });
    let precision = Some(classifier.compute_precision());
    let (schema, examples) = (SCHEMA.to_owned(), examples.collect());
    Ok(Gallery { schema, threat, attack, precision, amplification, examples })
}

fn first_of_each_class(images: &dyn ImageSource) -> Vec<usize> {
    let labels = images.labels();
    (0..images.class_names().len())
        .filter_map(|class| labels.iter().position(|label| *label == class as i64))
        .take(MOST)
        .collect()
}

/// Each of `images` (`[N, C, H, W]`) as a PNG in base64.
fn encoded(images: &Tensor) -> Result<Vec<String>> {
    rgb(images)?.f_unbind(0)?.iter().map(|picture| Ok(STANDARD.encode(png(picture)?))).collect()
}

fn name(images: &dyn ImageSource, class: i64) -> Result<String> {
    let found = usize::try_from(class).ok().and_then(|class| images.class_names().get(class));
    found.cloned().ok_or_else(|| {
        let known = images.class_names().len();
        Error::Usage(format!("the network answers class {class}, and the images have {known} classes"))
    })
}
