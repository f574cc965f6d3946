//! What is done to pixels in [0, 1] before a network that comes from elsewhere.

use std::str::FromStr;

/// Mean and deviation of the channels by name, as the recipes of torchvision and the literature have them.
const NAMED: [(&str, &[f64], &[f64]); 4] = [
    ("imagenet", &[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225]),
    ("cifar10", &[0.4914, 0.4822, 0.4465], &[0.247, 0.2435, 0.2616]),
    ("cifar100", &[0.5071, 0.4865, 0.4409], &[0.2673, 0.2564, 0.2762]),
    ("mnist", &[0.1307], &[0.3081]),
];

/// What is done to the pixels before a network from elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub enum PixelNormalization {
    /// Nothing: the network does it itself, or takes pixels in [0, 1].
    None,
    /// Mean and deviation of the training images of the data set.
    Dataset,
    /// These, one of each a channel.
    Numbers {
        /// Subtracted.
        mean: Vec<f64>,
        /// Divided by.
        std: Vec<f64>,
    },
}

impl FromStr for PixelNormalization {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => return Ok(Self::None),
            "dataset" => return Ok(Self::Dataset),
            _ => {}
        }
        if let Some((_, mean, std)) = NAMED.iter().find(|(name, ..)| *name == text) {
            return Ok(Self::Numbers { mean: mean.to_vec(), std: std.to_vec() });
        }
        let numbers = |list: &str| {
            list.split(',').map(|number| number.trim().parse::<f64>().ok()).collect::<Option<Vec<_>>>()
        };
        let both = text.split_once('/').and_then(|(mean, std)| Some((numbers(mean)?, numbers(std)?)));
        match both {
            Some((mean, std)) if mean.len() == std.len() => Ok(Self::Numbers { mean, std }),
            _ => Err("expected none, dataset, imagenet, cifar10, cifar100, mnist, or the means and the deviations of the channels, such as \
                      0.485,0.456,0.406/0.229,0.224,0.225"
                .to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalisations_come_by_name_and_by_numbers() {
        let parse = |text: &str| text.parse::<PixelNormalization>();
        assert_eq!(parse("none"), Ok(PixelNormalization::None));
        assert_eq!(parse("dataset"), Ok(PixelNormalization::Dataset));
        let numbers = |mean: &[f64], std: &[f64]| PixelNormalization::Numbers {
            mean: mean.to_vec(),
            std: std.to_vec(),
        };
        assert_eq!(parse("0.5/0.25"), Ok(numbers(&[0.5], &[0.25])));
        assert_eq!(parse("imagenet"), parse("0.485, 0.456, 0.406/0.229,0.224,0.225"));
        for wrong in ["", "imagnet", "0.5", "0.5,0.5/0.2", "0.5/x", "/"] {
            assert!(parse(wrong).unwrap_err().contains("imagenet"), "{wrong}");
        }
    }
}
