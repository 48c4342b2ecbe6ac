"""The control plane's flags: the table that the role ``kubernetes`` applies, compared with what runs. Pure.

A row a flag, in playbooks/roles/kubernetes/files/control_plane.yml; docs/security-cis.md is made from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import yaml

SOURCE: Final = (
    Path(__file__).resolve().parents[1] / "playbooks" / "roles" / "kubernetes" / "files" / "control_plane.yml"
)

Component = Literal[
    "kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "kubelet", "kube-proxy"
]
STATIC_PODS: Final[tuple[Component, ...]] = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "etcd",
)
KUBELET: Final[Component] = "kubelet"


@dataclass(frozen=True)
class Flag:
    """One row. ``value`` is None for a flag that must not be set; of the kubelet it is any JSON value."""

    component: Component
    flag: str
    why: str
    value: Any = None
    set_by: Literal["role", "kubeadm"] = "role"
    cis: tuple[str, ...] = ()
    """Points of the benchmark that the row answers."""


@dataclass(frozen=True)
class File:
    """Files of root's on the machines that have them. ``path`` may have wildcards; ``mode`` is the widest."""

    path: str
    mode: str
    cis: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deviation:
    """A point of the benchmark that is not met as it is written, and why that is accepted."""

    cis: str
    title: str
    why: str


@dataclass(frozen=True)
class Table:
    """All of it."""

    benchmark: str
    flags: tuple[Flag, ...]
    files: tuple[File, ...]
    deviations: tuple[Deviation, ...]

    def of(self, component: Component) -> tuple[Flag, ...]:
        """The rows of one component."""
        return tuple(flag for flag in self.flags if flag.component == component)

    def value(self, component: Component, flag: str) -> Any:
        """What a flag is set to. Raises KeyError for one that is not in the table."""
        for row in self.of(component):
            if row.flag == flag:
                return row.value
        raise KeyError(f"{component} --{flag}")


@cache
def table() -> Table:
    """The table. Raises TypeError for a row with a key that is none of its columns."""
    document = yaml.load(SOURCE.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    flags = [Flag(**{**row, "cis": tuple(map(str, row.get("cis", ())))}) for row in document["flags"]]
    deviations = [Deviation(**{**row, "cis": str(row["cis"])}) for row in document["deviations"]]
    files = [File(**{**row, "cis": tuple(map(str, row.get("cis", ())))}) for row in document["files"]]
    return Table(document["benchmark"], tuple(flags), tuple(files), tuple(deviations))


def arguments(command: Sequence[str]) -> dict[str, str]:
    """The flags of a command line, {name: value}; of one that is given twice, the last counts."""
    pairs = (word.removeprefix("--").partition("=") for word in command if word.startswith("--"))
    return {name: value for name, _, value in pairs}


def differences_of_command(rows: Sequence[Flag], command: Sequence[str]) -> Iterator[str]:
    """How a running component's command differs from its rows, a line each."""
    found = arguments(command)
    for row in rows:
        name = f"{row.component} --{row.flag}"
        if row.value is None and row.flag in found:
            yield f"{name} is set, declared not to be"
        elif row.value is not None and row.flag not in found:
            yield f"{name} is not set, declared {row.value}"
        elif row.value is not None and found[row.flag] != row.value:
            yield f"{name} is {found[row.flag]}, declared {row.value}"


def differences_of_kubelet(rows: Sequence[Flag], node: str, config: Mapping[str, Any]) -> Iterator[str]:
    """How a node's running KubeletConfiguration differs from the rows, a line each."""
    for row in rows:
        if not _holds(config.get(row.flag), row.value):
            yield f"kubelet of {node}: {row.flag} is {config.get(row.flag)}, declared {row.value}"


def _holds(found: Any, declared: Any) -> bool:
    """Whether what is declared is so; an object may say more. Zero and false are left out by the kubelet."""
    if isinstance(declared, dict):
        return all(_holds((found or {}).get(key), value) for key, value in declared.items())
    return bool(found == declared) or (not declared and found is None)
