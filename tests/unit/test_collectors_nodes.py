"""Figures of nodes, their GPUs, and of partners."""

from __future__ import annotations

import pytest

from tests.unit.rig import Rig, partner, template

H100 = "NVIDIA-H100-80GB-HBM3"


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path / "ledger.sqlite")


def node(name, *, gpus=4, allocatable=None, ready="True", model=H100, cordoned=False):
    has = {"nvidia.com/gpu": str(gpus), "cpu": "8"} if gpus else {"cpu": "8"}
    free = has if allocatable is None else {**has, "nvidia.com/gpu": str(allocatable)}
    return {
        "metadata": {
            "name": name,
            "uid": f"node-{name}",
            "labels": {"nvidia.com/gpu.product": model} if gpus else {},
        },
        "spec": {"unschedulable": cordoned},
        "status": {"capacity": has, "allocatable": free, "conditions": [{"type": "Ready", "status": ready}]},
    }


def pod(name, *, on, gpus=1, phase="Running"):
    spec = {**template(gpus)["spec"], **({"nodeName": on} if on else {})}
    return {"metadata": {"name": name, "uid": f"pod-{name}"}, "spec": spec, "status": {"phase": phase}}


def gpus(rig, what, name="n"):
    return rig.figure(f"antenna_node_gpus_{what}", site="local", node=name, model=H100)


def test_a_node_tells_its_gpus_and_how_many_are_lost(rig):
    rig.apply("nodes", node("n", gpus=4, allocatable=3))
    assert rig.figure("antenna_node_gpus_capacity", node="n", model=H100) == 4
    assert rig.figure("antenna_node_gpus_allocatable", node="n", model=H100) == 3
    assert rig.figure("antenna_node_gpus_allocated", node="n", model=H100) == 0


@pytest.mark.parametrize(("label", "has"), [("4", 4), ("many", 0), ("", 0), ("-1", 0)])
def test_gpus_whose_plugin_is_gone_are_lost_also_once_the_kubelet_counts_none(rig, label, has):
    gone = node("n", gpus=0, allocatable=0)
    gone["metadata"]["labels"] = {"nvidia.com/gpu.product": H100, "nvidia.com/gpu.count": label}
    rig.apply("nodes", gone)
    lost = (has, 0) if has else (None, None)
    assert (gpus(rig, "capacity"), gpus(rig, "allocatable")) == lost


def test_pods_hold_gpus_from_when_they_are_bound_until_they_end(rig):
    rig.lists(nodes=[node("n")])
    rig.apply("pods", pod("waits", on=""), pod("one", on="n"), pod("two", on="n", gpus=2, phase="Pending"))
    assert gpus(rig, "allocated") == 3
    rig.apply("pods", pod("one", on="n", phase="Succeeded"))
    rig.delete("pods", pod("two", on="n", gpus=2))
    assert gpus(rig, "allocated") == 0


def held_by(rig, tenant):
    return rig.figure("antenna_tenant_gpus_running", site="local", tenant=tenant)


def of_tenant(name, tenant, *, leaving=False, **others):
    made = pod(name, **others)
    told = {"deletionTimestamp": "2026-03-02T09:00:00Z"} if leaving else {}
    return {**made, "metadata": {**made["metadata"], "namespace": f"tenant-{tenant}", **told}}


def test_a_partner_holds_the_gpus_of_its_namespaces_pods_that_run_whatever_queue_they_came_by(rig):
    rig.lists(**partner("a"), nodes=[node("n")])
    rig.apply("pods", of_tenant("one", "a", on="n", gpus=2), of_tenant("waits", "a", on=""))
    rig.apply("pods", of_tenant("two", "a", on="n"), pod("nobodys", on="n"))
    assert held_by(rig, "a") == 3
    rig.apply("pods", of_tenant("one", "a", on="n", gpus=2, leaving=True))
    assert held_by(rig, "a") == 1, "what was told to end is in no quota any more"
    assert gpus(rig, "allocated") == 4, "and its node has it yet"
    rig.apply("pods", of_tenant("two", "a", on="n", phase="Succeeded"))
    assert held_by(rig, "a") == 0


def test_a_partner_that_is_gone_holds_nothing_and_shows_nothing(rig):
    there = partner("a")
    rig.lists(**there, nodes=[node("n")])
    assert held_by(rig, "a") == 0
    rig.delete("namespaces", *there["namespaces"])
    assert held_by(rig, "a") is None


def test_pods_may_be_known_before_their_node(rig):
    rig.apply("pods", pod("one", on="n"))
    rig.apply("nodes", node("n"))
    assert gpus(rig, "allocated") == 1


def test_a_relist_of_pods_frees_what_is_gone(rig):
    rig.lists(nodes=[node("n")], pods=[pod("one", on="n"), pod("two", on="n")])
    rig.lists(pods=[pod("two", on="n")])
    assert gpus(rig, "allocated") == 1


def test_gpus_are_summed_by_model(rig):
    rig.lists(
        nodes=[
            node("n"),
            node("m", allocatable=2),
            node("l", model="NVIDIA-L4", gpus=1),
            node("head", gpus=0),
        ],
        pods=[pod("one", on="m")],
    )
    assert rig.figure("antenna_gpus_allocatable", model=H100) == 6
    assert rig.figure("antenna_gpus_allocated", model=H100) == 1
    assert rig.figure("antenna_gpus_allocatable", model="NVIDIA-L4") == 1
    assert len(rig.shown("antenna_gpus_allocatable")) == 2
    rig.delete("nodes", node("l", model="NVIDIA-L4", gpus=1))
    assert rig.figure("antenna_gpus_allocatable", model="NVIDIA-L4") is None


def test_a_node_is_ready_and_schedulable_or_not(rig):
    rig.apply("nodes", node("n"), node("m", ready="Unknown", cordoned=True))
    assert rig.figure("antenna_node_ready", site="local", node="n") == 1
    assert rig.figure("antenna_node_schedulable", site="local", node="n") == 1
    assert rig.figure("antenna_node_ready", node="m") == 0
    assert rig.figure("antenna_node_schedulable", node="m") == 0


def test_a_node_made_anew_under_its_name_has_one_series(rig):
    rig.apply("nodes", node("n"))
    new = node("n", gpus=8)
    new["metadata"]["uid"] = "another"
    rig.apply("nodes", new)
    assert gpus(rig, "capacity") == 8
    rig.delete("nodes", new)
    assert rig.shown("antenna_node_ready") == {}


def tenant(name, ready="True", title="Partner A"):
    return {
        "metadata": {"name": name},
        "spec": {"title": title, "ecosystem": "federal", "sectors": ["agri-food", "construction"]},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def test_a_partner_tells_who_it_is_and_whether_its_objects_are_as_they_should_be(rig):
    rig.apply("tenants", tenant("a"))
    info = {"tenant": "a", "ecosystem": "federal", "sector": "agri-food", "title": "Partner A"}
    assert rig.figure("antenna_tenant_info", **info) == 1
    assert rig.figure("antenna_tenant_ready", tenant="a") == 1
    rig.apply("tenants", tenant("a", ready="False", title="Another title"))
    assert rig.figure("antenna_tenant_info", title="Partner A") is None
    assert rig.figure("antenna_tenant_info", title="Another title") == 1
    assert rig.figure("antenna_tenant_ready", tenant="a") == 0
    rig.lists(tenants=[])
    assert rig.shown("antenna_tenant_info") == rig.shown("antenna_tenant_ready") == {}
