//! Which network a recipe means: one by name, or the one of a file.

use crate::error::{Error, Result};
use crate::model::ModelName;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// How the files of `torch.export` end.
const ENDING: &str = ".pt2";

/// A network, as somebody writes it: `wide-resnet-28-4`, or `net.pt2`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ModelChoice {
    /// A network of the catalogue.
    Named(ModelName),
    /// The network of torch.export in this file, which is given a name when it is read.
    File(PathBuf),
}

impl ModelChoice {
    /// The name.
    ///
    /// # Errors
    /// For a file that has not been read yet.
    pub fn named(&self) -> Result<ModelName> {
        match self {
            Self::Named(name) => Ok(*name),
            Self::File(_) => Err(Error::value(
                "model",
                self,
                "is a file, which has to be read before the recipe is checked",
            )),
        }
    }
}

impl From<ModelName> for ModelChoice {
    fn from(name: ModelName) -> Self {
        Self::Named(name)
    }
}

impl fmt::Display for ModelChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => name.fmt(formatter),
            Self::File(path) => path.display().fmt(formatter),
        }
    }
}

impl FromStr for ModelChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.to_ascii_lowercase().ends_with(ENDING) {
            return Ok(Self::File(text.into()));
        }
        text.parse().map(Self::Named)
    }
}

impl From<ModelChoice> for String {
    fn from(choice: ModelChoice) -> Self {
        choice.to_string()
    }
}

impl TryFrom<String> for ModelChoice {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_torch_export_is_no_name() {
        let parse = |text: &str| text.parse::<ModelChoice>();
        for text in ["net.pt2", "/a b/My Net.PT2", "../x.pt2"] {
            let choice = parse(text).unwrap();
            assert_eq!(choice, ModelChoice::File(text.into()));
            assert_eq!(choice.to_string(), text);
            assert!(choice.named().unwrap_err().to_string().contains(text));
        }
        assert_eq!(parse("convnet").unwrap().named().unwrap(), ModelName::ConvNet);
        assert!(parse("net.pt").unwrap().named().unwrap().published().is_err());
        assert!(parse("/a/net.pth").is_err());
    }
}
