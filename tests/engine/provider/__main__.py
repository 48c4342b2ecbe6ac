"""A provider for tests: its cloud is the folder TOY_CLOUD, with one JSON file a thing and a log of the calls.

Inputs of a `toy:index:Thing`: `label` (its identity: a change replaces it), `before` (a replacement deletes
first), `fail` (the names of the calls that fail), `seconds` (how long a change takes); all others are data
that can be updated. Outputs: the inputs and `loud`, the input `value` in capitals.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pulumi.provider.experimental import provider, server
from pulumi.provider.experimental.property_value import Computed, PropertyValue

CLOUD = Path(os.environ["TOY_CLOUD"])
Kind = provider.PropertyDiffKind
Properties = dict[str, PropertyValue]


class Toy(provider.Provider):
    async def check(self, request: provider.CheckRequest) -> provider.CheckResponse:
        inputs = {key: value for key, value in request.new_inputs.items() if value.value is not None}
        failures = []
        if "value" in inputs and inputs["value"].value == "forbidden":
            failures.append(provider.CheckFailure("value", "must not be forbidden"))
        return provider.CheckResponse(inputs, failures)

    async def diff(self, request: provider.DiffRequest) -> provider.DiffResponse:
        old = {key: plain(value) for key, value in request.old_state.items() if key != "loud"}
        new = {key: plain(value) for key, value in request.new_inputs.items()}
        keys = sorted((old.keys() | new.keys()) - set(request.ignore_changes))
        changed = [key for key in keys if key not in old or key not in new or old[key] != new[key]]
        return provider.DiffResponse(
            changes=bool(changed),
            replaces=[key for key in changed if key == "label"],
            delete_before_replace=bool(new.get("before")),
            diffs=changed,
            detailed_diff={key: provider.PropertyDiff(kind(key, old, new), True) for key in changed},
        )

    async def create(self, request: provider.CreateRequest) -> provider.CreateResponse:
        inputs = dict(request.properties)
        if request.preview:
            return provider.CreateResponse("", inputs)
        label = plain(inputs["label"])
        # What is made is there from the start, so that a create that fails or is killed leaves something.
        store(label, inputs)
        await change("create", inputs)
        return provider.CreateResponse(label, outputs(inputs))

    async def read(self, request: provider.ReadRequest) -> provider.ReadResponse:
        file = CLOUD / f"{request.resource_id}.json"
        if not file.exists():
            return provider.ReadResponse("", {}, {})
        known = request.inputs
        inputs = {
            key: wrap(value).with_secret(key in known and known[key].is_secret)
            for key, value in json.loads(file.read_text()).items()
        }
        return provider.ReadResponse(request.resource_id, outputs(inputs), inputs)

    async def update(self, request: provider.UpdateRequest) -> provider.UpdateResponse:
        inputs = dict(request.news)
        if not request.preview:
            await change("update", inputs)
            store(request.resource_id, inputs)
        return provider.UpdateResponse(outputs(inputs))

    async def delete(self, request: provider.DeleteRequest) -> None:
        state = dict(request.properties)
        await change("delete", state)
        # An interrupted create left no id: what it made is found by its inputs.
        (CLOUD / f"{request.resource_id or plain(state['label'])}.json").unlink(missing_ok=True)


async def change(what: str, inputs: Properties) -> None:
    """Log a call, take the time it takes, and fail if asked to."""
    label = plain(inputs["label"])
    with (CLOUD / "log").open("a") as log:
        log.write(f"{what} {label}\n")
    if "seconds" in inputs:
        await asyncio.sleep(plain(inputs["seconds"]))
    if "fail" in inputs and what in plain(inputs["fail"]):
        raise ValueError(f"the {what} of {label} fails as asked")


def store(label: str, inputs: Properties) -> None:
    draft = CLOUD / f".{label}"
    draft.write_text(json.dumps({key: plain(value) for key, value in inputs.items()}))
    draft.rename(CLOUD / f"{label}.json")


def outputs(inputs: Properties) -> Properties:
    value = inputs.get("value", PropertyValue(""))
    if isinstance(value.value, Computed):
        return {**inputs, "loud": value}
    return {**inputs, "loud": value.with_value(str(plain(value)).upper())}


def kind(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Kind:
    if key == "label":
        return Kind.UPDATE_REPLACE
    return Kind.ADD if key not in old else Kind.DELETE if key not in new else Kind.UPDATE


def plain(value: PropertyValue) -> Any:
    """Take a value out of its wrappers; numbers stay floats, an unknown equals nothing."""
    inner = value.value
    if isinstance(inner, Mapping):
        return {key: plain(item) for key, item in inner.items()}
    if isinstance(inner, tuple):
        return [plain(item) for item in inner]
    return object() if isinstance(inner, Computed) else inner


def wrap(value: Any) -> PropertyValue:
    if isinstance(value, dict):
        return PropertyValue({key: wrap(item) for key, item in value.items()})
    if isinstance(value, list):
        return PropertyValue([wrap(item) for item in value])
    return PropertyValue(float(value) if isinstance(value, int) and not isinstance(value, bool) else value)


if __name__ == "__main__":
    with (CLOUD / "providers").open("a") as pids:
        pids.write(f"{os.getpid()}\n")
    server.main(sys.argv[1:], "1.0.0", Toy())
