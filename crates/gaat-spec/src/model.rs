//! Names of networks: those that are published, and words of one's own; the same in TOML, on the command line and in saved files.

use crate::error::Error;
use crate::names::nearest;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

const PREACT: &str = "preact-resnet-18";
const RESNET: &str = "resnet-18";
const IMAGENET_RESNET: &str = "imagenet-resnet-";
const WIDE: &str = "wide-resnet-";
const DEEPMIND_WIDE: &str = "dm-wide-resnet-";
const DEEPMIND_PREACT: &str = "dm-preact-resnet-18";
/// Ending of the names with a stem of stride 2.
const HALVING_STEM: &str = "-s2";
/// Endings of the names of other definitions, in the order in which they are written.
const ACTIVATED: &str = "-activated-shortcut";
const BARE: &str = "-no-final-norm";
const SWISH: &str = "-swish";
/// What PyTorch calls the same nonlinearity.
const SILU: &str = "-silu";
/// Base width of the usual `preact-resnet-18` and `resnet-18`.
const USUAL_WIDTH: u32 = 64;
/// Beyond these a typing error is likelier than a network.
const MOST_WIDTH: u32 = 1024;
const MOST_DEPTH: u32 = 1000;
const MOST_WIDENING: u32 = 64;

/// Every name, for messages and help.
pub(crate) const ACCEPTED: &str = "convnet, mlp, vgg-16, resnet-18, preact-resnet-18, both with -wW (base width W) and -s2 (a stem \
                        of stride 2), wide-resnet-D-K (depth D = 10, 16, 22, 28, 34, ...; widening K), \
                        efficientnet-b0, vit-tiny, imagenet-resnet-18, imagenet-resnet-50; DeepMind's dm-wide-resnet-D-K and dm-preact-resnet-18; each \
                        resnet with -swish (or -silu, the same), preact-resnet-18 with -activated-shortcut and -no-final-norm too";
/// What a misspelt name is compared with.
const WELL_KNOWN: [&str; 22] = [
    "convnet",
    "mlp",
    "vgg-16",
    "resnet-18",
    "resnet-18-w16",
    "preact-resnet-18",
    "preact-resnet-18-w16",
    "preact-resnet-18-w8-s2",
    "preact-resnet-18-activated-shortcut",
    "preact-resnet-18-no-final-norm",
    "dm-preact-resnet-18-swish",
    "dm-wide-resnet-28-10-swish",
    "dm-wide-resnet-70-16-swish",
    "wide-resnet-16-2",
    "wide-resnet-28-4",
    "wide-resnet-28-10",
    "wide-resnet-34-10",
    "wide-resnet-70-16",
    "efficientnet-b0",
    "vit-tiny",
    "imagenet-resnet-18",
    "imagenet-resnet-50",
];

/// What a network computes after its normalisations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Nonlinearity {
    /// `max(x, 0)`.
    #[default]
    Relu,
    /// `x / (1 + exp(-x))`, also called `SiLU`; names end with `-swish`.
    Swish,
}

/// What the 1x1 convolution of a shortcut is fed in a block that normalises first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ShortcutInput {
    /// What the block is fed: `locuslab/fast_adversarial`, `RobustBench`'s `PreActBlock`.
    #[default]
    Raw,
    /// The same after the first normalisation and nonlinearity: kuangliu/pytorch-cifar, `RobustBench`'s `PreActBlockV2`;
    /// names end with `-activated-shortcut`.
    Activated,
}

