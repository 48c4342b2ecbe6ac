"""The machines: one head, workers, workers with GPUs; and those outside the cluster at which links end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from pydantic import BeforeValidator, Field

from infra.site.problem import Problem
from infra.site.values import (
    Address,
    Flag,
    GpuModel,
    MachineName,
    Model,
    Port,
    Positive,
    Range,
    Text,
    describe,
    refuse,
)

Role = Literal["head", "worker", "gpu", "site"]
"""``site``: no node of the cluster; a link ends there. On platform embedded it plays the remote site."""


def _host_key(value: Any) -> Any:
    how = "paste the line that `ssh-keyscan -t ed25519 ADDRESS` prints, after checking it on the machine"
    if not isinstance(value, str):
        raise refuse(f"must be a public host key in text, not {describe(value)}; {how}")
    if "PRIVATE KEY" in value:
        raise refuse(f"is a private key, which must never be in a site file: replace that key, then {how}")
    kind, _, rest = value.strip().partition(" ")
    if not rest and not kind.startswith(("ssh-", "ecdsa-")):
        raise refuse(f"is not a public host key; {how}")
    fields = value.split()
    # ssh-keyscan prints the address first; what follows is the key.
    start = next((i for i, part in enumerate(fields) if part.startswith(("ssh-", "ecdsa-"))), None)
    if start is None or len(fields) < start + 2:
        raise refuse(f"is not a public host key; {how}")
    key = " ".join(fields[start : start + 2])
    try:
        load_ssh_public_key(key.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise refuse(f"is not a public host key ({fields[start]} does not decode); {how}") from None
    return key


HostKey = Annotated[str, BeforeValidator(_host_key)]


class Gpus(Model):
    """The GPUs of one machine."""

    model: GpuModel
    count: Positive = Field(examples=[4])
    memory_mib: Positive | None = None
    """Memory of one GPU in MiB."""
    simulated: Flag = False
    """No hardware: a device plugin offers them, jobs get them, nothing computes on them."""


class Machine(Model):
    """One machine, whatever it runs on."""

    name: MachineName
    role: Role = Field(examples=["worker"])
    address: Address = Field(examples=["10.77.0.13"])
    pods: Range | None = None
    """The range of this node's pods; by default the one at the place of its address."""
    gpus: Gpus | None = None
    user: Text | None = None
    """Platform ssh: who logs in; needs sudo when it is not root."""
    port: Port | None = None
    """Platform ssh: where sshd listens, by default 22."""
    host_key: HostKey | None = None
    """Platform ssh: the machine's public host key. Without it, who answers would be trusted blindly."""

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of the Ansible inventory that the machine is in."""
        if self.role == "site":
            return ("site",)
        place = "head" if self.role == "head" else "workers"
        return (place, "gpu") if self.gpus else (place,)


def role_problems(machines: tuple[Machine, ...]) -> Iterator[Problem]:
    """One head; GPUs exactly where the role says so."""
    heads = [(i, m) for i, m in enumerate(machines) if m.role == "head"]
    if not heads:
        yield Problem("machines", "no machine has role head; give exactly one of them `role: head`")
    for i, machine in heads[1:]:
        yield Problem(
            f"machines[{i}].role",
            f"{machine.name} is a second head beside {heads[0][1].name}; make it `role: worker`",
        )
    for i, machine in enumerate(machines):
        if machine.role == "gpu" and machine.gpus is None:
            yield Problem(
                f"machines[{i}].gpus",
                f"is missing: {machine.name} has role gpu; add {{model: ..., count: ...}} "
                "or make it `role: worker`",
            )
        if machine.role != "gpu" and machine.gpus is not None:
            yield Problem(
                f"machines[{i}].gpus",
                f"{machine.name} has role {machine.role} and GPUs; "
                + (
                    "make it `role: gpu`"
                    if machine.role == "worker"
                    else "remove them, the head runs no jobs"
                    if machine.role == "head"
                    else "remove them, it is no node of the cluster"
                ),
            )


def end_problems(machines: tuple[Machine, ...]) -> Iterator[Problem]:
    """Keys that machines outside the cluster have no use for."""
    for i, machine in enumerate(machines):
        if machine.role == "site" and machine.pods is not None:
            yield Problem(
                f"machines[{i}].pods", f"{machine.name} has role site and runs no pods; remove the range"
            )


def platform_problems(platform: str, machines: tuple[Machine, ...]) -> Iterator[Problem]:
    """Keys that mean something on one platform only."""
    for i, machine in enumerate(machines):
        if platform == "ssh":
            if machine.host_key is None:
                yield Problem(
                    f"machines[{i}].host_key",
                    f"is missing: {machine.name} is reached over SSH and its key must be known beforehand; "
                    f"add the line that `ssh-keyscan -t ed25519 {machine.address}` prints, after checking it",
                )
            if machine.gpus and machine.gpus.simulated:
                yield Problem(
                    f"machines[{i}].gpus.simulated",
                    "is for `platform: embedded` only; remove it and state the real GPUs",
                )
            continue
        for key in ("user", "port", "host_key"):
            if getattr(machine, key) is not None:
                yield Problem(
                    f"machines[{i}].{key}",
                    "is for `platform: ssh`; embedded machines are made here with their own keys: remove it",
                )
        if machine.gpus and not machine.gpus.simulated:
            yield Problem(
                f"machines[{i}].gpus.simulated",
                "embedded machines have no real GPUs; add `simulated: true`",
            )
