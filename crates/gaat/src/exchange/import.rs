//! Weights from elsewhere: a state dict in a file of PyTorch or safetensors becomes a network of this library.

use super::choice::{Choice, choose, key, named};
use super::fit::{Fit, Outlines, anchor, fits, is_anchor};
use super::names::plain;
use super::source::{Offers, Source};
use crate::error::{Error, Result};
use crate::nn::{BuildOptions, Classifier, ComputePrecision, InputShape, Normalization, Outline, build};
use crate::weights::Description;
use gaat_files::pickle::CheckpointFile;
use gaat_spec::{ModelName, visible};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// What a state dict does not say by itself.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The network.
    pub model: ModelName,
    /// Its images; else what a file of this library says, or the first of [`USUAL_INPUTS`] that the weights fit.
    pub input: Option<InputShape>,
    /// Its classes in the order of the logits; else what a file of this library says, or numbers from 0.
    pub class_names: Option<Vec<String>>,
    /// What it does to the pixels first; else what the file says, or nothing.
    pub normalization: Option<Normalization>,
    /// Which of several networks in the file, by the keys that lead to it, joined by dots.
    pub key: Option<String>,
}

impl ImportOptions {
    /// All but the network as the file says.
    pub fn new(model: ModelName) -> Self {
        Self { model, input: None, class_names: None, normalization: None, key: None }
    }
}

/// An imported network.
pub struct Imported {
    /// On the CPU in single precision.
    pub classifier: Box<dyn Classifier>,
    /// What a weights file is to say of it.
    pub description: Description,
    /// Keys of other networks in the file that fit as well.
    pub others: Vec<String>,
    /// What was taken and what was left, a sentence each.
    pub notes: Vec<String>,
}

/// Images that networks are usually trained on: MNIST, CIFAR, the digits of 8x8 pixels.
pub const USUAL_INPUTS: [InputShape; 3] = [
    InputShape { channels: 1, height: 28, width: 28 },
    InputShape { channels: 3, height: 32, width: 32 },
    InputShape { channels: 1, height: 8, width: 8 },
];

/// Reads the checkpoint at `path` and builds the network in it.
///
/// # Errors
/// When the file is no checkpoint, no names and shapes in it are those of the model, a number is not finite, or several networks in it fit and
/// nothing says which one is meant.
pub fn import(path: &Path, options: &ImportOptions) -> Result<Imported> {
    options.model.published()?;
    if is_safetensors(path)? {
        return taken(path, &Source::safetensors(path)?, options);
    }
    let file = CheckpointFile::open(path)?;
    taken(path, &Source::Checkpoint(file.parse()?), options)
}

/// Whether the file starts with the length of a header and the header, a JSON object. No pickle or zip archive of
/// `torch.save` has a brace there.
pub(crate) fn is_safetensors(path: &Path) -> Result<bool> {
    let mut start = Vec::new();
    gaat_files::open(path)?.take(9).read_to_end(&mut start)?;
    Ok(start.get(8) == Some(&b'{'))
}

fn taken(path: &Path, source: &Source<'_>, options: &ImportOptions) -> Result<Imported> {
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    // A file of gaat's own says what another does not; what was asked for goes before it.
    let described = source.described();
    let input = options.input.or(described.as_ref().map(Description::shape));
    let inputs = input.map_or_else(|| USUAL_INPUTS.to_vec(), |input| vec![input]);
    let own_names = described.filter(|own| !own.are_classes_numbered).map(|own| own.class_names);
    let names = options.class_names.clone().or(own_names);
    let names = names.map(gaat_data::class_names).transpose();
    let names = names.map_err(|fault| Error::Usage(format!("class names (classes): {fault}")))?;
    let offers = source.offers(&|name| is_anchor(&options.model, name))?;
    if offers.offers.is_empty() {
        return Err(nothing(path, source, options)?);
    }
    let mut outlines = Outlines::new(&options.model);
    let mut found = Vec::new();
    for (place, offer) in offers.offers.iter().enumerate() {
        found.extend(fits(&mut outlines, place, offer, &inputs, names.as_ref().map(Vec::len)));
    }
    let mut places: Vec<usize> = match &options.key {
        Some(wanted) => named(&found, &offers, wanted),
        None => (0..found.len()).collect(),
    };
    if let (Some(wanted), true) = (&options.key, places.is_empty()) {
        let keys: Vec<String> =
            found.iter().map(|fit| format!("`{}`", visible(&key(fit, &offers)))).collect();
        let keys = keys.join(", ");
        return Err(failed(format!("holds no network under `{}`, but under {keys}", visible(wanted))));
    }
    let nearest = places.iter().copied().min_by_key(|place| found[*place].faults.len());
    places.retain(|place| found[*place].faults.is_empty());
    if let (true, Some(nearest)) = (places.is_empty(), nearest) {
        return Err(failed(refusal(&found[nearest], &offers, options)));
    }
    let choice =
        choose(&found, &places, &offers).map_err(|keys| Error::Choice { path: path.to_owned(), keys })?;
    finish(path, source, options, names, &found[choice.taken], &offers, choice)
}

