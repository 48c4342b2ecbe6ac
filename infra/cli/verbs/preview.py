"""`antenna preview`: what `up` would change, property by property."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import click

from infra.cli.engines.events import COUNTED, Event, Note, Outcome, Step, changed, describe, is_ours, summary
from infra.cli.engines.open import open_engine
from infra.cli.failure import Failure
from infra.cli.session import Session, Verb, epilog, options
from infra.cli.views.screen import Screen

_SIGN = {"create": "+", "update": "~", "replace": "±", "delete": "-", "import": "=", "discard": "-"}
_STYLE = {"create": "green", "update": "yellow", "replace": "magenta", "delete": "red"}


@click.command(
    cls=Verb,
    epilog=epilog("antenna preview", "antenna preview --expect-no-changes", "antenna preview --json"),
)
@click.option("--expect-no-changes", is_flag=True, help="Exit with 1 when something would change.")
@options("stack", "config-file", "engine", "json")
@click.pass_obj
def preview(session: Session, expect_no_changes: bool) -> None:
    """Show what `up` would change, property by property. Touches nothing."""
    screen = session.begin("preview")
    session.site()
    outcome = show_preview(session, screen)
    if expect_no_changes and changed(outcome.changes):
        raise Failure(f"changes were not expected: {summary(outcome.changes, planned=True)}")


def show_preview(session: Session, screen: Screen) -> Outcome:
    """Plan, and print the plan. Raises Failure when it cannot be made."""
    engine = open_engine(session, screen, touch=False)

    def listen(event: Event) -> None:
        if isinstance(event, Note):
            screen.event(event)

    with screen.phase("preview"):
        outcome = engine.preview(listen)
    if not outcome.ok:
        raise Failure("; ".join(outcome.errors) or "the preview failed", "nothing was touched")
    if session.json:
        click.echo(json.dumps(document(session.stack, outcome), indent=2, default=str))
        return outcome
    for step in plan(outcome.steps):
        screen.say(f"{_SIGN[step.op]} {step.op:<8} {step.kind:<9} {step.name}", _STYLE.get(step.op, ""))
        # A new resource is new in all its properties; they are in the site file, and in --json.
        for change in step.changes if step.op in ("update", "replace") else ():
            screen.say(f"      {describe(change)}")
    screen.say(f"preview: {summary(outcome.changes, planned=True)}", "bold")
    return outcome


def plan(steps: Iterable[Step]) -> list[Step]:
    """Each thing of the site that would change, once, in the order of the work."""
    found: dict[str, Step] = {}
    for step in steps:
        if step.op in COUNTED and is_ours(step.urn):
            known = found.get(step.urn)
            found[step.urn] = step if known is None or step.changes else known
    return list(found.values())


def document(stack: str, outcome: Outcome) -> dict[str, Any]:
    """The stable keys of `antenna preview --json`, and of `up --json`."""
    return {
        "stack": stack,
        "changes": dict(outcome.changes),
        "steps": [
            {
                "op": step.op,
                "kind": step.kind,
                "name": step.name,
                "urn": step.urn,
                "properties": [asdict(change) for change in step.changes],
            }
            for step in plan(outcome.steps)
        ],
    }
