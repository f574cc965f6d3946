//! `cargo xtask setup`: puts libtorch where the build looks for it, from the user's own, Python's, or wheels.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::libtorch::{self, State};
use crate::prerequisites::{BRING_YOUR_OWN, Tools, target};
use crate::shell::{self, Result};

const SCRIPT: &str = include_str!("libtorch.py");
/// Every wheel of the version for NVIDIA GPUs, each with its SHA-256.
const CUDA_WHEELS: &str = include_str!("cuda.txt");
/// The exit statuses of the script that mean more than "failed".
const PIP_FAILED: i32 = 3;
const UNPACK_FAILED: i32 = 4;

/// Where we are and what the user has set.
pub(crate) struct Setup {
    pub(crate) root: PathBuf,
    pub(crate) tools: Tools,
    /// Where cargo builds.
    pub(crate) builds: PathBuf,
    /// A LIBTORCH that is not just the default of `.cargo/config.toml`.
    pub(crate) own: Option<OsString>,
    /// torch-sys then asks Python itself, whatever LIBTORCH says.
    pub(crate) use_pytorch: bool,
    /// The `bin` folder's parent of an active environment.
    pub(crate) environment: Option<PathBuf>,
    /// This platform in libtorch.py, or why it has none.
    pub(crate) target: Result<&'static str>,
}

/// The torch of a Python.
#[derive(Debug, PartialEq)]
struct PythonTorch {
    version: String,
    folder: PathBuf,
}

impl Setup {
    pub(crate) fn from_env() -> Self {
        let root = shell::root();
        let own = env::var_os("LIBTORCH").filter(|own| Path::new(own) != root.join("libtorch"));
        Self {
            root,
            tools: Tools::from_env(),
            builds: shell::target_dir(),
            own,
            use_pytorch: env::var_os("LIBTORCH_USE_PYTORCH").is_some(),
            environment: env::var_os("VIRTUAL_ENV")
                .or_else(|| env::var_os("CONDA_PREFIX"))
                .map(PathBuf::from),
            target: target(env::consts::OS, env::consts::ARCH, cfg!(target_env = "musl")),
        }
    }

    /// Makes sure of the compiler and of libtorch; returns its folder.
    pub(crate) fn ensure(&self) -> Result<PathBuf> {
        self.tools.check_compiler()?;
        if let Some(own) = &self.own {
            return self.check_own(own);
        }
        if self.use_pytorch {
            return self.python_by_request();
        }
        if let Some(folder) = self.in_place()? {
            return Ok(folder);
        }
        let _lock = self.lock()?;
        // Another setup may have finished while this one waited.
        if let Some(folder) = self.in_place()? {
            return Ok(folder);
        }
        if let State::Damaged(reason) = self.inspect() {
            println!("libtorch: {} is made again, because {reason}", self.folder().display());
        }
        if let Some(torch) = self.active_python() {
            return self.link(&torch.folder, &torch.version);
        }
        self.fetch()
    }

    /// Makes sure of a libtorch that can use a GPU: a whole Python torch, in an environment of its own.
    pub(crate) fn ensure_cuda(&self) -> Result<PathBuf> {
        self.tools.check_compiler()?;
        if let Some(own) = &self.own {
            let folder = self.check_own(own)?;
            if libtorch::has_cuda(&folder) {
                return Ok(folder);
            }
            return Err(format!("LIBTORCH={} has no CUDA: unset it to have `--cuda` work", folder.display()));
        }
        if !matches!(self.target.clone()?, "linux-x86_64" | "linux-aarch64") {
            return Err("CUDA needs Linux".into());
        }
        let _lock = self.lock()?;
        let link = self.folder();
        let state = self.inspect();
        if let State::Foreign | State::Unusable(_) = state {
            return Err(format!("{} is not ours: move it away and run this again", link.display()));
        }
        if matches!(state, State::Linked(_)) && libtorch::has_cuda(&link) {
            println!("libtorch: {} is in place, with CUDA", link.display());
            return Ok(link);
        }
        // Not libtorch-cuda: names that begin with `libtorch.` are in .gitignore.
        let environment = self.root.join("libtorch.cuda");
        self.install_into(&environment)?;
        let python = environment.join("bin/python");
        let torch = self.probe(python.as_os_str()).filter(|torch| libtorch::has_cuda(&torch.folder));
        let torch =
            torch.ok_or_else(|| format!("pip put no torch with CUDA into {}", environment.display()))?;
        if matches!(state, State::Fetched) {
            println!(
                "libtorch: the CPU-only folder makes way for a link; `rm libtorch` and setup bring it back"
            );
        }
        self.link(&torch.folder, &torch.version)
    }

