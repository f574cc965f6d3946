//! What can be typed: every command with its flags. Recipe keys come from `gaat-spec`, so that none is listed twice.
//!
//! Part of both binaries: what it uses must not need libtorch.

#![allow(missing_docs, reason = "a comment of a group of flags would become a part of the help")]

mod data;
mod judge;
mod machine;
mod network;

pub use data::{DataAction, DataArguments, FetchArguments, LookArguments};
pub use judge::JudgeArguments;
pub use machine::{CompletionsArguments, DoctorArguments, ManArguments};
pub use network::{ModelAction, ModelArguments};

use clap::{Args, Parser, Subcommand, ValueEnum};
use gaat_data::ImageShape;
use gaat_spec::method::BaseMethod;
use gaat_spec::record::LIBTORCH_VERSION;
use gaat_spec::{
    Anchor, AttackName, Budget, Checkpoint, ComputePrecision, Curvature, DatasetName, MethodName, ModelName,
    Norm, NormalizationChoice, PixelLength, Recipe, SaliencyName, Shard,
};
use std::path::PathBuf;
use std::sync::LazyLock;

/// Images per batch while judging.
pub const BATCH_SIZE: usize = 500;

/// Adversarial training with gradient approximation: robust image classifiers at a fraction of the usual cost
#[derive(Debug, Parser)]
#[command(name = "gaat", bin_name = "gaat", version = version(), arg_required_else_help = true)]
#[command(
    after_help = "Exit status: 0 done, 1 a threshold set by --require-... was missed, 2 error, 130 interrupted."
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a network and write a run directory
    Train(Box<TrainArguments>),
    /// Judge a trained network on the test images: clean and robust accuracy
    Evaluate(Box<EvaluateArguments>),
    /// Perturb test images and save them as arrays for numpy and as a picture
    Attack(Box<AttackArguments>),
    /// Train several methods under one recipe, judge them alike and print one table
    Compare(Box<CompareArguments>),
    /// Compare Taylor models of the loss with a trained network, over epsilon: residual, gain ratio, gradients, attacks
    Analyze(Box<AnalyzeArguments>),
    /// Show which pixels of test images trained networks rely on (saliency maps), and compare networks
    Explain(ExplainArguments),
    /// Write the results of a run or a comparison as one HTML page
    Report(ReportArguments),
    /// Turn a PyTorch state dict into weights that gaat reads
    Import(ImportArguments),
    /// Write a trained network for PyTorch (safetensors, .pt2) or ONNX Runtime
    Export(ExportArguments),
    /// Describe a network saved by torch.export
    Model(ModelArguments),
    /// Inspect, verify and download data sets
    Data(DataArguments),
    /// Check this machine for training and suggest fixes
    Doctor(DoctorArguments),
    /// Print completions for a shell
    Completions(CompletionsArguments),
    /// Print a manual page
    Man(ManArguments),
}

/// How any command speaks.
#[derive(Debug, Clone, Copy, Args)]
pub struct OutputArguments {
    /// Print the result as one JSON document
    #[arg(long, global = true)]
    pub json: bool,
    /// Show no progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A value that neither a flag nor the recipe sets depends on the data set and the method; \
                  recipe.toml in the run directory holds every value that was used."
)]
pub struct TrainArguments {
    /// Recipe file; flags override its keys
    #[arg(value_name = "RECIPE.toml")]
    pub file: Option<PathBuf>,
    /// Run directory; must be new or empty unless --resume is given
    /// [default: runs/DATASET-MODEL-METHOD-sSEED]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Resume the run in --out (or in the run directory given instead of a recipe), using its saved recipe
    #[arg(long)]
    pub resume: bool,
    #[command(flatten)]
    pub recipe: Recipe,
}

