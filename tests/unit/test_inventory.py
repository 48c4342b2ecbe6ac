"""From a site's machines to what Ansible and SSH are given."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from playbooks.digest import FOLDER, content_digest
from playbooks.inventory import gpu_labels, inventory, ssh_config

GPUS = {"model": "NVIDIA H100 80GB HBM3", "count": 4, "simulated": True, "memory_mib": 81559}


def host(address: str, pods: str, *groups: str, user: str = "root", **variables: Any) -> dict[str, Any]:
    return {
        "address": address,
        "user": user,
        "port": 22,
        "groups": list(groups),
        "vars": {"antenna_pod_cidr": pods, **variables},
    }


HOSTS = {
    "head": host("10.77.0.10", "10.78.0.0/24", "head"),
    "gpu-1": host("10.77.0.11", "10.78.1.0/24", "workers", "gpu", user="admin", antenna_gpus=GPUS),
}


def test_every_host_knows_all_nodes_and_the_head() -> None:
    every = inventory(HOSTS, {"antenna_stack": "s"}, "/k")["all"]["vars"]
    assert [node["name"] for node in every["antenna_nodes"]] == ["gpu-1", "head"]
    assert every["antenna_head"] == "head"
    assert every["antenna_head_address"] == "10.77.0.10"
    assert every["antenna_stack"] == "s"


def test_hosts_are_in_the_groups_that_were_asked_for() -> None:
    groups = inventory(HOSTS, {}, "/k")["all"]["children"]
    assert list(groups["head"]["hosts"]) == ["head"]
    assert list(groups["workers"]["hosts"]) == ["gpu-1"]
    assert list(groups["gpu"]["hosts"]) == ["gpu-1"]


def test_only_others_than_root_become_root() -> None:
    hosts = inventory(HOSTS, {}, "/k")["all"]["hosts"]
    assert hosts["head"]["ansible_become"] is False
    assert hosts["gpu-1"]["ansible_become"] is True


def test_artefacts_have_a_place_unless_told_otherwise() -> None:
    assert inventory(HOSTS, {}, "/k")["all"]["vars"]["antenna_artifacts"] == "/opt/antenna/artifacts"
    other = inventory(HOSTS, {"antenna_artifacts": "/srv/a"}, "/k")
    assert other["all"]["vars"]["antenna_artifacts"] == "/srv/a"


@pytest.mark.parametrize("heads", [0, 2])
def test_anything_but_one_head_is_refused(heads: int) -> None:
    hosts = {f"m{i}": host(f"10.0.0.{i}", f"10.1.{i}.0/24", "head" if i < heads else "x") for i in range(2)}
    with pytest.raises(ValueError, match="exactly one host"):
        inventory(hosts, {}, "/k")


def test_gpus_become_the_labels_that_feature_discovery_writes() -> None:
    assert gpu_labels(GPUS) == {
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.count": "4",
        "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
        "nvidia.com/gpu.memory": "81559",
        "antenna.be/gpu-simulated": "true",
    }
    assert gpu_labels(None) == {}


def test_gpu_nodes_are_the_second_choice_for_what_needs_no_gpu() -> None:
    nodes = {row["name"]: row for row in inventory(HOSTS, {}, "/k")["all"]["vars"]["antenna_nodes"]}
    assert nodes["gpu-1"]["taints"] == ["nvidia.com/gpu:PreferNoSchedule"]
    assert nodes["head"]["taints"] == ["node-role.kubernetes.io/control-plane:NoSchedule"]


def test_ssh_reaches_hosts_by_name_and_only_with_known_keys() -> None:
    config = ssh_config(HOSTS, "/keys/id", "/keys/known")
    assert "Host gpu-1\n    HostName 10.77.0.11\n    User admin\n    Port 22\n" in config
    assert "StrictHostKeyChecking yes" in config
    assert "UserKnownHostsFile /keys/known" in config
    assert "GlobalKnownHostsFile /dev/null" in config


def test_the_digest_follows_what_runs_on_machines_and_nothing_else(tmp_path: Any) -> None:
    tasks = tmp_path / "roles/base/tasks"
    tasks.mkdir(parents=True)
    (tasks / "main.yml").write_text("a")
    first = content_digest(tmp_path)
    (tmp_path / "roles/base/tests").mkdir()
    (tmp_path / "roles/base/tests/test_base.py").write_text("x")
    (tmp_path / "run.py").write_text("x")
    assert content_digest(tmp_path) == first
    (tasks / "main.yml").write_text("b")
    assert content_digest(tmp_path) != first


def test_the_digest_follows_the_package_that_a_role_copies_to_machines(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = content_digest(tmp_path)
    monkeypatch.setattr("playbooks.digest.version", lambda name: f"another {name}")
    assert content_digest(tmp_path) != first


def test_every_role_declares_its_arguments_and_names_its_defaults_after_itself() -> None:
    for role in sorted((FOLDER / "roles").iterdir()):
        specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())
        declared = set(specs["argument_specs"]["main"]["options"])
        defaults = set(yaml.safe_load((role / "defaults/main.yml").read_text()))
        assert defaults == declared, role.name
        assert all(name.startswith(f"{role.name}_") for name in defaults)
        assert {"main.yml", "preflight.yml", "install.yml", "configure.yml"} <= {
            path.name for path in (role / "tasks").iterdir()
        }


def test_machines_outside_the_cluster_are_no_nodes_and_need_no_head() -> None:
    end = {"address": "10.77.0.20", "user": "root", "port": 22, "groups": ["site"], "vars": {}}
    alone = inventory({"lumi": end}, {}, "/k")["all"]
    assert alone["vars"]["antenna_nodes"] == []
    assert alone["vars"]["antenna_head"] == ""
    assert alone["hosts"]["lumi"]["antenna_machine"] == "lumi"
    assert list(alone["children"]["site"]["hosts"]) == ["lumi"]
    beside = inventory({**HOSTS, "lumi": end}, {}, "/k")["all"]
    assert [node["name"] for node in beside["vars"]["antenna_nodes"]] == ["gpu-1", "head"]
    assert "antenna_node_labels" not in beside["hosts"]["lumi"]


def test_a_cluster_without_a_head_is_refused_whatever_is_beside_it() -> None:
    end = {"address": "10.77.0.20", "user": "root", "port": 22, "groups": ["site"], "vars": {}}
    with pytest.raises(ValueError, match="exactly one host"):
        inventory({"gpu-1": HOSTS["gpu-1"], "lumi": end}, {}, "/k")