/// Which of the public definitions of `preact-resnet-18`: they share names and shapes, or nearly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PreActForm {
    /// What the shortcut convolutions are fed.
    pub shortcut: ShortcutInput,
    /// Without the normalisation and the nonlinearity before the pooling; names end with `-no-final-norm`.
    pub is_bare: bool,
    /// The nonlinearity.
    pub nonlinearity: Nonlinearity,
}

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
        /// Which definition.
        form: PreActForm,
    },
    /// `resnet-18`, with the same endings for width and stem.
    ResNet18 {
        /// Channels of the first stage.
        width: u32,
        /// Stride of the first convolution, 1 or 2.
        stem_stride: u32,
        /// The nonlinearity.
        nonlinearity: Nonlinearity,
    },
    /// `wide-resnet-D-K`.
    WideResNet {
        /// Depth D: 4 plus a multiple of 6.
        depth: u32,
        /// Widening factor K.
        widening: u32,
        /// The nonlinearity.
        nonlinearity: Nonlinearity,
    },
    /// `dm-wide-resnet-D-K`: as `DeepMind` defines it, with other names and other padding where sides are halved.
    DeepMindWideResNet {
        /// Depth D: 4 plus a multiple of 6.
        depth: u32,
        /// Widening factor K.
        widening: u32,
        /// The nonlinearity.
        nonlinearity: Nonlinearity,
    },
    /// `dm-preact-resnet-18`: as `DeepMind` defines it, with shortcuts of 3x3; with `-wW` another base width than 64.
    DeepMindPreActResNet18 {
        /// Channels of the first stage.
        width: u32,
        /// The nonlinearity.
        nonlinearity: Nonlinearity,
    },
    /// `imagenet-resnet-18` and `imagenet-resnet-50`: torchvision's `resnet18` and `resnet50`, for photographs.
    ImageNetResNet {
        /// How many layers.
        depth: ImageNetDepth,
    },
    /// `efficientnet-b0`: the CIFAR form, with a stem of stride 1.
    EfficientNetB0,
    /// `vit-tiny`: a vision transformer of width 192 and depth 12 on patches of 4x4.
    VitTiny,
    /// A network that its user has registered under a word of their own.
    Own(OwnName),
}

/// Layers of a residual network for photographs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageNetDepth {
    /// 18, blocks of two convolutions.
    Eighteen,
    /// 50, blocks of three.
    Fifty,
}

/// Longest word of one's own.
const MOST_LETTERS: usize = 40;

/// A word in small letters, digits, `-`, `_` and `.`, beginning with a letter, of at most 40.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnName {
    letters: [u8; MOST_LETTERS],
    length: usize,
}

impl OwnName {
    fn new(text: &str) -> Option<Self> {
        let is_letter =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        let begins_well = text.starts_with(|first: char| first.is_ascii_lowercase());
        if !begins_well || text.len() > MOST_LETTERS || !text.bytes().all(is_letter) {
            return None;
        }
        let mut letters = [0; MOST_LETTERS];
        letters[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self { letters, length: text.len() })
    }

    fn as_str(&self) -> &str {
        // Small letters of ASCII are whole text.
        std::str::from_utf8(&self.letters[..self.length]).unwrap_or_default()
    }
}

impl ModelName {
    /// Refuses a word that no published network has, with what was meant perhaps.
    ///
    /// # Errors
    /// For [`Own`](Self::Own) names.
    pub fn published(self) -> Result<Self, Error> {
        if matches!(self, Self::Own(_)) { Err(unknown(&self.to_string())) } else { Ok(self) }
    }
}

fn unknown(text: &str) -> Error {
    let near = nearest(text, &WELL_KNOWN).map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
    refused(text, format!("{near}known: {ACCEPTED}"))
}

impl ModelName {
    /// What the name stands for where public definitions under like names differ; empty where they do not.
    pub fn definition(&self) -> String {
        let stem = |stride: &u32| if *stride == 2 { "a stem of stride 2" } else { "a stem of stride 1" };
        match self {
            Self::ConvNet | Self::Mlp | Self::Vgg16 | Self::Own(_) => String::new(),
            Self::PreActResNet18 { stem_stride, form, .. } => {
                let shortcut = match form.shortcut {
                    ShortcutInput::Raw => "shortcut convolutions of the raw input (fast_adversarial)",
                    ShortcutInput::Activated => {
                        "shortcut convolutions of the activated input (pytorch-cifar)"
                    }
                };
                let end = if form.is_bare { "no normalisation" } else { "a normalisation" };
                let (stem, nonlinearity) = (stem(stem_stride), form.nonlinearity.describe());
                format!("{shortcut}, {end} before the pooling, {stem}, {nonlinearity}")
            }
            Self::ResNet18 { stem_stride, nonlinearity, .. } => {
                format!("{}, {}", stem(stem_stride), nonlinearity.describe())
            }
            Self::WideResNet { nonlinearity, .. } => format!("as in TRADES, {}", nonlinearity.describe()),
            Self::DeepMindWideResNet { nonlinearity, .. }
            | Self::DeepMindPreActResNet18 { nonlinearity, .. } => {
                format!("as `DeepMind` defines it, {}", nonlinearity.describe())
            }
            Self::ImageNetResNet { .. } => "a stem of 7x7 and stride 2, pooling (torchvision)".to_owned(),
            Self::EfficientNetB0 => "a stem of stride 1, where torchvision's own has 2".to_owned(),
            Self::VitTiny => "patches of 4x4, three heads, exact GELU".to_owned(),
        }
    }

