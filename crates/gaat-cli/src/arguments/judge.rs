//! How `compare` judges its runs.

use clap::Args;
use gaat_spec::{AttackName, Checkpoint, PixelLength};

#[derive(Debug, Args)]
#[command(next_help_heading = "Judging")]
pub struct JudgeArguments {
    /// Attacks to judge by, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "ATTACKS", default_value = "fgsm,pgd")]
    pub judge: Vec<AttackName>,
    /// Steps of the judging attacks [default: that of each attack in the literature, 50 for pgd]
    #[arg(long, value_name = "K")]
    pub judge_steps: Option<usize>,
    /// Random starts of the judging attacks [default: that of each attack in the literature, 10 for pgd]
    #[arg(long, value_name = "N")]
    pub judge_restarts: Option<usize>,
    /// Step of the judging pgd in pixel units [default: 2.5 epsilon / steps; 0.01 for MNIST at 0.3]
    #[arg(long, value_name = "LENGTH")]
    pub judge_step_size: Option<PixelLength>,
    /// Whether the judging pgd, pgd-margin and pgd-t start at random [default: true]
    #[arg(long, value_name = "BOOL")]
    pub judge_random_start: Option<bool>,
    /// Judge only this many test images, a subset drawn with a seed
    #[arg(long, value_name = "N", conflicts_with = "judge_first")]
    pub judge_limit: Option<usize>,
    /// Judge only the first N test images in order
    #[arg(long, value_name = "N")]
    pub judge_first: Option<usize>,
    /// Which weights of each run to judge
    #[arg(long, value_enum, default_value_t = Checkpoint::Best)]
    pub checkpoint: Checkpoint,
}
