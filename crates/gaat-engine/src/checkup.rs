//! What this machine has for training, and what to do about what is missing: for `gaat doctor`.

use anyhow::Result;
use gaat::machine::{Machine, check_device};
use gaat_cli::arguments::DoctorArguments;
use gaat_data::{Condition, Directories, Source, info};
use gaat_report::format::{count, typed};
use gaat_spec::record::LIBTORCH_VERSION;
use gaat_spec::{ComputePrecision, DatasetName, visible_path};
use serde::Serialize;
use std::path::Path;

/// Runs are small; less than this is filled by a few of them.
const LITTLE_DISK: u64 = 1 << 30;

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// As it should be.
    Ok,
    /// Worth knowing; training as asked goes without it.
    Note,
    /// Training as asked needs it.
    Missing,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    name: String,
    state: State,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// Everything that was looked at.
#[derive(Debug, Serialize)]
pub(crate) struct Diagnosis {
    version: &'static str,
    /// Whether nothing is missing.
    pub(crate) ready: bool,
    findings: Vec<Finding>,
}

/// Looks at everything that `arguments` ask about.
pub(crate) fn look(arguments: &DoctorArguments) -> Result<Diagnosis> {
    let machine = Machine::inspect()?;
    let mut findings = vec![libtorch(&machine), processor(&machine), threads(&machine)];
    findings.push(cuda(&machine));
    findings.push(device(&arguments.device));
    let places = Directories::from_environment();
    findings.push(data_places(arguments, &places));
    findings.extend(DatasetName::ALL.iter().filter_map(|dataset| data(*dataset, arguments)));
    findings.push(disk(&arguments.out));
    let ready = findings.iter().all(|finding| finding.state != State::Missing);
    Ok(Diagnosis { version: env!("CARGO_PKG_VERSION"), ready, findings })
}

impl Diagnosis {
    /// A line a finding, with what to do below it.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![format!("gaat {}", self.version)];
        for Finding { name, state, found, remedy } in &self.findings {
            let state = match state {
                State::Ok => "ok",
                State::Note => "note",
                State::Missing => "MISSING",
            };
            let mut found = found.lines();
            lines.push(format!("{state:<8} {name:<13} {}", found.next().unwrap_or_default()));
            lines.extend(found.map(|line| format!("{:22} {line}", "")));
            lines.extend(remedy.as_ref().map(|remedy| format!("{:22} {remedy}", "")));
        }
        lines.push(if self.ready {
            "ready to train".to_owned()
        } else {
            "not ready: see what is MISSING above".to_owned()
        });
        lines.join("\n")
    }
}

fn finding(name: &str, state: State, found: impl Into<String>, remedy: Option<String>) -> Finding {
    Finding { name: name.to_owned(), state, found: found.into(), remedy }
}

fn libtorch(machine: &Machine) -> Finding {
    let Machine { libtorch, library, .. } = machine;
    let found = format!("{libtorch}, {}", visible_path(library));
    if libtorch.starts_with(LIBTORCH_VERSION) {
        return finding("libtorch", State::Ok, found, None);
    }
    let remedy = format!(
        "this gaat is made for {LIBTORCH_VERSION}: build and install it again (`cargo xtask install`)"
    );
    finding("libtorch", State::Missing, found, Some(remedy))
}

fn processor(machine: &Machine) -> Finding {
    let Machine { cpu, cores, vectors, has_bf16, auto, .. } = machine;
    let bf16 = match (has_bf16, auto) {
        (false, _) => "no bf16: --precision fp32 is what auto takes",
        (true, ComputePrecision::Bf16) => "bf16 in hardware: what auto takes for large convolutions",
        (true, ComputePrecision::Fp32) => "bf16 in hardware, but fp32 is what auto takes: faster here",
    };
    finding("processor", State::Ok, format!("{cpu}, {cores} cores, {vectors}, {bf16}"), None)
}

fn threads(machine: &Machine) -> Finding {
    let Machine { cores, threads, .. } = machine;
    let found = format!("libtorch takes {threads}");
    if threads == cores {
        return finding("threads", State::Ok, found, None);
    }
    let remedy = format!("--threads {cores} takes every core; OMP_NUM_THREADS decides where it is set");
    finding("threads", State::Note, found, Some(remedy))
}

fn cuda(machine: &Machine) -> Finding {
    let Machine { has_cuda, cuda_devices, has_nvidia_driver, .. } = machine;
    match (has_cuda, cuda_devices, has_nvidia_driver) {
        (_, 1.., _) => finding("cuda", State::Ok, format!("{cuda_devices} devices: --device cuda:0"), None),
        (false, _, true) => {
            let remedy = "`cargo xtask setup --cuda` fetches one with CUDA; build gaat again then";
            finding(
                "cuda",
                State::Note,
                "a driver is there, but this libtorch has no CUDA",
                Some(remedy.to_owned()),
            )
        }
        (true, 0, _) => {
            let remedy = "look at what `nvidia-smi` says";
            finding("cuda", State::Note, "this libtorch has CUDA and sees no device", Some(remedy.to_owned()))
        }
        (false, 0, false) => finding("cuda", State::Ok, "none, and no NVIDIA driver either", None),
    }
}

fn device(device: &str) -> Finding {
    let name = format!("device {device}");
    match check_device(device) {
        Ok(()) => finding(&name, State::Ok, "computes gradients correctly", None),
        Err(error) => {
            let remedy = "--device cpu works everywhere; see the lines above".to_owned();
            finding(&name, State::Missing, error.to_string(), Some(remedy))
        }
    }
}

