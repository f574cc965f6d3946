//! An attack on a subject whose images are kept: as arrays, as pictures of 8 bits, as a grid to look at.

use crate::error::{Error, Result};
use crate::files::is_free;
use crate::subject::Subject;
use gaat::evaluate::{GradientSource, PerturbOptions, PerturbedImages, Success, perturb};
use gaat_report::{Attempt, EightBitAttempt};
use gaat_spec::long_step;
use std::path::{Path, PathBuf};

/// Where perturbed images go.
#[derive(Debug, Clone, Default)]
pub struct Outputs {
    /// Arrays in full precision, for numpy.
    pub arrays: Option<PathBuf>,
    /// A new or empty directory for each image as a PNG of 8 bits.
    pub images: Option<PathBuf>,
    /// A picture of the clean and the perturbed images and their differences.
    pub grid: Option<PathBuf>,
}

impl Subject {
    /// Attacks the test images and writes what is asked for.
    ///
    /// # Errors
    /// When the directory of the images is taken; as [`perturb`]; when a file cannot be written.
    pub fn attack(&self, options: &PerturbOptions, outputs: &Outputs) -> Result<Attempt> {
        if let Some(directory) = &outputs.images
            && !is_free(directory)?
        {
            let reason = "holds something already; name a new or empty directory for the images";
            return Err(Error::File { path: directory.clone(), reason: reason.to_owned() });
        }
        let found = perturb(self.opened.classifier.as_ref(), self.test.images(), options)?;
        if let Some(file) = &outputs.arrays {
            write_arrays(file, &found)?;
        }
        let eight_bit =
            outputs.images.as_ref().map(|directory| self.write_images(&found, options, directory));
        let eight_bit = eight_bit.transpose()?;
        if let Some(grid) = &outputs.grid {
            found.save_grid(grid)?;
        }
        let (clean_accuracy, robust_accuracy) = found.accuracies()?;
        let success = found.success(options.threat.norm())?;
        let attack = options.attack.to_string();
        let note = options.attack.step_size().and_then(|step| long_step(&attack, step, &options.threat));
        Ok(Attempt {
            file: outputs.arrays.clone(),
            attack,
            gradient: if options.gradient == GradientSource::Exact { "exact" } else { "taylor" },
            threat: options.threat.to_string(),
            precision: self.opened.classifier.compute_precision(),
            examples: found.labels.numel(),
            subset: found.subset,
            clean_accuracy,
            robust_accuracy,
            attacked: success.attacked,
            fooled: success.fooled,
            mean_length: success.mean_length,
            passes: found.passes,
            seconds: found.seconds,
            eight_bit,
            notes: note.into_iter().collect(),
        })
    }

    fn write_images(
        &self,
        found: &PerturbedImages,
        options: &PerturbOptions,
        directory: &Path,
    ) -> Result<EightBitAttempt> {
        let classifier = self.opened.classifier.as_ref();
        let eight_bit = found.eight_bit(classifier, &options.threat, options.batch_size)?;
        let listing = eight_bit.write(found, self.test.images().class_names(), directory)?;
        let (robust_accuracy, Success { fooled, mean_length, .. }) =
            eight_bit.verdict(found, options.threat.norm())?;
        Ok(EightBitAttempt { directory: directory.to_owned(), listing, robust_accuracy, fooled, mean_length })
    }
}

/// Everything in full precision, for numpy.
fn write_arrays(out: &Path, found: &PerturbedImages) -> Result<()> {
    let arrays = [
        ("clean", &found.clean),
        ("perturbed", &found.perturbed),
        ("labels", &found.labels),
        ("clean_predictions", &found.clean_predictions),
        ("predictions", &found.predictions),
    ];
    Ok(gaat::npz::write(out, &arrays)?)
}
