"""The reference of the Python API: every public name has an entry, and its docstring says what it takes and raises."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import FunctionType
from typing import Any

import pytest

import autoprog_search
from autoprog_search.errors import MissingExtraError

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
ENTRIES = [
    name
    for page in sorted((DOCS / "reference").glob("*.md"))
    for name in re.findall(r"^::: (\S+)$", page.read_text(), flags=re.MULTILINE)
]
# Of these every public class; what else they hold is the package's own.
MODULES = [
    "errors",
    "choosing",
    "methods.kind",
    "methods.kinds",
    "testing",
    "integrations",
    "loggers.logger",
    "tables.table",
]


def public() -> Iterator[Any]:
    """What anybody may use: the names at the top, and the classes of the modules above."""
    for name in dir(autoprog_search):
        value = getattr(autoprog_search, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            yield value
    for name in (f"autoprog_search.{module}" for module in MODULES):
        below = [f"{name}.{found.name}" for found in iter_modules(getattr(import_module(name), "__path__", []))]
        for module_name in [name, *below]:
            try:
                module = import_module(module_name)
            except MissingExtraError:  # where it is installed it is looked at
                continue
            for value in vars(module).values():
                if inspect.isclass(value) and value.__module__ == module.__name__ and value.__name__[0] != "_":
                    yield value


def code() -> Iterator[tuple[Path, str]]:
    """The Python that users are given to read and to copy: of the docs, the examples and the packages for OptunaHub."""
    for path in [*DOCS.glob("*.md"), *DOCS.glob("reference/*.md"), ROOT / "README.md"]:
        blocks = re.findall(r"^```python\n(.*?)^```", path.read_text(), flags=re.MULTILINE | re.DOTALL)
        yield from ((path, block) for block in blocks)
    for path in [*(ROOT / "examples").glob("*.py"), *(ROOT / "optunahub").rglob("*.py")]:
        yield path, path.read_text()
    for path in (ROOT / "examples").glob("*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        yield from ((path, "".join(cell["source"])) for cell in cells if cell["cell_type"] == "code")


def imported() -> Iterator[tuple[str, str, str]]:
    """Who imports what from where in the package."""
    for path, text in code():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "autoprog_search":
                yield from ((path.name, str(node.module), name.name) for name in node.names)


def found(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except MissingExtraError as error:
        pytest.skip(str(error))


IMPORTED = sorted(set(imported()))


@pytest.mark.parametrize(("path", "module", "name"), IMPORTED, ids=map("-".join, IMPORTED))
def test_what_docs_and_examples_import_has_an_entry(path, module, name):
    if module == "autoprog_search":
        module = found(f"{module}.{name}").__module__
    assert f"{module}.{name}" in ENTRIES


def test_every_public_name_has_an_entry():
    """Add a line `::: MODULE.NAME` to a page under docs/reference/."""
    names = {f"{value.__module__}.{value.__qualname__}" for value in public()}
    assert names
    assert sorted(names - set(ENTRIES)) == []
    assert len(ENTRIES) == len(set(ENTRIES))


def test_the_code_on_its_pages_runs():
    blocks = [text for path, text in code() if path.parent == DOCS / "reference"]
    assert blocks
    for block in blocks:
        exec(block, {})


def test_the_front_page_leads_to_every_page():
    front = (DOCS / "reference.md").read_text()
    assert all(f"(reference/{page.name})" in front for page in (DOCS / "reference").glob("*.md"))


def functions(value: Any) -> Iterator[tuple[FunctionType, str]]:
    """A function, or a class's own public methods and its constructor, with the docstring that speaks of each."""
    if inspect.isfunction(value):
        yield value, inspect.getdoc(value) or ""
        return
    for name, member in vars(value).items():
        method = getattr(member, "__func__", member)
        if not inspect.isfunction(method) or method.__name__ != name or method.__code__.co_filename[0] == "<":
            continue  # no method, a field's default, or what a dataclass was given
        if name == "__init__":
            yield method, f"{inspect.getdoc(value)}\n{method.__doc__ or ''}"
        elif name[0] != "_" and method.__module__ == value.__module__:
            yield method, inspect.getdoc(getattr(value, name)) or ""


def raised(function: FunctionType) -> set[str]:
    """The package's own errors that stand in the function's own `raise` statements."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    names = {
        node.exc.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
    }
    known = {name for name, value in vars(import_module("autoprog_search.errors")).items() if inspect.isclass(value)}
    return names & known


@pytest.mark.parametrize("path", ENTRIES)
def test_an_entry_says_what_it_takes_and_raises(path):
    value = found(path)
    assert inspect.getdoc(value), f"{path} has no docstring"
    for function, text in functions(value):
        where = f"{path}.{function.__name__}"
        assert text.strip(), f"{where} has no docstring"
        assert "return" in function.__annotations__, f"{where} does not say the type that it returns"
        for error in raised(function):
            assert error in text, f"{where} raises {error} and does not say so"
