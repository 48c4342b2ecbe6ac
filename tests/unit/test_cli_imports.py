"""What a verb imports before it does anything: each pays for what it uses."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest

from infra.cli.command import VERBS, main

# Half a second and more each, with what they bring.
HEAVY = frozenset(
    {"pydantic", "sqlalchemy", "kubernetes", "pygal", "jinja2", "grpc", "pulumi", "cryptography", "ansible"}
)
MODELS = frozenset({"infra.site", "pydantic", "cryptography"})
"""The models of a site file, and what they are made with: whoever reads the file needs them."""

NEEDED = {
    "down": MODELS,
    "doctor": MODELS,
    "links": MODELS,
    "login": MODELS,
    "refresh": MODELS,
    "report": frozenset({"jinja2", "pygal"}),
    "submit": frozenset({"pydantic"}),
    "up": MODELS,
}
"""Of the heavy ones, what each verb uses. What is not here uses none of them until it runs."""

SHOW = "import json, sys; import {module}; print(json.dumps(sorted(sys.modules)))"


def imported(module: str) -> frozenset[str]:
    """All that an interpreter has loaded once it has imported this module."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW.format(module=module)], capture_output=True, text=True, check=True
    )
    return frozenset(json.loads(done.stdout))


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_imports_no_more_than_it_uses(verb: str) -> None:
    assert imported(f"infra.cli.verbs.{verb}") & (HEAVY | {"infra.site"}) == NEEDED.get(verb, frozenset())


def test_the_help_imports_no_verb() -> None:
    loaded = imported("infra.cli")
    assert not loaded & (HEAVY | {"rich", "yaml", "infra.site"})
    assert not [verb for verb in VERBS if f"infra.cli.verbs.{verb}" in loaded]


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_says_of_each_verb_what_it_says_itself(verb: str) -> None:
    command = main.get_command(click.Context(main), verb)
    assert command
    assert command.name == verb
    assert command.get_short_help_str(limit=1000) == VERBS[verb]
