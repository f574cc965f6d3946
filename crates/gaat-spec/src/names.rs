//! Closed lists of names: the same word in TOML, on the command line and in JSON.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Declares an enum whose variants each have one kebab-case name for every use.
macro_rules! named {
    ($(#[$outer:meta])* $name:ident, $key:literal { $($(#[$inner:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
        pub enum $name {
            $($(#[$inner])*
            #[serde(rename = $text)]
            #[cfg_attr(feature = "clap", value(name = $text))]
            $variant,)+
        }

        impl $name {
            /// Every member, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// All names, separated by commas: for help texts and errors.
            pub fn listed() -> String {
                Self::ALL.iter().map(|item| item.as_str()).collect::<Vec<_>>().join(", ")
            }

            /// The name used in TOML, on the command line and in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                Self::ALL.iter().copied().find(|item| item.as_str() == text).ok_or_else(|| {
                    crate::names::unknown($key, text, &Self::ALL.iter().map(|item| item.as_str()).collect::<Vec<_>>())
                })
            }
        }
    };
}
pub(crate) use named;

/// The error for a name outside a closed list: the nearest one if it is near, and all of them.
pub fn unknown(key: &str, text: &str, known: &[&str]) -> Error {
    let near = nearest(text, known).map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
    Error::value(key, format!("\"{text}\""), format!("{near}known: {}", known.join(", ")))
}

/// The known word that `text` is probably a slip of.
pub fn nearest<'a>(text: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(text, name), *name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .map(|(_, name)| name)
}

named! {
    /// In which precision a network computes its convolutions and hidden linear layers. Parameters, batch statistics, the last
    /// layer and logits keep the dtype of the store.
    ComputePrecision, "precision" {
        /// f32, the dtype of the weights.
        Fp32 = "fp32",
        /// bfloat16, which rounds: close to the network of the weights file, but not equal to it.
        Bf16 = "bf16",
    }
}

/// What a verdict says of its precision; files of older versions do not tell.
pub fn judged_in(precision: Option<ComputePrecision>) -> &'static str {
    match precision {
        Some(ComputePrecision::Fp32) => "in fp32",
        Some(ComputePrecision::Bf16) => "in bf16",
        None => "precision not recorded",
    }
}

named! {
    /// A data set that gaat can read.
    DatasetName, "dataset" {
        /// 1,797 handwritten digits of 8x8 pixels, embedded (UCI optdigits).
        Digits = "digits",
        /// MNIST, IDX files.
        Mnist = "mnist",
        /// Fashion-MNIST, IDX files.
        FashionMnist = "fashion-mnist",
        /// CIFAR-10, official binary layout.
        Cifar10 = "cifar10",
        /// CIFAR-100, official binary layout, fine labels.
        Cifar100 = "cifar100",
        /// Your own images: `<split>/<class>/*.png|jpg`, shards `<split>-*.tar`, or `<split>.npz`.
        Folder = "folder",
    }
}

named! {
    /// How parameters follow their gradients.
    OptimizerName, "optimizer" {
        /// Stochastic gradient descent with momentum.
        Sgd = "sgd",
        /// Adam (Kingma and Ba, 2015), weight decay as an L2 penalty.
        Adam = "adam",
        /// Adam with decoupled weight decay (Loshchilov and Hutter, 2019): the weights shrink by a share of the learning rate.
        AdamW = "adamw",
    }
}

named! {
    /// How the learning rate moves over a run.
    ScheduleName, "schedule" {
        /// The same in every step.
        Constant = "constant",
        /// Multiplied by `decay-factor` at each milestone.
        Step = "step",
        /// Triangular: from 0 up to the learning rate at `peak`, and back to 0.
        Cyclic = "cyclic",
        /// Half a cosine from the learning rate to 0.
        Cosine = "cosine",
        /// Cosine up from 1/25 of the learning rate until `peak`, cosine down to 1e-4 of that start.
        OneCycle = "one-cycle",
    }
}

named! {
    /// Where the images of a run lie while it trains.
    Residence, "images" {
        /// In memory where they take at most half of what is free, else as streamed.
        Auto = "auto",
        /// In memory.
        Resident = "resident",
        /// On disk: each batch is read, from the cache of decoded images, while the one before is trained on.
        Streamed = "streamed",
    }
}

