//! MNIST and Fashion-MNIST: four files of IDX. Source: <http://yann.lecun.com/exdb/mnist/> and
//! <https://github.com/zalandoresearch/fashion-mnist>.

use crate::official::{self, OfficialFile};
use gaat_spec::DatasetName;

/// All of them have so many.
pub(crate) const CLASSES: usize = 10;

/// What tells data sets of this format apart. Their files have the same names.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) dataset: DatasetName,
    /// The folder that torchvision keeps the set in.
    pub(crate) torchvision: &'static str,
    pub(crate) class_names: [&'static str; CLASSES],
    /// The files as they are published.
    pub(crate) packed: &'static [OfficialFile; 4],
    /// SHA-256 of the official files unpacked, where they are known for certain.
    pub(crate) unpacked: Option<[&'static str; 4]>,
}

/// MNIST.
pub(crate) const MNIST: Layout = Layout {
    dataset: DatasetName::Mnist,
    torchvision: "MNIST",
    class_names: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    packed: &official::MNIST,
    unpacked: Some([
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ]),
};

/// Fashion-MNIST (Xiao, Rasul and Vollgraf 2017).
pub(crate) const FASHION_MNIST: Layout = Layout {
    dataset: DatasetName::FashionMnist,
    torchvision: "FashionMNIST",
    class_names: [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ],
    packed: &official::FASHION_MNIST,
    unpacked: None,
};

/// Every data set of this format: their files have the same names.
pub(crate) const ALL: [&Layout; 2] = [&MNIST, &FASHION_MNIST];
