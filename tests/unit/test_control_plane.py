"""The table of the control plane's flags: complete, and what differs from it is told."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
import yaml

from infra import control_plane
from infra.cli.checks import control_plane_facts
from infra.control_plane import KUBELET, SOURCE, STATIC_PODS, Flag, table
from infra.control_plane_page import page
from monitoring.rules.alerts import ETCD_QUOTA_BYTES
from operators.kube.errors import Unreachable

# How many points each section of the benchmark has (v1.12). 1.1.10 goes with 1.1.9.
SECTIONS = {"1.1": 21, "1.2": 30, "1.3": 7, "1.4": 2, "2": 7, "3.2": 2, "4.1": 10, "4.2": 14, "4.3": 1}


def test_every_point_of_the_benchmark_is_met_or_its_deviation_says_why() -> None:
    rows = table()
    met = [point for row in (*rows.flags, *rows.files) for point in row.cis]
    deviating = [row.cis for row in rows.deviations]
    wanted = {f"{section}.{n}" for section, last in SECTIONS.items() for n in range(1, last + 1)} - {"1.1.10"}
    assert wanted - set(met) - set(deviating) == set()
    assert set(met) & set(deviating) == set()
    assert [point for point, count in Counter(deviating).items() if count > 1] == []


def test_a_flag_stands_in_the_table_once_with_a_reason() -> None:
    twice = Counter((row.component, row.flag) for row in table().flags)
    assert [flag for flag, count in twice.items() if count > 1] == []
    assert all(row.why for row in (*table().flags, *table().deviations))


def test_kubeadm_takes_texts_as_values() -> None:
    for name in STATIC_PODS:
        assert all(row.value is None or isinstance(row.value, str) for row in table().of(name)), name


def test_the_alert_goes_by_the_quota_that_is_set() -> None:
    assert table().value("etcd", "quota-backend-bytes") == str(ETCD_QUOTA_BYTES)


def test_the_page_names_every_flag_and_deviation() -> None:
    text = page(table())
    assert all(f"{row.flag}`" in text for row in table().flags)
    assert all(row.why in text for row in table().deviations)


def policy() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((SOURCE.parent / "audit-policy.yaml").read_text())
    return document


def level(verb: str, group: str, resource: str, user: str = "eve", groups: tuple[str, ...] = ()) -> str:
    """What the audit policy writes of a request, by the API server's rules: the first that fits."""
    for rule in policy()["rules"]:
        resources = rule.get("resources")
        fits = [
            not rule.get("nonResourceURLs"),
            "verbs" not in rule or verb in rule["verbs"],
            "users" not in rule or user in rule["users"],
            "userGroups" not in rule or set(groups) & set(rule["userGroups"]),
            resources is None
            or any(
                row.get("group", "") == group and ("resources" not in row or resource in row["resources"])
                for row in resources
            ),
        ]
        if all(fits):
            return str(rule["level"])
    return "None"


@pytest.mark.parametrize("verb", ["create", "update", "patch", "get", "list", "watch", "delete"])
@pytest.mark.parametrize("groups", [(), ("system:nodes",), ("system:serviceaccounts:kube-system",)])
def test_of_a_secret_the_audit_log_has_the_name_alone(verb: str, groups: tuple[str, ...]) -> None:
    assert level(verb, "", "secrets", groups=groups) == "Metadata"
    assert level(verb, "", "serviceaccounts/token", groups=groups) == "Metadata"


@pytest.mark.parametrize("resource", ["pods/exec", "pods/attach", "pods/portforward", "pods/log"])
def test_a_shell_is_in_the_audit_log_whoever_opens_it(resource: str) -> None:
    """By WebSocket it is a GET, and what parts of the cluster get is left out otherwise."""
    operator = ("system:serviceaccounts", "system:serviceaccounts:antenna-system")
    assert level("get", "", "pods", groups=operator) == "None"
    assert level("get", "", resource, groups=operator) == "Metadata"


