"""The command line that a wheel may carry."""

import os
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest
import torch

CALL = "import gaat_command, sys; sys.argv[1:] = ['train', '--help']; gaat_command.main()"


def called(code=CALL, **environment):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment})


@pytest.fixture
def carried(tmp_path):
    """A copy of the package that carries a command, which says what it was started with."""
    package = tmp_path / "gaat_command"
    (package / "bin").mkdir(parents=True)
    (package / "__init__.py").write_bytes(Path(util.find_spec("gaat_command").origin).read_bytes())
    command = package / "bin" / "gaat"
    command.write_text('#!/bin/sh\necho "$0|$*|$LD_LIBRARY_PATH|$DYLD_LIBRARY_PATH"\nexit 3\n')
    command.chmod(0o755)
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}


def test_the_command_gets_arguments_and_the_libraries_of_torch_and_its_status_is_kept(carried):
    found = called(**carried, LD_LIBRARY_PATH="/before")
    assert found.returncode == 3, found
    name, arguments, *libraries = found.stdout.strip().split("|")
    assert name.endswith("bin/gaat") and arguments == "train --help"
    assert str(Path(torch.__file__).parent / "lib") in libraries[sys.platform == "darwin"].split(os.pathsep)
    assert "/before" in found.stdout


def test_torch_is_not_imported_for_the_command(carried):
    watched = "import os, sys; os.execve = lambda *_: print('torch' in sys.modules); " + CALL
    assert called(watched, **carried).stdout.strip() == "False"


def test_another_torch_is_refused(carried, tmp_path):
    other = tmp_path / "torch-2.9.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.9.0\n")
    found = called(**carried)
    assert found.returncode == 1 and 'found 2.9.0; install it with: pip install "torch==2.11.*"' in found.stderr


def test_a_wheel_without_the_command_says_where_it_is():
    found = called()
    assert found.returncode == 1 and "cargo xtask dist" in found.stderr
