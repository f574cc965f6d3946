//! What `gaat import` is asked for, as the library takes it.

use anyhow::{Result, bail};
use gaat::exchange::ImportOptions;
use gaat::nn::{InputShape, Normalization};
use gaat_cli::arguments::ImportArguments;
use gaat_data::ImageShape;
use gaat_spec::Recipe;

/// The options that `arguments` mean.
pub(super) fn options(arguments: &ImportArguments) -> Result<ImportOptions> {
    let (mut input, mut class_names) = (arguments.input.map(input_shape), None);
    if let Some(dataset) = arguments.dataset {
        let recipe =
            Recipe { dataset: Some(dataset), data_dir: arguments.data_dir.clone(), ..Recipe::default() };
        let test = gaat::run::test_images(&recipe, None)?;
        input = input.or(Some(input_shape(test.images().shape())));
        class_names = Some(test.images().class_names().to_vec());
    }
    if !arguments.classes.is_empty() {
        class_names = Some(arguments.classes.clone());
    }
    let normalization = match (arguments.mean.as_slice(), arguments.std.as_slice()) {
        ([], []) => None,
        (mean, std) => Some(Normalization { mean: mean.to_vec(), std: std.to_vec() }),
    };
    if let Some(bytes) = normalization.as_ref().filter(|given| given.is_for_bytes()) {
        let Normalization { mean, std } = bytes.divided(255.0);
        bail!(
            "--mean and --std are for pixels from 0 to 255 here, and gaat's are in [0, 1]; divided by 255 they are \
             --mean={} --std={}",
            listed(&mean),
            listed(&std)
        );
    }
    Ok(ImportOptions {
        model: arguments.model,
        input,
        class_names,
        normalization,
        key: arguments.key.clone(),
    })
}

/// Numbers as a flag takes them, to six places.
fn listed(numbers: &[f64]) -> String {
    numbers.iter().map(|number| ((number * 1e6).round() / 1e6).to_string()).collect::<Vec<_>>().join(",")
}

fn input_shape(shape: ImageShape) -> InputShape {
    let ImageShape { channels, height, width } = shape;
    InputShape { channels: channels as i64, height: height as i64, width: width as i64 }
}
