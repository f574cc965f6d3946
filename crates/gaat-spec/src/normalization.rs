//! What is done to pixels first: nothing, the numbers of the data set, or given ones.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Mean and deviation of the channels by name, as the recipes of torchvision and the literature have them.
const NAMED: [(&str, &[f64], &[f64]); 4] = [
    ("imagenet", &[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225]),
    ("cifar10", &[0.4914, 0.4822, 0.4465], &[0.247, 0.2435, 0.2616]),
    ("cifar100", &[0.5071, 0.4865, 0.4409], &[0.2673, 0.2564, 0.2762]),
    ("mnist", &[0.1307], &[0.3081]),
];

/// The scaling of pixels before the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum NormalizationChoice {
    /// None: the network sees pixels in [0, 1].
    None,
    /// Mean and standard deviation of each channel over the training images.
    Dataset,
    /// These, one of each a channel.
    Numbers {
        /// Subtracted.
        mean: Vec<f64>,
        /// Divided by.
        std: Vec<f64>,
    },
}

impl fmt::Display for NormalizationChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mean, std) = match self {
            Self::None => return formatter.write_str("none"),
            Self::Dataset => return formatter.write_str("dataset"),
            Self::Numbers { mean, std } => (mean, std),
        };
        if let Some((name, ..)) = NAMED.iter().find(|(_, means, stds)| means == mean && stds == std) {
            return formatter.write_str(name);
        }
        let listed = |numbers: &[f64]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        write!(formatter, "{}/{}", listed(mean), listed(std))
    }
}

impl FromStr for NormalizationChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "none" => return Ok(Self::None),
            "dataset" => return Ok(Self::Dataset),
            _ => {}
        }
        if let Some((_, mean, std)) = NAMED.iter().find(|(name, ..)| *name == text) {
            return Ok(Self::Numbers { mean: mean.to_vec(), std: std.to_vec() });
        }
        let numbers = |list: &str| {
            let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
            list.split(',').map(number).collect::<Option<Vec<_>>>()
        };
        let both = text.split_once('/').and_then(|(mean, std)| Some((numbers(mean)?, numbers(std)?)));
        match both {
            Some((mean, std)) if mean.len() == std.len() && std.iter().all(|std| *std > 0.0) => {
                Ok(Self::Numbers { mean, std })
            }
            _ => Err(Error::value(
                "normalization",
                format!("\"{text}\""),
                "expected none, dataset, imagenet, cifar10, cifar100, mnist, or the means and the deviations of the channels, \
                 such as 0.485,0.456,0.406/0.229,0.224,0.225",
            )),
        }
    }
}

impl From<NormalizationChoice> for String {
    fn from(choice: NormalizationChoice) -> Self {
        choice.to_string()
    }
}

impl TryFrom<String> for NormalizationChoice {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalisations_come_by_name_and_by_numbers() {
        let parse = |text: &str| text.parse::<NormalizationChoice>().unwrap();
        let numbers = |mean: &[f64], std: &[f64]| NormalizationChoice::Numbers {
            mean: mean.to_vec(),
            std: std.to_vec(),
        };
        assert_eq!(parse("0.5/0.25"), numbers(&[0.5], &[0.25]));
        assert_eq!(parse("imagenet"), parse("0.485, 0.456, 0.406/0.229,0.224,0.225"));
        for text in ["none", "dataset", "imagenet", "cifar10", "cifar100", "mnist", "0.5,0.25/1,0.125"] {
            assert_eq!(parse(text).to_string(), text);
            let json = serde_json::to_string(&parse(text)).unwrap();
            assert_eq!(serde_json::from_str::<NormalizationChoice>(&json).unwrap(), parse(text));
        }
        for wrong in ["", "imagnet", "0.5", "0.5,0.5/0.2", "0.5/x", "/", "0.5/0", "0.5/-1", "inf/1"] {
            let error = wrong.parse::<NormalizationChoice>().unwrap_err().to_string();
            assert!(error.contains("imagenet") && error.contains("normalization"), "{wrong}: {error}");
        }
    }
}
