//! Several threads, which meet and talk as processes do, end with the weights of one process, up to rounding.

use crate::support::{options, recipe};
use gaat::nn::{BuildOptions, Catalogue};
use gaat::run::{Checkpoint, open};
use gaat::spec::{ComputePrecision, Event, RunRecord, Status};
use gaat::train::{Control, KeptRun, Nothing, Observer, Quiet, Setting, Training, build_method};
use gaat::world::{Group, Place, World as _};
use gaat_testkit::free_port;
use std::path::Path;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// Process `rank` of `size` that meet at `port` of the loopback interface.
fn met(rank: usize, size: usize, port: u16) -> Group {
    Group::meet(&Place::new(rank, size, "127.0.0.1", port)).unwrap()
}

/// The training of the recipe `text` in double precision: attacks go by the sign of gradients, which rounding turns where they are
/// near 0, as those of TRADES are at its start.
pub(crate) fn training(text: &str) -> Training {
    let checked = recipe(text);
    let mut training = Training::of(&checked, &Catalogue::standard()).unwrap();
    let (input, classes) = (training.network.input_shape(), training.network.class_count());
    let options = BuildOptions {
        device: Device::Cpu,
        precision: ComputePrecision::Fp32,
        kind: Kind::Double,
        seed: checked.plan.seed(),
        normalization: training.network.normalization(),
    };
    training.network = Catalogue::standard().build(&checked.model, input, classes, &options).unwrap();
    let setting = Setting::of(&checked.plan, &training.data, training.network.as_ref()).unwrap();
    training.method = build_method(checked.method, checked.plan.awp(), &setting).unwrap();
    training
}

/// A training of the recipe `text` in `size` threads, the leader with `work` and the others without files.
pub(crate) fn together<T: Send>(
    text: &str,
    size: usize,
    work: impl Fn(Training, bool) -> T + Sync,
) -> Vec<T> {
    let port = free_port();
    std::thread::scope(|scope| {
        let members: Vec<_> = (0..size)
            .map(|rank| {
                let work = &work;
                scope.spawn(move || {
                    let training = training(text);
                    work(Training { world: Arc::new(met(rank, size, port)), ..training }, rank == 0)
                })
            })
            .collect();
        members.into_iter().map(|member| member.join().unwrap()).collect()
    })
}

pub(crate) fn weights(run: &Path) -> Vec<Tensor> {
    let opened = open(run, Checkpoint::Last, None, ComputePrecision::Fp32).unwrap();
    opened.classifier.store().named().iter().map(|entry| entry.tensor.detach().copy()).collect()
}

/// The largest difference between any two numbers.
pub(crate) fn gap(left: &[Tensor], right: &[Tensor]) -> f64 {
    assert_eq!(left.len(), right.len());
    let gaps = left.iter().zip(right).map(|(left, right)| (left - right).abs().max().double_value(&[]));
    gaps.fold(0.0, f64::max)
}

pub(crate) fn in_directory(
    training: Training,
    text: &str,
    run: &Path,
    resume: bool,
    observer: &mut dyn Observer,
) -> RunRecord {
    training.run(&mut KeptRun::open(&recipe(text), &options(run, resume)).unwrap(), observer).unwrap()
}

/// A recipe of `method` in which `more` takes the place of what is usual here.
pub(crate) fn text(method: &str, more: &str) -> String {
    let common = "model = \"mlp\"\nlimit = 150\nbatch-size = 20\nepochs = 2\nvalidation-steps = 2\ncrop-padding = 1\nclip-norm = 1.0\n\
        learning-rate = 1e-3\noptimizer = \"adam\"\nschedule = \"constant\"\nepsilon = 0.1\nweight-averaging = 0.5\n";
    let key = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let replaced: Vec<String> = more.lines().map(key).collect();
    let kept = common.lines().filter(|line| !replaced.contains(&key(line)));
    let kept: Vec<&str> = kept.chain(more.lines()).collect();
    format!("method = \"{method}\"\n{}\n", kept.join("\n"))
}

/// The same passes, images, losses, accuracies, refinements, learning rates and gain ratios in every epoch.
pub(crate) fn assert_same_course(found: &RunRecord, expected: &RunRecord, what: &str) {
    assert_eq!((found.passes, found.images), (expected.passes, expected.images), "{what}");
    assert_eq!(found.epochs.len(), expected.epochs.len(), "{what}");
    for (found, expected) in found.epochs.iter().zip(&expected.epochs) {
        assert!((found.loss - expected.loss).abs() < 1e-9, "{what}: {found:?} {expected:?}");
        assert_eq!(found.train_accuracy, expected.train_accuracy, "{what}");
        assert_eq!(found.validation_robust, expected.validation_robust, "{what}");
        assert!((found.refreshes - expected.refreshes).abs() < 1e-9, "{what}");
        assert_eq!(found.learning_rate, expected.learning_rate, "{what}");
        let ratios = (found.gain_ratio.unwrap_or(1.0), expected.gain_ratio.unwrap_or(1.0));
        assert!((ratios.0 - ratios.1).abs() < 1e-6, "{what}: {ratios:?}");
    }
}

