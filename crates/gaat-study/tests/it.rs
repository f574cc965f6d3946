//! Comparisons from Rust: stopped anywhere they continue, and what was judged is not judged again.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use gaat::evaluate::{Control, Stage};
use gaat::nn::Catalogue;
use gaat_report::Comparison;
use gaat_spec::{AttackName, Budget, Evaluation, Event, Recipe};
use gaat_study::comparison::{CompareOptions, Happened, Plan, Turn, compare};
use gaat_study::{Subject, SubjectOptions, report};
use std::path::Path;

fn options(directory: &Path, attacks: &[AttackName]) -> CompareOptions {
    let text = "dataset = \"digits\"\nepochs = 1\nlimit = 300\nthreads = 1\nmodel = \"mlp\"";
    CompareOptions {
        directory: Some(directory.to_owned()),
        attacks: attacks.to_vec(),
        budget: Budget { steps: Some(3), restarts: Some(1), ..Budget::default() },
        ..CompareOptions::new(Recipe::from_toml(text).unwrap(), vec!["natural".parse().unwrap()])
    }
}

fn plan(directory: &Path, attacks: &[AttackName]) -> Plan {
    gaat::device::prepare_process(Some(1)).unwrap();
    Plan::new(&options(directory, attacks), &Catalogue::standard()).unwrap()
}

/// A comparison with what it told, which is stopped where `stops` says so.
fn told(plan: &Plan, stops: impl Fn(&str) -> bool) -> (gaat_study::Result<Comparison>, Vec<String>) {
    let mut told = Vec::new();
    let mut watch = |_: &Turn, happened: Happened<'_>| {
        let word = match happened {
            Happened::Training(Event::Epoch { .. }) => "epoch".to_owned(),
            Happened::Judging(now) => match &now.stage {
                Stage::Attack { name } => name.clone(),
                Stage::Clean => "clean".to_owned(),
            },
            Happened::Ended(_) => "ended".to_owned(),
            Happened::Warning(warning) => warning.to_owned(),
            _ => return Control::Continue,
        };
        told.push(word);
        if told.last().is_some_and(|word| stops(word)) { Control::Stop } else { Control::Continue }
    };
    let compared = compare(plan, &Catalogue::standard(), &mut watch);
    (compared, told)
}

fn verdict(comparison: &Comparison) -> Evaluation {
    comparison.runs[0].evaluation.as_ref().unwrap().timeless()
}

#[test]
fn a_judgement_that_is_stopped_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let attacks = [AttackName::Pgd, AttackName::MiFgsm];
    let whole = plan(&folder.path().join("whole"), &attacks);
    let (expected, words) = told(&whole, |_| false);
    let expected = expected.unwrap();
    assert_eq!(words, ["epoch", "clean", "pgd-3", "mi-fgsm-3", "ended"]);

    let part = plan(&folder.path().join("part"), &attacks);
    let (stopped, words) = told(&part, |word| word == "pgd-3");
    assert!(stopped.unwrap_err().is_interruption());
    assert_eq!(words, ["epoch", "clean", "pgd-3"]);
    let state = folder.path().join("part/natural-s0/judgement-state.json");
    assert!(state.exists());
    let (found, words) = told(&part, |_| false);
    // Neither trained nor judged again.
    assert_eq!(words, ["mi-fgsm-3", "ended"]);
    assert_eq!(verdict(&found.unwrap()), verdict(&expected));
    assert!(!state.exists());
    let (_, words) = told(&part, |_| false);
    assert_eq!(words, ["ended"]);

    // Part of a verdict by other attacks is not taken for this one.
    let other = plan(&folder.path().join("part"), &[AttackName::MiFgsm, AttackName::Pgd]);
    assert!(told(&other, |word| word == "mi-fgsm-3").0.is_err() && state.exists());
    let third = plan(&folder.path().join("part"), &[AttackName::Pgd]);
    let (_, words) = told(&third, |_| false);
    assert!(
        words[0].contains("judging begins again") && words[1..] == ["clean", "pgd-3", "ended"],
        "{words:?}"
    );
    assert!(!state.exists());
}

#[test]
fn what_a_comparison_wrote_is_read_again_and_its_runs_are_subjects() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("c");
    let comparison = told(&plan(&directory, &[AttackName::Pgd]), |_| false).0.unwrap();
    assert_eq!(report::read_comparison(&directory).unwrap(), comparison);
    let later = fs_err::read_to_string(directory.join("compare.json")).unwrap();
    fs_err::write(directory.join("compare.json"), later.replace("gaat-compare-1", "gaat-compare-9")).unwrap();
    let error = report::write(&directory, None).unwrap_err().to_string();
    assert!(error.contains("compare.json: has the schema `gaat-compare-9`"), "{error}");

    let options = SubjectOptions::of(&directory.join("natural-s0"));
    let subject = Subject::open(&options, &Catalogue::standard()).unwrap();
    let threat = subject.threat(None, None).unwrap();
    let attack =
        Budget { steps: Some(2), restarts: Some(1), ..Budget::default() }.attack(AttackName::Pgd, &threat);
    let judging = gaat::evaluate::EvaluateOptions::new(threat, vec![attack.unwrap()], 500);
    let verdict = subject.evaluate(&judging, None, &mut |_| Control::Continue).unwrap();
    assert_eq!(subject.keep(&verdict, &judging, Some("gaat evaluate it".to_owned())), Vec::<String>::new());
    let page = fs_err::read_to_string(directory.join("natural-s0/report.html")).unwrap();
    assert!(page.contains("pgd-2") && page.contains("gaat evaluate it"));
    assert!(
        subject.threat(Some(gaat_spec::Norm::L2), None).unwrap_err().to_string().contains("needs an epsilon")
    );
}
