//! Names of networks: one closed list, the same words in TOML, on the command line and in saved files.

use crate::Error;
use crate::names::nearest;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

const PREACT: &str = "preact-resnet-18";
const RESNET: &str = "resnet-18";
/// Ending of the names with a stem of stride 2.
const HALVING_STEM: &str = "-s2";
/// Base width of the usual `preact-resnet-18` and `resnet-18`.
const USUAL_WIDTH: u32 = 64;
/// Beyond these a typing error is likelier than a network.
const MOST_WIDTH: u32 = 1024;
const MOST_DEPTH: u32 = 1000;
const MOST_WIDENING: u32 = 64;

/// Every name, for messages and help.
pub(crate) const ACCEPTED: &str = "convnet, mlp, vgg-16, resnet-18, preact-resnet-18, both with -wW (base width W) and -s2 (a stem \
                        of stride 2), wide-resnet-D-K (depth D = 10, 16, 22, 28, 34, ...; widening K), \
                        efficientnet-b0, vit-tiny";
/// What a misspelt name is compared with.
const WELL_KNOWN: [&str; 15] = [
    "convnet",
    "mlp",
    "vgg-16",
    "resnet-18",
    "resnet-18-w16",
    "preact-resnet-18",
    "preact-resnet-18-w16",
    "preact-resnet-18-w8-s2",
    "wide-resnet-16-2",
    "wide-resnet-28-4",
    "wide-resnet-28-10",
    "wide-resnet-34-10",
    "wide-resnet-70-16",
    "efficientnet-b0",
    "vit-tiny",
];

/// A network that can be built, with the numbers that its name carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ModelName {
    /// `convnet`: two strided convolutions and two linear layers.
    ConvNet,
    /// `mlp`: three linear layers.
    Mlp,
    /// `vgg-16`: the CIFAR form with batch normalisation and one linear layer.
    Vgg16,
    /// `preact-resnet-18`; with `-wW` another base width than 64, with `-s2` a stem of stride 2, which quarters the work.
    PreActResNet18 {
        /// Channels of the first stage.
        width: u32,
        /// Stride of the first convolution, 1 or 2.
        stem_stride: u32,
    },
    /// `resnet-18`, with the same endings.
    ResNet18 {
        /// Channels of the first stage.
        width: u32,
        /// Stride of the first convolution, 1 or 2.
        stem_stride: u32,
    },
    /// `wide-resnet-D-K`.
    WideResNet {
        /// Depth D: 4 plus a multiple of 6.
        depth: u32,
        /// Widening factor K.
        widening: u32,
    },
    /// `efficientnet-b0`: the CIFAR form, with a stem of stride 1.
    EfficientNetB0,
    /// `vit-tiny`: a vision transformer of width 192 and depth 12 on patches of 4x4.
    VitTiny,
}

impl fmt::Display for ModelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ConvNet => formatter.write_str("convnet"),
            Self::Mlp => formatter.write_str("mlp"),
            Self::Vgg16 => formatter.write_str("vgg-16"),
            Self::PreActResNet18 { width, stem_stride } => {
                write_residual(formatter, PREACT, width, stem_stride)
            }
            Self::ResNet18 { width, stem_stride } => write_residual(formatter, RESNET, width, stem_stride),
            Self::WideResNet { depth, widening } => write!(formatter, "wide-resnet-{depth}-{widening}"),
            Self::EfficientNetB0 => formatter.write_str("efficientnet-b0"),
            Self::VitTiny => formatter.write_str("vit-tiny"),
        }
    }
}

fn write_residual(
    formatter: &mut fmt::Formatter<'_>,
    name: &str,
    width: u32,
    stem_stride: u32,
) -> fmt::Result {
    formatter.write_str(name)?;
    if width != USUAL_WIDTH {
        write!(formatter, "-w{width}")?;
    }
    formatter.write_str(if stem_stride == 2 { HALVING_STEM } else { "" })
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for ModelName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl FromStr for ModelName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "convnet" => return Ok(Self::ConvNet),
            "mlp" => return Ok(Self::Mlp),
            "vgg-16" => return Ok(Self::Vgg16),
            "efficientnet-b0" => return Ok(Self::EfficientNetB0),
            "vit-tiny" => return Ok(Self::VitTiny),
            _ => {}
        }
        if let Some(rest) = text.strip_prefix(PREACT) {
            let (width, stem_stride) = residual(text, PREACT, rest)?;
            return Ok(Self::PreActResNet18 { width, stem_stride });
        }
        if let Some(rest) = text.strip_prefix(RESNET) {
            let (width, stem_stride) = residual(text, RESNET, rest)?;
            return Ok(Self::ResNet18 { width, stem_stride });
        }
        if let Some(numbers) = text.strip_prefix("wide-resnet-") {
            return wide(text, numbers);
        }
        let near =
            nearest(text, &WELL_KNOWN).map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
        Err(refused(text, format!("{near}known: {ACCEPTED}")))
    }
}