/// Which weights of a trained network, and the images to look at them with.
#[derive(Debug, Clone, Args)]
pub struct TrainedArguments {
    /// Which weights of a run directory
    #[arg(long, value_enum, default_value_t = Checkpoint::Best)]
    pub checkpoint: Checkpoint,
    /// Data set whose test images are used [default: that of the training]
    #[arg(long)]
    pub dataset: Option<DatasetName>,
    /// Directory of the data [default: as in the training]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Normalisation of pixels in [0, 1] that is put before a network of torch.export: none, dataset, imagenet, cifar10, cifar100, mnist,
    /// or numbers as MEANS/DEVIATIONS, with a comma between channels [default: none]
    #[arg(long, value_name = "NORMALIZATION")]
    pub normalization: Option<NormalizationChoice>,
    /// The same network exported in evaluation mode, if gaat model info says that the training mode alone cannot be judged
    #[arg(long, value_name = "EVAL.pt2")]
    pub eval_program: Option<PathBuf>,
    /// Threads of libtorch [default: the number of cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// A trained network, and the images and the machine to look at it with.
#[derive(Debug, Args)]
pub struct SubjectArguments {
    /// Run directory, a checkpoint (.safetensors), or a network of torch.export (.pt2), which needs --dataset
    #[arg(value_name = "RUN_OR_WEIGHTS")]
    pub run: PathBuf,
    #[command(flatten)]
    pub trained: TrainedArguments,
    /// cpu, or cuda:0 and so on [default: as in the training]
    #[arg(long)]
    pub device: Option<String>,
    /// Precision of the computation; bf16 rounds, so that the network judged is not exactly that of the weights file
    #[arg(long, value_enum, default_value_t = ComputePrecision::Fp32)]
    pub precision: ComputePrecision,
}

/// A trained network, the threat model that it is attacked under, and which images.
#[derive(Debug, Args)]
pub struct AttackedArguments {
    #[command(flatten)]
    pub subject: SubjectArguments,
    /// Bound of the threat model, such as 0.3 or 8/255 [default: that of the training]
    #[arg(long)]
    pub epsilon: Option<PixelLength>,
    /// Norm of the threat model [default: that of the training]
    #[arg(long)]
    pub norm: Option<Norm>,
    /// Use only this many test images, a subset drawn with the seed
    #[arg(long, value_name = "N", conflicts_with = "first")]
    pub limit: Option<usize>,
    /// Use only the first N test images in order, as RobustBench and AutoAttack do
    #[arg(long, value_name = "N")]
    pub first: Option<usize>,
    /// Images per batch
    #[arg(long, value_name = "N", default_value_t = BATCH_SIZE)]
    pub batch_size: usize,
    /// Seed of the random starts
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// Where the gradients of an attack come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GradientChoice {
    /// Those of the network
    Exact,
    /// Those of a Taylor model: of the cross-entropy, or of the logits for attacks on the logits
    Taylor,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The file of --out holds clean, perturbed, labels, clean_predictions and predictions in full precision. \
                        The files of --images have 8 bits: pixels are rounded towards the clean image, so that the perturbation \
                        stays within epsilon, and the rounded images are judged again."
)]
pub struct AttackArguments {
    #[command(flatten)]
    pub attacked: AttackedArguments,
    /// The attack
    #[arg(long, value_name = "ATTACK")]
    pub attack: AttackName,
    #[command(flatten)]
    pub budget: Budget,
    /// Source of the gradients of the attack; the network itself always decides whether an image is fooled
    #[arg(long, value_enum, default_value_t = GradientChoice::Exact)]
    pub gradient: GradientChoice,
    /// Curvature of the Taylor model of the cross-entropy [default: none]
    #[arg(long)]
    pub curvature: Option<Curvature>,
    /// Expansions of the Taylor model, spaced evenly over the steps of the attack [default: 1]
    #[arg(long, value_name = "N")]
    pub refreshes: Option<usize>,
    /// Arrays to write, for numpy.load; not needed with --images
    #[arg(long, value_name = "FILE.npz", required_unless_present = "images")]
    pub out: Option<PathBuf>,
    /// Directory for all perturbed images as 8-bit PNG files, CLASS/INDEX.png, with a table, images.csv; must be new or empty
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Picture to write: clean image, perturbed image, amplified difference
    #[arg(long, value_name = "GRID.png")]
    pub png: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Every result goes into report.html of the run directory. A result on all test images, with the best checkpoint \
                        and the threat model of the training, is also written to run.json."
)]
pub struct EvaluateArguments {
    #[command(flatten)]
    pub attacked: AttackedArguments,
    /// Attacks, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "ATTACKS", default_value = "fgsm,pgd")]
    pub attack: Vec<AttackName>,
    #[command(flatten)]
    pub budget: Budget,
    /// Also judge at each of these epsilons with --curve-attack; separated by commas
    #[arg(long, value_delimiter = ',', value_name = "LENGTHS")]
    pub epsilons: Vec<PixelLength>,
    /// Also judge at eight epsilons from 0 to twice that of the threat model
    #[arg(long, conflicts_with = "epsilons")]
    pub curve: bool,
    /// The attack for these epsilons, with the steps above and one random start unless --restarts is given
    #[arg(long, value_name = "ATTACK", default_value = "pgd")]
    pub curve_attack: AttackName,
    /// File for a plot of robust accuracy over epsilon
    #[arg(long, value_name = "CURVE.svg")]
    pub svg: Option<PathBuf>,
    /// Number of images used by the checks for masked gradients; 0 for none
    #[arg(long, value_name = "N", default_value_t = 250)]
    pub probe_images: usize,
    /// Draws of random noise per image in the checks for masked gradients
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub noise_draws: usize,
    /// Exit with status 1 when the robust accuracy is below this fraction
    #[arg(long, value_name = "FRACTION", value_parser = fraction)]
    pub require_robust: Option<f64>,
    /// Exit with status 1 when an alarm was raised: a sign that the numbers may be too good
    #[arg(long)]
    pub require_no_alarms: bool,
    /// Save progress in this file after every batch; if the file exists, continue from it
    #[arg(long, value_name = "FILE.json")]
    pub state: Option<PathBuf>,
    /// Judge only part I of N of the images and save the result in --state, for machines that are not connected
    #[arg(long, value_name = "I/N", requires = "state")]
    pub shard: Option<Shard>,
    /// Judge nothing; combine the --state files of all parts, or the directories that hold them, into one verdict
    #[arg(long, value_name = "FILES", num_args = 1.., conflicts_with_all = ["state", "shard"])]
    pub merge: Vec<PathBuf>,
}

