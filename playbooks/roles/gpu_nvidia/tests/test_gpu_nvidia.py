"""Role gpu_nvidia in check mode: what it would do to a live machine that is said to have real GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra import paths
from playbooks.process import Run, drift


def declare_real(host: dict[str, Any]) -> dict[str, Any]:
    """The same host with the hardware that it pretends to have."""
    return {**host, "antenna_gpus": {**host["antenna_gpus"], "simulated": False}}


@pytest.fixture(scope="module")
def would_change(site: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Lines of drift on the first GPU node."""
    folder: Path = tmp_path_factory.mktemp("run")
    stack = site["vars"]["antenna_stack"]
    gpu_nodes = sorted(site["children"]["gpu"]["hosts"])
    if not gpu_nodes:
        pytest.skip("the site has no GPUs")
    hosts = {
        name: {
            "address": host["ansible_host"],
            "user": host["ansible_user"],
            "port": host["ansible_port"],
            "groups": [group for group, row in site["children"].items() if name in row["hosts"]],
            "vars": declare_real(host) if name == gpu_nodes[0] else host,
        }
        for name, host in site["hosts"].items()
    }
    run = Run(
        playbook="site.yml",
        hosts=hosts,
        variables=site["vars"],
        identity_file=str(paths.ssh_key(stack)),
        known_hosts=str(paths.known_hosts(stack)),
        state_dir=folder / "state",
        log_dir=folder / "logs",
        check=True,
    )
    outcome = run.start(lambda line: None)
    assert outcome.failed == []
    return [line for line in drift(outcome) if line.startswith((gpu_nodes[0], "head"))]


@pytest.mark.parametrize(
    "change",
    [
        "package nvidia-container-toolkit: missing",
        "/etc/containerd/config.toml: content differs",
        "/etc/nvidia-container-runtime/config.toml: missing",
        "RuntimeClass..nvidia: differs",
        "DaemonSet.kube-system.nvidia-device-plugin: differs",
        "DaemonSet.kube-system.nvidia-dcgm-exporter: differs",
        "label antenna.be/gpu-simulated: 'true', declared 'false'",
    ],
)
def test_a_machine_with_real_gpus_would_get_what_they_need(would_change: list[str], change: str) -> None:
    assert any(change in line for line in would_change), would_change
