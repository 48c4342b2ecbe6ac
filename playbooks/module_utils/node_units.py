"""A set of systemd units of one machine, running what their files say."""

from __future__ import annotations

import os
import re
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

OPTIONS = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
    "files": {"type": "list", "elements": "path", "default": []},
}

PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,InactiveExitTimestampMonotonic,"
    "ExecMainStartTimestampMonotonic,NRestarts"
)
STEADY_SECONDS = 1.5
FLAPPING_SECONDS = 15
WORDS = 4
RUNNING = ("active", "activating", "reloading")
# What systemd itself starts a unit for at boot; static and generated units need no enabling.
ENABLED = ("enabled", "enabled-runtime", "static", "generated", "indirect", "alias")


def show(module: AnsibleModule, names: list[str]) -> dict[str, dict[str, str]]:
    """Properties of each unit, one call for all."""
    _, out, _ = module.run_command(["systemctl", "show", "--property", PROPERTIES, *names], check_rc=True)
    blocks = [block for block in out.strip().split("\n\n") if block]
    rows = [dict(line.split("=", 1) for line in block.splitlines()) for block in blocks]
    return dict(zip(names, rows, strict=True))


def started_at(row: dict[str, str]) -> float:
    """When the unit left the inactive state, in seconds of the wall clock."""
    age = time.monotonic() - int(row["InactiveExitTimestampMonotonic"] or 0) / 1e6
    return time.time() - age


def is_flapping(row: dict[str, str]) -> bool:
    """Whether systemd keeps starting the unit anew: not running, whatever it is called for a moment."""
    up = time.monotonic() - int(row.get("ExecMainStartTimestampMonotonic") or 0) / 1e6
    return row["SubState"] == "auto-restart" or (
        int(row.get("NRestarts") or 0) > 1 and row["ActiveState"] == "active" and up < FLAPPING_SECONDS
    )


def newer_files(unit: dict[str, Any], row: dict[str, str]) -> list[str]:
    """Files of the unit written after it started."""
    since = started_at(row)
    return [path for path in unit["files"] if os.path.exists(path) and os.stat(path).st_mtime > since]


def control(module: AnsibleModule, verb: str, *names: str) -> None:
    """One systemctl call; a failure carries the last unit's last lines of journal."""
    code, out, err = module.run_command(["systemctl", verb, *names])
    if code:
        words = last_words(module, names[-1])
        module.fail_json(msg=f"systemctl {verb} {' '.join(names)}: {(err or out).strip()}\n{words}")


def compare(module: AnsibleModule, unit: dict[str, Any], row: dict[str, str]) -> tuple[list[str], list[str]]:
    """Differences of one unit, and the systemctl verbs that mend them."""
    name, state = unit["name"], row["ActiveState"]
    if unit["state"] == "stopped":
        verbs = ["stop"] if state in RUNNING else []
        verbs += ["disable"] if row["UnitFileState"] in ("enabled", "enabled-runtime") else []
        return [f"{name}: {state}, declared stopped"] if verbs else [], verbs
    if row["LoadState"] != "loaded" and not module.check_mode:
        module.fail_json(msg=f"{name}: systemd cannot load it ({row['LoadState']})")
    changes, verbs = [], []
    if row["UnitFileState"] not in ENABLED:
        changes.append(f"{name}: {row['UnitFileState'] or 'missing'}, declared enabled")
        verbs.append("enable")
    if is_flapping(row):
        changes.append(f"{name}: ended {row['NRestarts']} times, declared started")
        verbs.append("restart")
    elif state not in RUNNING:
        changes.append(f"{name}: {state}, declared started")
        verbs.append("restart")
    elif newer := newer_files(unit, row):
        changes.append(f"{name}: older than {', '.join(newer)}")
        verbs.append("restart")
    return changes, verbs


def mend_units(module: AnsibleModule, declared: list[dict[str, Any]]) -> list[str]:
    """Bring every unit to its state; a line for each difference found."""
    units = {unit["name"]: unit for unit in declared}
    rows = show(module, list(units))
    # A unit file that has just appeared is unknown to systemd until it is told to look again.
    stale = any(
        row["NeedDaemonReload"] == "yes"
        or (row["LoadState"] == "not-found" and units[name]["state"] == "started")
        for name, row in rows.items()
    )
    if stale and not module.check_mode:
        module.run_command(["systemctl", "daemon-reload"], check_rc=True)
        rows = show(module, list(units))
    found = {name: compare(module, unit, rows[name]) for name, unit in units.items()}
    changes = [line for lines, _ in found.values() for line in lines]
    if module.check_mode:
        return changes
    # Together: after each call systemd runs all its generators, which takes longer than the rest of a role.
    if enabled := [name for name, (_, verbs) in found.items() if "enable" in verbs]:
        control(module, "enable", *enabled)
    for name, (_, verbs) in found.items():
        for verb in verbs:
            if verb != "enable":
                control(module, verb, name)
    restarted = [name for name, (_, verbs) in found.items() if "restart" in verbs]
    if restarted:
        await_steady(module, restarted)
    return changes


def await_steady(module: AnsibleModule, names: list[str]) -> None:
    """Fail when a unit that was just started has ended again, with its last lines of journal.

    systemd calls a simple service started as soon as its program was, whatever becomes of it.
    """
    time.sleep(STEADY_SECONDS)
    for name, row in show(module, names).items():
        if row["ActiveState"] not in RUNNING or row["SubState"] == "auto-restart":
            module.fail_json(msg=f"{name} does not stay up: {row['ActiveState']}\n{last_words(module, name)}")


def last_words(module: AnsibleModule, name: str) -> str:
    """What the unit's journal says went wrong at the end: its errors, else its last lines."""
    _, journal, _ = module.run_command(["journalctl", "-u", name, "-n", "80", "--no-pager", "-o", "cat"])
    lines = str(journal).strip().splitlines()
    errors = [
        line for line in lines if re.match(r"[EF]\d{4} |panic: |.*\b(error|fatal|failed)\b", line, re.I)
    ]
    return "\n".join(dict.fromkeys((errors or lines)[-WORDS:]))
