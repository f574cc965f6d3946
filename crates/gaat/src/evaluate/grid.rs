//! A picture of an attack: a column an image, with the clean one, the perturbed one and their difference.

use super::perturb::PerturbedImages;
use crate::error::Result;
use crate::files::write_atomically;
use crate::pictures::{png, strip};
use std::path::Path;
use tch::Tensor;

/// Images shown.
const MOST: i64 = 16;

impl PerturbedImages {
    /// Writes the first images as a PNG. The difference is amplified, for all images alike, until its largest pixel
    /// is black or white; grey is no change.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_grid(&self, path: &Path) -> Result<()> {
        write_atomically(path, &png(&self.grid()?)?)
    }

    fn grid(&self) -> Result<Tensor> {
        let count = self.clean.size()[0].min(MOST);
        let (clean, perturbed) = (self.clean.f_narrow(0, 0, count)?, self.perturbed.f_narrow(0, 0, count)?);
        let (difference, _) = amplified(&clean, &perturbed)?;
        let rows = [clean, perturbed, difference].map(|images| strip(&images));
        let rows = rows.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(Tensor::f_cat(&rows, 1)?)
    }
}

/// What changed, around middle grey, and the factor that makes its largest pixel black or white.
pub(crate) fn amplified(clean: &Tensor, perturbed: &Tensor) -> Result<(Tensor, f64)> {
    let difference = perturbed - clean;
    let most = difference.abs().max().f_double_value(&[])?;
    let factor = 0.5 / most.max(1e-12);
    Ok((difference * factor + 0.5, factor))
}
