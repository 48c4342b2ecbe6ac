"""`antenna links`: what a person sees of the tunnels, and how their keys are rotated."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from infra.cli import main
from infra.cli.engines.events import Resource
from infra.provider import link
from infra.provider.kind import ProviderError
from tests.unit.cli_fakes import FakeEngine, urn
from tests.unit.test_links import LINK, facts

MEASURED = {
    "up": True,
    "carrier": "wireguard-go",
    "round_trip_seconds": 0.0314,
    "loss": 0.2,
    "handshake_age_seconds": 65.0,
    "received_bytes": 3 * 2**20,
    "sent_bytes": 2**30,
}


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """A state with two links, lumi and jupiter, both as declared."""
    state = [
        Resource(urn("Link", f"link-{name}"), f"t/{name}", {**LINK, "name": name}, {})
        for name in ("lumi", "jupiter")
    ]
    engine = FakeEngine(state=state)
    monkeypatch.delenv("ANTENNA_STACK", raising=False)
    monkeypatch.setattr("infra.cli.verbs.links.open_quietly", lambda _: engine)
    monkeypatch.setattr("infra.cli.verbs.links.open_engine", lambda *_, **__: engine)
    monkeypatch.setattr(link, "look", lambda _: facts())
    monkeypatch.setattr("infra.provider.tunnel.differences", lambda *_: [])
    monkeypatch.setattr(link, "measure", lambda _: MEASURED)
    return engine


def antenna(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def rows(shown: Result) -> list[str]:
    return [" ".join(line.split()) for line in shown.output.splitlines()]


def test_links_are_a_row_each(engine: FakeEngine) -> None:
    shown = antenna("links")
    assert shown.exit_code == 0
    assert rows(shown) == [
        "LINK STATE ENDPOINT CARRIER HANDSHAKE ROUND TRIP LOSS RECEIVED SENT",
        "jupiter up 10.97.0.20 wireguard-go 65s 31.4 ms 20% 3 MiB 1.0 GiB",
        "lumi up 10.97.0.20 wireguard-go 65s 31.4 ms 20% 3 MiB 1.0 GiB",
    ]


def test_a_link_that_is_down_says_why_and_the_command_fails(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(inputs: dict[str, Any]) -> dict[str, Any]:
        if inputs["name"] == "lumi":
            raise ProviderError("10.97.0.10: SSH failed")
        return {**MEASURED, "up": False, "round_trip_seconds": None, "loss": 1.0}

    monkeypatch.setattr(link, "measure", measure)
    shown = antenna("links", "--json")
    assert shown.exit_code == 1
    jupiter, lumi = json.loads(shown.output)["links"]
    assert (jupiter["up"], jupiter["problem"]) == (False, "the other end does not answer")
    assert (lumi["up"], lumi["problem"]) == (False, "10.97.0.10: SSH failed")
    assert "down 10.97.0.20 wireguard-go 65s · 100%" in rows(antenna("links"))[1]


def test_a_site_without_links_says_so(engine: FakeEngine) -> None:
    engine.state = []
    shown = antenna("links")
    assert shown.exit_code == 0
    assert "has no links" in shown.output


@pytest.mark.parametrize(("words", "rotated"), [((), ["jupiter", "lumi"]), (("lumi",), ["lumi"])])
def test_keys_are_rotated_and_the_state_follows(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], rotated: list[str]
) -> None:
    done: list[str] = []

    def rotate(inputs: dict[str, Any], report: Callable[[str], None]) -> dict[str, Any]:
        report("making keys")
        done.append(inputs["name"])
        return inputs

    monkeypatch.setattr(link, "rotate", rotate)
    assert antenna("links", "rotate", *words).exit_code == 0
    assert done == rotated
    assert engine.calls == [f"refresh {' '.join(f'link-{name}' for name in rotated)}"]


def test_a_link_that_is_not_there_is_wrong_input_with_those_that_are(engine: FakeEngine) -> None:
    shown = antenna("links", "rotate", "lumy")
    assert shown.exit_code == 2
    assert "no link is called lumy" in shown.output
    assert "there are: jupiter, lumi" in shown.output