    /// The networks whose names are like this one and that compute something else, often with the same parameters.
    pub fn siblings(&self) -> Vec<Self> {
        const BOTH: [Nonlinearity; 2] = [Nonlinearity::Relu, Nonlinearity::Swish];
        let mut all = Vec::new();
        match *self {
            Self::ConvNet
            | Self::Mlp
            | Self::Vgg16
            | Self::ImageNetResNet { .. }
            | Self::EfficientNetB0
            | Self::VitTiny
            | Self::Own(_) => {}
            Self::PreActResNet18 { width, .. } => {
                for shortcut in [ShortcutInput::Raw, ShortcutInput::Activated] {
                    for is_bare in [false, true] {
                        for nonlinearity in BOTH {
                            let form = PreActForm { shortcut, is_bare, nonlinearity };
                            all.extend([1, 2].map(|stem_stride| Self::PreActResNet18 {
                                width,
                                stem_stride,
                                form,
                            }));
                        }
                    }
                }
            }
            Self::ResNet18 { width, .. } => {
                for nonlinearity in BOTH {
                    all.extend([1, 2].map(|stem_stride| Self::ResNet18 { width, stem_stride, nonlinearity }));
                }
            }
            Self::WideResNet { depth, widening, .. } | Self::DeepMindWideResNet { depth, widening, .. } => {
                all.extend(BOTH.map(|nonlinearity| Self::WideResNet { depth, widening, nonlinearity }));
                all.extend(BOTH.map(|nonlinearity| Self::DeepMindWideResNet {
                    depth,
                    widening,
                    nonlinearity,
                }));
            }
            Self::DeepMindPreActResNet18 { width, .. } => {
                all.extend(BOTH.map(|nonlinearity| Self::DeepMindPreActResNet18 { width, nonlinearity }));
            }
        }
        all.retain(|sibling| sibling != self);
        all
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ConvNet => formatter.write_str("convnet"),
            Self::Mlp => formatter.write_str("mlp"),
            Self::Vgg16 => formatter.write_str("vgg-16"),
            Self::PreActResNet18 { width, stem_stride, form } => {
                write_residual(formatter, PREACT, width, stem_stride)?;
                if form.shortcut == ShortcutInput::Activated {
                    formatter.write_str(ACTIVATED)?;
                }
                if form.is_bare {
                    formatter.write_str(BARE)?;
                }
                form.nonlinearity.write_ending(formatter)
            }
            Self::ResNet18 { width, stem_stride, nonlinearity } => {
                write_residual(formatter, RESNET, width, stem_stride)?;
                nonlinearity.write_ending(formatter)
            }
            Self::WideResNet { depth, widening, nonlinearity } => {
                write!(formatter, "{WIDE}{depth}-{widening}")?;
                nonlinearity.write_ending(formatter)
            }
            Self::DeepMindWideResNet { depth, widening, nonlinearity } => {
                write!(formatter, "{DEEPMIND_WIDE}{depth}-{widening}")?;
                nonlinearity.write_ending(formatter)
            }
            Self::DeepMindPreActResNet18 { width, nonlinearity } => {
                write_residual(formatter, DEEPMIND_PREACT, width, 1)?;
                nonlinearity.write_ending(formatter)
            }
            Self::ImageNetResNet { depth: ImageNetDepth::Eighteen } => {
                write!(formatter, "{IMAGENET_RESNET}18")
            }
            Self::ImageNetResNet { depth: ImageNetDepth::Fifty } => write!(formatter, "{IMAGENET_RESNET}50"),
            Self::EfficientNetB0 => formatter.write_str("efficientnet-b0"),
            Self::VitTiny => formatter.write_str("vit-tiny"),
            Self::Own(name) => formatter.write_str(name.as_str()),
        }
    }
}

