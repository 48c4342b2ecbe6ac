from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from infra.cli.checks import table as checks
from infra.cli.checks.facts import GIB, Cluster, Facts, Host, Machine, Operator, Site, Stack
from infra.cli.checks.verdict import Verdict

HOST = Host(
    system="Linux", root=True, cpus=2, memory=24 * GIB, memory_available=20 * GIB, disk_home=50 * GIB,
    disk_cache=50 * GIB, missing_capabilities=(), missing_packages=(), package_installer=True,
    cgroups="cgroup v2", cgroups_writable=True, overlayfs=True, tun=True, go="", clock_behind=-1.0,
    container="",
)  # fmt: skip
SITE = Site(platform="embedded", machines=3, nodes=3, gpus=8, tenants=15)
UP = Stack(
    recorded=True, machines=(Machine("head", True), Machine("gpu-1", True)), links=2, issuer="https://a"
)
OPERATOR = Operator(deployed=True, wanted=1, ready=True)
CLUSTER = Cluster(
    nodes=3,
    gpus=8,
    kueue_ready=True,
    operator=OPERATOR,
    queues=15,
    certificate_days=364.0,
    remote_sites=2,
    administrator_days=13.9,
    flags=80,
)
SOUND = Facts("embedded", HOST, SITE, UP, CLUSTER)


def verdict(facts: Facts, name: str) -> Verdict:
    return next(f.verdict for f in checks.run(facts) if f.check.name == name)


def host(**changes: Any) -> Facts:
    return Facts("embedded", replace(HOST, **changes), SITE)


def test_all_is_ok_on_a_sound_host_with_the_site_up() -> None:
    assert {f.check.name: f.verdict.level for f in checks.run(SOUND)} == dict.fromkeys(
        (c.name for c in checks.CHECKS), "ok"
    )


def test_on_a_sound_host_without_a_stack_the_cluster_is_not_judged() -> None:
    levels = {f.check.name: f.verdict.level for f in checks.run(Facts("embedded", HOST, SITE))}
    assert "fail" not in levels.values()
    assert levels["api"] == levels["nodes"] == levels["machines"] == "skip"


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("system", host(system="Darwin")),
        ("root", host(root=False)),
        ("capabilities", host(missing_capabilities=("CAP_NET_ADMIN",), container="docker")),
        ("programs", host(missing_packages=("systemd-container",), package_installer=False)),
        ("memory", host(memory_available=GIB)),
        ("disk", host(disk_home=GIB)),
        ("cache", replace(host(disk_cache=GIB), stack=Stack(tools_missing=("etcd",)))),
        ("cgroups", host(cgroups_writable=False)),
        ("cgroups", host(cgroups="")),
        ("overlayfs", host(overlayfs=False)),
        ("clock", host(clock_behind=90000.0)),
        ("ranges", replace(host(), site=replace(SITE, clashes=("10.77.0.0/24 overlaps interface eth0",)))),
    ],
)
def test_a_host_that_cannot_raise_the_embedded_site_is_refused_with_what_would_work(
    name: str, facts: Facts
) -> None:
    found = checks.refusals(facts)
    assert [f.check.name for f in found] == [name]
    assert found[0].verdict.fix


def test_a_site_over_ssh_needs_no_root_and_no_nspawn() -> None:
    plain = replace(HOST, root=False, system="Darwin", missing_packages=("systemd-container",), cgroups="")
    assert checks.refusals(Facts("belgium", plain, replace(SITE, platform="ssh"))) == []


def test_what_up_installs_itself_is_only_a_warning() -> None:
    assert verdict(host(missing_packages=("debootstrap",)), "programs").level == "warn"


def test_memory_is_not_asked_again_of_a_host_whose_machines_run() -> None:
    facts = replace(SOUND, host=replace(HOST, memory_available=GIB))
    assert checks.refusals(facts) == []


