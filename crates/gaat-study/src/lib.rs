//! Trained networks compared, judged, looked into and reported on: what the command line does, without a command line.
//!
//! | module | holds |
//! |---|---|
//! | [`comparison`] | several methods under one recipe, judged alike; continues where it stopped |
//! | [`subject`] | a trained network with its recipe and its test images, to be judged, attacked, analysed |
//! | [`question`] | what a subject is asked, with all that is left open filled in |
//! | [`verdicts`] | what was found of a run, by kind |
//! | [`report`] | the HTML page of a run or of a comparison |
//! | [`export`] | a trained network written for other programs |
//! | [`attacks`], [`epsilons`], [`recipes`], [`planned`] | attacks by name, usual bounds, recipes from files, the run that is meant |
//!
//! Nothing here reads an argument, prints, or knows a terminal: the caller observes by a closure.
//!
//! # Two methods compared
//!
//! ```
//! use gaat::nn::Catalogue;
//! use gaat::evaluate::Control;
//! use gaat_study::comparison::{CompareOptions, Happened, Plan, Turn, compare};
//! use gaat_spec::{AttackName, Recipe};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! gaat::device::prepare_process(Some(1))?;
//! let folder = tempfile::tempdir()?;
//! let recipe = Recipe::from_toml("dataset = \"digits\"\nepochs = 1\nlimit = 300")?;
//! let options = CompareOptions {
//!     directory: Some(folder.path().join("compared")),
//!     attacks: vec![AttackName::Fgsm],
//!     limit: Some(60),
//!     ..CompareOptions::new(recipe, vec!["natural".parse()?, "gaat".parse()?])
//! };
//! let catalogue = Catalogue::standard();
//! let plan = Plan::new(&options, &catalogue)?;
//! let mut watch = |turn: &Turn, happened: Happened<'_>| {
//!     if let Happened::Ended(run) = happened {
//!         println!("{} of {}: {}", turn.index + 1, turn.count, run.directory);
//!     }
//!     Control::Continue
//! };
//! let comparison = compare(&plan, &catalogue, &mut watch)?;
//! println!("{}", comparison.document().to_text());
//! assert!(folder.path().join("compared/report.html").exists());
//! // The same comparison has nothing left to do, and says the same.
//! assert_eq!(compare(&plan, &catalogue, &mut watch)?, comparison);
//! # Ok(())
//! # }
//! ```
//!
//! # A run judged, and its report
//!
//! ```no_run
//! use gaat::evaluate::{Control, EvaluateOptions};
//! use gaat::nn::Catalogue;
//! use gaat_spec::AttackSpec;
//! use gaat_study::{Subject, SubjectOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let subject = Subject::open(&SubjectOptions::of("runs/photos".as_ref()), &Catalogue::standard())?;
//! let threat = subject.threat(None, None)?;
//! let options = EvaluateOptions::new(threat, vec![AttackSpec::pgd(&threat, 50, 10, None)?], 500);
//! let verdict = subject.evaluate(&options, None, &mut |_| Control::Continue)?;
//! for warning in subject.keep(&verdict, &options, None) {
//!     println!("{warning}");
//! }
//! # Ok(())
//! # }
//! ```
#![deny(missing_docs)]

pub mod analysis;
pub mod attacks;
pub mod attempt;
pub mod comparison;
pub mod epsilons;
pub mod error;
pub mod explanation;
pub mod export;
mod files;
mod judging;
pub mod network;
pub mod planned;
pub mod question;
pub mod recipes;
pub mod report;
pub mod subject;
pub mod verdicts;

pub use comparison::{CompareOptions, Plan, compare};
pub use error::{Error, Result};
pub use judging::{Requirements, Work};
pub use network::NetworkInfo;
pub use subject::{Subject, SubjectOptions};