#[derive(Debug, Args)]
// The method is set by --methods; the flag of the recipe would only mislead.
#[command(mut_arg("method", |argument| argument.hide(true)))]
#[command(
    after_help = "The same command continues where an interrupted comparison stopped: finished runs are kept. \
                        Keys for one method alone go into a section of the recipe, such as [methods.rat]. A delay \
                        applies to the dat methods alone."
)]
pub struct CompareArguments {
    /// Recipe file; flags override its keys
    #[arg(value_name = "RECIPE.toml")]
    pub file: Option<PathBuf>,
    /// Methods, separated by commas
    #[arg(
        long,
        value_delimiter = ',',
        required = true,
        value_name = "METHODS",
        help = format!("Methods, separated by commas: {}, awp+METHOD, dat+METHOD", BaseMethod::listed())
    )]
    pub methods: Vec<MethodName>,
    /// Runs of each method, with seeds counted up from --seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seeds: u64,
    /// Directory of all runs, of compare.json, README.md, report.html and frontier.svg [default: runs/compare-DATASET-MODEL]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub judge: JudgeArguments,
    #[command(flatten)]
    pub recipe: Recipe,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Every attack takes the same steps of 2.5 epsilon / steps from the same random starts; pgd takes \
                        them with exact gradients. The network itself always decides whether an image is robust. The directory of \
                        the plots also holds analysis.json."
)]
pub struct AnalyzeArguments {
    #[command(flatten)]
    pub subject: SubjectArguments,
    /// Bounds, separated by commas [default: 2/255 to 32/255; 0.05 to 0.5 for grey images; 0.25 to 3 in l2]
    #[arg(long, value_delimiter = ',', value_name = "LENGTHS")]
    pub epsilons: Vec<PixelLength>,
    /// Norm of the perturbations [default: that of the training]
    #[arg(long)]
    pub norm: Option<Norm>,
    /// Orders of the Taylor models: 1, 2 (with each curvature), 3 (with the exact curvature)
    #[arg(long, value_delimiter = ',', value_name = "ORDERS", default_value = "1,2,3")]
    pub orders: Vec<usize>,
    /// Curvatures at order 2: gauss-newton, diagonal, batch-fisher, sampled-fisher, secant, exact [default: all]
    #[arg(long, value_delimiter = ',', value_name = "CURVATURES", hide_possible_values = true)]
    pub curvatures: Vec<Curvature>,
    /// Labels drawn per image for sampled-fisher
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub curvature_draws: usize,
    /// Point at which each model is expanded: clean or random-start
    #[arg(long, default_value_t = Anchor::Clean)]
    pub anchor: Anchor,
    /// Number of test images, a subset drawn with the seed
    #[arg(long, value_name = "N", default_value_t = 200, conflicts_with = "first")]
    pub limit: usize,
    /// Use the first N test images in order instead of a subset
    #[arg(long, value_name = "N")]
    pub first: Option<usize>,
    /// Attack steps
    #[arg(long, value_name = "K", default_value_t = 10)]
    pub steps: usize,
    /// Images per batch; batch-fisher mixes the images of a batch
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub batch_size: usize,
    /// Seed of the random starts
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Directory of analysis.json and the plots [default: analysis in the run directory, or beside the checkpoint]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Maps are of the logit of each image's class, in fp32. The directory holds explanation.json, a README.md with \
                        the tables, and a picture of each run."
)]
pub struct ExplainArguments {
    /// Run directories, checkpoints (.safetensors), or networks of torch.export (.pt2)
    #[arg(value_name = "RUN_OR_WEIGHTS", required = true)]
    pub runs: Vec<PathBuf>,
    /// Saliency methods, separated by commas [default: all that every run has]
    #[arg(long, value_delimiter = ',', value_name = "METHODS")]
    pub method: Vec<SaliencyName>,
    /// Test images to explain, a subset drawn with the seed; images that any of the runs misclassifies are left out
    #[arg(long, value_name = "N", default_value_t = 200, conflicts_with = "first")]
    pub limit: usize,
    /// Use the first N test images in order instead of a subset
    #[arg(long, value_name = "N")]
    pub first: Option<usize>,
    /// Seed of the choice of images and of the noise of smoothgrad
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub trained: TrainedArguments,
    /// cpu, or cuda:0 and so on
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Directory to write [default: explanation in the run directory; of several runs, beside the first]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "train, evaluate, analyze, explain and compare update the page whenever they have a new result. The page \
                        needs no other file and no internet."
)]
pub struct ReportArguments {
    /// Run directory, or directory of a comparison
    #[arg(value_name = "RUN_OR_COMPARISON")]
    pub directory: PathBuf,
    /// Page to write [default: report.html in the directory]
    #[arg(long, value_name = "FILE.html")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Only named tensors are read, as torch.save(model.state_dict(), FILE) or safetensors.torch.save_file write \
                        them. No code in the file is run."
)]
pub struct ImportArguments {
    /// State dict written by torch.save (.pth, .pt) or as safetensors
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The network that the weights belong to, such as convnet or preact-resnet-18
    #[arg(long)]
    pub model: ModelName,
    /// File of weights to write; must not exist yet
    #[arg(long, value_name = "W.safetensors")]
    pub out: PathBuf,
    /// Which of several networks in the file, as a path of keys joined by dots [default: the usual keys]
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Data set that the network was trained on: gives shape and class names
    #[arg(long)]
    pub dataset: Option<DatasetName>,
    /// Directory of the data
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Shape of an image [default: 1x28x28, 3x32x32 or 1x8x8, whichever fits]
    #[arg(long, value_name = "CxHxW", value_parser = image_shape)]
    pub input: Option<ImageShape>,
    /// Class names in the order of the logits, separated by commas [default: none; then the weights fit any data with the same
    /// number of classes]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub classes: Vec<String>,
    /// Mean of each channel, subtracted from pixels in [0, 1] before the network [default: that of the file, else 0]
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS", requires = "std")]
    pub mean: Vec<f64>,
    /// Standard deviation of each channel, which divides the pixels after that [default: that of the file, else 1]
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS", requires = "mean")]
    pub std: Vec<f64>,
}

