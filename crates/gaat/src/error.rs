//! The one error type of the library.

use gaat_spec::{visible, visible_lines, visible_path};
use std::path::PathBuf;

/// What every fallible call of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong, with what was found and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// libtorch refused a call, and nothing that was given is known to be the cause.
    #[error(
        "libtorch refused a computation: {0}. No input should lead there: please report it, with the command and its output"
    )]
    Libtorch(String),
    /// Memory, of the machine or of the device, is not available.
    #[error("memory is short{}; a smaller batch or network needs less", not_to_be_had(wanted.as_deref()))]
    OutOfMemory {
        /// What was asked for, as libtorch writes it.
        wanted: Option<String>,
    },
    /// libtorch failed in the middle of something.
    #[error("{doing}: {error}")]
    While {
        /// What was being done.
        doing: String,
        /// How it failed.
        #[source]
        error: Box<Error>,
    },
    /// A tensor or image has the wrong shape.
    #[error("{}: expected {}, found {}", visible(what), visible_lines(expected), visible_lines(found))]
    Shape {
        /// Which tensor.
        what: String,
        /// The shape that was needed.
        expected: String,
        /// The shape that came.
        found: String,
    },
    /// A model cannot be built as asked.
    #[error("model {}: {}", visible(model), visible_lines(reason))]
    Model {
        /// Its name.
        model: String,
        /// Why not, and what to use instead.
        reason: String,
    },
    /// A device, precision or thread count is not available here.
    #[error("{}", visible_lines(.0))]
    Device(String),
    /// A CUDA device that libtorch does not see.
    #[error(
        "device `{}`: libtorch sees {found} CUDA devices here; use cpu, or a libtorch with CUDA",
        visible(device)
    )]
    NoCuda {
        /// As written.
        device: String,
        /// CUDA devices that there are.
        found: usize,
    },
    /// Where a new run should go something lies already.
    #[error(
        "{}: exists and is not an empty directory; nothing was changed. Resume the run there, or choose another directory",
        visible_path(path)
    )]
    Occupied {
        /// The directory.
        path: PathBuf,
    },
    /// Another process works in a directory.
    #[error(
        "{}: in use by {}; wait for the end of that process, or choose another directory",
        visible_path(path),
        visible(holder)
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Who has it.
        holder: String,
    },
    /// The state of a run is gone.
    #[error(
        "{}: is missing, but {} tells that the run had come further; nothing was changed. Restore the state from a copy, or choose \
         another directory to begin again",
        visible_path(path),
        visible_lines(there)
    )]
    StateGone {
        /// Where the state belongs.
        path: PathBuf,
        /// What tells of it.
        there: String,
    },
    /// A file of PyTorch where weights of this library are needed.
    #[error("{}: is a file of PyTorch and not of gaat; import the file first", visible_path(path))]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be read or written; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A file was read but does not hold what it should.
    #[error("{}: {}", visible_path(path), visible_lines(reason))]
    File {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// The file that an evaluation is to continue from is of another one.
    #[error(
        "{}: belongs to another evaluation: {}, here: {}; remove the file or name another",
        visible_path(path),
        visible_lines(there),
        visible_lines(here)
    )]
    OtherEvaluation {
        /// The file.
        path: PathBuf,
        /// What it is of.
        there: String,
        /// What is to be judged.
        here: String,
    },
    /// Several networks lie in a file, and nothing says which one is meant.
    #[error("{}: several networks in it fit: {}; one of these keys must be chosen", visible_path(path), visible_lines(&keys.join(", ")))]
    Choice {
        /// The file.
        path: PathBuf,
        /// The keys that lead to the networks.
        keys: Vec<String>,
    },
    /// A value of the recipe or of a call is out of its range.
    #[error(transparent)]
    Spec(#[from] gaat_spec::Error),
    /// A data set could not be loaded.
    #[error(transparent)]
    Data(#[from] gaat_data::Error),
    /// Training cannot continue.
    #[error("training stopped at epoch {epoch}, step {step}: {}", visible_lines(reason))]
    Training {
        /// Epoch, from 1.
        epoch: usize,
        /// Step over the whole run, from 1.
        step: usize,
        /// Why, and where the last good checkpoint is.
        reason: String,
    },
    /// A batch has one number a channel, which has no variance.
    #[error(
        "`{layer}` normalises by the statistics of the batch, but the batch has one number for each channel: give it at least 2 \
         images"
    )]
    OneValue {
        /// The batch normalisation, by its PyTorch name.
        layer: String,
    },
    /// Weights, statistics or logits are no finite numbers; the message names them.
    #[error("{}", visible_lines(.0))]
    NotFinite(String),
    /// The loss of a training step, or a gradient of it, is no finite number; the weights were left as they were.
    #[error("the loss is {loss}{}", in_gradient(gradient.as_deref()))]
    Diverged {
        /// Sum over the batch.
        loss: f64,
        /// Where the loss is finite: the first tensor whose gradient is not, `fc.weight` in backquotes or the pixels.
        gradient: Option<String>,
    },
    /// What the launcher of several processes says to this one makes no sense.
    #[error(
        "several processes: {}; torchrun and srun set all that is needed, and without RANK and WORLD_SIZE one process works alone",
        visible_lines(reason)
    )]
    Launch {
        /// Which variable, and what is wrong with it.
        reason: String,
    },
    /// Not all processes that were to work together have come.
    #[error("{} did not come within {seconds} s: {}", visible(who), visible_lines(reason))]
    Absent {
        /// Whose place is empty, such as `rank 1`.
        who: String,
        /// What was seen.
        reason: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The processes that work together have lost one of them.
    #[error("the processes that work together have lost one: {}", visible_lines(reason))]
    Lost {
        /// Who, and why where it is known.
        reason: String,
    },
    /// The processes that are to work together were started with different things.
    #[error(
        "rank {rank} and rank 0 differ in {}: {} and {}; start every process with the same command, on the same data",
        visible(what),
        visible_lines(others),
        visible_lines(leaders)
    )]
    Apart {
        /// What differs.
        what: String,
        /// The first process that differs from the leader.
        rank: usize,
        /// What the leader has.
        leaders: String,
        /// What that process has.
        others: String,
    },
    /// A network from outside the library has failed in its own way; its owner gets the network's own error back.
    #[error(transparent)]
    Network(Box<dyn std::error::Error + Send + Sync>),
    /// An observer asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A call that makes no sense, whatever the input.
    #[error("{}", visible_lines(.0))]
    Usage(String),
}

