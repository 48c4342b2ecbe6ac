#!/usr/bin/python
"""The static routes of one machine that are ours."""

from __future__ import annotations

import json

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: node_routes
short_description: Static routes in the kernel's table
description:
  - Adds, corrects and removes IPv4 routes. Ours carry a protocol number of their own, so that routes of
    nodes that left are found and removed, and nobody else's are touched.
options:
  routes:
    description: The routes, each with "to" (CIDR) and "via" (gateway address).
    type: list
    elements: dict
    required: true
    suboptions:
      to: {description: Destination CIDR., type: str, required: true}
      via: {description: Gateway address., type: str, required: true}
  protocol:
    description: Protocol number that marks a route as ours (ip-route(8)).
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Reach the pods of the other nodes
  node_routes:
    protocol: 170
    routes: [{to: 10.78.1.0/24, via: 10.77.0.11}]
"""

RETURN = r"""
changes:
  description: One line a difference.
  type: list
  elements: str
  returned: always
"""

SUBOPTIONS = {"to": {"type": "str", "required": True}, "via": {"type": "str", "required": True}}


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


def main() -> None:
    """Module entry point."""
    module = AnsibleModule(
        argument_spec={
            "routes": {"type": "list", "elements": "dict", "required": True, "options": SUBOPTIONS},
            "protocol": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    protocol = str(module.params["protocol"])
    show = ["ip", "-json", "-4", "route", "show", "proto", protocol]
    _, out, _ = module.run_command(show, check_rc=True)
    found = {row["dst"]: row.get("gateway", "") for row in json.loads(out or "[]")}
    changes, commands = compare({row["to"]: row["via"] for row in module.params["routes"]}, found)
    for command in [] if module.check_mode else commands:
        module.run_command(["ip", "-4", "route", *command, "proto", protocol], check_rc=True)
    module.exit_json(changed=bool(changes), changes=changes)


if __name__ == "__main__":
    main()