/// What a network is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Weights under their PyTorch names, and config.json beside them
    Safetensors,
    /// A graph that takes pixels in [0, 1] and returns logits
    Onnx,
    /// The program of torch.export that was trained, with the trained weights, and config.json beside it
    Pt2,
}

#[derive(Debug, Args)]
pub struct ExportArguments {
    /// Run directory, or a checkpoint (.safetensors)
    #[arg(value_name = "RUN_OR_WEIGHTS")]
    pub run: PathBuf,
    /// What to write
    #[arg(long, value_enum)]
    pub format: ExportFormat,
    /// File to write; must not exist yet, nor may config.json beside safetensors and .pt2
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Which weights of a run directory
    #[arg(long, value_enum, default_value_t = Checkpoint::Best)]
    pub checkpoint: Checkpoint,
    /// Fold batch normalisations into the convolutions before them (onnx)
    #[arg(long)]
    pub fold_batchnorm: bool,
    /// Version of the operator set of the graph (onnx) [default: 17, or 20 if the graph needs it]
    #[arg(long, value_name = "N")]
    pub opset: Option<i64>,
}

/// What `gaat --version` says after the name.
fn version() -> &'static str {
    static VERSION: LazyLock<String> =
        LazyLock::new(|| format!("{} (libtorch {LIBTORCH_VERSION})", env!("CARGO_PKG_VERSION")));
    &VERSION
}

