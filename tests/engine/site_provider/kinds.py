"""Kinds with the real checks and diffs; what would touch a machine is a line in the file SITE_CALLS."""

from __future__ import annotations

import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any

from infra.provider.kind import Report

CALLS = Path(os.environ["SITE_CALLS"])


class _Recorded:
    def create(self, inputs: dict[str, Any], report: Report) -> tuple[str, dict[str, Any]]:
        name = _call("create", inputs)
        return f"{inputs['stack']}/{name}", self._outputs(inputs)

    def update(
        self, id: str, old: dict[str, Any], state: dict[str, Any], inputs: dict[str, Any], report: Report
    ) -> dict[str, Any]:
        _call("update", inputs)
        return self._outputs(inputs)

    def delete(self, id: str, inputs: dict[str, Any], state: dict[str, Any], report: Report) -> None:
        _call("delete", inputs)

    def read(
        self, id: str, inputs: dict[str, Any], state: dict[str, Any], report: Report
    ) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
        lost = CALLS.with_name("lost")
        if inputs.get("driver") and _text(lost) == inputs["name"]:
            lost.unlink()
            return None
        return id, inputs, state

    def _outputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        # A machine that is made again has another disk and so another key.
        count = len(CALLS.read_text().splitlines())
        key = {"host_key": inputs.get("host_key", f"ssh-ed25519 {count}")} if "driver" in inputs else {}
        return {**inputs, **key, "drift": []}


def _text(file: Path) -> str:
    """What it holds; several machines are looked up at once, and one of them takes the file away."""
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""


def _call(verb: str, inputs: dict[str, Any]) -> str:
    name = str(inputs.get("name") or inputs.get("bridge") or inputs["playbook"])
    with CALLS.open("a") as log:
        log.write(json.dumps([verb, name, sorted(inputs.get("hosts", ()))]) + "\n")
    return name


def _recorded(module: str, name: str) -> type:
    return type(name, (_Recorded, getattr(import_module(f"infra.provider.{module}"), name)), {})


Network = _recorded("network", "Network")
Machine = _recorded("machine", "Machine")
Playbook = _recorded("playbook", "Playbook")
Objects = _recorded("objects", "Objects")
