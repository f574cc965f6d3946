"""Types and examples of the package."""

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import gaat

PACKAGE = Path(gaat.__file__).parent


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").exists()
    assert set(gaat.__all__) <= set(dir(gaat))


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules([str(PACKAGE)]) if module.name[0] != "_"] + ["gaat"])
def test_the_examples_run(name):
    module = gaat if name == "gaat" else importlib.import_module(f"gaat.{name}")
    found = doctest.testmod(module)
    assert found.attempted > 0 and found.failed == 0


def test_what_is_public_has_a_docstring():
    for name in gaat.__all__:
        member = getattr(gaat, name)
        assert inspect.getdoc(member), name
        if inspect.isclass(member):
            for key, method in vars(member).items():
                if not key.startswith("_") and callable(method):
                    assert inspect.getdoc(method), f"{name}.{key}"