/// Base width and stride of the stem, from what stands after `name`.
fn residual(text: &str, name: &str, rest: &str) -> Result<(u32, u32), Error> {
    let (width, stem_stride) = rest.strip_suffix(HALVING_STEM).map_or((rest, 1), |width| (width, 2));
    let width = if width.is_empty() { Some(USUAL_WIDTH) } else { width.strip_prefix("-w").and_then(number) };
    match width {
        Some(width) if (1..=MOST_WIDTH).contains(&width) => Ok((width, stem_stride)),
        _ => Err(refused(
            text,
            format!(
                "write `{name}`, with a base width from 1 to {MOST_WIDTH} as in `{name}-w16`, or with a stem of \
                 stride 2 as in `{name}-w16{HALVING_STEM}`"
            ),
        )),
    }
}

fn wide(text: &str, numbers: &str) -> Result<ModelName, Error> {
    let parsed =
        numbers.split_once('-').and_then(|(depth, widening)| Some((number(depth)?, number(widening)?)));
    let Some((depth, widening)) = parsed else {
        return Err(refused(text, "write depth and widening as whole numbers, as in `wide-resnet-28-4`"));
    };
    if !(10..=MOST_DEPTH).contains(&depth) || (depth - 4) % 6 != 0 {
        let below = (depth.clamp(10, MOST_DEPTH) - 4) / 6 * 6 + 4;
        return Err(refused(
            text,
            format!(
                "the depth must be 4 plus a multiple of 6, from 10 to {MOST_DEPTH}: {below} is the nearest below"
            ),
        ));
    }
    if !(1..=MOST_WIDENING).contains(&widening) {
        return Err(refused(text, format!("the widening factor must be from 1 to {MOST_WIDENING}")));
    }
    Ok(ModelName::WideResNet { depth, widening })
}

/// Digits only: no sign, no leading zero, so that each network has one name.
fn number(text: &str) -> Option<u32> {
    let is_plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain { text.parse().ok() } else { None }
}

fn refused(text: &str, reason: impl Into<String>) -> Error {
    Error::value("model", format!("\"{text}\""), reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_prints_as_it_was_read() {
        for text in WELL_KNOWN.into_iter().chain([
            "wide-resnet-10-1",
            "preact-resnet-18-w1",
            "preact-resnet-18-s2",
            "resnet-18-w8-s2",
        ]) {
            assert_eq!(text.parse::<ModelName>().unwrap().to_string(), text);
        }
        assert_eq!("preact-resnet-18-w64".parse::<ModelName>().unwrap().to_string(), "preact-resnet-18");
    }

    #[test]
    fn a_wrong_name_is_told_what_is_right() {
        for (text, hint) in [
            ("vgg16", "did you mean `vgg-16`?"),
            ("wideresnet-28-4", "did you mean `wide-resnet-28-4`?"),
            ("transformer", "known: convnet, mlp"),
            ("wide-resnet-20-4", "16 is the nearest below"),
            ("wide-resnet-4-4", "10 is the nearest below"),
            ("wide-resnet-28-0", "widening"),
            ("wide-resnet-28", "wide-resnet-28-4"),
            ("wide-resnet-+28-4", "whole numbers"),
            ("preact-resnet-18-w0", "base width"),
            ("preact-resnet-18-w016", "base width"),
            ("preact-resnet-18-s4", "stride 2"),
            ("preact-resnet-180", "base width"),
            ("resnet-18-w", "`resnet-18-w16`"),
            ("resnet18", "did you mean `resnet-18`?"),
            ("vittiny", "did you mean `vit-tiny`?"),
            ("", "known: convnet"),
        ] {
            let message = text.parse::<ModelName>().unwrap_err().to_string();
            assert!(message.contains(hint), "{text}: {message}");
        }
    }
}
