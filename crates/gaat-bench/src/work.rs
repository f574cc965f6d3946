//! The pieces of work that both sides do.

use anyhow::bail;
use gaat_spec::ModelName;
use std::fmt;
use std::str::FromStr;

/// Batch size of a step unless its name ends in another.
pub(crate) const BATCH: usize = 128;
/// Batch size of a pass through an exported network unless its name ends in another.
pub(crate) const EXPORTED_BATCH: usize = 64;
/// Attack steps of RAT and GAAT unless its name ends in another number.
pub(crate) const ATTACK_STEPS: usize = 10;

/// All works, in the order of the table.
const ALL: [&str; 27] = [
    "start",
    "first-step",
    "step/convnet/natural",
    "step/convnet/rat",
    "step/convnet/gaat",
    "step/vgg-16/natural",
    "step/vgg-16/rat",
    "step/vgg-16/gaat",
    "step/preact-resnet-18/natural",
    "step/preact-resnet-18/rat",
    "step/preact-resnet-18/gaat",
    "step/wide-resnet-28-4/natural",
    "step/wide-resnet-28-4/natural/256",
    "step/wide-resnet-28-4/rat",
    "step/wide-resnet-28-4/gaat",
    "epoch/convnet/natural",
    "epoch/convnet/rat",
    "epoch/wide-resnet-16-2/natural",
    "epoch/wide-resnet-16-2/rat",
    "epoch/wide-resnet-16-2/gaat",
    "batches",
    "evaluate/convnet",
    "evaluate/preact-resnet-18-w8-s2",
    "exported/imagenet-resnet-18",
    "exported/preact-resnet-18",
    "exported/small/8",
    "python/resnet-18-w16/rat",
];

/// How the cost of a step grows with batch, width, attack steps and threads: what `--works growth` stands for, together with
/// the same steps by the other methods.
const GROWTH: [&str; 11] = [
    "step/wide-resnet-16-2/gaat",
    "step/wide-resnet-16-2/gaat/32",
    "step/wide-resnet-16-2/gaat/64",
    "step/wide-resnet-16-2/gaat/256",
    "step/wide-resnet-16-1/gaat",
    "step/wide-resnet-16-4/gaat",
    "step/wide-resnet-16-2/gaat/128/1",
    "step/wide-resnet-16-2/gaat/128/5",
    "step/wide-resnet-16-2/gaat/128/20",
    "step/wide-resnet-16-2/gaat/128/40",
    "step/wide-resnet-16-2/gaat/128/10/1",
];

/// A way to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// Clean images.
    Natural,
    /// PGD with exact gradients, 10 steps of epsilon/4 unless said otherwise.
    Rat,
    /// One gradient for as many steps. PyTorch has no such loop of its own; it is compared by RAT.
    Gaat,
}

/// A network that `reference/bench.py` exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exported {
    /// Fifteen nodes, each of little work.
    Small,
    /// One that gaat has by itself too.
    Published(ModelName),
}

impl fmt::Display for Exported {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Small => formatter.write_str("small"),
            Self::Published(model) => model.fmt(formatter),
        }
    }
}

impl FromStr for Exported {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        Ok(if text == "small" {
            Self::Small
        } else {
            Self::Published(text.parse::<ModelName>()?.published()?)
        })
    }
}

/// Something whose seconds are measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    /// One training step: convnet on 1x28x28 images, every other network on 3x32x32, 10 classes. On as many threads as
    /// the other works unless its name ends in a number of its own.
    Step { model: ModelName, method: Method, batch: usize, attack_steps: usize, threads: Option<usize> },
    /// One epoch with data and bookkeeping: `convnet` on 60,000 images of 1x28x28 in batches of 100, every other network
    /// on 2,000 images of 3x32x32 in batches of 128, cropped and flipped.
    Epoch { model: ModelName, method: Method },
    /// What an epoch does beside the network: 2,000 images of 3x32x32 gathered in a new order, cropped, flipped and
    /// converted in batches of 128.
    Batches,
    /// PGD-50 on 1,000 images that it does not fool: epsilon is 1e-6 and the labels are the network's own.
    Evaluate { model: ModelName },
    /// One forward and one backward pass to the weights, in fp32, of a network that PyTorch has exported: of 3x32x32 images, 10 classes.
    Exported { network: Exported, batch: usize },
    /// One training step in fp32 of a network that PyTorch has in Python: 3x32x32 images, 10 classes, [`BATCH`] images, of 2,000.
    InPython { model: ModelName, method: Method },
    /// From nothing to `gaat --help`, or to `import torch`.
    Start,
    /// From nothing to the end of `gaat train` on the digits with one step of 128 images and no validation.
    FirstStep,
}

impl Work {
    /// Whether `gaat-bench sample` does the work in its process: not what times other programs or needs Python.
    pub(crate) fn is_sampled(&self) -> bool {
        !matches!(self, Self::Start | Self::FirstStep | Self::InPython { .. })
    }

    /// Whether PyTorch is measured on it.
    pub(crate) fn has_peer(&self) -> bool {
        !matches!(
            self,
            Self::Step { method: Method::Gaat, .. }
                | Self::Epoch { method: Method::Gaat, .. }
                | Self::InPython { method: Method::Gaat, .. }
                | Self::Batches
                | Self::FirstStep
        )
    }

    /// The same step by each method: natural, which takes no attack steps, RAT and GAAT. Nothing where it is no step.
    pub(crate) fn by_each_method(&self) -> Option<[Self; 3]> {
        let &Self::Step { model, batch, attack_steps, threads, .. } = self else { return None };
        let by = |method, attack_steps| Self::Step { model, method, batch, attack_steps, threads };
        Some([
            by(Method::Natural, ATTACK_STEPS),
            by(Method::Rat, attack_steps),
            by(Method::Gaat, attack_steps),
        ])
    }