    fn folder(&self) -> PathBuf {
        self.root.join("libtorch")
    }

    fn inspect(&self) -> State {
        libtorch::inspect(&self.folder(), self.target.as_deref().ok())
    }

    /// What LIBTORCH names must be usable: a fallback would hide the mistake.
    fn check_own(&self, own: &OsStr) -> Result<PathBuf> {
        let folder = PathBuf::from(own);
        if !folder.is_absolute() {
            return Err(format!(
                "LIBTORCH={} must be an absolute path, because build scripts run in other folders; or unset it",
                folder.display()
            ));
        }
        let version = libtorch::check(&folder)
            .map_err(|reason| format!("LIBTORCH={} {reason}: correct it or unset it", folder.display()))?;
        println!("libtorch: using your LIBTORCH={} (torch {version})", folder.display());
        if self.use_pytorch {
            println!("note: LIBTORCH_USE_PYTORCH is set as well, and torch-sys obeys that one");
        }
        Ok(folder)
    }

    fn python_by_request(&self) -> Result<PathBuf> {
        // The interpreters that torch-sys would run.
        let python = if env::var_os("VIRTUAL_ENV").is_some() { "python" } else { "python3" };
        let torch = self.probe(OsStr::new(python)).ok_or_else(|| {
            format!("LIBTORCH_USE_PYTORCH is set, but {python} has no torch: `pip install torch==2.11.0` or unset it")
        })?;
        libtorch::check(&torch.folder).map_err(|reason| {
            format!(
                "LIBTORCH_USE_PYTORCH is set, but {} {reason}: install that or unset it",
                torch.folder.display()
            )
        })?;
        println!("libtorch: using torch {} of {python}, as LIBTORCH_USE_PYTORCH asks", torch.version);
        let _lock = self.lock()?;
        match self.inspect() {
            State::Missing | State::Damaged(_) | State::Linked(_) => self.link(&torch.folder, &torch.version),
            State::Fetched | State::Foreign | State::Unusable(_) => {
                println!("note: without LIBTORCH_USE_PYTORCH, builds use {}", self.folder().display());
                Ok(torch.folder)
            }
        }
    }

    /// The folder that is there already, where it is good. What works is kept, so that builds stay valid.
    fn in_place(&self) -> Result<Option<PathBuf>> {
        let folder = self.folder();
        let shown = folder.display();
        match self.inspect() {
            State::Missing | State::Damaged(_) => return Ok(None),
            State::Unusable(reason) => {
                return Err(format!(
                    "{shown} cannot be used: {reason}. It was not made by this command, so it is left alone: move \
                     it away and run this again, or set LIBTORCH to another folder."
                ));
            }
            State::Fetched => println!("libtorch: {shown} is in place and whole (torch 2.11.0, CPU only)"),
            State::Foreign => {
                println!("libtorch: using {shown} as somebody put it there (unchecked but its version)");
            }
            State::Linked(place) => println!("libtorch: {shown} is in place, a link to {}", place.display()),
        }
        Ok(Some(folder))
    }

    /// The torch of the active environment, where there is one of the right version.
    fn active_python(&self) -> Option<PythonTorch> {
        let environment = self.environment.as_ref()?;
        let torch = self.probe(environment.join("bin/python").as_os_str())?;
        match libtorch::check(&torch.folder) {
            Ok(_) => Some(torch),
            Err(reason) => {
                println!(
                    "libtorch: the active Python's torch in {} {reason}: ignored",
                    torch.folder.display()
                );
                None
            }
        }
    }

