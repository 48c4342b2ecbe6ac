"""What of a stack is on this host, whether or not any state knows of it; and removing it.

Everything that a stack puts on a host carries its name, so that this can be told from the host alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from infra import paths
from infra.provider import base, cgroups, container, host, interfaces, mounts, processes
from infra.provider.command import run
from infra.provider.kind import Report


@dataclass(frozen=True, order=True)
class Trace:
    """One thing on this host that belongs to a stack. ``kind`` is a word such as "process" or "mount"."""

    kind: str
    what: str


def list_traces(stack: str) -> list[Trace]:
    """Processes, mounts, links, nftables tables, cgroups and folders that carry the stack's name."""
    folder = paths.stack_dir(stack)
    found = {
        "process": [f"{pid} {command}" for pid, command in _processes(stack).items()],
        "mount": map(str, mounts.below(folder)),
        "link": _links(stack),
        "nftables table": _tables(stack),
        "cgroup": map(str, cgroups.traces(stack)),
        "folder": [
            *([str(folder)] if folder.exists() else []),
            *map(str, container.runtime_folders(f"{container.stack_prefix(stack)}*")),
        ],
    }
    return sorted(Trace(kind, what) for kind, things in found.items() for what in things)


def clear(stack: str, report: Report) -> None:
    """Remove every trace of the stack from this host: for ``down`` when its state was lost."""
    for machine in _machines(stack):
        report(f"removing machine {machine}")
        container.stop(stack, machine)
    end_sessions(stack)
    for link in _links(stack):
        report(f"removing interface {link}")
        interfaces.delete(link)
    for table in _tables(stack):
        run(["nft", "delete", "table", *table.split()])
    for folder in (
        *container.runtime_folders(f"{container.stack_prefix(stack)}*"),
        paths.stack_dir(stack),
    ):
        mounts.unmount_below(folder)
        base.remove_tree(folder)


def end_sessions(stack: str) -> None:
    """End connections to the stack's machines that nothing waits for."""
    processes.kill(_sessions(stack))


def _machines(stack: str) -> list[str]:
    places = [paths.stack_dir(stack) / "machines", *(h / cgroups.TOP / stack for h in cgroups.hierarchies())]
    return sorted({p.name for place in places if place.is_dir() for p in place.iterdir() if p.is_dir()})


def _processes(stack: str) -> dict[int, str]:
    """Those in the stack's cgroups, and its sessions; process id -> command line."""
    inside = {pid for machine in _machines(stack) for pid in cgroups.processes(stack, machine)}
    return {pid: c for pid, c in processes.commands().items() if pid in inside} | _sessions(stack)


def _sessions(stack: str) -> dict[int, str]:
    """ssh (its connection masters outlive what started them) and Ansible with the stack's folder."""
    marker = f"{paths.stack_dir(stack)}/"
    return {pid: c for pid, c in processes.commands().items() if marker in c and _is_session(c)}


def _is_session(command: str) -> bool:
    # A script's name comes second, after its interpreter's.
    programs = [Path(word).name for word in command.split()[:2]]
    return any(name.startswith(("ssh", "ansible")) for name in programs)


def _links(stack: str) -> list[str]:
    prefix = f"vb-{container.stack_prefix(stack)}"
    return sorted(
        i.name
        for i in interfaces.interfaces().values()
        if i.name.startswith(prefix)
        or i.alias == f"antenna:{stack}"
        or i.alias.startswith(f"antenna:{stack}/")
    )


def _tables(stack: str) -> list[str]:
    """Family and name of the host's nftables tables that carry the stack's name."""
    if not host.find_program("nft"):
        return []
    listed = json.loads(run(["nft", "-j", "list", "tables"]) or "{}").get("nftables", [])
    tables = [entry["table"] for entry in listed if "table" in entry]
    return [
        f"{t['family']} {t['name']}" for t in tables if t["name"] in (f"antenna-{stack}", f"antenna_{stack}")
    ]
