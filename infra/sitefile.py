"""Reads a site from its file, Pulumi.STACK.yaml: the ``site:`` keys under ``config:``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from infra import pulumi_yaml
from infra.paths import REPOSITORY
from infra.site import Problem, Site, SiteError, parse_site

NAMESPACE = "site:"


class _Loader(pulumi_yaml.Loader):
    """YAML as Pulumi reads it, except that a key written twice is an error and not the last one's luck."""


class _TellingLoader(pulumi_yaml.TellingLoader):
    """The same, for what is wrong."""


def _mapping(loader: _Loader | _TellingLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: dict[Any, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if key.value in seen:
            raise yaml.constructor.ConstructorError(
                problem=f"the key {key.value} is there twice, first in line {seen[key.value]}; remove one",
                problem_mark=key.start_mark,
            )
        seen[key.value] = line
    return loader.construct_mapping(node, deep=True)


for _loader in (_Loader, _TellingLoader):
    _loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def stacks(folder: Path = REPOSITORY) -> list[str]:
    """The stacks that have a file, sorted."""
    return sorted(p.name.removeprefix("Pulumi.").removesuffix(".yaml") for p in folder.glob("Pulumi.?*.yaml"))


def load(path: Path, stack: str | None = None) -> Site:
    """The site that a file describes. Raises ``SiteError``: file, key or line, and fix.

    ``stack`` is for a file that is not called Pulumi.STACK.yaml.
    """
    return parse_site(read(path), source=path.name, stack=stack)


def read(path: Path) -> dict[str, Any]:
    """The ``site:`` keys of a file, namespace removed; other namespaces are somebody else's."""
    document = _document(path)
    if not isinstance(document, dict) or not isinstance(config := document.get("config"), dict):
        raise _error(path, f"has no `config:` mapping with {NAMESPACE} keys; copy one from {_examples(path)}")
    return {
        str(key).removeprefix(NAMESPACE): value
        for key, value in config.items()
        if str(key).startswith(NAMESPACE)
    }


def _document(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        there = ", ".join(stacks(path.parent)) or "none"
        raise _error(path, f"there is no such file in {path.parent}; stacks that have one: {there}") from None
    except UnicodeDecodeError as error:
        raise _error(path, f"byte {error.start} is not UTF-8; save the file as UTF-8") from None
    try:
        # Subclasses of safe loaders: no tag makes a Python object.
        try:
            return yaml.load(text, Loader=_Loader)  # noqa: S506
        except yaml.YAMLError:
            return yaml.load(text, Loader=_TellingLoader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        shown = text.splitlines()[line - 1].strip() if line <= len(text.splitlines()) else "the end"
        raise _error(path, f"line {line}: {_yaml_problem(error)} (at `{shown}`)") from None
    except yaml.YAMLError as error:
        raise _error(path, f"is not YAML: {error}; remove the character") from None


def _yaml_problem(error: yaml.MarkedYAMLError) -> str:
    """What YAML's parser said, with the fix that is nearly always meant."""
    problem = error.problem or "is not YAML"
    if isinstance(error, yaml.constructor.ConstructorError):
        return problem
    if "\\t" in problem:
        return "a tab; indent with spaces"
    fixes = {
        "mapping values": "quote a value that holds ': ', or indent the line like its neighbours",
        "expected <block end>": "indent the line like its neighbours",
        "could not find expected ':'": "write `key: value`, with a space after the colon",
        "expected ',' or": "close the bracket, or put a comma between the entries",
        "found unexpected end": "close the quote",
    }
    fix = next((text for start, text in fixes.items() if problem.startswith(start)), None)
    return f"{problem}; {fix or 'compare the line with its neighbours'}"


def _examples(path: Path) -> str:
    others = [f"Pulumi.{stack}.yaml" for stack in stacks(path.parent) if f"Pulumi.{stack}.yaml" != path.name]
    return " or ".join(others) or "Pulumi.embedded.yaml"


def _error(path: Path, message: str) -> SiteError:
    return SiteError(path.name, [Problem("", message)])
