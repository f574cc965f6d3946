//! Networks of `torch.export`: the archive with its graph, and the network that is set up and tried.

use crate::told;
use std::path::Path;

pub(crate) fn pt2(bytes: &[u8], _: &Path) -> Result<(), String> {
    told(gaat_pt2::read(bytes.to_vec()))
}

/// Without the checksums of their members, which would hide everything behind them: 0 stands for none.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = [
        include_bytes!("../../gaat/tests/golden/exported/tied.pt2").to_vec(),
        include_bytes!("../../gaat/tests/golden/exported/hand.pt2").to_vec(),
        include_bytes!("../../gaat/tests/golden/exported/noisy.pt2").to_vec(),
        include_bytes!("../../gaat/tests/golden/exported/indexed.pt2").to_vec(),
    ];
    for seed in &mut seeds {
        crate::data::drop_checksums(seed);
    }
    seeds.to_vec()
}

/// Sets the network up, which lets it answer some images.
#[cfg(feature = "torch")]
pub(crate) fn exported(bytes: &[u8], scratch: &Path) -> Result<(), String> {
    use gaat::exported::ExportedFile;
    use gaat::nn::{ComputePrecision, Normalization};
    let path = crate::put(scratch, "network.pt2", bytes);
    told(ExportedFile::read(&path).and_then(|file| {
        let channels = file.image().channels as usize;
        let normalization = Normalization { mean: vec![0.0; channels], std: vec![1.0; channels] };
        file.open(normalization, None, ComputePrecision::Fp32)
    }))
}
