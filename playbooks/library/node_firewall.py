#!/usr/bin/python
"""One nftables table of one machine, as its file declares it."""

from __future__ import annotations

import os

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: node_firewall
short_description: One nftables table, loaded from its file
description:
  - Loads the rules file when the table in the kernel is not what loading it gave last time, or when the file
    is newer than that. Only this table is looked at; those of kube-proxy and others are theirs.
options:
  table: {description: Family and name of the table., type: str, required: true}
  rules: {description: The nft script that makes the table., type: path, required: true}
  loaded: {description: Where the listing of the table as loaded is kept., type: path, required: true}
"""

EXAMPLES = r"""
- name: Load the firewall
  node_firewall:
    table: inet antenna
    rules: /etc/antenna/firewall.nft
    loaded: /var/lib/antenna/firewall.listing
"""

RETURN = r"""
changes:
  description: One line a difference.
  type: list
  elements: str
  returned: always
"""


def listing(module: AnsibleModule, table: str) -> str:
    """The table's rules without their counters; empty when there is no such table."""
    code, out, _ = module.run_command(["nft", "--stateless", "list", "table", *table.split()])
    return "" if code else str(out)


def difference(module: AnsibleModule, table: str, rules: str, loaded: str) -> str:
    """What is wrong with the table in the kernel; empty when nothing is."""
    found = listing(module, table)
    if not found:
        return "missing"
    if not os.path.exists(loaded):
        return "of unknown origin"
    if os.path.exists(rules) and os.stat(rules).st_mtime > os.stat(loaded).st_mtime:
        return f"older than {rules}"
    with open(loaded, encoding="utf-8") as file:
        return "" if file.read() == found else "rules differ"


def main() -> None:
    """Module entry point."""
    module = AnsibleModule(
        argument_spec={
            "table": {"type": "str", "required": True},
            "rules": {"type": "path", "required": True},
            "loaded": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    table, rules, loaded = (module.params[key] for key in ("table", "rules", "loaded"))
    wrong = difference(module, table, rules, loaded)
    if wrong and not module.check_mode:
        module.run_command(["nft", "-f", rules], check_rc=True)
        os.makedirs(os.path.dirname(loaded), exist_ok=True)
        with open(loaded, "w", encoding="utf-8") as file:
            file.write(listing(module, table))
    module.exit_json(changed=bool(wrong), changes=[f"nftables table {table}: {wrong}"] if wrong else [])


if __name__ == "__main__":
    main()