#[test]
fn several_threads_end_with_the_weights_of_one_process() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("trades", "steps = 2\n"),
        ("natural", ""),
        ("rat", "steps = 3\n"),
        ("gaat", "steps = 4\nrefinement = \"adaptive\"\nepochs = 4\nepsilon = 0.4\nlearning-rate = 5e-3\n"),
        ("n-fgsm", ""),
        // Three epochs: the first fills the memories, and the others read what other processes may have written.
        ("fgsm-mep", "epochs = 3\nflip = true\nmemory-reset = 10\n"),
        ("gaat-memory", "epochs = 3\nflip = true\n"),
        // The rest of an epoch is divided otherwise than the batches before.
        ("free", "replays = 2\n"),
        ("awp+gaat", "steps = 2\nawp-warmup = 0\n"),
        ("gaat-free", ""),
        ("gradalign", ""),
        ("zerograd", "converge-smooth = 1\nepochs = 4\n"),
        ("sora", ""),
        ("liet", "epochs = 3\n"),
        ("fgsm-uap", ""),
        (
            "fgsm-rs",
            "resize = \"12x10\"\ncrop = \"9x8\"\nrandom-resized-crop = 0.4\ncrop-padding = 0\ncolour-jitter = 0.4\nflip = true\n\
             cutout = 3\nmixup = 0.4\ncutmix = 1\nlabel-smoothing = 0.1\n",
        ),
    ];
    for (method, more) in cases {
        let text = text(method, more)
            .replace("epochs = 2\n", if more.contains("epochs") { "" } else { "epochs = 2\n" });
        let alone = folder.path().join(format!("{method}-1"));
        let expected = in_directory(training(&text), &text, &alone, false, &mut Quiet);
        if method == "gaat" {
            let refined = expected.epochs.iter().any(|epoch| epoch.refreshes > 1.0);
            assert!(refined, "nothing was refined: {:?}", expected.epochs);
        }
        for size in [2, 3] {
            let run = folder.path().join(format!("{method}-{size}"));
            let records = together(&text, size, |training, is_leader| {
                if is_leader {
                    in_directory(training, &text, &run, false, &mut Quiet)
                } else {
                    training.run(&mut Nothing, &mut Quiet).unwrap()
                }
            });
            let apart = gap(&weights(&run), &weights(&alone));
            println!("{method} in {size}: weights {apart:.1e} apart");
            assert!(apart < 1e-9, "{method} in {size}: {apart}");
            for record in records {
                assert_same_course(&record, &expected, method);
            }
        }
    }
}

#[test]
fn a_stop_that_one_asks_for_stops_all_and_the_state_of_the_leader_goes_on_in_all() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let text = text("gaat", "steps = 2\nrefinement = \"adaptive\"\n");
    let whole = folder.path().join("whole");
    together(&text, 2, |training, is_leader| {
        if is_leader {
            in_directory(training, &text, &whole, false, &mut Quiet)
        } else {
            training.run(&mut Nothing, &mut Quiet).unwrap()
        }
    });
    let run = folder.path().join("stopped");
    let records = together(&text, 2, |training, is_leader| {
        if is_leader {
            return in_directory(training, &text, &run, false, &mut Quiet);
        }
        let mut stop = |event: &Event| match event {
            Event::Step { step: 9, .. } => Control::Stop,
            _ => Control::Continue,
        };
        training.run(&mut Nothing, &mut stop).unwrap()
    });
    assert!(records.iter().all(|record| record.status == Status::Interrupted), "{records:?}");
    let records = together(&text, 2, |training, is_leader| {
        if is_leader {
            in_directory(training, &text, &run, true, &mut Quiet)
        } else {
            // Has no state of its own.
            training.run(&mut Nothing, &mut Quiet).unwrap()
        }
    });
    assert!(records.iter().all(|record| record.status == Status::Done && record.epochs.len() == 2));
    assert_eq!(gap(&weights(&run), &weights(&whole)), 0.0, "the stop has changed the weights");
}

#[test]
fn statistics_of_batches_are_averaged_at_the_end_of_an_epoch() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let text =
        text("rat", "steps = 1\n").replace("mlp", "wide-resnet-10-1").replace("epochs = 2", "epochs = 1");
    let run = folder.path().join("run");
    let records = together(&text, 2, |training, is_leader| {
        if is_leader {
            in_directory(training, &text, &run, false, &mut Quiet)
        } else {
            training.run(&mut Nothing, &mut Quiet).unwrap()
        }
    });
    let verdict = |record: &RunRecord| (record.epochs[0].validation_clean, record.epochs[0].loss);
    assert_eq!(verdict(&records[0]), verdict(&records[1]));
}

