"""The command line ``gaat`` of a wheel that carries it, on the libtorch of the torch that is installed.

A package of its own, because ``import gaat`` imports torch, which takes seconds, and ``gaat --help`` should not.
"""

from __future__ import annotations

import os
import sys
from importlib import metadata, util
from pathlib import Path
from typing import NoReturn

_SERIES = "2.11."


def main() -> NoReturn:
    """Becomes ``gaat`` with the arguments of this process: ``sys.argv``, environment, terminal and signals stay."""
    gaat = Path(__file__).parent / "bin" / "gaat"
    if not gaat.is_file():
        sys.exit(
            "error: this installation of the Python package has no command line: a wheel of `maturin build` carries none. "
            "`cargo xtask dist` in a checkout builds one that does, `cargo xtask install` puts gaat on the PATH"
        )
    os.execve(gaat, ["gaat", *sys.argv[1:]], _environment())


def _environment() -> dict[str, str]:
    """The environment in which the loader finds the libraries of torch, wherever torch is installed; torch is not imported."""
    found = util.find_spec("torch")
    version = metadata.version("torch") if found is not None else "none"
    if found is None or found.origin is None or not version.startswith(_SERIES):
        sys.exit(f'error: gaat needs torch {_SERIES}*, found {version}; install it with: pip install "torch=={_SERIES}*"')
    name = "DYLD_LIBRARY_PATH" if sys.platform == "darwin" else "LD_LIBRARY_PATH"
    folders = [str(Path(found.origin).parent / "lib"), *filter(None, [os.environ.get(name)])]
    return {**os.environ, name: os.pathsep.join(folders)}
