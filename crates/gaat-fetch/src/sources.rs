//! Where data sets are published: the official address first, then mirrors. Digests make all of them equally good.

use gaat_spec::DatasetName;

/// The folders that hold the files of a data set, in the order in which they are asked; none where nothing is published.
pub fn sources(dataset: DatasetName) -> &'static [&'static str] {
    match dataset {
        // The authors' own server sends refusals for some years now; these two are what PyTorch and TensorFlow ask instead.
        DatasetName::Mnist => &[
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        ],
        DatasetName::FashionMnist => &[
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
        ],
        DatasetName::Cifar10 => &[
            "https://www.cs.toronto.edu/~kriz",
            "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10",
            "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets",
        ],
        DatasetName::Cifar100 => &[
            "https://www.cs.toronto.edu/~kriz",
            "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets",
        ],
        DatasetName::Digits | DatasetName::Folder => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gaat_data::official_files;

    #[test]
    fn whatever_is_published_has_a_source_and_nothing_else() {
        for dataset in DatasetName::ALL {
            assert_eq!(sources(*dataset).is_empty(), official_files(*dataset).is_empty(), "{dataset}");
            assert!(sources(*dataset).iter().all(|base| base.starts_with("http") && !base.ends_with('/')));
        }
    }
}