/// Builds what was chosen and loads it.
fn finish(
    path: &Path,
    source: &Source<'_>,
    options: &ImportOptions,
    names: Option<Vec<String>>,
    fit: &Fit,
    offers: &Offers,
    choice: Choice,
) -> Result<Imported> {
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    let mut notes = Vec::new();
    let own_key = key(fit, offers);
    if own_key != "." {
        notes.push(format!("the weights are those of `{}`", visible(&own_key)));
    }
    let raw = |place: usize| &offers.offers[fit.offer].tensors[place].name;
    if fit.members.iter().any(|(place, name)| *raw(*place) != format!("{}{name}", fit.prefix)) {
        notes.push("`module.` and `_orig_mod.` are taken off the names".to_owned());
    }
    let in_file = match &fit.scaling {
        Some(pair) => {
            let columns = source.tensors(offers, fit.offer, &[pair.mean, pair.std])?;
            let names = [pair.mean, pair.std]
                .map(|place| visible(&offers.offers[fit.offer].tensors[place].name).into_owned());
            Some((scaling(&columns, fit.input.channels)?, names))
        }
        None => None,
    };
    let described = source.described();
    let normalization = match (&options.normalization, in_file, described) {
        (Some(asked), in_file, _) => {
            if let Some((_, [mean, std])) = in_file {
                notes.push(format!("`{mean}` and `{std}` of the file are passed over for the numbers given"));
            }
            asked.clone()
        }
        (None, Some((found, [mean, std])), _) => {
            let (found, unit) = in_pixels(found);
            notes.push(format!(
                "pixels are normalised as `{mean}` and `{std}` of the file say: {found}{unit}"
            ));
            found
        }
        (None, None, Some(own)) => Normalization { mean: own.mean, std: own.std },
        (None, None, None) => Normalization::identity(fit.input.channels),
    };
    notes.extend(remarks(fit, source, options));
    let members: Vec<usize> = fit.members.iter().map(|(place, _)| *place).collect();
    let tensors = source.tensors(offers, fit.offer, &members)?;
    let state: Vec<(String, Tensor)> =
        fit.members.iter().map(|(_, name)| name.clone()).zip(tensors).collect();
    let build_options = BuildOptions {
        device: Device::Cpu,
        precision: ComputePrecision::Fp32,
        kind: Kind::Float,
        seed: 0,
        normalization,
    };
    let classifier = build(&options.model, fit.input, fit.classes, &build_options)?;
    classifier.store().load(&state).map_err(|error| failed(error.to_string()))?;
    let are_classes_numbered = names.is_none();
    let names = names.unwrap_or_else(|| (0..fit.classes).map(|class| class.to_string()).collect());
    let mut description = Description::new(classifier.as_ref(), &names, 0)?;
    description.are_classes_numbered = are_classes_numbered;
    Ok(Imported { classifier, description, others: choice.others, notes })
}

/// What else there is to say: what was left, and what was assumed.
fn remarks(fit: &Fit, source: &Source<'_>, options: &ImportOptions) -> Vec<String> {
    let mut notes = Vec::new();
    if fit.dead > 0 {
        notes.push(format!(
            "{} tensors of `sub_block1` are left out: its definition makes that stage and never uses it",
            fit.dead
        ));
    }
    if let Some(first) = fit.left_out.first() {
        let count = fit.left_out.len();
        notes.push(format!("{count} tensors beside the network are left out, such as `{}`", visible(first)));
    }
    let closed = source.closed();
    if !closed.is_empty() {
        const SHOWN: usize = 12;
        let more = if closed.len() > SHOWN { ", ..." } else { "" };
        let first: Vec<&str> = closed.iter().take(SHOWN).map(String::as_str).collect();
        notes.push(format!("objects beside the weights stay closed: {}{more}", first.join(", ")));
    }
    let model = &options.model;
    let definition = model.definition();
    let twins = twins(model, fit.input, fit.classes);
    if !twins.is_empty() {
        let twins = twins.join(", ");
        notes.push(format!("taken for {model}: {definition}; the same names and shapes have {twins}"));
    } else if !definition.is_empty() {
        notes.push(format!("taken for {model}: {definition}"));
    }
    notes
}