fn data_places(arguments: &DoctorArguments, places: &Directories) -> Finding {
    let searched = arguments.data_dir.as_ref().map_or(places.data_roots.as_slice(), std::slice::from_ref);
    if searched.is_empty() {
        let remedy = "name a directory with --data-dir or GAAT_DATA".to_owned();
        return finding("data", State::Note, "there is no place to look for data in", Some(remedy));
    }
    let shown: Vec<String> = searched.iter().map(|root| visible_path(root)).collect();
    finding("data", State::Ok, format!("looked for in {}", shown.join(", ")), None)
}

/// A data set; `None` for an image folder that the user did not name.
fn data(dataset: DatasetName, arguments: &DoctorArguments) -> Option<Finding> {
    let is_asked_for = dataset == arguments.dataset;
    if dataset == DatasetName::Folder && !is_asked_for {
        return None;
    }
    let report = info(&Source { dataset, data_dir: arguments.data_dir.clone(), resize: None });
    let unmet = if is_asked_for { State::Missing } else { State::Note };
    let counted = report.contents.map(|contents| {
        let (train, test) = (count(contents.train() as u64), count(contents.test() as u64));
        format!("{train} training and {test} test images")
    });
    let location = report.location.map(|location| location.to_string());
    let found = [counted, location].into_iter().flatten().chain(report.notes).collect::<Vec<_>>().join(", ");
    let name = dataset.as_str();
    Some(match report.condition {
        Condition::Missing { .. } if dataset == DatasetName::Folder => {
            let remedy = "name the directory of the images with --data-dir (<split>/<class>/*.png or *.jpg)";
            finding(name, unmet, "not found", Some(remedy.to_owned()))
        }
        Condition::Missing { .. } => {
            let named = arguments.data_dir.as_ref().map(|root| format!(" --data-dir {}", typed(root)));
            let remedy = format!("gaat data fetch {dataset}{}", named.unwrap_or_default());
            finding(name, unmet, "not there", Some(remedy))
        }
        Condition::Unusable { problem, .. } => finding(name, unmet, problem, None),
        Condition::Readable | Condition::NotOfficial | Condition::Official => {
            finding(name, State::Ok, found, None)
        }
    })
}

/// Whether runs can be written, and how many.
fn disk(out: &Path) -> Finding {
    let absolute = std::path::absolute(out).unwrap_or_else(|_| out.to_path_buf());
    // The directory itself is only made by the first run.
    let there = absolute.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    let place = visible_path(there);
    if let Err(error) = tempfile::tempfile_in(there) {
        let remedy = "choose another directory with --out, or change its permissions".to_owned();
        return finding(
            "runs",
            State::Missing,
            format!("{place} cannot be written to: {error}"),
            Some(remedy),
        );
    }
    let free = match rustix::fs::statvfs(there) {
        Ok(disk) => disk.f_bavail * disk.f_frsize,
        Err(error) => {
            return finding(
                "runs",
                State::Note,
                format!("{place} does not tell its free space: {error}"),
                None,
            );
        }
    };
    let found = format!("{:.1} GB free in {place}", free as f64 / 1e9);
    if free >= LITTLE_DISK {
        return finding("runs", State::Ok, found, None);
    }
    finding("runs", State::Note, found, Some("make room, or choose another directory with --out".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            libtorch: "2.11.0+cpu".to_owned(),
            library: "/lib/libtorch_cpu.so".into(),
            has_cuda: false,
            cuda_devices: 0,
            has_nvidia_driver: false,
            cpu: "a processor".to_owned(),
            cores: 4,
            threads: 4,
            vectors: "AVX2".to_owned(),
            has_bf16: false,
            auto: ComputePrecision::Fp32,
        }
    }

    #[test]
    fn a_machine_with_a_gpu_is_told_how_to_use_it() {
        assert_eq!(cuda(&machine()).state, State::Ok);
        let unused = cuda(&Machine { has_nvidia_driver: true, ..machine() });
        assert!(unused.state == State::Note && unused.remedy.unwrap().contains("setup --cuda"));
        let blind = cuda(&Machine { has_cuda: true, has_nvidia_driver: true, ..machine() });
        assert!(blind.remedy.unwrap().contains("nvidia-smi"));
        let seeing = cuda(&Machine { has_cuda: true, cuda_devices: 2, ..machine() });
        assert_eq!((seeing.state, seeing.found.as_str()), (State::Ok, "2 devices: --device cuda:0"));
    }

    #[test]
    fn another_libtorch_and_idle_cores_are_told() {
        assert_eq!(libtorch(&machine()).state, State::Ok);
        assert_eq!(libtorch(&Machine { libtorch: "2.9.1".to_owned(), ..machine() }).state, State::Missing);
        assert_eq!(threads(&Machine { threads: 1, ..machine() }).state, State::Note);
    }

    #[test]
    fn a_place_that_cannot_be_written_to_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let writable = disk(&folder.path().join("runs"));
        assert!(writable.state != State::Missing && writable.found.contains("GB free in /"), "{writable:?}");
        let unwritable = disk(Path::new("/proc/self/runs"));
        assert!(
            unwritable.state == State::Missing && unwritable.found.contains("/proc/self"),
            "{unwritable:?}"
        );
    }
}