/// `1x28x28` as a shape.
fn image_shape(text: &str) -> Result<ImageShape, String> {
    let sides: Vec<usize> =
        text.split('x').filter_map(|side| side.parse().ok()).filter(|side| *side > 0).collect();
    match sides.as_slice() {
        [channels, height, width] if text.split('x').count() == 3 => {
            Ok(ImageShape { channels: *channels, height: *height, width: *width })
        }
        _ => Err("write channels, height and width, such as 3x32x32".to_owned()),
    }
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        Ok(value) if (1.0..=100.0).contains(&value) => {
            Err(format!("write it as a fraction: {}", value / 100.0))
        }
        _ => Err("write a fraction from 0 to 1, such as 0.45".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_recipe_key_is_a_flag_of_train() {
        let command = Arguments::command();
        let train = command.find_subcommand("train").unwrap();
        let flags: Vec<&str> = train.get_arguments().filter_map(clap::Arg::get_long).collect();
        for key in Recipe::keys().iter().filter(|key| **key != "methods") {
            assert!(flags.contains(key), "--{key} is missing");
        }
    }

    #[test]
    fn flags_become_recipe_keys() {
        let parsed =
            parse("gaat train r.toml --method dat+gaat --epsilon 8/255 --milestones 0.2,0.6 --flip false");
        let Command::Train(train) = parsed.unwrap().command else { panic!("not train") };
        assert_eq!(train.recipe.method.unwrap().to_string(), "dat+gaat");
        assert_eq!(train.recipe.epsilon.unwrap().to_string(), "8/255");
        assert_eq!((train.recipe.milestones, train.recipe.flip), (Some(vec![0.2, 0.6]), Some(false)));
    }

    #[test]
    fn attacks_come_as_a_list_or_one_by_one() {
        for line in [
            "gaat evaluate x --attack fgsm,pgd",
            "gaat evaluate x --attack fgsm --attack pgd",
            "gaat evaluate x",
        ] {
            let Command::Evaluate(evaluate) = parse(line).unwrap().command else { panic!("not evaluate") };
            assert_eq!(evaluate.attack, [AttackName::Fgsm, AttackName::Pgd], "{line}");
        }
    }

    #[test]
    fn training_steps_and_judging_steps_are_apart() {
        let parsed = parse("gaat compare --methods rat,gaat --steps 7 --judge-steps 20 --seeds 3");
        let Command::Compare(compare) = parsed.unwrap().command else { panic!("not compare") };
        assert_eq!((compare.recipe.steps, compare.judge.judge_steps, compare.seeds), (Some(7), Some(20), 3));
    }

    #[test]
    fn a_percentage_is_told_its_fraction() {
        let error = parse("gaat evaluate x --require-robust 45").unwrap_err().to_string();
        assert!(error.contains("0.45"), "{error}");
        assert!(parse("gaat evaluate x --require-robust nan").is_err());
    }
}