named! {
    /// What becomes of the last layer where a run begins with given weights.
    Head, "from-head" {
        /// The given one is kept: the classes are the same.
        Keep = "keep",
        /// It stays as the network was built: the classes are others.
        Fresh = "fresh",
    }
}

named! {
    /// Which BatchNorm statistics an attack sees while training (never updating the running ones).
    AttackStatistics, "attack-statistics" {
        /// Those of the batch under attack, as in the training pass that follows.
        Batch = "batch",
        /// The running ones, as in evaluation.
        Running = "running",
    }
}

named! {
    /// How far two answers of the network are apart, for the consistency of a training.
    ConsistencyForm, "consistency-form" {
        /// The mean over the classes of the squared difference of the logits (Jia et al. 2022, FGSM-PGI).
        Mse = "mse",
        /// The Jensen-Shannon divergence of the two distributions of classes, in nats (LIET).
        Js = "js",
    }
}

named! {
    /// Which labels the training attack climbs the loss of where those of the descent are soft.
    AttackLabels, "attack-labels" {
        /// The classes.
        Hard = "hard",
        /// The smoothed labels of the training loss.
        Soft = "soft",
    }
}

named! {
    /// How the weight that `label-smoothing` takes from the label is shared.
    SmoothingForm, "label-smoothing-form" {
        /// Evenly among all classes, the label too (Szegedy et al. 2016, section 7).
        Even = "even",
        /// At random among the other classes, again for each image and step (LIET).
        Random = "random",
    }
}

named! {
    /// What a run does once a collapse is confirmed.
    CollapsePolicy, "on-collapse" {
        /// Says so, and continues as before.
        Warn = "warn",
        /// Trains by PGD for a while (Li et al. 2020, arXiv 2006.03089).
        Refine = "refine",
        /// The same, from the last healthy network on.
        Rollback = "rollback",
    }
}

named! {
    /// Which saved weights of a run.
    Checkpoint, "checkpoint" {
        /// The epoch that was best on the validation images.
        Best = "best",
        /// The last epoch.
        Last = "last",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_word_everywhere() {
        every_name::<ComputePrecision>(ComputePrecision::ALL);
        every_name::<DatasetName>(DatasetName::ALL);
        every_name::<OptimizerName>(OptimizerName::ALL);
        every_name::<ScheduleName>(ScheduleName::ALL);
        every_name::<AttackStatistics>(AttackStatistics::ALL);
        every_name::<ConsistencyForm>(ConsistencyForm::ALL);
        every_name::<AttackLabels>(AttackLabels::ALL);
        every_name::<SmoothingForm>(SmoothingForm::ALL);
        every_name::<CollapsePolicy>(CollapsePolicy::ALL);
        every_name::<crate::AttackStart>(crate::AttackStart::ALL);
        every_name::<crate::StepDraw>(crate::StepDraw::ALL);
        every_name::<crate::AttackName>(crate::AttackName::ALL);
        every_name::<crate::SaliencyName>(crate::SaliencyName::ALL);
        every_name::<crate::Selection>(crate::Selection::ALL);
        every_name::<crate::method::BaseMethod>(crate::method::BaseMethod::ALL);
    }

    fn every_name<T>(all: &[T])
    where
        T: std::fmt::Display + std::str::FromStr<Err = Error> + PartialEq + std::fmt::Debug,
        T: Serialize + serde::de::DeserializeOwned,
    {
        assert!(all.len() > 1);
        for name in all {
            let json = serde_json::to_string(name).unwrap();
            assert_eq!(json, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<T>(&json).unwrap(), *name);
            assert_eq!(name.to_string().parse::<T>().unwrap(), *name);
        }
    }

    #[test]
    fn a_slip_gets_the_nearest_name_and_all_of_them() {
        let error = "cifar-10".parse::<DatasetName>().unwrap_err().to_string();
        assert!(
            error.contains("did you mean `cifar10`") && error.contains("digits, mnist, fashion-mnist"),
            "{error}"
        );
        assert_eq!(nearest("zebra", &["sgd", "adam"]), None);
    }
}
