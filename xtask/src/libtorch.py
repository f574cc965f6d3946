"""The Python half of `cargo xtask setup`: finds an installed torch, or makes a CPU-only libtorch out of wheels.

It is built into xtask and run as `python3 -c ... probe` or `python3 -c ... fetch DEST TARGET STAMP`. It needs
nothing but the standard library and, for `fetch`, pip. Every wheel is pinned by version and SHA-256.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

TORCH = "2.11.0"
PIP_FAILED = 3  # the exit statuses that the Rust side turns into advice
UNPACK_FAILED = 4

# Asked for by tag and not by the interpreter at hand: any python3 can then fetch, and one hash a wheel is enough.
PYTHON_TAG = "3.12"
# libtorch_cpu.so of the Linux wheels is linked against two small CUDA libraries even where there is no GPU.
TARGETS = {
    "linux-x86_64": {
        "platforms": ["manylinux_2_28_x86_64", "manylinux_2_25_x86_64", "manylinux2014_x86_64"],
        "wheels": {
            "torch==2.11.0": "0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756",
            "nvidia-cuda-runtime==13.0.96": "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
            "nvidia-cuda-cupti==13.0.85": "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
        },
    },
    "linux-aarch64": {
        "platforms": ["manylinux_2_28_aarch64", "manylinux_2_25_aarch64", "manylinux2014_aarch64"],
        "wheels": {
            "torch==2.11.0": "f99924682ef0aa6a4ab3b1b76f40dc6e273fca09f367d15a524266db100a723f",
            "nvidia-cuda-runtime==13.0.96": "ef9bcbe90493a2b9d810e43d249adb3d02e98dd30200d86607d8d02687c43f55",
            "nvidia-cuda-cupti==13.0.85": "796bd679890ee55fb14a94629b698b6db54bcfd833d391d5e94017dd9d7d3151",
        },
    },
    "macos-aarch64": {
        "platforms": ["macosx_11_0_arm64"],
        "wheels": {
            "torch==2.11.0": "4b5866312ee6e52ea625cd211dcb97d6a2cdc1131a5f15cc0d87eec948f6dd34",
        },
    },
}

LIBRARY = re.compile(r"\.so(\.\d+)*$|\.dylib$")
# The GPU half, the Python bindings, and what nothing links to: 0.7 GB that a CPU build never loads.
UNWANTED = re.compile(r"cuda|nvrtc|nvshmem|python|libshm|libtorch_global_deps")


def destination(name):
    """Where a file of a wheel goes inside libtorch/, or None where it is not needed."""
    folder, _, base = name.rpartition("/")
    if not base:
        return None  # a folder entry
    if name.startswith("torch/include/"):
        return name[len("torch/") :]
    if folder == "torch/lib":
        # The Linux libtorch.so is an empty shell that asks for libtorch_cuda.so; finish() replaces it.
        wanted = LIBRARY.search(base) and not UNWANTED.search(base) and base != "libtorch.so"
        return "lib/" + base if wanted else None
    if folder == "nvidia/cu13/lib":
        return "lib/" + base if base in ("libcudart.so.13", "libcupti.so.13") else None
    licence = re.fullmatch(r"(\w+)-[^/]*\.dist-info/(?:licenses/)?(LICENSE|NOTICE|License\.txt)", name)
    if licence:
        package, base = licence.groups()
        return base if package == "torch" else "LICENSE." + package
    return None


def download(target, folder):
    """Lets pip fetch the pinned wheels, with its progress bar, index and proxy settings."""
    requirements = folder / "requirements.txt"
    pins = TARGETS[target]["wheels"].items()
    requirements.write_text("".join(f"{pin} --hash=sha256:{digest}\n" for pin, digest in pins))
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-cache-dir"]
    command += ["--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON_TAG]
    for platform in TARGETS[target]["platforms"]:
        command += ["--platform", platform]
    command += ["--require-hashes", "-r", str(requirements), "-d", str(folder)]
    # pip writes each wheel to TMPDIR first, and /tmp is often too small for half a gigabyte.
    environment = dict(os.environ, TMPDIR=str(folder))
    if subprocess.run(command, stdin=subprocess.DEVNULL, env=environment).returncode != 0:
        sys.exit(PIP_FAILED)
    return sorted(folder.glob("*.whl"))


def unpack(wheel, part):
    """Copies what destination() names out of one wheel."""
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            place = destination(info.filename)
            if place is None:
                continue
            out = part / place
            out.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as source, open(out, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)


def finish(part, target, stamp):
    """Adds what the linker needs, then the manifest: a folder without one was never complete."""
    if target.startswith("linux"):
        (part / "lib" / "libtorch.so").write_text("/* GNU ld script */\nINPUT(libtorch_cpu.so libc10.so)\n")
        (part / "lib" / "libgomp.so").symlink_to("libgomp.so.1")
    (part / "build-version").write_text(TORCH + "+cpu\n")
    files = sorted(path for path in part.rglob("*") if path.is_file())
    lines = [f"{path.stat().st_size}\t{path.relative_to(part).as_posix()}\n" for path in files]
    (part / "gaat-manifest").write_text(stamp + "\n" + "".join(lines))


def fetch(dest, target, stamp):
    """Makes `dest`; until the last rename everything lies in `dest`.part, which never outlives this call."""
    part = dest.with_name(dest.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        wheels = part / "wheels"
        wheels.mkdir(parents=True)
        for wheel in download(target, wheels):
            print(f"unpacking {wheel.name}", flush=True)
            unpack(wheel, part)
            wheel.unlink()
        shutil.rmtree(wheels)
        finish(part, target, stamp)
        if dest.is_symlink():
            dest.unlink()
        elif dest.exists():
            shutil.rmtree(dest)
        part.rename(dest)
    except (OSError, zipfile.BadZipFile) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(UNPACK_FAILED)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def probe():
    """Prints version and folder of the torch of this Python, or nothing; importing it would take seconds."""
    from importlib import metadata, util

    sys.path = [entry for entry in sys.path if entry]  # a folder ./torch is not an installation
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return
    spec = util.find_spec("torch")
    if spec is not None and spec.origin is not None:
        print(version)
        print(Path(spec.origin).parent)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` runs
    if sys.argv[1:] == ["probe"]:
        probe()
    elif len(sys.argv) == 5 and sys.argv[1] == "fetch":
        fetch(Path(sys.argv[2]).absolute(), sys.argv[3], sys.argv[4])
    else:
        sys.exit("usage: libtorch.py probe | fetch DEST TARGET STAMP")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)  # nobody who presses Ctrl-C wants a stack trace