fn in_gradient(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!(", and its gradient in {} is not finite", visible(name)))
}

fn not_to_be_had(wanted: Option<&str>) -> String {
    wanted.map_or_else(String::new, |wanted| format!(": {wanted} more were not available"))
}

impl From<gaat_files::Error> for Error {
    fn from(error: gaat_files::Error) -> Self {
        match error {
            gaat_files::Error::File { path, reason } => Self::File { path, reason },
            gaat_files::Error::Foreign { path } => Self::Foreign { path },
            gaat_files::Error::Io(error) => Self::Io(error),
            other => Self::Io(std::io::Error::other(other)),
        }
    }
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        Self::of_libtorch(&error.to_string())
    }
}

impl From<gaat_shim::LibtorchError> for Error {
    fn from(error: gaat_shim::LibtorchError) -> Self {
        Self::of_libtorch(&error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names come out of files, and a message ends in a terminal.
    #[test]
    fn no_message_steers_the_terminal() {
        let evil = || "a\u{202e}b\u{1b}[2J".to_owned();
        let path = PathBuf::from(evil());
        for error in [
            Error::Shape { what: evil(), expected: evil(), found: evil() },
            Error::Model { model: evil(), reason: evil() },
            Error::Device(evil()),
            Error::NoCuda { device: evil(), found: 0 },
            Error::Occupied { path: path.clone() },
            Error::InUse { path: path.clone(), holder: evil() },
            Error::StateGone { path: path.clone(), there: evil() },
            Error::Foreign { path: path.clone() },
            Error::File { path: path.clone(), reason: evil() },
            Error::OtherEvaluation { path: path.clone(), there: evil(), here: evil() },
            Error::Choice { path, keys: vec![evil()] },
            Error::Training { epoch: 1, step: 1, reason: evil() },
            Error::NotFinite(evil()),
            Error::Diverged { loss: 0.0, gradient: Some(evil()) },
            Error::Launch { reason: evil() },
            Error::Absent { who: evil(), reason: evil(), seconds: 1 },
            Error::Lost { reason: evil() },
            Error::Apart { what: evil(), rank: 1, leaders: evil(), others: evil() },
            Error::Usage(evil()),
        ] {
            let text = error.to_string();
            assert_eq!(visible_lines(&text), text, "{error:?}");
        }
    }
}
