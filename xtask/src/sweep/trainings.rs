//! Short trainings of every kind of built-in network, narrow and odd ones above all, under the checker of memory.

use std::fmt::Write as _;
use std::fs;

use super::cases::Draws;
use super::{Hit, Tools, hits_of};
use crate::shell::{Result, run};

/// Networks of colour images of 32x32 pixels; narrow ones stand for any base width from 1 to 13.
const MODELS: [&str; 12] = [
    "resnet-18-w{}-s2",
    "resnet-18-w{}",
    "preact-resnet-18-w{}-s2",
    "preact-resnet-18-w{}",
    "resnet-18-w{}-s2",
    "preact-resnet-18-w{}-s2",
    "wide-resnet-10-1",
    "wide-resnet-16-2",
    "efficientnet-b0",
    "vgg-16",
    "convnet",
    "vit-tiny",
];
const METHODS: [&str; 4] = ["natural", "fgsm-rs", "gaat", "rat"];

pub(super) fn sweep(tools: &Tools, count: usize) -> Result<Vec<Hit>> {
    let data = tools.folder.join("images");
    let problem = |error: std::io::Error| format!("{}: {error}", tools.folder.display());
    fs::create_dir_all(&data).map_err(problem)?;
    let mut writer = std::process::Command::new(tools.binaries.join("gaat-bench"));
    run(writer.arg("images").arg(&data))?;
    let mut draws = Draws(1);
    let mut hits = Vec::new();
    for place in 0..count {
        let model = MODELS[place % MODELS.len()].replace("{}", &(1 + draws.below(13)).to_string());
        let precision = draws.one_of(&["bf16", "bf16", "fp32", "auto"]);
        let (threads, batch) = (1 + draws.below(2), 2 + draws.below(16));
        let method = draws.one_of(&METHODS);
        let case = format!("{precision} {model} {method}, batch {batch}, threads {threads}");
        let out = tools.folder.join("run");
        if out.exists() {
            fs::remove_dir_all(&out).map_err(problem)?;
        }
        let line = format!(
            "train --dataset cifar10 --limit 40 --epochs 1 --validation-limit 8 --model {model} --method {method} \
             --precision {precision} --batch-size {batch} --threads {threads} --quiet"
        );
        let mut command = tools.checked("gaat-engine");
        command.args(line.split(' ')).arg("--data-dir").arg(&data).arg("--out").arg(&out);
        let output = command.output().map_err(|error| format!("cannot run gaat-engine: {error}"))?;
        let mut text = format!("case {case}\npass training\n{}", String::from_utf8_lossy(&output.stdout));
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            let complaint = complaint.trim().replace('\n', " ");
            // Writing to a String does not fail.
            let _ = write!(text, "\ndied {}: {complaint}\n", output.status);
        }
        let found = hits_of(&text).0;
        println!("{} of {count}: {case}: {}", place + 1, if found.is_empty() { "whole" } else { "FAULT" });
        hits.extend(found);
    }
    Ok(hits)
}