    /// Asks a Python for its torch without importing it.
    fn probe(&self, python: &OsStr) -> Option<PythonTorch> {
        let mut command = self.tools.command(python);
        // Elsewhere than in the user's folder, where a `torch.py` could be taken for torch.
        command.args(["-c", SCRIPT, "probe"]).current_dir("/");
        let output = command.stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lines = text.lines();
        let version = lines.next()?.trim().to_owned();
        Some(PythonTorch { version, folder: PathBuf::from(lines.next()?.trim()) })
    }

    /// Points `libtorch` at the torch of a Python.
    fn link(&self, torch: &Path, version: &str) -> Result<PathBuf> {
        let folder = self.folder();
        let draft = self.root.join("libtorch.link");
        let failed = |error: std::io::Error| format!("cannot link {}: {error}", folder.display());
        if fs::symlink_metadata(&draft).is_ok() {
            fs::remove_file(&draft).map_err(failed)?;
        }
        std::os::unix::fs::symlink(torch, &draft).map_err(failed)?;
        // Only a folder that bears our manifest gets here; a rename replaces a link, but not a folder.
        if folder.is_dir() && !folder.is_symlink() {
            fs::remove_dir_all(&folder).map_err(failed)?;
        }
        fs::rename(&draft, &folder).map_err(failed)?;
        println!("libtorch: {} is now a link to torch {version} in {}", folder.display(), torch.display());
        self.forget_builds()?;
        Ok(folder)
    }

    /// Has cargo build against the new libtorch: the path stays the same, so it would not notice, and a build
    /// for the CPU would continue without CUDA.
    fn forget_builds(&self) -> Result<()> {
        for (folder, profile) in [("debug", "dev"), ("release", "release")] {
            let Ok(mut entries) = fs::read_dir(self.builds.join(folder).join("build")) else { continue };
            let is_torch = |name: OsString| name.to_string_lossy().starts_with("torch-sys-");
            if entries.any(|entry| entry.is_ok_and(|entry| is_torch(entry.file_name()))) {
                let packages = ["-p", "torch-sys", "-p", "gaat-shim", "-p", "gaat", "-p", "gaat-engine"];
                shell::run(shell::cargo(["clean", "--profile", profile]).args(packages))?;
            }
        }
        Ok(())
    }

    /// Downloads the wheels and unpacks what a CPU build needs.
    fn fetch(&self) -> Result<PathBuf> {
        let target = self.target.clone()?;
        self.tools.check_pip()?;
        self.tools.check_disk(&self.root, 3)?;
        let folder = self.folder();
        let size = match target {
            "macos-aarch64" => "80 MB",
            "linux-aarch64" => "430 MB",
            _ => "540 MB",
        };
        println!(
            "libtorch: downloading {size} with pip, keeping the CPU part (0.3 to 0.5 GB) in {}",
            folder.display()
        );
        println!(
            "          once only; seconds to minutes, as the network is; pip is silent while it checks digests"
        );
        let mut command = self.tools.command(&self.tools.python);
        command.args(["-c", SCRIPT, "fetch"]).arg(&folder).args([target, &libtorch::stamp(target)]);
        self.run_script(command)?;
        match self.inspect() {
            State::Fetched => self.forget_builds()?,
            other => {
                return Err(format!("libtorch was fetched and yet is {other:?}: this is a bug in xtask"));
            }
        }
        println!("libtorch: ready");
        Ok(folder)
    }

    /// Runs the script and turns its exit status into advice.
    fn run_script(&self, mut command: Command) -> Result<()> {
        let python = self.tools.python.to_string_lossy();
        let status = command.status().map_err(|error| format!("cannot run {python}: {error}"))?;
        match status.code() {
            Some(0) => Ok(()),
            Some(PIP_FAILED) => Err(format!(
                "pip could not download libtorch (its own words are above). Check the network, a proxy \
                 (HTTPS_PROXY) or mirror (PIP_INDEX_URL), {BRING_YOUR_OWN}."
            )),
            Some(UNPACK_FAILED) => Err(
                "libtorch could not be unpacked (see above); nothing was left behind: free disk and retry"
                    .into(),
            ),
            _ => Err(format!("{python} failed while it fetched libtorch ({status})")),
        }
    }

