//! Seconds of one training step by model and method, and the share of RAT's time that GAAT saves.
//!
//! `cargo run --release -p gaat --example step_time -- ROUNDS MODEL...` on the digits, resized to 32x32 (1 channel);
//! batch 128. Methods alternate within a round, and each run's first step is left out as warm-up.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

use gaat::train::{Control, Observer, TrainOptions, train};
use gaat_spec::{Event, Recipe};
use std::time::Instant;

const METHODS: [&str; 3] = ["natural", "rat", "gaat"];
const STEPS: usize = 3;

/// Times steps, and stops the run in the middle of its first epoch.
struct Clock {
    last: Option<Instant>,
    seconds: Vec<f64>,
}

impl Observer for Clock {
    fn on_event(&mut self, event: &Event) -> gaat::Result<Control> {
        let Event::Step { step, .. } = event else { return Ok(Control::Continue) };
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            self.seconds.push(now.duration_since(last).as_secs_f64());
        }
        Ok(if *step > STEPS { Control::Stop } else { Control::Continue })
    }
}

fn steps(model: &str, method: &str) -> Result<Vec<f64>, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let text = format!(
        "dataset = \"digits\"\nresize = 32\nmodel = \"{model}\"\nmethod = \"{method}\"\nepsilon = \"8/255\"\n\
         batch-size = 128\noptimizer = \"sgd\"\nlearning-rate = 0.01\nprecision = \"auto\"\n\
         [methods.rat]\nsteps = 10\nstep-size = \"2/255\""
    );
    let recipe = Recipe::from_toml(&text)?.check()?;
    let mut clock = Clock { last: None, seconds: Vec::new() };
    let options = TrainOptions { run_dir: folder.path().join("run"), resume: false };
    let record = train(&recipe, &options, &mut clock)?;
    if clock.seconds.len() != STEPS {
        return Err(format!("{model} took {} steps instead of {STEPS}", clock.seconds.len()).into());
    }
    print!("{} ", record.environment.precision);
    Ok(clock.seconds)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    gaat::run::prepare_process(None)?;
    let mut arguments = std::env::args().skip(1);
    let rounds: usize = arguments.next().ok_or("usage: step_time ROUNDS MODEL...")?.parse()?;
    let mut rows = Vec::new();
    for model in arguments {
        let mut seconds: [Vec<f64>; METHODS.len()] = Default::default();
        for _ in 0..rounds {
            for (method, seconds) in METHODS.iter().zip(&mut seconds) {
                seconds.extend(steps(&model, method)?);
            }
        }
        let spread = |values: &[f64]| {
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(0.0, f64::max);
            format!("{low:.2}-{high:.2}")
        };
        let spreads: Vec<String> = seconds.iter().map(|values| spread(values)).collect();
        let [natural, rat, gaat] = seconds.map(median);
        rows.push(format!(
            "| {model} | {natural:.2} ({}) | {rat:.2} ({}) | {gaat:.2} ({}) | {:.2} | {:.2} | {:.1} % |",
            spreads[0],
            spreads[1],
            spreads[2],
            rat / natural,
            gaat / natural,
            100.0 * (1.0 - gaat / rat)
        ));
    }
    println!(
        "\n\n| model | natural, s | RAT PGD-10, s | GAAT, s | RAT / natural | GAAT / natural | of RAT's time saved |"
    );
    println!("|---|---|---|---|---|---|---|");
    for row in rows {
        println!("{row}");
    }
    println!("\n{} steps each (median, least to most), {} threads", rounds * STEPS, tch::get_num_threads());
    Ok(())
}
