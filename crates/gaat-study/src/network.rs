//! What there is to tell of a network of `torch.export` in its file.

use crate::error::Result;
use gaat::exported::ExportedFile;
use gaat::nn::{Classifier, Mode, Normalization};
use gaat_report::format::count;
use gaat_spec::{ComputePrecision, visible, visible_path};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;

/// What there is to tell.
#[derive(Debug, Serialize)]
pub struct NetworkInfo {
    /// The file, as it can be shown.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Class of the module in PyTorch.
    pub network: String,
    /// Version of PyTorch that exported it.
    pub pytorch: String,
    /// Version of the format, `major.minor`.
    pub schema: String,
    /// Shape of an image, such as `3x32x32`.
    pub images: String,
    /// Absent where any number of images is taken.
    pub batch: Option<i64>,
    /// Classes.
    pub classes: i64,
    /// Trainable numbers.
    pub parameters: usize,
    /// Tensors, buffers among them.
    pub tensors: usize,
    /// Operators of the graph with how often each comes.
    pub operators: Vec<(String, usize)>,
    /// Layer of the last convolutional map.
    pub feature_layer: Option<String>,
    /// Why it cannot be opened; absent where it can.
    pub fault: Option<String>,
    /// Why it cannot be judged; absent where it can.
    pub not_judged: Option<String>,
    /// Why it cannot be trained; absent where it can.
    pub not_trained: Option<String>,
}

impl NetworkInfo {
    /// Reads the file at `path`, and the program of its evaluation mode where `evaluation` has that, and tries the network on random
    /// pixels.
    ///
    /// # Errors
    /// When a file cannot be read, or the two are not of one network. A network that cannot be opened is told of in `fault`.
    pub fn of(path: &Path, evaluation: Option<&Path>) -> Result<Self> {
        let file = ExportedFile::read_with(path, evaluation)?;
        let program = file.program();
        let mut info = Self {
            file: visible_path(path),
            sha256: file.digest().to_owned(),
            network: program.class.clone(),
            pytorch: program.torch.clone(),
            schema: format!("{}.{}", program.schema.0, program.schema.1),
            images: file.image().to_string(),
            batch: program.batch,
            classes: program.classes,
            parameters: program.parameter_count(),
            tensors: program.tensors.len(),
            operators: program.operators(),
            feature_layer: None,
            fault: None,
            not_judged: None,
            not_trained: program.check_trainable().err().map(|error| error.to_string()),
        };
        let identity = Normalization::identity(file.image().channels);
        match file.open(identity, None, ComputePrecision::Fp32) {
            Ok(network) => {
                info.feature_layer = network.feature_layer().map(str::to_owned);
                info.not_judged = network.check_mode(Mode::Eval).err().map(|error| error.to_string());
            }
            Err(error) => info.fault = Some(error.to_string()),
        }
        Ok(info)
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}: {} from PyTorch {} (schema {})\n  images      {}, {}\n  classes     {}\n  parameters  {} in {} tensors with buffers\n",
            self.file,
            visible(&self.network),
            visible(&self.pytorch),
            self.schema,
            self.images,
            self.batch.map_or("any number at once".to_owned(), |batch| format!(
                "{batch} at once, no more and no less"
            )),
            self.classes,
            count(self.parameters as u64),
            self.tensors,
        );
        let operators: Vec<String> =
            self.operators.iter().map(|(name, times)| format!("{} {times}", visible(name))).collect();
        let _ = writeln!(text, "  operators   {}", operators.join(", "));
        // A layer goes by the name of its module; the map of a function that `forward` calls has none.
        let layer = match self.feature_layer.as_deref() {
            None => "none: no convolution, or attention after it; no Grad-CAM".to_owned(),
            Some("") => "a function that forward calls (for Grad-CAM)".to_owned(),
            Some(layer) => format!("{} (for Grad-CAM)", visible(layer)),
        };
        let _ = writeln!(text, "  last map    {layer}");
        if let Some(fault) = &self.fault {
            let _ = writeln!(text, "  cannot be opened: {fault}");
            return text;
        }
        let _ = match &self.not_judged {
            None => writeln!(text, "  can be judged, attacked, analysed and explained"),
            Some(reason) => writeln!(text, "  cannot be judged: {reason}"),
        };
        if let Some(reason) = &self.not_trained {
            let _ = writeln!(text, "  cannot be trained: {reason}");
        }
        text
    }
}
