//! From a file to its programs: which writer, which version, which models.

use crate::archive::Archive;
use crate::error::{Error, Result};
use crate::program::Program;
use crate::write::BARE;
use std::sync::Arc;

/// The programs of one file.
#[derive(Debug)]
pub struct Package {
    /// The only one, or that of the training mode.
    pub program: Program,
    /// That of the evaluation mode, where there is one of both.
    pub evaluation: Option<Program>,
}

/// Names of the models of a file that holds a network in both modes.
pub(crate) const BOTH: [&str; 2] = ["train", "eval"];

impl Package {
    /// The network with the program of its evaluation mode, which came in a file of its own.
    ///
    /// # Errors
    /// When one of the files holds both modes already, or the two are not of one network: other images or classes, or tensors that
    /// have another name, shape or content.
    pub fn with_evaluation(self, other: Self) -> Result<Self> {
        if self.evaluation.is_some() || other.evaluation.is_some() {
            return Err(Error::Network(
                "one of the files holds a network in both modes already: name that one alone".to_owned(),
            ));
        }
        self.program.check_same_network(&other.program)?;
        Ok(Self { program: self.program, evaluation: Some(other.program) })
    }
}

/// Reads the bytes of a `.pt2`.
///
/// # Errors
/// When they are damaged, from a version of PyTorch that is not read, or not an image classifier that can be run; what is refused is
/// named, with what to do in Python.
pub fn read(bytes: Vec<u8>) -> Result<Package> {
    let archive = Arc::new(Archive::read(bytes)?);
    check_layout(&archive)?;
    if archive.has(BARE) {
        return Err(Error::Network(
            "it is the graph of a training without its weights: name the run instead".to_owned(),
        ));
    }
    of(&archive)
}

/// Reads the bytes of a graph alone ([`Numbers::LeftOut`](crate::Numbers::LeftOut)). Its parameters and buffers have sizes and no
/// numbers: `room` is how many bytes those have that lie beside it, and it may state no more. Hands back the text about its origin too.
///
/// # Errors
/// As [`read`], and for a file with numbers.
pub fn read_graph(bytes: Vec<u8>, room: u64) -> Result<(Package, String)> {
    let archive = Arc::new(Archive::read(bytes)?);
    check_layout(&archive)?;
    if !archive.has(BARE) {
        return Err(Error::Archive("is a network with its weights, where a graph alone belongs".to_owned()));
    }
    let package = of(&archive)?;
    let saved = package.program.tensors.iter().filter(|stored| stored.kept.is_saved());
    let stated =
        saved.map(|stored| (stored.count() * stored.dtype.width()) as u64).try_fold(0u64, u64::checked_add);
    if stated.is_none_or(|stated| stated > room) {
        return Err(Error::Archive(format!(
            "states more numbers than the {room} bytes of weights beside it hold"
        )));
    }
    let origin = String::from_utf8(archive.get(BARE)?.to_vec());
    let origin =
        origin.map_err(|_| Error::Archive("does not say which network it is the graph of".to_owned()))?;
    Ok((package, origin))
}

fn of(archive: &Arc<Archive>) -> Result<Package> {
    let models = archive.names().filter_map(|name| name.strip_prefix("models/")?.strip_suffix(".json"));
    let mut models: Vec<String> = models.map(str::to_owned).collect();
    models.sort_unstable();
    if let [only] = models.as_slice() {
        return Ok(Package { program: Program::read(archive, only)?, evaluation: None });
    }
    if models.len() == 2 && BOTH.iter().all(|name| models.iter().any(|model| model == name)) {
        let [train, eval] = BOTH;
        let (program, evaluation) = (Program::read(archive, train)?, Program::read(archive, eval)?);
        program.check_same_network(&evaluation)?;
        return Ok(Package { program, evaluation: Some(evaluation) });
    }
    Err(Error::Network(format!(
        "it holds {} models ({}); one is read, or two that are called `train` and `eval`",
        models.len(),
        models.join(", ")
    )))
}

/// Refuses what other writers and older versions of PyTorch leave.
fn check_layout(archive: &Archive) -> Result<()> {
    const AGAIN: &str = "load the network in PyTorch 2.9 or newer, export and save it there";
    let old = |found: &str| Err(Error::Version(format!("{found}; {AGAIN}")));
    if archive.has("serialized_exported_program.json") {
        return old("it was written by PyTorch 2.7 or older, which pickles the weights");
    }
    if archive.names().any(|name| name.starts_with("data/aotinductor/")) {
        return Err(Error::Network(
            "it holds compiled code of AOTInductor and no graph; save it with torch.export.save instead"
                .to_owned(),
        ));
    }
    if archive.has("constants.pkl") || archive.has("data.pkl") {
        return Err(Error::Network(
            "it is TorchScript or a state dict, not a program of torch.export; export the network with torch.export.export".to_owned(),
        ));
    }
    if archive.get("archive_format").is_ok_and(|format| format != b"pt2") || !archive.has("archive_format") {
        return Err(Error::Archive(
            "is no archive of torch.export.save: it does not say that it is a pt2".to_owned(),
        ));
    }
    let is_pickle = |name: &str| {
        name.strip_prefix("data/weights/").is_some_and(|rest| rest.strip_suffix(".pt").is_some())
    };
    if archive.names().any(is_pickle) {
        return old("it was written by PyTorch 2.8, which pickles the weights");
    }
    let version = archive.get("archive_version")?;
    if version != b"0" {
        let version = String::from_utf8_lossy(&version[..version.len().min(20)]).into_owned();
        return Err(Error::Version(format!(
            "its archive has the layout {version}, and 0 is read; export it with an older PyTorch, or use a newer version of this program"
        )));
    }
    if archive.get("byteorder")? != b"little" {
        return Err(Error::Archive("holds big-endian numbers; save it on another machine".to_owned()));
    }
    Ok(())
}
