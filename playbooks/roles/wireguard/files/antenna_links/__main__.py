"""The verbs: key, apply, await, show, measure, remove for the provider; run, configure, clear for systemd.

Those for the provider write one JSON document to standard output; a failure is one line on standard error.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from typing import Any

from . import config, probe, tunnel

PROBE = "antenna-links-probe.service"


def unit(name: str, slot: str) -> str:
    """The systemd unit that keeps a slot's interface."""
    return f"antenna-link@{name}-{slot}.service"


def main(verb: str, name: str, *rest: str) -> None:
    """Do one verb."""
    match verb:
        case "run" | "configure" | "clear":
            link, _, slot = name.rpartition("-")
            getattr(tunnel, verb)(link, slot)
        case "key":
            _say({"public_key": config.ensure_key(name, rest[0], fresh="--fresh" in rest)})
        case "apply":
            _say(apply(name, json.load(sys.stdin)))
        case "await":
            document = config.load(name) or {}
            _say({"handshake": tunnel.await_handshake(document, rest[0], float(rest[1]))})
        case "show":
            _say(show(name))
        case "measure":
            _say(probe.measure(config.load(name) or {}))
        case "remove":
            _say(remove(name))
        case _:
            raise SystemExit(f"there is no verb {verb}; {__doc__}")


def apply(name: str, document: config.Document) -> dict[str, Any]:
    """Make the tunnel's slots what the document says; then end those that it does not name."""
    before = config.load(name) or {"slots": {}}
    config.save(document)
    # The one in use first: it takes over the routes before another one lets go of them.
    for slot in sorted(document["slots"], key=lambda slot: slot != document["current"]):
        if _runs(name, slot):
            tunnel.configure(name, slot)
            _systemctl("enable", unit(name, slot))
        else:
            _systemctl("enable", "--now", unit(name, slot))
    for slot in before["slots"].keys() - document["slots"].keys():
        _end(name, slot, before["slots"][slot]["interface"])
    return show(name)


def show(name: str) -> dict[str, Any]:
    """The tunnel's document and what there is of it; ``document`` is None when there is none."""
    document = config.load(name)
    if document is None:
        return {"document": None, "slots": {}, "firewall": False}
    return {
        "document": document,
        "slots": {slot: tunnel.facts(document, slot) for slot in document["slots"]},
        "firewall": tunnel.firewall_stands(document),
    }


def remove(name: str) -> dict[str, Any]:
    """Take the tunnel off this machine: units, interfaces, routes, firewall, keys."""
    if document := config.load(name):
        for slot, wanted in document["slots"].items():
            _end(name, slot, wanted["interface"])
        tunnel.drop_firewall(document)
    config.forget(name)
    # What was measured goes with it, also what a probe under way would write. Some machines measure none.
    with suppress(SystemExit):
        _systemctl("restart", PROBE)
    return show(name)


def _end(name: str, slot: str, interface: str) -> None:
    _systemctl("disable", "--now", unit(name, slot))
    tunnel.delete(interface)
    with suppress(SystemExit):
        _systemctl("reset-failed", unit(name, slot))
    config.key_file(name, slot).unlink(missing_ok=True)


def _runs(name: str, slot: str) -> bool:
    argv = ["systemctl", "is-active", "--quiet", unit(name, slot)]
    return subprocess.run(argv, check=False).returncode == 0


def _systemctl(*words: str) -> None:
    done = subprocess.run(["systemctl", "--quiet", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        journal = subprocess.run(
            ["journalctl", "-n", "5", "-o", "cat", "--no-pager", "-u", words[-1]],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        raise SystemExit(f"systemctl {' '.join(words)}: {done.stderr.strip()} {journal.strip()}".strip())


def _say(document: dict[str, Any]) -> None:
    json.dump(document, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
