//! Pages as a whole: every part there, every word escaped, nothing asked of the network.

use super::*;
use crate::compare::samples::{evaluation, failed, run};
use crate::compare::{ComparedRun, summarize};
use crate::document::Document;
use gaat_spec::gallery::{Example, Gallery, Picture, SCHEMA};
use gaat_spec::{ClassResult, RunRecord};

const EVIL: &str = "<script>alert('x')</script>\"&\u{202e}\u{1b}[2J\u{7f}\u{200b}";

fn sample_gallery() -> Gallery {
    let judged = evaluation(0.9, &[("pgd", 0.5)]);
    let picture = |name: &str| Picture { name: name.to_owned(), png: "aGVsbG8=\" onload=\"x".to_owned() };
    let example = |clean: &str, prediction: &str| Example {
        label: EVIL.to_owned(),
        clean_prediction: clean.to_owned(),
        prediction: prediction.to_owned(),
        pictures: ["clean", "perturbed", "difference"].map(picture).to_vec(),
    };
    Gallery {
        schema: SCHEMA.to_owned(),
        threat: judged.threat,
        attack: judged.attacks[0].attack,
        precision: Some(gaat_spec::ComputePrecision::Fp32),
        amplification: 4.0,
        examples: vec![example(EVIL, "dog"), example(EVIL, EVIL), example("dog", "dog")],
    }
}

fn judged_evaluation() -> gaat_spec::Evaluation {
    let mut found = evaluation(0.97, &[("fgsm", 0.9), ("pgd", 0.5)]);
    let class = |name: &str, examples| ClassResult {
        name: name.to_owned(),
        examples,
        clean_accuracy: 0.75,
        robust_accuracy: 0.25,
    };
    found.classes = vec![class(EVIL, 10), class("empty", 0)];
    found.alarms = vec![format!("masked: {EVIL}")];
    found
}

fn trained() -> RunRecord {
    let mut record = run("gaat", 0, 10.0, 0.9, 0.5).record.unwrap();
    record.epochs[0].gain_ratio = Some(0.9);
    record.epochs[0].residual = Some(-0.01);
    record.epochs[0].refreshes = 2.0;
    record.epochs[0].validation_robust = Some(0.5);
    record.epochs[0].alarms = vec![format!("collapse: {EVIL}")];
    record.recipe.data_dir = Some(EVIL.into());
    record
}