def test_of_rights_and_tenants_the_audit_log_has_the_change() -> None:
    assert level("patch", "rbac.authorization.k8s.io", "rolebindings") == "Request"
    assert level("create", "antenna.be", "tenants") == "Request"
    assert level("get", "antenna.be", "tenants") == "Metadata"


def test_people_are_in_the_audit_log_and_the_clusters_pulse_is_not() -> None:
    assert level("list", "batch", "jobs") == "Metadata"
    assert level("create", "", "events") == "Metadata"
    assert level("update", "coordination.k8s.io", "leases", groups=("system:nodes",)) == "None"
    assert level("list", "", "pods", user="system:kube-scheduler") == "None"
    assert level("delete", "", "pods", user="system:kube-scheduler") == "Metadata"


ROWS = (
    Flag("etcd", "quota", "", value="5"),
    Flag("etcd", "auto-tls", ""),
)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["etcd", "--quota=5"], []),
        (["etcd", "--quota=4"], ["etcd --quota is 4, declared 5"]),
        (["etcd"], ["etcd --quota is not set, declared 5"]),
        (["etcd", "--quota=5", "--auto-tls"], ["etcd --auto-tls is set, declared not to be"]),
        (["etcd", "--quota=5", "--quota=6"], ["etcd --quota is 6, declared 5"]),
    ],
)
def test_a_command_that_differs_is_told(command: list[str], told: list[str]) -> None:
    assert list(control_plane.differences_of_command(ROWS, command)) == told


def test_a_kubelet_that_differs_is_told_and_what_it_leaves_out_is_zero() -> None:
    rows = (
        Flag("kubelet", "authentication", "", value={"anonymous": {"enabled": False}}),
        Flag("kubelet", "readOnlyPort", "", value=0),
    )
    sound = {"authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}}}
    assert list(control_plane.differences_of_kubelet(rows, "gpu-1", sound)) == []
    wrong = {"authentication": {"anonymous": {"enabled": True}}, "readOnlyPort": 10255}
    assert list(control_plane.differences_of_kubelet(rows, "gpu-1", wrong)) == [
        "kubelet of gpu-1: authentication is {'anonymous': {'enabled': True}}, "
        "declared {'anonymous': {'enabled': False}}",
        "kubelet of gpu-1: readOnlyPort is 10255, declared 0",
    ]


class Api:
    """A cluster whose static pods and kubelets run as the table says, but for what a test changes."""

    def __init__(self) -> None:
        self.commands = {
            name: [name, *(f"--{row.flag}={row.value}" for row in table().of(name) if row.value is not None)]
            for name in STATIC_PODS
        }
        self.kubelet = {row.flag: row.value for row in table().of(KUBELET)}

    def list_objects(self, *_: str, **__: str) -> list[dict[str, Any]]:
        return [
            {"metadata": {"labels": {"component": name}}, "spec": {"containers": [{"command": command}]}}
            for name, command in self.commands.items()
        ]

    def read(self, path: str, *_: Any, **__: Any) -> bytes:
        if "gone" in path:
            raise Unreachable("x509: certificate signed by unknown authority")
        return json.dumps({"kubeletconfig": self.kubelet}).encode()


def look(api: Api, nodes: list[str]) -> tuple[int, tuple[str, ...]]:
    return control_plane_facts.look(api, nodes)  # type: ignore[arg-type]


def test_doctor_reads_back_every_flag() -> None:
    compared, told = look(Api(), ["head", "gpu-1"])
    own = sum(len(table().of(name)) for name in STATIC_PODS)
    assert told == ()
    assert compared == own + 2 * len(table().of(KUBELET)) > 60


def test_doctor_tells_what_runs_otherwise() -> None:
    api = Api()
    api.commands["kube-apiserver"].append("--token-auth-file=/etc/tokens")
    api.kubelet["serverTLSBootstrap"] = False
    del api.commands["etcd"]
    assert look(api, ["head", "gone"])[1] == (
        "kube-apiserver --token-auth-file is set, declared not to be",
        "etcd: no pod of it is there",
        "kubelet of head: serverTLSBootstrap is False, declared True",
        "kubelet of gone: does not tell its configuration (x509: certificate signed by unknown authority)",
    )
