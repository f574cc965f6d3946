//! Guide to the library, with examples that compile.
//!
//! Pixels are `[N, C, H, W]` in `[0, 1]`, labels `[N]` of i64, epsilon in pixel units. Whatever can fail returns an error that
//! says what to do; nothing panics.
//!
//! # Train on a folder of images
//!
//! A [`Recipe`](crate::spec::Recipe) is the TOML that the command line reads. What it leaves out has a default, and
//! [`check`](crate::spec::Recipe::check) says what is wrong with the rest.
//!
//! ```no_run
//! use gaat::prelude::*;
//!
//! let recipe = Recipe::from_toml(
//!     r#"
//!     dataset = "folder"
//!     data-dir = "photos"
//!     resize = 32
//!     method = "gaat"
//!     epsilon = "8/255"
//!     "#,
//! )?
//! .check()?;
//! prepare_process(None)?;
//! let record = train(&recipe, &TrainOptions { run_dir: "runs/photos".into(), resume: false }, &mut Quiet)?;
//! println!("{:?} after {} epochs", record.status, record.epochs.len());
//!
//! let run = open("runs/photos".as_ref(), Checkpoint::Best, None, ComputePrecision::Fp32)?;
//! let test = test_images(&recipe.resolved, None)?;
//! let attacks = vec![AttackSpec::pgd(&recipe.plan.threat(), 50, 10, None)?];
//! let options = EvaluateOptions::new(recipe.plan.threat(), attacks, 500);
//! let verdict = evaluate(run.classifier.as_ref(), test.images(), &options, &mut |_| Control::Continue)?;
//! println!("{:.3} clean, {:.3} robust", verdict.clean_accuracy, verdict.robust_accuracy);
//! # Ok::<(), gaat::Error>(())
//! ```
//!
//! # A model of your own
//!
//! Whatever implements [`Classifier`](crate::nn::Classifier) can be trained ([`Training`](crate::train::Training)), judged, attacked
//! and expanded: four methods are needed. An [`Architecture`](crate::nn::Architecture) in a [`Catalogue`](crate::nn::Catalogue) gives
//! a network a name, by which recipes ask for the network and run directories open; the example `own_network` has one.
//!
//! ```
//! use gaat::nn::{ParameterStore, Role};
//! use gaat::prelude::*;
//! use tch::{Device, Kind, Tensor};
//!
//! /// Logits are linear in the pixels.
//! struct Linear {
//!     weight: Tensor,
//!     store: ParameterStore,
//! }
//!
//! impl Linear {
//!     fn new() -> Result<Self> {
//!         let mut store = ParameterStore::new(Device::Cpu, Kind::Float);
//!         let initial = Rng::new(1).seeded("weight", 0).normal(&[64, 10], 0.0, 0.1, Kind::Float, Device::Cpu)?;
//!         let weight = store.add("weight", &initial, Role::Weight)?;
//!         Ok(Self { weight, store })
//!     }
//! }
//!
//! impl Classifier for Linear {
//!     fn logits(&self, pixels: &Tensor, _mode: Mode) -> Result<Tensor> {
//!         Ok(pixels.f_flatten(1, -1)?.f_matmul(&self.weight)?)
//!     }
//!     fn input_shape(&self) -> InputShape {
//!         InputShape { channels: 1, height: 8, width: 8 }
//!     }
//!     fn class_count(&self) -> i64 {
//!         10
//!     }
//!     fn store(&self) -> &ParameterStore {
//!         &self.store
//!     }
//! }
//!
//! let test = test_images(&Recipe::from_toml("dataset = \"digits\"")?, None)?;
//! let threat = ThreatModel::new(Norm::Linf, PixelLength::new(0.05)?)?;
//! let attacks = vec![AttackSpec::fgsm(&threat), AttackSpec::pgd(&threat, 10, 1, None)?];
//! let options = EvaluateOptions { limit: Some(200), ..EvaluateOptions::new(threat, attacks, 100) };
//! let verdict = evaluate(&Linear::new()?, test.images(), &options, &mut |_| Control::Continue)?;
//! assert!(verdict.robust_accuracy <= verdict.clean_accuracy);
//! # Ok::<(), gaat::Error>(())
//! ```
//!
//! # An attack of your own
//!
//! An [`Attack`](crate::attack::Attack) proposes; [`attack::run`](crate::attack::run()) projects the proposal on ball and box, so that it can
//! be trusted. Where the gradients come from is the oracle's business: [`Exact`](crate::attack::Exact) asks the network.
//!
//! ```
//! use gaat::attack::run;
//! use gaat::nn::{BuildOptions, ComputePrecision, Normalization, build};
//! use gaat::prelude::*;
//! use tch::{Kind, Tensor};
//!
//! /// One step along the gradient itself, its largest entry as long as epsilon.
//! struct Straight;
//!
//! impl Attack for Straight {
//!     fn propose(&self, oracle: &mut dyn GradientOracle, batch: UnderAttack<'_>) -> Result<Tensor> {
//!         let UnderAttack { clean, labels, threat, .. } = batch;
//!         let gradient = oracle.at(clean, labels)?.gradient;
//!         let largest = gradient.f_abs()?.f_amax([1, 2, 3].as_slice(), true)?.f_clamp_min(1e-12)?;
//!         Ok(gradient.f_div(&largest)?.f_mul_scalar(threat.epsilon())?)
//!     }
//! }
//!
//! let input = InputShape { channels: 1, height: 8, width: 8 };
//! let options = BuildOptions {
//!     device: tch::Device::Cpu,
//!     precision: ComputePrecision::Fp32,
//!     kind: Kind::Float,
//!     seed: 0,
//!     normalization: Normalization::identity(1),
//! };
//! let network = build(&"mlp".parse()?, input, 10, &options)?;
//! let test = test_images(&Recipe::from_toml("dataset = \"digits\"")?, None)?;
//! let batch = Images::upload(test.images(), tch::Device::Cpu)?.range(0, 32, Kind::Float)?;
//! let threat = ThreatModel::new(Norm::Linf, PixelLength::new(0.1)?)?;
//! let mut oracle = Exact::new(network.as_ref(), Mode::Eval);
//! let draws = Rng::new(0).seeded("attack", 0);
//! let perturbed = run(&Straight, &mut oracle, UnderAttack::new(&batch.pixels, &batch.labels, &threat, &draws))?;
//! let reach = (perturbed.pixels() - &batch.pixels).abs().max().double_value(&[]);
//! assert!(reach <= 0.1 + 1e-6);
//! # Ok::<(), gaat::Error>(())
//! ```
//!
//! # Images of your own
//!
//! Whatever hands out pixels is an [`ImageSource`](crate::data::ImageSource): an array in memory ([`ImageSet`](crate::data::ImageSet)),
//! a data base, a generator. Splits are views on it. What the digest covers is what a resumed run insists on.
//!
//! ```
//! use gaat::data::{ImageShape, ImageSource, SplitOptions};
//! use gaat::dataset::Dataset;
//! use gaat::nn::Catalogue;
//! use gaat::train::{Nothing, Quiet, Start, Training};
//! use std::sync::Arc;
//!
//! /// Bright images and dark ones.
//! struct Shades(Vec<i64>, Vec<String>);
//!
//! impl ImageSource for Shades {
//!     fn shape(&self) -> ImageShape {
//!         ImageShape { channels: 1, height: 8, width: 8 }
//!     }
//!     fn labels(&self) -> &[i64] {
//!         &self.0
//!     }
//!     fn class_names(&self) -> &[String] {
//!         &self.1
//!     }
//!     fn name(&self) -> &str {
//!         "shades"
//!     }
//!     fn read(&self, indices: &[usize], pixels: &mut [u8]) -> gaat::data::Result<()> {
//!         for (index, pixels) in indices.iter().zip(pixels.chunks_exact_mut(64)) {
//!             pixels.fill(100 * self.0[*index] as u8 + (*index % 50) as u8);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let shades = |count| Arc::new(Shades((0..count).map(|index| index % 2).collect(), vec!["dark".into(), "bright".into()]));
//! let data = Dataset::of(shades(200), shades(50), &SplitOptions::default())?;
//! let recipe = gaat::spec::Recipe::from_toml("dataset = \"digits\"\nmodel = \"mlp\"\nmethod = \"natural\"\nepochs = 1")?.check()?;
//! let training = Training::on(data, &recipe, &Catalogue::standard(), Start::Fresh)?;
//! assert_eq!(training.run(&mut Nothing, &mut Quiet)?.images, 180);
//! # Ok::<(), gaat::Error>(())
//! ```
//!
//! # A curvature of your own
//!
//! A model of the Hessian is whatever says what `H s` is: an [`InputHessian`](crate::taylor::curvature::InputHessian). With it an
//! [`Expansion`](crate::taylor::Expansion) drives any attack, without another pass through the network.
//!
//! ```
//! use gaat::attack::{Fgsm, Taylor, run};
//! use gaat::nn::{BuildOptions, ComputePrecision, Normalization, build};
//! use gaat::prelude::*;
//! use gaat::taylor::Expansion;
//! use gaat::taylor::curvature::InputHessian;
//! use tch::{Kind, Tensor};
//!
//! /// `H = c I`: the same bend in every direction.
//! struct Isotropic(f64);
//!
//! impl InputHessian for Isotropic {
//!     fn product(&self, displacement: &Tensor) -> Result<Tensor> {
//!         Ok(displacement.f_mul_scalar(self.0)?)
//!     }
//! }
//!
//! let input = InputShape { channels: 1, height: 8, width: 8 };
//! let options = BuildOptions {
//!     device: tch::Device::Cpu,
//!     precision: ComputePrecision::Fp32,
//!     kind: Kind::Float,
//!     seed: 0,
//!     normalization: Normalization::identity(1),
//! };
//! let network = build(&"mlp".parse()?, input, 10, &options)?;
//! let test = test_images(&Recipe::from_toml("dataset = \"digits\"")?, None)?;
//! let batch = Images::upload(test.images(), tch::Device::Cpu)?.range(0, 32, Kind::Float)?;
//! let threat = ThreatModel::new(Norm::Linf, PixelLength::new(0.1)?)?;
//! let draws = Rng::new(0).seeded("attack", 0);
//!
//! let at_clean = Exact::new(network.as_ref(), Mode::Eval).at(&batch.pixels, &batch.labels)?;
//! let expansion = Expansion::first_order(batch.pixels.shallow_clone(), at_clean.losses, at_clean.gradient)
//!     .with_curvature(Box::new(Isotropic(0.5)));
//! let mut oracle = Taylor::around(network.as_ref(), Mode::Eval, &threat, expansion, draws.branch("curvature"));
//! let perturbed = run(&Fgsm, &mut oracle, UnderAttack::new(&batch.pixels, &batch.labels, &threat, &draws))?;
//! oracle.settle(perturbed.pixels())?;
//! let predicted = oracle.forecast()?.gains.sum(Kind::Float).double_value(&[]);
//! assert!(predicted > 0.0);
//! # Ok::<(), gaat::Error>(())
//! ```
