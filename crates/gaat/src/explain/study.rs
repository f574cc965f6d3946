//! Several networks explained on the same images: statistics of their maps, and agreement of every two.

use super::{attribution, measures, methods_for, saliency};
use crate::batch::{Choice, Images};
use crate::control::Control;
use crate::device::environment;
use crate::error::{Error, Result};
use crate::libtorch::Doing as _;
use crate::nn::{Classifier, Mode, answer, finite};
use gaat_data::ImageSource;
use gaat_spec::explanation::{
    ExplainedRun, Explanation, MapAgreement, MapStatistics, Mean, Pair, SCHEMA, SaliencyName,
};
use gaat_spec::statistics::{mean, standard_deviation};
use gaat_spec::{Selection, bounds};
use std::time::Instant;
use tch::{Device, Kind, Tensor};

/// Images kept for a picture.
const SHOWN: i64 = 10;

/// A network to explain.
pub struct Subject<'a> {
    /// Run directory, as it goes into the record.
    pub run: String,
    /// How it was trained, as far as known; else its model.
    pub label: String,
    /// Seed of its training, as far as known.
    pub seed: Option<u64>,
    /// The network. All must be on one device and take the same images.
    pub classifier: &'a dyn Classifier,
}

/// How to explain.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainOptions {
    /// Methods; empty for all that every network has.
    pub methods: Vec<SaliencyName>,
    /// Images looked at, of which those count that every network classifies correctly.
    pub limit: usize,
    /// Which images these are: a subset fixed by the seed, or the first ones.
    pub selection: Selection,
    /// Seed of the choice of images and of the noise.
    pub seed: u64,
}

/// Some of the images with the attributions of one network.
#[derive(Debug)]
pub struct Maps {
    /// `[N, C, H, W]` in `[0, 1]`.
    pub images: Tensor,
    /// What [`attribution`] gave by each method.
    pub attributions: Vec<(SaliencyName, Tensor)>,
}

/// What was found, and a few maps of each network to look at.
#[derive(Debug)]
pub struct Explained {
    /// The numbers.
    pub explanation: Explanation,
    /// Maps of each network, in order.
    pub maps: Vec<Maps>,
}

/// Explains every subject on the same of `images`. `observer` hears of each method and subject before it begins.
///
/// # Errors
/// When there is no subject or no image that all classify correctly, when a method is asked of a network that has it not,
/// or when the observer stops.
pub fn explain(
    subjects: &[Subject],
    images: &dyn ImageSource,
    options: &ExplainOptions,
    observer: &mut dyn FnMut(&str) -> Control,
) -> Result<Explained> {
    let started = Instant::now();
    bounds::LIMIT.check(options.limit)?;
    let methods = methods(subjects, options)?;
    let Some(first) = subjects.first() else {
        return Err(Error::Usage("an explanation needs at least one network".to_owned()));
    };
    let store = first.classifier.store();
    let choice = Choice { limit: options.limit, selection: options.selection, seed: options.seed };
    let all = Images::upload_some(images, choice, store.device())?;
    let candidates = all.len();
    let batch = all.range(0, candidates, store.kind())?;
    let (chosen, accuracies) = correctly_classified(subjects, &batch.pixels, &batch.labels)
        .doing(|| format!("classifying the {candidates} images to explain"))?;
    let (pixels, labels) =
        (batch.pixels.f_index_select(0, &chosen)?, batch.labels.f_index_select(0, &chosen)?);
    let shown = spread_out(chosen.size()[0], SHOWN)?.f_to_device(store.device())?;
    let mut runs: Vec<ExplainedRun> = subjects.iter().zip(accuracies).map(explained).collect();
    let mut maps: Vec<Maps> = Vec::with_capacity(subjects.len());
    for _ in subjects {
        maps.push(Maps { images: pixels.f_index_select(0, &shown)?, attributions: Vec::new() });
    }
    let mut pairs = every_two(subjects.len());
    for method in methods {
        let mut saliencies = Vec::with_capacity(subjects.len());
        for (index, subject) in subjects.iter().enumerate() {
            if let Control::Stop = observer(&format!("{method}: {}", subject.run)) {
                return Err(Error::Interrupted);
            }
            let found = attribution(subject.classifier, &pixels, &labels, method, options.seed)
                .doing(|| format!("explaining {} by {method}", subject.run))?;
            if let Some(fault) = finite::fault(&found)? {
                return Err(Error::NotFinite(format!("the {method} maps of {}: {fault}", subject.run)));
            }
            let map = rows(&saliency(&found)?)?;
            runs[index].maps.push(MapStatistics {
                method,
                sparsity: over_images(map.iter().map(|map| measures::gini(map))),
                alignment: if method.is_gradient() { aligned(&found, &pixels)? } else { None },
            });
            maps[index].attributions.push((method, found.f_index_select(0, &shown)?));
            saliencies.push(map);
        }
        for pair in &mut pairs {
            let (left, right) = (&saliencies[pair.runs.0], &saliencies[pair.runs.1]);
            let both = || left.iter().zip(right);
            pair.agreement.push(MapAgreement {
                method,
                rank_correlation: over_images(both().map(|(a, b)| measures::rank_correlation(a, b))),
                top_overlap: over_images(both().map(|(a, b)| measures::top_overlap(a, b))),
            });
        }
    }
    let explanation = Explanation {
        schema: SCHEMA.to_owned(),
        candidates,
        subset: choice.subset(images.len()),
        examples: chosen.size()[0] as usize,
        seed: options.seed,
        environment: environment(first.classifier),
        runs,
        pairs,
        seconds: started.elapsed().as_secs_f64(),
    };
    Ok(Explained { explanation, maps })
}