@pytest.mark.parametrize(
    ("name", "level", "facts"),
    [
        ("site", "fail", replace(SOUND, site=Site(problem="Pulumi.x.yaml: site:machines: no head"))),
        ("lock", "warn", replace(SOUND, stack=replace(UP, lock="root@host (pid 7)", lock_stale=True))),
        ("leftovers", "warn", replace(SOUND, stack=Stack(leftovers=("bridge an-embedded",)))),
        ("tools", "warn", replace(SOUND, stack=replace(UP, tools_missing=("etcd",)))),
        ("base", "warn", replace(SOUND, stack=replace(UP, base=False))),
        ("machines", "fail", replace(SOUND, stack=replace(UP, machines=(Machine("head", False),)))),
        ("ssh", "fail", replace(SOUND, stack=replace(UP, machines=(Machine("head", True, "refused"),)))),
        ("api", "fail", replace(SOUND, cluster=Cluster(problem="does not answer"))),
        ("nodes", "skip", replace(SOUND, cluster=Cluster(problem="does not answer"))),
        ("nodes", "fail", replace(SOUND, cluster=replace(CLUSTER, nodes_not_ready=("gpu-1",)))),
        ("nodes", "fail", replace(SOUND, cluster=replace(CLUSTER, nodes=2))),
        ("gpus", "fail", replace(SOUND, cluster=replace(CLUSTER, gpus=4))),
        ("kueue", "fail", replace(SOUND, cluster=replace(CLUSTER, kueue_ready=False))),
        ("operator", "fail", replace(SOUND, cluster=replace(CLUSTER, operator=Operator()))),
        (
            *("operator", "fail"),
            replace(SOUND, cluster=replace(CLUSTER, operator=replace(OPERATOR, ready=False))),
        ),
        ("queues", "fail", replace(SOUND, cluster=replace(CLUSTER, inactive_queues=("imec",)))),
        ("queues", "fail", replace(SOUND, cluster=replace(CLUSTER, queues=14))),
        ("people", "skip", replace(SOUND, stack=replace(UP, issuer=""))),
        ("people", "fail", replace(SOUND, stack=replace(UP, issuer_fault="https://a does not answer"))),
        ("links", "skip", replace(SOUND, stack=replace(SOUND.stack, links=0))),
        ("links", "fail", replace(SOUND, stack=replace(SOUND.stack, links_down=("lumi: silent",)))),
        ("remote-sites", "skip", replace(SOUND, cluster=replace(CLUSTER, remote_sites=0))),
        (
            "remote-sites",
            "warn",
            replace(SOUND, cluster=replace(CLUSTER, silent_sites=("lumi: no route",))),
        ),
        (
            *("remote-sites", "warn"),
            replace(SOUND, cluster=replace(CLUSTER, partners_shut_out=("lumi: has no login for vib",))),
        ),
        ("certificates", "warn", replace(SOUND, cluster=replace(CLUSTER, certificate_days=10.0))),
        ("certificates", "warn", replace(SOUND, cluster=replace(CLUSTER, administrator_days=2.0))),
        ("certificates", "fail", replace(SOUND, cluster=replace(CLUSTER, administrator_days=-0.1))),
        (
            "network-policies",
            "fail",
            replace(SOUND, cluster=replace(CLUSTER, network_silent=("gpu-1: connection refused",))),
        ),
        ("control-plane", "fail", replace(SOUND, cluster=replace(CLUSTER, flags_differ=("etcd --x is y",)))),
        ("alerts", "fail", replace(SOUND, cluster=replace(CLUSTER, critical=("AntennaLinkDown: lumi",)))),
        ("alerts", "fail", replace(SOUND, cluster=replace(CLUSTER, alerts_silent="no route"))),
        ("alerts", "warn", replace(SOUND, cluster=replace(CLUSTER, alerts_sent=False))),
        ("certificates", "fail", replace(SOUND, cluster=replace(CLUSTER, certificate_days=-1.0))),
        ("tun", "warn", replace(SOUND, host=replace(HOST, tun=False))),
    ],
)
def test_each_thing_that_can_be_wrong_has_a_verdict(name: str, level: str, facts: Facts) -> None:
    assert verdict(facts, name).level == level


def test_a_site_that_nobody_asks_is_not_said_to_answer() -> None:
    facts = replace(
        SOUND, cluster=replace(CLUSTER, sites_not_asked=("lumi: no partner has a project there",))
    )
    said = verdict(facts, "remote-sites")
    assert (said.level, said.cause) == ("ok", "1 answer, not asked: lumi: no partner has a project there")
    facts = replace(SOUND, cluster=replace(CLUSTER, unasked="not asked: the operator does not run"))
    said = verdict(facts, "remote-sites")
    assert (said.level, said.cause) == ("warn", "not asked: the operator does not run")
    assert "`operator`" in said.fix


def test_time_mends_an_operator_that_is_wanted_and_not_one_that_is_not() -> None:
    waits = replace(SOUND, cluster=replace(CLUSTER, operator=replace(OPERATOR, ready=False)))
    assert [f.check.name for f in checks.failures_of_cluster(waits)] == ["operator"]
    assert checks.is_mended_by_time(waits)
    stopped = replace(SOUND, cluster=replace(CLUSTER, operator=replace(OPERATOR, wanted=0, ready=False)))
    assert [f.check.name for f in checks.failures_of_cluster(stopped)] == ["operator"]
    assert not checks.is_mended_by_time(stopped)
    assert checks.failures_of_cluster(SOUND) == []


def test_every_failure_names_a_fix() -> None:
    worst = Facts(
        "embedded",
        replace(HOST, system="Darwin", root=False, memory_available=0, disk_home=0, disk_cache=0, cgroups="",
                missing_capabilities=("CAP_SYS_ADMIN",), missing_packages=("debootstrap",), overlayfs=False,
                clock_behind=1e6, tun=False),
        Site(platform="embedded", problem="wrong"),
        Stack(tools_missing=("etcd",), base=False,
              machines=(Machine("head", False), Machine("gpu-1", True, "no"))),
        Cluster(nodes_not_ready=("head",), inactive_queues=("imec",), certificate_days=-3.0),
    )  # fmt: skip
    assert all(f.verdict.fix for f in checks.run(worst) if f.verdict.level == "fail")


def test_check_names_are_unique_and_their_documents_have_stable_keys() -> None:
    documents = [f.document() for f in checks.run(SOUND)]
    assert len({d["check"] for d in documents}) == len(documents)
    assert all(set(d) == {"check", "about", "verdict", "cause", "fix"} for d in documents)