#[test]
fn synchronised_statistics_are_those_of_one_process() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    for (method, more) in [
        ("natural", ""),
        ("rat", "steps = 2\n"),
        ("awp+n-fgsm", "awp-warmup = 0\n"),
        ("gradalign", ""),
        ("trades", "steps = 1\nepochs = 1\n"),
    ] {
        let more = format!("{more}model = \"wide-resnet-10-1\"\nlimit = 70\nsync-batch-norm = true\n");
        let text = text(method, &more);
        let alone = folder.path().join(format!("{method}-1"));
        in_directory(training(&text), &text, &alone, false, &mut Quiet);
        for size in [2, 3] {
            let run = folder.path().join(format!("{method}-{size}"));
            together(&text, size, |training, is_leader| {
                if is_leader {
                    in_directory(training, &text, &run, false, &mut Quiet)
                } else {
                    training.run(&mut Nothing, &mut Quiet).unwrap()
                }
            });
            let apart = gap(&weights(&run), &weights(&alone));
            println!("{method} in {size}: weights {apart:.1e} apart");
            assert!(apart < 1e-9, "{method} in {size}: {apart}");
        }
    }
}

#[test]
fn what_several_processes_remember_goes_on_in_any_number_of_them() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    // Step 9 lies within an epoch, and between two replays of a batch.
    for (method, more) in [
        ("fgsm-mep", "epochs = 3\nflip = true\n"),
        ("free", "replays = 2\n"),
        ("gaat-memory", "epochs = 3\n"),
    ] {
        let text = text(method, more);
        let alone = folder.path().join(format!("{method}-1"));
        in_directory(training(&text), &text, &alone, false, &mut Quiet);
        for size in [1, 3] {
            let run = folder.path().join(format!("{method}-2-{size}"));
            together(&text, 2, |training, is_leader| {
                let mut stop = |event: &Event| match event {
                    Event::Step { step: 9, .. } => Control::Stop,
                    _ => Control::Continue,
                };
                if is_leader {
                    in_directory(training, &text, &run, false, &mut stop)
                } else {
                    training.run(&mut Nothing, &mut Quiet).unwrap()
                }
            });
            let records = together(&text, size, |training, is_leader| {
                if is_leader {
                    in_directory(training, &text, &run, true, &mut Quiet)
                } else {
                    training.run(&mut Nothing, &mut Quiet).unwrap()
                }
            });
            assert!(records.iter().all(|record| record.status == Status::Done), "{records:?}");
            let apart = gap(&weights(&run), &weights(&alone));
            println!("{method} in 2 and then {size}: weights {apart:.1e} apart");
            assert!(apart < 1e-9, "{method} in 2 and then {size}: {apart}");
        }
    }
}

#[test]
fn who_has_met_the_others_may_leave_at_once() {
    for _ in 0..40 {
        let port = free_port();
        std::thread::scope(|scope| {
            let meet = |rank| {
                move || Group::meet(&Place::new(rank, 3, "127.0.0.1", port)).map(|group| group.part(None))
            };
            let members: Vec<_> = (0..3).map(|rank| scope.spawn(meet(rank))).collect();
            for member in members {
                member.join().unwrap().unwrap();
            }
        });
    }
}

#[test]
fn what_cannot_be_done_together_is_refused_with_a_way_out() {
    tch::set_num_threads(1);
    let fisher = text("awp+gaat", "curvature = \"batch-fisher\"\n");
    let errors =
        together(&fisher, 2, |training, _| training.run(&mut Nothing, &mut Quiet).unwrap_err().to_string());
    assert!(
        errors.iter().all(|text| text.contains("batch-fisher") && text.contains("one process")),
        "{errors:?}"
    );
    let errors = together(&text("awp+nuat", ""), 2, |training, _| {
        training.run(&mut Nothing, &mut Quiet).unwrap_err().to_string()
    });
    assert!(errors.iter().all(|text| text.contains("nuclear norm")), "{errors:?}");
    let refined = "refinement = \"adaptive\"\nsync-batch-norm = true\n";
    let errors = together(&text("gaat", refined), 2, |training, _| {
        training.run(&mut Nothing, &mut Quiet).unwrap_err().to_string()
    });
    assert!(
        errors.iter().all(|text| text.contains("sync-batch-norm") && text.contains("refinement to off")),
        "{errors:?}"
    );
    let errors = together(&text("natural", ""), 2, |mut training, is_leader| {
        if !is_leader {
            training.data.digest.push('x');
        }
        training.run(&mut Nothing, &mut Quiet).unwrap_err().to_string()
    });
    let parts = ["rank 1 and rank 0 differ in the digest of the images", "the same data"];
    assert!(errors.iter().all(|text| parts.iter().all(|part| text.contains(part))), "{errors:?}");
    let small = text("natural", "").replace("batch-size = 20", "batch-size = 2");
    let errors =
        together(&small, 3, |training, _| training.run(&mut Nothing, &mut Quiet).unwrap_err().to_string());
    assert!(errors[0].contains("2 images") && errors[0].contains("3 processes"), "{errors:?}");
}
