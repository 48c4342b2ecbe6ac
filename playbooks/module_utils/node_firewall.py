"""One nftables table of one machine, as its file declares it: in nft's own language, or in iptables'."""

from __future__ import annotations

import os
import re

from ansible.module_utils.basic import AnsibleModule

OPTIONS = {
    "table": {"type": "str", "required": True},
    "rules": {"type": "path", "required": True},
    "loaded": {"type": "path", "required": True},
    "language": {"type": "str", "choices": ["nft", "iptables"], "default": "nft"},
}
LOADERS = {"nft": ["nft", "-f"], "iptables": ["iptables-nft-restore"]}


def listing(module: AnsibleModule, table: str, language: str) -> str:
    """The table's rules without their counters; empty when there is no such table."""
    if language == "iptables":
        code, out, _ = module.run_command(["iptables-nft-save", "--table", table])
        lines = [
            re.sub(r" \[\d+:\d+\]$", "", line) for line in str(out).splitlines() if not line.startswith("#")
        ]
        return "" if code or not any(line.startswith("-A") for line in lines) else "\n".join(lines)
    code, out, _ = module.run_command(["nft", "--stateless", "list", "table", *table.split()])
    return "" if code else str(out)


def difference(module: AnsibleModule, table: str, rules: str, loaded: str, language: str) -> str:
    """What is wrong with the table in the kernel; empty when nothing is."""
    found = listing(module, table, language)
    if not found:
        return "missing"
    if not os.path.exists(loaded):
        return "of unknown origin"
    if os.path.exists(rules) and os.stat(rules).st_mtime > os.stat(loaded).st_mtime:
        return f"older than {rules}"
    with open(loaded, encoding="utf-8") as file:
        return "" if file.read() == found else "rules differ"


def mend_firewall(module: AnsibleModule, table: str, rules: str, loaded: str, language: str) -> list[str]:
    """Load the table from its rules file when it is not what that gave last time; the difference, if any.

    ``loaded`` keeps the listing of the table as loaded. Tables of others are not looked at.
    """
    wrong = difference(module, table, rules, loaded, language)
    if wrong and not module.check_mode:
        module.run_command([*LOADERS[language], rules], check_rc=True)
        os.makedirs(os.path.dirname(loaded), exist_ok=True)
        with open(loaded, "w", encoding="utf-8") as file:
            file.write(listing(module, table, language))
    return [f"nftables table {table}: {wrong}"] if wrong else []