/// Elements open and close in order, every id is there once and every link has its place.
fn check(report: &Report) {
    let html = &report.html;
    assert!(html.starts_with("<!DOCTYPE html>"), "{}", &html[..80]);
    assert!(!html.contains("<script") && !html.contains("\" onload"), "unescaped");
    assert!(
        !html.contains(['\u{202e}', '\u{1b}', '\u{7f}', '\u{200b}']) && html.contains("\\u{202e}"),
        "unseen"
    );
    for scheme in ["http:", "https:", "file:", "@import", "url("] {
        let foreign = html.matches(scheme).count()
            - html.matches("xmlns=\"http:").count() * usize::from(scheme == "http:");
        assert_eq!(foreign, 0, "{scheme}");
    }
    for plot in &report.plots {
        assert!(!plot.svg.contains("NaN") && html.contains(&plot.svg), "{}", plot.file);
    }
    let ids: Vec<&str> = html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    for (index, id) in ids.iter().enumerate() {
        assert!(!ids[..index].contains(id), "{id} twice");
        assert!(html.contains(&format!("href=\"#{id}\"")), "{id} is not in the contents");
    }
    for tag in ["section", "table", "figure", "svg", "div", "details", "ul"] {
        let opened = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn the_first_line_says_how_robust_whether_to_trust_and_what_it_cost() {
    let record = run("gaat", 0, 10.0, 0.9, 0.5).record.unwrap();
    let headline = |judged: &[Judged]| {
        let page = RunPage {
            directory: "runs/a",
            record: &record,
            judged,
            analysis: None,
            gallery: None,
            explanation: None,
        };
        page.headline().into_string()
    };
    let judged = |evaluation| [Judged { command: None, checkpoint: gaat_spec::Checkpoint::Best, evaluation }];
    let none = headline(&[]);
    assert!(
        none.contains("not been judged on test images yet") && none.contains("gaat evaluate runs/a"),
        "{none}"
    );
    let sound = evaluation(0.97, &[("pgd", 0.5)]);
    let pgd = headline(&judged(sound.clone()));
    assert!(pgd.contains("50.00 % of 10,000 test images withstand") && pgd.contains("97.00 %"), "{pgd}");
    assert!(pgd.contains("--attack autoattack") && !pgd.contains("Do not trust"), "{pgd}");
    assert!(
        pgd.contains(
            "1.00x the passes of natural training; PGD adversarial training (RAT) with 10 steps costs 7.67x"
        ),
        "{pgd}"
    );
    let mut automatic = sound.clone();
    automatic.attacks[0].attack =
        gaat_spec::AttackSpec::customary(gaat_spec::AttackName::AutoAttack, &sound.threat).unwrap();
    assert!(headline(&judged(automatic)).contains("can be compared with published ones"));
    let mut few = evaluation(0.9, &[("autoattack", 0.25)]);
    few.examples = 100;
    let own = [Judged { command: None, checkpoint: gaat_spec::Checkpoint::Best, evaluation: few }];
    let both = headline(&[&own[..], &judged(sound.clone())[..]].concat());
    assert!(both.contains("50.00 % of 10,000 test images") && !both.contains("can be compared"), "{both}");
    let mut collapsed = sound;
    collapsed.alarms = vec!["collapse: 90.0 % under one step".to_owned()];
    let collapsed = headline(&judged(collapsed));
    assert!(collapsed.contains("The network is not robust: its training has collapsed"), "{collapsed}");
    let alarmed = headline(&judged(judged_evaluation()));
    assert!(alarmed.contains("Do not trust this number: 1 alarm was raised"), "{alarmed}");
}

fn figure_files(html: &str) -> Vec<&str> {
    html.split("data-file=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn the_page_of_a_run_has_every_part() {
    let record = trained();
    let judged = [Judged {
        command: Some(EVIL.to_owned()),
        checkpoint: gaat_spec::Checkpoint::Best,
        evaluation: judged_evaluation(),
    }];
    let gallery = sample_gallery();
    let explanation = crate::explanation::tests::sample(EVIL);
    let page = RunPage {
        directory: EVIL,
        record: &record,
        judged: &judged,
        analysis: None,
        gallery: Some(&gallery),
        explanation: Some(&explanation),
    };
    let report = page.report();
    check(&report);
    let Report { html, plots } = report;
    let files = [
        "accuracy-over-epochs.svg",
        "accuracy-over-seconds.svg",
        "loss.svg",
        "gain-ratio.svg",
        "residual.svg",
        "refreshes.svg",
    ];
    assert_eq!(plots.iter().map(|plot| plot.file).collect::<Vec<_>>(), files);
    assert_eq!(figure_files(&html), files);
    for part in [
        "worst case",
        "alarm: masked: &lt;script&gt;",
        "epoch 1: collapse",
        "gaat analyze",
        "classified as dog",
        "still correct",
        "classified as dog</span>",
        "recipe.toml",
        "data:image/png;base64,aGVsbG8=&quot;",
        "25.0",
    ] {
        assert!(html.contains(part), "{part} is missing");
    }
    assert_eq!(html.matches("<img").count(), 9);
}

#[test]
fn a_run_that_has_just_begun_says_what_is_missing() {
    let mut record = trained();
    record.epochs.clear();
    let page = RunPage {
        directory: "runs/x",
        record: &record,
        judged: &[],
        analysis: None,
        gallery: None,
        explanation: None,
    };
    let report = page.report();
    check(&report);
    let Report { html, plots } = report;
    assert!(plots.is_empty());
    for part in ["Not judged yet.", "gaat evaluate runs/x", "No epoch is done yet.", "No images saved yet."] {
        assert!(html.contains(part), "{part} is missing");
    }
}

#[test]
fn the_page_of_a_comparison_has_every_part() {
    let mut runs: Vec<ComparedRun> =
        vec![run("natural", 0, 10.0, 0.1, 0.0), run("gaat", 0, 20.0, 0.9, 0.7), failed("rat", 0)];
    for run in &mut runs[..2] {
        run.record = Some(trained());
        run.evaluation = Some(judged_evaluation());
    }
    let summary = summarize(&runs);
    let document = Document { title: EVIL, planned: 4, runs: &runs, summary: &summary };
    let galleries = [(EVIL.to_owned(), sample_gallery())];
    let page = ComparisonPage {
        directory: EVIL,
        command: Some(EVIL),
        document,
        galleries: &galleries,
        explanation: None,
    };
    let report = page.report();
    check(&report);
    let Report { html, plots } = report;
    let files = [
        "frontier.svg",
        "robust-over-epochs.svg",
        "robust-over-seconds.svg",
        "gain-ratio.svg",
        "residual.svg",
        "refreshes.svg",
    ];
    assert_eq!(plots.iter().map(|plot| plot.file).collect::<Vec<_>>(), files);
    assert_eq!(figure_files(&html), files);
    for part in [
        "the most robust on 10,000 test images is gaat (50.00 % for 1.00x the passes",
        "which is the cheapest too",
        "2 of 3 runs raised an alarm while training",
        "AutoAttack was not among the attacks",
        "3 of 4 runs so far",
        "Pareto front",
        "‡ failed: rat",
        "seed 0, epoch 1: collapse",
        "Machine: ",
    ] {
        assert!(html.contains(part), "{part} is missing");
    }
}

#[test]
fn the_headline_is_of_the_best_weights_under_their_own_threat_model() {
    let mut record = trained();
    let own = evaluation(0.9, &[("pgd", 0.5)]);
    record.recipe.epsilon = Some(own.threat.epsilon_length());
    let judged = |checkpoint: gaat_spec::Checkpoint, evaluation: &gaat_spec::Evaluation| Judged {
        command: None,
        checkpoint,
        evaluation: evaluation.clone(),
    };
    let mut easy = evaluation(0.9, &[("pgd", 0.8)]);
    easy.threat = easy.threat.scaled(0.1);
    easy.examples *= 2;
    let mut last = evaluation(0.9, &[("pgd", 0.7)]);
    last.examples *= 2;
    // A weaker attack on the same images, later, hides nothing; nor does a verdict on weights that were trained on since.
    let weak = evaluation(0.9, &[("pgd", 0.6)]);
    let older = evaluation(0.8, &[("pgd", 0.4)]);
    let all = [
        judged(gaat_spec::Checkpoint::Best, &older),
        judged(gaat_spec::Checkpoint::Best, &own),
        judged(gaat_spec::Checkpoint::Best, &weak),
        judged(gaat_spec::Checkpoint::Best, &easy),
        judged(gaat_spec::Checkpoint::Last, &last),
    ];
    let page = RunPage {
        directory: "runs/x",
        record: &record,
        judged: &all,
        analysis: None,
        gallery: None,
        explanation: None,
    };
    assert!(page.headline().into_string().contains("50.00 % of 10,000"), "the headline is that of the tiles");
    let [_, robust, ..] = &page.tiles()[..] else { panic!("two tiles at least") };
    assert_eq!(robust.value, "50.00 %");
    for part in ["best weights", "linf 0.3", "pgd"] {
        assert!(robust.words.contains(part), "{}", robust.words);
    }
    let mut automatic = evaluation(0.9, &[("autoattack", 0.25)]);
    automatic.examples = 100;
    let all = [judged(gaat_spec::Checkpoint::Best, &automatic), judged(gaat_spec::Checkpoint::Best, &own)];
    let text = RunPage { judged: &all, ..page }.headline().into_string();
    assert!(
        text.contains("AutoAttack was run on 100 test images only: 25.0 % of these withstand it"),
        "{text}"
    );
}