impl Nonlinearity {
    fn describe(self) -> &'static str {
        match self {
            Self::Relu => "ReLU",
            Self::Swish => "swish",
        }
    }

    fn write_ending(self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self == Self::Swish { SWISH } else { "" })
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
        let (plain, nonlinearity) = match text.strip_suffix(SWISH).or_else(|| text.strip_suffix(SILU)) {
            Some(plain) => (plain, Nonlinearity::Swish),
            None => (text, Nonlinearity::Relu),
        };
        if let Some(rest) = plain.strip_prefix(PREACT) {
            let (rest, is_bare) = rest.strip_suffix(BARE).map_or((rest, false), |rest| (rest, true));
            let (rest, shortcut) = match rest.strip_suffix(ACTIVATED) {
                Some(rest) => (rest, ShortcutInput::Activated),
                None => (rest, ShortcutInput::Raw),
            };
            let (width, stem_stride) = residual(text, PREACT, rest)?;
            let form = PreActForm { shortcut, is_bare, nonlinearity };
            return Ok(Self::PreActResNet18 { width, stem_stride, form });
        }
        if let Some(depth) = text.strip_prefix(IMAGENET_RESNET) {
            let depth = match depth {
                "18" => ImageNetDepth::Eighteen,
                "50" => ImageNetDepth::Fifty,
                _ => return Err(unknown(text)),
            };
            return Ok(Self::ImageNetResNet { depth });
        }
        if let Some(rest) = plain.strip_prefix(RESNET) {
            let (width, stem_stride) = residual(text, RESNET, rest)?;
            return Ok(Self::ResNet18 { width, stem_stride, nonlinearity });
        }
        if let Some(numbers) = plain.strip_prefix(WIDE) {
            let (depth, widening) = wide(text, numbers)?;
            return Ok(Self::WideResNet { depth, widening, nonlinearity });
        }
        if let Some(numbers) = plain.strip_prefix(DEEPMIND_WIDE) {
            let (depth, widening) = wide(text, numbers)?;
            return Ok(Self::DeepMindWideResNet { depth, widening, nonlinearity });
        }
        if let Some(rest) = plain.strip_prefix(DEEPMIND_PREACT) {
            return match residual(text, DEEPMIND_PREACT, rest)? {
                (width, 1) => Ok(Self::DeepMindPreActResNet18 { width, nonlinearity }),
                _ => Err(refused(text, format!("`{DEEPMIND_PREACT}` has a stem of stride 1"))),
            };
        }
        // Whether somebody has registered it, the catalogue of networks knows.
        OwnName::new(text).map(Self::Own).ok_or_else(|| unknown(text))
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
                 stride 2 as in `{name}-w16{HALVING_STEM}`; other definitions follow, in this order: \
                 {ACTIVATED}, {BARE} (preact-resnet-18 alone), {SWISH}"
            ),
        )),
    }
}

/// Depth and widening factor.
fn wide(text: &str, numbers: &str) -> Result<(u32, u32), Error> {
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
    Ok((depth, widening))
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
    fn silu_is_another_word_for_swish() {
        for name in ["preact-resnet-18-w8-s2", "resnet-18", "wide-resnet-28-4", "dm-wide-resnet-28-10"] {
            let silu: ModelName = format!("{name}-silu").parse().unwrap();
            assert_eq!(silu.to_string(), format!("{name}-swish"));
        }
        assert!("vgg-16-silu".parse::<ModelName>().and_then(ModelName::published).is_err());
    }

    #[test]
    fn every_name_prints_as_it_was_read() {
        for text in WELL_KNOWN.into_iter().chain([
            "wide-resnet-10-1",
            "preact-resnet-18-w1",
            "preact-resnet-18-s2",
            "resnet-18-w8-s2",
            "resnet-18-s2-swish",
            "wide-resnet-28-10-swish",
            "dm-wide-resnet-28-10",
            "dm-preact-resnet-18",
            "dm-preact-resnet-18-w8-swish",
            "preact-resnet-18-w8-s2-activated-shortcut-no-final-norm-swish",
            "preact-resnet-18-activated-shortcut-swish",
        ]) {
            assert_eq!(text.parse::<ModelName>().unwrap().to_string(), text);
        }
        assert_eq!("preact-resnet-18-w64".parse::<ModelName>().unwrap().to_string(), "preact-resnet-18");
    }

    #[test]
    fn a_word_of_ones_own_is_a_name_and_anything_else_is_not() {
        for text in ["my-net", "a", "net_2.b"] {
            assert_eq!(text.parse::<ModelName>().unwrap().to_string(), text);
        }
        for text in ["My-net", "2net", "my net", "n\u{e9}t", &"n".repeat(41)] {
            assert!(text.parse::<ModelName>().is_err(), "{text}");
        }
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
            ("preact-resnet-18-no-final-norm-activated-shortcut", "base width"),
            ("preact-resnet-18-activated", "-activated-shortcut, -no-final-norm"),
            ("dm-preact-resnet-18-s2", "stem of stride 1"),
            ("dm-wide-resnet-28", "whole numbers"),
            ("vgg-16-swish", "known:"),
            ("vittiny", "did you mean `vit-tiny`?"),
            ("", "known: convnet"),
        ] {
            let message = text.parse::<ModelName>().and_then(ModelName::published).unwrap_err().to_string();
            assert!(message.contains(hint), "{text}: {message}");
        }
    }
}
