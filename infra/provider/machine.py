"""A machine: made on this host (driver nspawn), or one that exists and is adopted (driver ssh)."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

from infra.provider import existing, nspawn
from infra.provider.kind import UNKNOWN, Diff, ProviderError, Report, changed

DRIVERS: dict[str, ModuleType] = {"nspawn": nspawn, "ssh": existing}

NAME = re.compile(r"^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$")
"""A DNS label of at most 20 characters."""


class Machine:
    """Inputs: stack, name, driver, address, user, port; further ones by driver.

    nspawn: prefix_length, gateway, bridge, base, artifacts. ssh: host_key, identity_file.
    Outputs: the inputs, host_key, identity_file, known_hosts, drift.
    """

    token = "antenna:index:Machine"  # noqa: S105 - Pulumi's word for a type's name

    def check(self, inputs: dict[str, Any]) -> list[tuple[str, str]]:
        """Missing or malformed inputs."""
        failures = []
        name, driver = inputs.get("name"), inputs.get("driver")
        if isinstance(name, str) and not NAME.match(name):
            failures.append(("name", f"{name!r} must match {NAME.pattern}"))
        if driver is UNKNOWN:
            return failures
        if driver not in DRIVERS:
            return [*failures, ("driver", f"{driver!r} must be one of {', '.join(DRIVERS)}")]
        required = ("stack", "name", *DRIVERS[driver].REQUIRED)
        failures += [(key, f"is required by driver {driver}") for key in required if inputs.get(key) is None]
        return failures + list(DRIVERS[driver].check(inputs))

    def diff(self, old_inputs: dict[str, Any], old_state: dict[str, Any], new_inputs: dict[str, Any]) -> Diff:
        """What is written into a machine's disk makes another machine; the rest is changed in place."""
        old = old_inputs or {key: value for key, value in old_state.items() if key in new_inputs}
        changes = changed(old, new_inputs)
        driver = old_state.get("driver")
        replaces = [key for key in changes if driver in DRIVERS and key in DRIVERS[driver].REPLACES]
        if old_state.get("drift"):
            changes.append("drift")
        return Diff(changes, replaces, delete_before_replace=bool(replaces))

    def create(self, inputs: dict[str, Any], report: Report) -> tuple[str, dict[str, Any]]:
        """Raise or adopt the machine; it answers over SSH with its known key when this returns."""
        return f"{inputs['stack']}/{inputs['name']}", DRIVERS[inputs["driver"]].create(inputs, report)

    def read(
        self, id: str, inputs: dict[str, Any], state: dict[str, Any], report: Report
    ) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
        """Whether it is there, runs and answers. On import an nspawn machine tells its own inputs."""
        if not inputs:
            stack, _, name = id.partition("/")
            inputs = nspawn.imported(stack, name)
            if not inputs:
                return None
            state = nspawn.outputs(inputs)
        found = DRIVERS[inputs["driver"]].drift(inputs, state)
        return None if found is None else (id, inputs, {**state, "drift": found})

    def update(
        self,
        id: str,
        old_inputs: dict[str, Any],
        old_state: dict[str, Any],
        new_inputs: dict[str, Any],
        report: Report,
    ) -> dict[str, Any]:
        """Mend what drifted; take over new inputs."""
        outputs: dict[str, Any] = DRIVERS[new_inputs["driver"]].update(new_inputs, old_state, report)
        return outputs

    def delete(self, id: str, inputs: dict[str, Any], state: dict[str, Any], report: Report) -> None:
        """Remove an nspawn machine with its disk; forget an adopted one."""
        driver = state.get("driver") or inputs.get("driver")
        if driver not in DRIVERS:
            raise ProviderError(f"{id}: driver {driver!r} is not one of {', '.join(DRIVERS)}")
        DRIVERS[driver].delete({**inputs, **state}, report)
