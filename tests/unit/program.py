"""Runs the Pulumi program against a mock engine that writes down what is declared."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi.runtime import rpc
from pulumi.runtime.mocks import MockMonitor, MockResourceArgs, Mocks
from pulumi.runtime.settings import set_root_resource
from pulumi.runtime.stack import run_in_stack

from infra.__main__ import main

UNKNOWN = rpc.UNKNOWN


@dataclass(frozen=True)
class Declared:
    """One declared resource; it speaks of others by their names."""

    name: str
    type: str
    inputs: Mapping[str, Any]
    dependencies: frozenset[str]
    parent: str
    deleted_with: str

    @property
    def custom(self) -> bool:
        """Whether the provider makes it; components only group."""
        return self.type.startswith("antenna:index:")


@dataclass
class Program:
    """What a run declared, by name; components apart from what the provider makes."""

    resources: dict[str, Declared] = field(default_factory=dict)
    components: dict[str, Declared] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)


class _Engine(Mocks):
    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        made = {"host_key": f"key of {args.name}"} if args.typ.endswith(":Machine") else {}
        return f"{args.name}-id", {**made, **args.inputs}

    def call(self, args: object) -> tuple[dict[str, Any], None]:
        raise AssertionError("the program calls no function of the provider")


class _Monitor(MockMonitor):
    def __init__(self, program: Program) -> None:
        super().__init__(_Engine())
        self.program = program

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  (the protocol's name)
        if request.type != "pulumi:pulumi:Stack":
            declared = Declared(
                name=request.name,
                type=request.type,
                inputs=_plain(rpc.deserialize_properties(request.object, keep_unknowns=True)),
                dependencies=frozenset(map(_name, request.dependencies)),
                parent=_name(request.parent),
                deleted_with=_name(request.deletedWith),
            )
            place = self.program.resources if declared.custom else self.program.components
            assert declared.name not in place, f"{declared.name} is declared twice"
            place[declared.name] = declared
        return super().RegisterResource(request)

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802
        if "::pulumi:pulumi:Stack::" in request.urn:
            self.program.outputs |= _plain(rpc.deserialize_properties(request.outputs))
        return super().RegisterResourceOutputs(request)


def declare(site: Mapping[str, Any], stack: str = "x", *, preview: bool = True) -> Program:
    """Run the program for a site. Raises what the program raises."""
    config = {
        f"site:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in site.items()
    }
    program = Program()
    # Each run has an event loop of its own; the one that the SDK would find is closed with the run.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        pulumi.runtime.set_mocks(_Engine(), "antenna", stack, preview, monitor=_Monitor(program))
        set_root_resource(None)  # set_mocks makes a stack; the program is run in one of its own
        pulumi.runtime.set_all_config({"other:key": "not ours", **config})
        loop.run_until_complete(run_in_stack(main))
    finally:
        pulumi.runtime.set_all_config({})
        loop.close()
        asyncio.set_event_loop(None)
    return program


def difference(before: Program, after: Program) -> dict[str, str]:
    """What an engine would do to get from one to the other: name of resource to create, update, delete."""
    old, new = before.resources, after.resources
    return {
        **dict.fromkeys(new.keys() - old.keys(), "create"),
        **dict.fromkeys(old.keys() - new.keys(), "delete"),
        **{name: "update" for name in new.keys() & old.keys() if new[name].inputs != old[name].inputs},
    }


def _plain(value: Any) -> Any:
    """Without the SDK's own types, and with whole numbers as such."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return UNKNOWN if type(value).__name__ == "Unknown" else value


def _name(urn: str) -> str:
    return urn.rsplit("::", maxsplit=1)[-1] if urn else ""