    /// A virtual environment with the libraries of torch, those for CUDA included; pip holds every wheel against its digest.
    fn install_into(&self, environment: &Path) -> Result<()> {
        self.tools.check_python()?;
        self.tools.check_disk(&self.root, 12)?;
        println!("libtorch: installing torch 2.11.0 with CUDA into {}", environment.display());
        println!("          about 2.5 GB to download and 5 GB on disk; many minutes on a slow network");
        let python = &self.tools.python;
        let mut venv = self.tools.command(python);
        shell::run(venv.args(["-m", "venv"]).arg(environment)).map_err(|error| {
            format!("{error}. Debian and Ubuntu need `sudo apt install python3-venv` for this.")
        })?;
        let list = environment.join("cuda.txt");
        fs::write(&list, CUDA_WHEELS).map_err(|error| format!("cannot write {}: {error}", list.display()))?;
        let mut pip = self.tools.command(environment.join("bin/python").as_os_str());
        pip.args(["-m", "pip", "--disable-pip-version-check", "install", "--require-hashes", "--no-deps"]);
        pip.args(["--only-binary=:all:", "-r"]).arg(&list);
        shell::run(&mut pip).map_err(|error| {
            format!("{error}. Check the network, a proxy (HTTPS_PROXY) or mirror (PIP_INDEX_URL), {BRING_YOUR_OWN}.")
        })
    }