/// The methods asked for, once each; without any, all that every subject has.
fn methods(subjects: &[Subject], options: &ExplainOptions) -> Result<Vec<SaliencyName>> {
    let mut methods: Vec<SaliencyName> = Vec::new();
    let asked = if options.methods.is_empty() { SaliencyName::ALL } else { &options.methods };
    for method in asked {
        let lacking = subjects.iter().find(|subject| !methods_for(subject.classifier).contains(method));
        match lacking {
            Some(_) if options.methods.is_empty() => {}
            Some(subject) => {
                let reason = format!("has no feature maps, so there is no {method} of {}", subject.run);
                return Err(Error::Model { model: subject.classifier.name(), reason });
            }
            None if methods.contains(method) => {}
            None => methods.push(*method),
        }
    }
    Ok(methods)
}

/// Places of the images that every subject classifies correctly, and the accuracy of each.
fn correctly_classified(
    subjects: &[Subject],
    pixels: &Tensor,
    labels: &Tensor,
) -> Result<(Tensor, Vec<f64>)> {
    let mut all_right = labels.f_ones_like()?.f_to_kind(Kind::Bool)?;
    let mut accuracies = Vec::with_capacity(subjects.len());
    for subject in subjects {
        let mut answers = Vec::new();
        for part in pixels.f_split(super::BATCH, 0)? {
            let logits = tch::no_grad(|| subject.classifier.logits(&part, Mode::Eval))?;
            answers.push(answer::verdicts(&logits)?);
        }
        let right = Tensor::f_cat(&answers, 0)?.f_eq_tensor(labels)?;
        accuracies.push(right.f_to_kind(Kind::Double)?.f_mean(None::<Kind>)?.f_double_value(&[])?);
        all_right = all_right.f_logical_and(&right)?;
    }
    let chosen = all_right.f_nonzero()?.f_squeeze_dim(1)?;
    if chosen.size()[0] == 0 {
        return Err(Error::Usage(format!(
            "none of the {} images is classified correctly by every network; look at more images",
            labels.size()[0]
        )));
    }
    Ok((chosen, accuracies))
}

/// At most `most` of `count` places, evenly spread: images of one class often lie together.
fn spread_out(count: i64, most: i64) -> Result<Tensor> {
    let shown = most.min(count);
    let places: Vec<i64> = (0..shown).map(|index| index * count / shown).collect();
    Ok(Tensor::f_from_slice(&places)?)
}

fn explained((subject, clean_accuracy): (&Subject, f64)) -> ExplainedRun {
    let Subject { run, label, seed, .. } = subject;
    ExplainedRun { run: run.clone(), label: label.clone(), seed: *seed, clean_accuracy, maps: Vec::new() }
}

fn every_two(count: usize) -> Vec<Pair> {
    let pairs = (0..count).flat_map(|first| (first + 1..count).map(move |second| (first, second)));
    pairs.map(|runs| Pair { runs, agreement: Vec::new() }).collect()
}

/// Mean over the images where a number is defined.
fn over_images(values: impl Iterator<Item = Option<f64>>) -> Option<Mean> {
    let values: Vec<f64> = values.flatten().collect();
    (!values.is_empty()).then(|| Mean {
        mean: mean(&values),
        deviation: standard_deviation(&values),
        images: values.len(),
    })
}

fn aligned(gradient: &Tensor, images: &Tensor) -> Result<Option<Mean>> {
    let (gradients, images) = (rows(gradient)?, rows(images)?);
    Ok(over_images(
        gradients.iter().zip(&images).map(|(gradient, image)| measures::alignment(gradient, image)),
    ))
}

/// Each image's numbers.
fn rows(images: &Tensor) -> Result<Vec<Vec<f64>>> {
    let flat = images.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?.f_flatten(1, -1)?;
    flat.f_unbind(0)?.into_iter().map(|row| Ok(Vec::<f64>::try_from(row)?)).collect()
}
