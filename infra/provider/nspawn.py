"""The ``nspawn`` driver: machines made on this host, for development and tests of the whole site."""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager, suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from infra import paths
from infra.provider import base, container, disk, interfaces, keys, leftovers, ssh
from infra.provider.command import run, tail
from infra.provider.host import ensure_packages, exclusive
from infra.provider.kind import ProviderError, Report

REQUIRED = ("address", "prefix_length", "gateway", "bridge", "base")
REPLACES = frozenset({"stack", "name", "driver", "address", "prefix_length", "gateway", "bridge", "base"})

BOOT_SECONDS = 90
"""How long a machine may take to answer. About 5 s is usual; a loaded host needs more."""


def check(inputs: dict[str, Any]) -> list[tuple[str, str]]:
    """An address outside of the machine's own network."""
    address, gateway, length = inputs.get("address"), inputs.get("gateway"), inputs.get("prefix_length")
    if not (isinstance(address, str) and isinstance(gateway, str) and isinstance(length, int)):
        return []
    try:
        network = IPv4Network(f"{gateway}/{length}", strict=False)
        inside = IPv4Network(address).subnet_of(network)
    except ValueError as error:
        return [("address", str(error))]
    if not inside:
        return [("address", f"{address} is not inside {network}")]
    return [("address", f"{address} is the gateway's own")] if address == gateway else []


def create(inputs: dict[str, Any], report: Report) -> dict[str, Any]:
    """Make the disk, boot, wait for SSH. A machine that a killed run left running is adopted."""
    stack, name = inputs["stack"], inputs["name"]
    ensure_packages(report)
    with _exclusive(inputs):
        if not (disk.matches(inputs) and container.is_running(stack, name)):
            container.stop(stack, name)
            if not disk.matches(inputs):
                report("making the disk")
                base.ensure(report, inputs["base"])
                disk.make(inputs)
        return _bring_up(inputs, report)


def drift(inputs: dict[str, Any], state: dict[str, Any]) -> list[str] | None:
    """How the machine differs from what was declared; None when it has no disk any more."""
    stack, name = inputs["stack"], inputs["name"]
    if not paths.machine_dir(stack, name).is_dir():
        return None
    if not disk.matches(inputs):
        return ["disk: not the declared one"]
    if not container.is_running(stack, name):
        return ["machine stopped"]
    cable = container.link_name(stack, name)
    link = interfaces.interfaces().get(cable)
    artifacts = disk.artifacts_in_use(stack, name)
    as_declared = {
        f"link {cable}: down": link is not None and link.up,
        f"link {cable}: not on bridge {inputs['bridge']}": link is not None
        and link.master == inputs["bridge"],
        f"artifacts: {artifacts or 'none'}, not the declared ones": artifacts
        == (inputs.get("artifacts") or ""),
        "operator's key: missing": paths.ssh_key(stack).exists(),
        _no_answer(inputs): _answers(inputs["address"]),
    }
    return [line for line, fine in as_declared.items() if not fine]


def update(inputs: dict[str, Any], state: dict[str, Any], report: Report) -> dict[str, Any]:
    """Boot a stopped machine, plug its cable in again, let it see other artefacts."""
    stack, name = inputs["stack"], inputs["name"]
    found = drift(inputs, state)
    if found is None or not disk.matches(inputs):
        return create(inputs, report)
    with _exclusive(inputs):
        if container.is_running(stack, name) and _no_answer(inputs) in found:
            link = container.link_name(stack, name)
            if link in interfaces.interfaces():
                _plug_in(inputs)
            if not _answers_soon(inputs["address"]):
                report("does not answer: restarting")
                container.stop(stack, name)
        return _bring_up(inputs, report)


def delete(inputs: dict[str, Any], report: Report) -> None:
    """Kill it and remove its disk; the stack's last machine takes keys and credentials with it."""
    stack, name = inputs["stack"], inputs["name"]
    report("stopping")
    container.stop(stack, name)
    keys.forget(stack, inputs["address"], 22)
    report("removing the disk")
    base.remove_tree(paths.machine_dir(stack, name))
    container.console_log(stack, name).unlink(missing_ok=True)
    _lock(inputs).unlink(missing_ok=True)
    _remove_stack_folders(stack)


def imported(stack: str, name: str) -> dict[str, Any]:
    """The inputs of a machine of this host that the state does not know; empty when there is none."""
    if not (written := disk.described(stack, name)):
        return {}
    link = interfaces.interfaces().get(container.link_name(stack, name))
    artifacts = disk.artifacts_in_use(stack, name)
    return {
        **written,
        "driver": "nspawn",
        "bridge": link.master if link else "",
        **({"artifacts": artifacts} if artifacts else {}),
    }