    /// Held while `libtorch` changes, so that two setups at once do the work once.
    fn lock(&self) -> Result<File> {
        let path = self.root.join("libtorch.lock");
        let failed = |error: std::io::Error| format!("cannot lock {}: {error}", path.display());
        // Nothing is written, so that a link in its place costs its target nothing.
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        if file.try_lock().is_err() {
            println!("libtorch: another setup is at work in {}; waiting for it", self.root.display());
            file.lock().map_err(failed)?;
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libtorch::tests::skeleton;
    use crate::scratch::Scratch;

    /// A machine whose c++ works, whose disk is empty, and whose Python is `script`.
    fn machine(scratch: &Scratch, script: &str) -> Setup {
        scratch.program("bin/c++", "exit 0");
        scratch.program("bin/df", "echo 'a b c d e f'\necho '/dev/disk 9 9 99000000 1% /'");
        scratch.program("bin/python3", script);
        Setup {
            root: scratch.path().into(),
            tools: Tools {
                path: scratch.path().join("bin").into(),
                python: "python3".into(),
                compiler: "c++".into(),
            },
            builds: scratch.path().join("target"),
            own: None,
            use_pytorch: false,
            environment: None,
            target: Ok("linux-x86_64"),
        }
    }

    fn with_environment(scratch: &Scratch, version: &str) -> Setup {
        skeleton(scratch, "env/torch");
        scratch.file("env/torch/build-version", version);
        let torch = scratch.path().join("env/torch");
        scratch.program("env/bin/python", &format!("echo '{version}'\necho '{}'", torch.display()));
        let mut setup = machine(scratch, "exit 3");
        setup.environment = Some(scratch.path().join("env"));
        setup
    }

    fn says(outcome: Result<PathBuf>, parts: &[&str]) {
        let message = outcome.unwrap_err();
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
    }

    #[test]
    fn the_torch_of_the_active_python_is_linked_and_kept() {
        let scratch = Scratch::new();
        let mut setup = with_environment(&scratch, "2.11.0+cu130");
        let folder = scratch.path().join("libtorch");
        assert_eq!(setup.ensure(), Ok(folder.clone()));
        assert_eq!(fs::read_link(&folder).unwrap(), scratch.path().join("env/torch"));
        setup.environment = None;
        assert_eq!(setup.ensure(), Ok(folder));
    }

    #[test]
    fn a_torch_of_another_version_is_passed_over() {
        let scratch = Scratch::new();
        // Passed over, so pip is tried, which fails on this machine.
        says(with_environment(&scratch, "2.12.1").ensure(), &["python3"]);
        assert!(!scratch.path().join("libtorch").exists());
    }

    #[test]
    fn a_failing_download_says_what_to_check() {
        let scratch = Scratch::new();
        let setup = machine(&scratch, "[ \"$3\" = fetch ] && exit 3; exit 0");
        says(setup.ensure(), &["pip could not download", "HTTPS_PROXY", "PIP_INDEX_URL", "LIBTORCH"]);
        let setup = machine(&scratch, "[ \"$3\" = fetch ] && exit 4; exit 0");
        says(setup.ensure(), &["could not be unpacked", "free disk"]);
    }

    #[test]
    fn a_download_that_makes_nothing_is_not_believed() {
        let scratch = Scratch::new();
        says(machine(&scratch, "exit 0").ensure(), &["yet is Missing"]);
    }

    #[test]
    fn an_unsupported_platform_stops_before_the_download() {
        let scratch = Scratch::new();
        let mut setup = machine(&scratch, "exit 0");
        setup.target = target("windows", "x86_64", false);
        says(setup.ensure(), &["cannot be fetched for x86_64 windows"]);
    }

    #[test]
    fn a_libtorch_of_the_user_is_checked_and_never_replaced() {
        let scratch = Scratch::new();
        skeleton(&scratch, "mine");
        scratch.file("mine/build-version", "2.11.0+cpu");
        let mine = scratch.path().join("mine");
        let mut setup = machine(&scratch, "exit 3");
        setup.own = Some(mine.clone().into());
        assert_eq!(setup.ensure(), Ok(mine));
        says(setup.ensure_cuda(), &["has no CUDA"]);
        scratch.file("mine/build-version", "2.8.0");
        says(setup.ensure(), &["is torch 2.8.0, and gaat needs 2.11.0", "correct it or unset it"]);
        setup.own = Some("relative/path".into());
        says(setup.ensure(), &["must be an absolute path"]);
    }

    #[test]
    fn pytorch_by_request_must_be_there() {
        let scratch = Scratch::new();
        let mut setup = machine(&scratch, "exit 0");
        setup.use_pytorch = true;
        says(setup.ensure(), &["LIBTORCH_USE_PYTORCH is set, but", "has no torch"]);
    }

    #[test]
    fn a_folder_of_someone_else_is_not_deleted() {
        let scratch = Scratch::new();
        let precious = scratch.file("libtorch/thesis.tex", "years of work");
        let setup = machine(&scratch, "exit 0");
        says(setup.ensure(), &["was not made by this command", "move it away"]);
        says(setup.ensure_cuda(), &["move it away"]);
        assert!(precious.is_file());
    }

    #[test]
    fn a_missing_compiler_stops_first() {
        let scratch = Scratch::new();
        let setup = machine(&scratch, "exit 0");
        fs::remove_file(scratch.path().join("bin/c++")).unwrap();
        says(setup.ensure(), &["no C++ compiler"]);
    }

    #[test]
    fn every_wheel_for_cuda_is_pinned_and_those_of_the_cpu_are_among_them() {
        let lines: Vec<&str> = CUDA_WHEELS.lines().filter(|line| !line.starts_with('#')).collect();
        let digests: Vec<&str> =
            lines.iter().filter_map(|line| line.trim().strip_prefix("--hash=sha256:")).collect();
        let digests: Vec<&str> = digests.iter().map(|digest| digest.trim_end_matches(" \\")).collect();
        assert!(
            digests.iter().all(|digest| digest.len() == 64 && digest.chars().all(|c| c.is_ascii_hexdigit()))
        );
        let pins = lines.iter().filter(|line| !line.starts_with(' '));
        let pins: Vec<&str> = pins.map(|line| line.trim_end_matches(" \\")).collect();
        assert!(
            pins.len() >= 16
                && pins
                    .iter()
                    .all(|pin| pin.split_once("==").is_some_and(|(_, version)| !version.contains('*')))
        );
        assert_eq!(lines.len(), pins.len() + digests.len());
        // On Linux both fetch the same wheels of torch 2.11.0.
        for line in SCRIPT.lines().filter(|line| line.contains("torch==") || line.contains("nvidia-")) {
            let Some((_, digest)) = line.split_once(": \"") else { continue };
            let digest = digest.trim_end_matches("\",");
            let is_mac = digest.starts_with("4b586631");
            assert!(is_mac || digests.contains(&digest), "{line}");
        }
    }
}
