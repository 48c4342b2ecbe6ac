"""How real GPUs are handed to containers: by the kubelet alone, whatever a container says of itself."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import yaml

from infra import paths
from operators.admission.rows import RUNTIME_CLASSES

ROLES = paths.REPOSITORY / "playbooks/roles"
ROLE: dict[str, Any] = yaml.safe_load((ROLES / "gpu_nvidia/vars/main.yml").read_text())


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [obj for obj in ROLE["_gpu_nvidia_objects"] if obj["kind"] == kind]


def test_the_device_plugin_names_devices_to_containerd_and_not_to_the_container() -> None:
    (plugin,) = (o for o in of_kind("DaemonSet") if o["metadata"]["name"] == "nvidia-device-plugin")
    spec = plugin["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    said = {one["name"]: one["value"] for one in container["env"]}
    assert said["DEVICE_LIST_STRATEGY"] == "cdi-cri"
    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    paths_of = {volume["name"]: volume["hostPath"]["path"] for volume in spec["volumes"]}
    assert paths_of[mounted["/var/run/cdi"]] == "/var/run/cdi", "where containerd looks"


@pytest.mark.parametrize(
    "way",
    [
        "accept-nvidia-visible-devices-envvar-when-unprivileged",
        "accept-nvidia-visible-devices-as-volume-mounts",
    ],
)
def test_the_runtime_believes_no_container_that_names_devices(way: str) -> None:
    assert tomllib.loads(ROLE["_gpu_nvidia_runtime_settings"])[way] is False


def test_who_needs_to_be_believed_is_and_is_the_platforms_own() -> None:
    for daemon in of_kind("DaemonSet"):
        spec = daemon["spec"]["template"]["spec"]
        assert daemon["metadata"]["namespace"] == "kube-system"
        assert spec["runtimeClassName"] == "nvidia"
        (container,) = spec["containers"]
        assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"} in container["env"]
        # Kubernetes refuses a container that has it and sets allowPrivilegeEscalation to false.
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["SYS_ADMIN"]}
        assert container["securityContext"].get("allowPrivilegeEscalation") is not False


def test_no_pod_is_under_that_runtime_unless_it_says_so_and_no_partner_may() -> None:
    names = {obj["metadata"]["name"] for obj in of_kind("RuntimeClass")}
    assert names == {"nvidia"}
    assert not names & set(RUNTIME_CLASSES)
    assert "default_runtime_name" not in (ROLES / "containerd/templates/config.toml.j2").read_text()
