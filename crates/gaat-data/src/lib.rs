//! Image sets for gaat: readers, splits and epoch order.
//!
//! Whatever images are trained on is an [`ImageSource`]: an [`ImageSet`] in memory, a [`View`] of some images of another source,
//! or a program's own. There is no tensor, no augmentation and no network here, and nothing is printed: what a reader wants to
//! say is in its result.
//!
//! Start at [`load()`], which finds and reads a data set, and [`split()`], which carves the validation set from the training
//! set and gives the three parts types of their own.

mod arrays;
mod centre_crop;
mod cifar;
mod cifar_files;
mod classes;
mod digits;
mod directories;
mod duplicates;
mod error;
mod folder;
mod gzip;
mod idx;
mod idx_files;
mod image_set;
mod inspect;
mod joined;
mod layouts;
mod load;
mod official;
mod order;
mod resize;
mod room;
mod seen;
mod source;
mod split;
mod stratify;
mod view;

pub use arrays::load_extra;
pub use centre_crop::CentreCrop;
pub use classes::class_names;
pub use directories::Directories;
pub use duplicates::Duplicates;
pub use error::{Error, Remedy, Result};
pub use gaat_spec::DatasetName;
pub use image_set::{ImageSet, ImageShape};
pub use inspect::{Condition, Contents, DatasetReport, FileReport, info, info_with, verify, verify_with};
pub use joined::Joined;
pub use layouts::official_files;
pub use load::{Loaded, Location, Opened, Source, load, load_with, open, open_with};
pub use official::OfficialFile;
pub use order::{epoch_order, extra_order};
pub use source::{ImageSource, for_each_chunk};
pub use split::{Parts, SplitOptions, Splits, TestSet, TrainSet, ValidationSet, split};
pub use view::View;
