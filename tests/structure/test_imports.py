"""The code's own graph of imports: no circles, and what calls itself pure is held to it."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import grimp
import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("infra", "operators", "monitoring", "playbooks")
PURE = "Pure."
"""How a module's docstring ends its first paragraph when the module does no I/O."""


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the packages that is imported by its name: (name, file)."""
    for package in PACKAGES:
        for path in (REPOSITORY / package).rglob("*.py"):
            parts = path.relative_to(REPOSITORY).with_suffix("").parts
            if all((REPOSITORY / Path(*parts[:n]) / "__init__.py").exists() for n in range(1, len(parts))):
                yield ".".join(parts).removesuffix(".__init__"), path


def calls_itself_pure(path: Path) -> bool:
    return PURE in (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0]


def held() -> set[str]:
    """Modules and packages of which a contract of .importlinter says that they start no process."""
    contracts = ConfigParser()
    contracts.read(REPOSITORY / ".importlinter")
    return {
        name
        for section in contracts.sections()
        if "subprocess" in contracts[section].get("forbidden_modules", "").split()
        for name in contracts[section]["source_modules"].split()
    }


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = grimp.build_graph(*PACKAGES)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 200
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_what_calls_itself_pure_is_in_a_contract() -> None:
    pure = [name for name, path in modules() if calls_itself_pure(path)]
    assert len(pure) > 20
    by_contract = held()
    free = [
        name for name in pure if not any(name == one or name.startswith(f"{one}.") for one in by_contract)
    ]
    assert free == []


def test_no_contract_looks_one_import_deep() -> None:
    assert "allow_indirect_imports" not in (REPOSITORY / ".importlinter").read_text()
