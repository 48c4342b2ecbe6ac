"""The ``ssh`` driver: machines that exist, reached by address; their host keys are declared."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from infra import paths
from infra.provider import keys, ssh
from infra.provider.kind import ProviderError, Report

REQUIRED = ("address", "host_key", "identity_file")
REPLACES = frozenset({"stack", "name", "driver", "address", "port"})

SYSTEMS = ("debian", "ubuntu")

HOW_TO_GET_KEY = "on the machine itself: cat /etc/ssh/ssh_host_ed25519_key.pub"


def check(inputs: dict[str, Any]) -> list[tuple[str, str]]:
    """A host key that is none, an address that is none."""
    failures = []
    host_key, address = inputs.get("host_key"), inputs.get("address")
    if host_key is None:
        failures.append(("host_key", f"no machine is trusted blindly; read its key {HOW_TO_GET_KEY}"))
    elif isinstance(host_key, str) and not host_key.startswith(("ssh-", "ecdsa-", "sk-")):
        failures.append(
            ("host_key", f"must be the public line, as in `ssh-ed25519 AAAA...`; {HOW_TO_GET_KEY}")
        )
    if isinstance(address, str):
        try:
            IPv4Address(address)
        except ValueError as error:
            failures.append(("address", str(error)))
    return failures


def create(inputs: dict[str, Any], report: Report) -> dict[str, Any]:
    """Check that it answers with the declared key, as root or with sudo, and runs Debian or Ubuntu."""
    identity = Path(inputs["identity_file"]).expanduser()
    if not identity.is_file():
        raise ProviderError(f"machine {inputs['name']}: identity_file {identity} does not exist on this host")
    outputs = {
        **inputs,
        "user": inputs.get("user") or "root",
        "port": inputs.get("port") or 22,
        "identity_file": str(identity),
        "known_hosts": str(paths.known_hosts(inputs["stack"])),
        "drift": [],
    }
    keys.remember(inputs["stack"], inputs["address"], outputs["port"], inputs["host_key"])
    report("checking that it answers")
    _examine(inputs["name"], ssh.Login.of(outputs))
    return outputs


def drift(inputs: dict[str, Any], state: dict[str, Any]) -> list[str] | None:
    """Whether it still answers. Never None: an adopted machine is not made again by us."""
    keys.remember(inputs["stack"], inputs["address"], inputs.get("port") or 22, inputs["host_key"])
    try:
        ssh.run(ssh.Login.of(state), "true")
    except ProviderError as error:
        return [str(error)]
    return []


def update(inputs: dict[str, Any], state: dict[str, Any], report: Report) -> dict[str, Any]:
    """Check it again with the new inputs."""
    return create(inputs, report)


def delete(inputs: dict[str, Any], report: Report) -> None:
    """Forget it. Nothing on the machine is touched."""
    keys.forget(inputs["stack"], inputs["address"], inputs.get("port") or 22)


def _examine(name: str, login: ssh.Login) -> None:
    try:
        answer = ssh.run(login, ". /etc/os-release; echo ${ID:-}; sudo -n id -u 2>/dev/null || id -u")
    except ProviderError as error:
        if "host key" in str(error).lower():
            raise ProviderError(
                f"machine {name}: {login.address} shows another host key than the declared one. "
                f"If it was reinstalled, read its key {HOW_TO_GET_KEY}"
            ) from None
        raise
    system, user_id = answer.split()
    if system not in SYSTEMS:
        raise ProviderError(f"machine {name} runs {system}; the playbooks know {' and '.join(SYSTEMS)}")
    if user_id != "0":
        raise ProviderError(
            f"machine {name}: {login.user} is neither root nor may run sudo without a password"
        )