def outputs(inputs: dict[str, Any]) -> dict[str, Any]:
    """The inputs, and how to reach the machine."""
    stack = inputs["stack"]
    return {
        **inputs,
        "user": inputs.get("user") or "root",
        "port": 22,
        "host_key": disk.host_key(inputs),
        "identity_file": str(paths.ssh_key(stack)),
        "known_hosts": str(paths.known_hosts(stack)),
        "drift": [],
    }


def _bring_up(inputs: dict[str, Any], report: Report) -> dict[str, Any]:
    stack, name = inputs["stack"], inputs["name"]
    keys.remember(stack, inputs["address"], 22, disk.host_key(inputs))
    if not container.is_running(stack, name):
        if inputs["bridge"] not in interfaces.interfaces():
            raise ProviderError(
                f"machine {name}: bridge {inputs['bridge']} is not there; `antenna up` makes it first"
            )
        container.stop(stack, name)
        report("booting")
        disk.mount(inputs)
        disk.point_artifacts(inputs)
        disk.authorize(inputs)
        container.start(stack, name, inputs["bridge"], disk.binds(inputs))
    report("booting: waiting for SSH")
    _wait_for_ssh(inputs)
    _plug_in(inputs)
    disk.point_artifacts(inputs)
    disk.authorize(inputs)
    report("booting: waiting for systemd")
    made = outputs(inputs)
    _wait_for_systemd(ssh.Login.of(made), report)
    return made


def _remove_stack_folders(stack: str) -> None:
    """After the last machine nothing here is of use, except logs, which the reader may still want."""
    machines = paths.stack_dir(stack) / "machines"
    try:
        machines.rmdir()
    except OSError:
        return
    leftovers.end_sessions(stack)
    paths.kubeconfig(stack).unlink(missing_ok=True)
    for name in ("ssh", "ansible"):
        base.remove_tree(paths.stack_dir(stack) / name)
    for folder in (paths.logs(stack), paths.stack_dir(stack)):
        with suppress(OSError):
            folder.rmdir()


def _wait_for_ssh(inputs: dict[str, Any]) -> None:
    stack, name = inputs["stack"], inputs["name"]
    try:
        for attempt in Retrying(
            retry=retry_if_exception_type(OSError), wait=wait_fixed(0.2), stop=stop_after_delay(BOOT_SECONDS)
        ):
            with attempt, socket.create_connection((inputs["address"], 22), timeout=2):
                pass
    except RetryError:
        log = container.console_log(stack, name)
        raise ProviderError(
            f"machine {name} does not answer at {inputs['address']} within {BOOT_SECONDS} s; "
            f"its console, {log}, ends:\n{tail(log.read_text(errors='replace'))}"
        ) from None


def _wait_for_systemd(login: ssh.Login, report: Report) -> None:
    answer = ssh.run(
        login,
        "systemctl is-system-running --wait; systemctl --failed --plain --no-legend --quiet list-units",
        timeout=BOOT_SECONDS,
    )
    state, *failed = answer.splitlines()
    if state not in ("running", "degraded"):
        raise ProviderError(f"{login.address}: systemd says {state!r} after booting")
    if failed:
        report(f"up, with failed units: {', '.join(line.split()[0] for line in failed)}")


def _plug_in(inputs: dict[str, Any]) -> None:
    """Connect the machine's cable, and name its owner for people who list the host's links."""
    stack, name = inputs["stack"], inputs["name"]
    alias = f"antenna:{stack}/{name}"
    run(
        [
            "ip",
            "link",
            "set",
            container.link_name(stack, name),
            "master",
            inputs["bridge"],
            "up",
            "alias",
            alias,
        ]
    )


def _no_answer(inputs: dict[str, Any]) -> str:
    return f"{inputs['address']} port 22: no answer"


def _answers(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=2):
            return True
    except OSError:
        return False


def _answers_soon(address: str) -> bool:
    return any(_answers(address) for _ in range(3))


def _exclusive(inputs: dict[str, Any]) -> AbstractContextManager[None]:
    return exclusive(_lock(inputs))


def _lock(inputs: dict[str, Any]) -> Path:
    machine = paths.machine_dir(inputs["stack"], inputs["name"])
    return machine.with_name(f".{machine.name}.lock")