    /// The number of threads that it is done on, of the `usual` ones.
    pub(crate) fn threads(&self, usual: usize) -> usize {
        if let Self::Step { threads: Some(threads), .. } = self { *threads } else { usual }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Natural => "natural",
            Self::Rat => "rat",
            Self::Gaat => "gaat",
        })
    }
}

impl FromStr for Method {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text {
            "natural" => Ok(Self::Natural),
            "rat" => Ok(Self::Rat),
            "gaat" => Ok(Self::Gaat),
            _ => bail!("method `{text}`: expected natural, rat or gaat"),
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step { model, method, batch, attack_steps, threads } => {
                write!(formatter, "step/{model}/{method}")?;
                match (*batch, *attack_steps, *threads) {
                    (BATCH, ATTACK_STEPS, None) => Ok(()),
                    (batch, ATTACK_STEPS, None) => write!(formatter, "/{batch}"),
                    (batch, steps, None) => write!(formatter, "/{batch}/{steps}"),
                    (batch, steps, Some(threads)) => write!(formatter, "/{batch}/{steps}/{threads}"),
                }
            }
            Self::Epoch { model, method } => write!(formatter, "epoch/{model}/{method}"),
            Self::Batches => formatter.write_str("batches"),
            Self::Evaluate { model } => write!(formatter, "evaluate/{model}"),
            Self::Exported { network, batch: EXPORTED_BATCH } => write!(formatter, "exported/{network}"),
            Self::Exported { network, batch } => write!(formatter, "exported/{network}/{batch}"),
            Self::InPython { model, method } => write!(formatter, "python/{model}/{method}"),
            Self::Start => formatter.write_str("start"),
            Self::FirstStep => formatter.write_str("first-step"),
        }
    }
}

impl FromStr for Work {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let words: Vec<&str> = text.split('/').collect();
        Ok(match words[..] {
            ["start"] => Self::Start,
            ["first-step"] => Self::FirstStep,
            ["batches"] => Self::Batches,
            ["step", model, method, ref numbers @ ..] if numbers.len() <= 3 => {
                let numbers: Vec<usize> =
                    numbers.iter().map(|number| number.parse()).collect::<Result<_, _>>()?;
                let number = |place: usize| numbers.get(place).copied();
                Self::Step {
                    model: model.parse()?,
                    method: method.parse()?,
                    batch: number(0).unwrap_or(BATCH),
                    attack_steps: number(1).unwrap_or(ATTACK_STEPS),
                    threads: number(2),
                }
            }
            ["epoch", model, method] => Self::Epoch { model: model.parse()?, method: method.parse()? },
            ["python", model, method] => Self::InPython { model: model.parse()?, method: method.parse()? },
            ["evaluate", model] => Self::Evaluate { model: model.parse()? },
            ["exported", network, ref numbers @ ..] if numbers.len() <= 1 => Self::Exported {
                network: network.parse()?,
                batch: numbers.first().map_or(Ok(EXPORTED_BATCH), |number| number.parse())?,
            },
            _ => bail!(
                "work `{text}`: expected growth, start, first-step, batches, step/MODEL/METHOD[/BATCH[/STEPS[/THREADS]]], \
                 epoch/MODEL/METHOD, evaluate/MODEL, exported/NETWORK[/BATCH] or python/MODEL/METHOD"
            ),
        })
    }
}

/// The works that the user named, by prefix or in full; without a name all but those of `growth`.
pub(crate) fn chosen(names: &[String]) -> anyhow::Result<Vec<Work>> {
    if names.is_empty() {
        return ALL.iter().map(|name| name.parse()).collect();
    }
    let mut works = Vec::new();
    for name in names {
        if name == "growth" {
            works.extend(growth()?);
            continue;
        }
        let listed: Vec<&str> = ALL.into_iter().filter(|known| known.starts_with(name.as_str())).collect();
        if listed.is_empty() {
            works.push(name.parse()?);
        }
        for known in listed {
            works.push(known.parse()?);
        }
    }
    Ok(works)
}

/// The steps of [`GROWTH`] by each method, each once.
fn growth() -> anyhow::Result<Vec<Work>> {
    let mut works = Vec::new();
    for name in GROWTH {
        for step in name.parse::<Work>()?.by_each_method().into_iter().flatten() {
            if !works.contains(&step) {
                works.push(step);
            }
        }
    }
    Ok(works)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for name in ALL.into_iter().chain(GROWTH) {
            assert_eq!(name.parse::<Work>().unwrap().to_string(), name);
        }
        for work in growth().unwrap() {
            assert_eq!(work.to_string().parse::<Work>().unwrap(), work);
        }
    }

    #[test]
    fn a_prefix_chooses_and_nonsense_is_refused() {
        let named = |name: &str| chosen(&[name.to_owned()]).map(|works| works.len());
        assert_eq!(named("step/vgg-16").unwrap(), 3);
        assert_eq!(chosen(&[]).unwrap().len(), ALL.len());
        assert_eq!(named("growth").unwrap(), 29);
        assert_eq!(named("step/wide-resnet-16-2/gaat").unwrap(), 1);
        assert!(named("step/vgg-16/fast").is_err() && named("stop").is_err());
    }

    #[test]
    fn only_gaat_its_batches_and_its_first_step_have_no_peer() {
        let peerless = ALL.iter().filter(|name| !name.parse::<Work>().unwrap().has_peer());
        assert!(
            peerless.clone().all(|name| name.ends_with("gaat") || ["batches", "first-step"].contains(name))
        );
        assert_eq!(peerless.count(), 7);
    }
}