/// Models with other computations on parameters of the same names and shapes.
fn twins(model: &ModelName, input: InputShape, classes: i64) -> Vec<String> {
    let sizes = |model: &ModelName| {
        let outline = Outline::of(model, input, classes).ok()?;
        Some(outline.sizes().map(|(name, size)| (name.to_owned(), size.to_vec())).collect::<Vec<_>>())
    };
    let own = sizes(model);
    let siblings = model.siblings();
    siblings.iter().filter(|sibling| sizes(sibling) == own).map(ToString::to_string).collect()
}

/// Why the nearest network of the file is not the model; and which one of like name is.
fn refusal(fit: &Fit, offers: &Offers, options: &ImportOptions) -> String {
    let model = &options.model;
    let (input, classes) = (fit.input, fit.classes);
    let faults = crate::nn::misfit(&fit.faults);
    let own_key = key(fit, offers);
    let place = if own_key == "." { String::new() } else { format!(" under `{}`", visible(&own_key)) };
    let mut text =
        format!("does not fit {model} with {classes} classes{place}; for images of {input}: {faults}");
    for sibling in model.siblings() {
        let offer = &offers.offers[fit.offer];
        let found = fits(&mut Outlines::new(&sibling), fit.offer, offer, &[input], Some(classes as usize));
        if found.iter().any(|fit| fit.faults.is_empty()) {
            // Writing to a String does not fail.
            let _ = write!(text, "; it fits {sibling}: {}", sibling.definition());
            break;
        }
    }
    text
}

/// What a file without the last bias of the model holds.
fn nothing(path: &Path, source: &Source<'_>, options: &ImportOptions) -> Result<Error> {
    let all = source.offers(&|_| true)?;
    let largest = all.offers.iter().max_by_key(|offer| offer.tensors.len());
    let Some(largest) = largest.filter(|offer| !offer.tensors.is_empty()) else {
        return Ok(source.without_tensors(path));
    };
    let (name, model) = (anchor(&options.model), options.model);
    let opaque = largest.others.iter().find(|(other, _)| plain(other).ends_with(&name));
    let reason = if let Some((name, what)) = opaque {
        format!("`{}`, the last bias of {model}, is {what} and no tensor", visible(name))
    } else {
        let names: Vec<_> = largest.tensors.iter().take(4).map(|tensor| visible(&tensor.name)).collect();
        let hint = if largest.tensors.iter().any(|tensor| tensor.name.ends_with("fc.bias")) {
            " `fc.bias` is the last bias of torchvision's ResNets: imagenet-resnet-18, imagenet-resnet-50"
        } else {
            ""
        };
        format!(
            "holds no `{name}`, the last bias of {model}, but {} tensors such as `{}`; is it of another model?{hint}",
            largest.tensors.len(),
            names.join("`, `")
        )
    };
    Ok(Error::File { path: path.to_owned(), reason })
}

/// Mean and deviation of each channel from two columns of the file.
fn scaling(columns: &[Tensor], channels: i64) -> Result<Normalization> {
    let numbers = |column: &Tensor| -> Result<Vec<f64>> {
        let flat = column.f_to_kind(Kind::Double)?.f_flatten(0, -1)?.f_expand([channels], false)?;
        // Numbers of single precision, as short as they were written.
        let is_single = column.kind() != Kind::Double;
        let exact = Vec::<f64>::try_from(flat.f_contiguous()?)?;
        let short = |number: f64| (number as f32).to_string().parse().unwrap_or(number);
        Ok(if is_single { exact.into_iter().map(short).collect() } else { exact })
    };
    Ok(Normalization { mean: numbers(&columns[0])?, std: numbers(&columns[1])? })
}

/// The same for pixels in `[0, 1]`, where it is written for pixels from 0 to 255; with what is to be said of that.
fn in_pixels(found: Normalization) -> (Normalization, &'static str) {
    if !found.is_for_bytes() {
        return (found, "");
    }
    (found.divided(255.0), " (they are for pixels from 0 to 255, and were divided by 255)")
}
