"""Machines that exist: a real sshd stands for one that somebody else made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.provider import container, ssh
from infra.provider.kind import ProviderError
from infra.provider.machine import Machine
from tests.host.conftest import create_all, machine_inputs, quiet

OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


@pytest.fixture
def made(network: dict[str, Any], debian: str) -> dict[str, Any]:
    return create_all([machine_inputs(network, debian, "head", 10)])[0]


@pytest.fixture
def inputs(made: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """The same machine as one of stack t-mach3 that is adopted; keys are the site's own."""
    identity = tmp_path / "id"
    identity.write_bytes(Path(made["identity_file"]).read_bytes())
    identity.chmod(0o600)
    return {
        "stack": "t-mach",
        "name": "adopted",
        "driver": "ssh",
        "address": made["address"],
        "host_key": made["host_key"],
        "identity_file": str(identity),
    }


def test_a_machine_is_adopted_and_forgotten_untouched(inputs: dict[str, Any], made: dict[str, Any]) -> None:
    id, outputs = Machine().create(inputs, quiet)
    assert ssh.run(ssh.Login.of(outputs), "hostname").strip() == "head"
    found = Machine().read(id, inputs, outputs, quiet)
    assert found is not None
    assert found[2]["drift"] == []
    Machine().delete(id, inputs, outputs, quiet)
    assert container.is_running("t-mach", "head")


def test_another_host_key_is_refused_with_the_way_to_read_it(inputs: dict[str, Any]) -> None:
    with pytest.raises(ProviderError, match=r"another host key.*ssh_host_ed25519_key\.pub"):
        Machine().create({**inputs, "host_key": OTHER_KEY}, quiet)


def test_a_machine_that_is_down_is_told(inputs: dict[str, Any]) -> None:
    id, outputs = Machine().create(inputs, quiet)
    container.stop("t-mach", "head")
    found = Machine().read(id, inputs, outputs, quiet)
    assert found is not None
    assert found[2]["drift"][0].startswith("10.97.0.10 port 22: SSH failed")


def test_a_user_without_rights_is_refused_and_one_with_sudo_is_taken(
    inputs: dict[str, Any], made: dict[str, Any]
) -> None:
    login = ssh.Login.of(made)
    ssh.run(login, "useradd -m -s /bin/sh ops && cp -r /root/.ssh /home/ops/ && chown -R ops /home/ops/.ssh")
    with pytest.raises(ProviderError, match="neither root nor may run sudo"):
        Machine().create({**inputs, "user": "ops"}, quiet)
    ssh.run(login, "echo 'ops ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ops")
    assert Machine().create({**inputs, "user": "ops"}, quiet)[1]["user"] == "ops"


def test_another_system_is_refused(inputs: dict[str, Any], made: dict[str, Any]) -> None:
    ssh.run(ssh.Login.of(made), "rm /etc/os-release && echo ID=fedora > /etc/os-release")
    with pytest.raises(ProviderError, match="runs fedora"):
        Machine().create(inputs, quiet)


def test_a_missing_identity_is_named(inputs: dict[str, Any]) -> None:
    with pytest.raises(ProviderError, match="identity_file /nowhere does not exist"):
        Machine().create({**inputs, "identity_file": "/nowhere"}, quiet)
