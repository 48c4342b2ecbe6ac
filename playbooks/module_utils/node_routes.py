"""The static routes of one machine that are ours."""

from __future__ import annotations

import json

from ansible.module_utils.basic import AnsibleModule

OPTIONS = {"to": {"type": "str", "required": True}, "via": {"type": "str", "required": True}}


def compare(declared: dict[str, str], found: dict[str, str]) -> tuple[list[str], list[list[str]]]:
    """Differences, and the ``ip route`` arguments that mend them."""
    changes, commands = [], []
    for to, via in declared.items():
        if found.get(to) != via:
            changes.append(f"route {to} via {via}: " + (f"via {found[to]}" if to in found else "missing"))
            commands.append(["replace", to, "via", via])
    for to, via in found.items():
        if to not in declared:
            changes.append(f"route {to} via {via}: not declared")
            commands.append(["del", to, "via", via])
    return changes, commands


def mend_routes(module: AnsibleModule, routes: list[dict[str, str]], protocol: int) -> list[str]:
    """Bring our routes (those of that protocol number) to the declared ones; a line for each difference."""
    show = ["ip", "-json", "-4", "route", "show", "proto", str(protocol)]
    _, out, _ = module.run_command(show, check_rc=True)
    found = {row["dst"]: row.get("gateway", "") for row in json.loads(out or "[]")}
    changes, commands = compare({row["to"]: row["via"] for row in routes}, found)
    for command in [] if module.check_mode else commands:
        module.run_command(["ip", "-4", "route", *command, "proto", str(protocol)], check_rc=True)
    return changes
