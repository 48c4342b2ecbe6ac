"""Role containerd, on live machines."""

from __future__ import annotations

from typing import Any


def test_containerd_runs_and_comes_back_after_a_boot(machine: Any) -> None:
    assert machine.service("containerd").is_running
    assert machine.service("containerd").is_enabled
    assert machine.socket("unix:///run/containerd/containerd.sock").is_listening


def test_containerd_accepts_its_configuration(machine: Any) -> None:
    dumped = machine.check_output("%s/containerd config dump", "/opt/antenna/artifacts/bin")
    assert "SystemdCgroup" in dumped


def test_the_sandbox_image_is_the_pinned_one(machine: Any, variables: dict[str, Any]) -> None:
    config = machine.file("/etc/containerd/config.toml").content_string
    assert f'sandbox = "{variables["antenna_pause_image"]}"' in config


def test_images_that_were_loaded_are_safe_from_garbage_collection(
    machine: Any, variables: dict[str, Any]
) -> None:
    listed = machine.check_output("ctr -n k8s.io images list")
    row = next(line for line in listed.splitlines() if line.startswith(variables["antenna_pause_image"]))
    assert "io.cri-containerd.pinned=pinned" in row
