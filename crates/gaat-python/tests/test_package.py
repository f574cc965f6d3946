"""Stubs, types and examples of the package."""

import ast
import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import gaat
from gaat import _gaat

PACKAGE = Path(gaat.__file__).parent


def declared():
    """Names of the arguments of every function in the stubs."""
    found = {}

    def arguments(function, owner=""):
        names = [argument.arg for argument in function.args.args + function.args.kwonlyargs]
        found[owner + function.name] = [name for name in names if name not in ("self", "cls")]

    for node in ast.parse((PACKAGE / "_gaat.pyi").read_text()).body:
        if isinstance(node, ast.FunctionDef):
            arguments(node)
        elif isinstance(node, ast.ClassDef):
            for method in node.body:
                arguments(method, f"{node.name}.")
    return found


def test_the_stubs_are_those_of_the_extension():
    compiled = {}
    for name, member in vars(_gaat).items():
        if name.startswith("_"):
            continue
        if inspect.isclass(member):
            compiled[f"{name}.__new__"] = list(inspect.signature(member).parameters)
            for key, method in vars(member).items():
                if not key.startswith("_"):
                    compiled[f"{name}.{key}"] = [word for word in inspect.signature(method).parameters if word != "self"]
        else:
            compiled[name] = list(inspect.signature(member).parameters)
    assert compiled == declared()


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
