"""Partners, two people each: nobody reads, changes, queues or makes anything across, in any ordered pair.

Each person has a client certificate of their own, in the group of their partner, as a site's authentication
would say it. Every try is sent to the person's own partner too, so that one that is refused for another
reason than whose it is does not count. Harmless all: what writes is a dry run. ``ANTENNA_TEST_PARTNERS`` is
how many partners there are; 23 of them are 506 pairs.
"""

from __future__ import annotations

import datetime
import json
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from operators.api import API_VERSION as ANTENNA
from operators.api.tenant import tenant_object
from operators.kube.client import connect
from operators.queues import API_VERSION as KUEUE
from operators.queues import GPU, QUEUE_LABEL, Cohort, Flavor, cohort_objects
from operators.tenancy import Quota, Tenant, namespace_name
from tests.cluster.light import light_cluster
from tests.cluster.patience import eventually
from tests.cluster.tenant_controller import is_ready, tenant_controller

COHORT = Cohort("apart", (Flavor("local"),))
QUOTA = {"local": {GPU: Quota(1), "cpu": Quota(8), "memory": Quota("16Gi")}}
PARTNERS = tuple(
    Tenant(f"p{number:02}", f"P{number}", "flanders", ("science-research",), (f"p{number:02}-people",), QUOTA)
    for number in range(int(os.environ.get("ANTENNA_TEST_PARTNERS", "5")))
)
PEOPLE = ("alice", "bob")
SAFE = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
POD = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x", "securityContext": SAFE}]}
JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "new", "labels": {QUEUE_LABEL: "default"}},
    "spec": {"template": {"spec": POD}},
}
REMOTE_JOB = {
    "apiVersion": ANTENNA,
    "kind": "RemoteJob",
    "metadata": {"name": "new"},
    "spec": {"site": "lumi", "partition": "small-g", "gpusPerNode": 1, "timeLimit": "1h", "script": "train"},
}
DOOR = {
    "apiVersion": KUEUE,
    "kind": "LocalQueue",
    "metadata": {"name": "side"},
    "spec": {"clusterQueue": "OTHER"},
}


@dataclass(frozen=True)
class Try:
    """One request to what is of partner ``OTHER``."""

    kind: str
    method: str
    path: str
    body: dict[str, Any] = field(default_factory=dict)
    own: bool = True
    """Whether the partner's own people may."""


CORE, BATCH, FAR = "/api/v1/namespaces/NS", "/apis/batch/v1/namespaces/NS", f"/apis/{ANTENNA}/namespaces/NS"
QUEUES = f"/apis/{KUEUE}/namespaces/NS"
VISIBLE = "/apis/visibility.kueue.x-k8s.io/v1beta2/namespaces/NS/localqueues/default/pendingworkloads"
OPERATOR = "/api/v1/namespaces/antenna-system"
NO_MORE = {"data": {"a": "c"}}
TRIES = (
    *(
        Try("read", "GET", f"{CORE}/{what}")
        for what in ("configmaps/theirs", "secrets/theirs", "pods/theirs")
    ),
    *(Try("read", "GET", path) for path in (f"{BATCH}/jobs/theirs", f"{FAR}/remotejobs/theirs")),
    *(Try("list", "GET", f"{CORE}/{what}") for what in ("pods", "secrets", "configmaps", "events")),
    *(Try("list", "GET", path) for path in (f"{BATCH}/jobs", f"{FAR}/remotejobs", f"{QUEUES}/workloads")),
    Try("watch", "GET", f"{BATCH}/jobs?watch=1&timeoutSeconds=1&resourceVersion=0", own=True),
    Try("log", "GET", f"{CORE}/pods/theirs/log"),
    Try("enter", "POST", f"{CORE}/pods/theirs/exec?command=true", own=False),
    *(Try("change", "PATCH", f"{CORE}/{what}/theirs", NO_MORE) for what in ("configmaps", "secrets")),
    *(Try("change", "DELETE", path) for path in (f"{BATCH}/jobs/theirs", f"{CORE}/secrets/theirs")),
    *(Try("change", "DELETE", path) for path in (f"{BATCH}/jobs", f"{FAR}/remotejobs/theirs")),
    Try("queue", "GET", f"{QUEUES}/localqueues/default"),
    Try("queue", "GET", VISIBLE),
    Try("queue", "POST", f"{QUEUES}/localqueues", DOOR, own=False),
    Try("queue", "POST", f"/apis/{KUEUE}/namespaces/MINE/localqueues", DOOR, own=False),
    Try("queue", "PATCH", f"/apis/{KUEUE}/clusterqueues/OTHER", {"spec": {"stopPolicy": "Hold"}}, own=False),
    Try("job", "POST", f"{BATCH}/jobs", JOB),
    Try("remote job", "POST", f"{FAR}/remotejobs", REMOTE_JOB),
    Try("budget", "GET", f"/apis/{ANTENNA}/tenants/OTHER", own=False),
    Try("budget", "PATCH", f"/apis/{ANTENNA}/tenants/OTHER", {"spec": {"groups": ["MINE"]}}, own=False),
    Try("budget", "GET", f"{CORE}/resourcequotas/object-counts"),
    Try("figures", "GET", f"/apis/{KUEUE}/clusterqueues/OTHER", own=False),
    Try("figures", "GET", f"{OPERATOR}/services/https:antenna-operator:8443/proxy/metrics", own=False),
    Try("figures", "POST", f"{OPERATOR}/pods/antenna-operator-0/portforward?ports=8082", own=False),
    Try("rights", "POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/NS/rolebindings", own=False),
    Try("rights", "POST", f"{CORE}/serviceaccounts/default/token", own=False),
)


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    """A control plane of this module's, with its partners' own work in it."""
    folder = tmp_path_factory.mktemp("apart")
    with light_cluster(folder) as up, closing(connect(up.kubeconfig)) as api:
        with tenant_controller(up, tmp_path_factory.mktemp("operator")):
            for obj in (*cohort_objects(COHORT), *(tenant_object(one, COHORT) for one in PARTNERS)):
                api.apply(obj, manager="test")
            for one in PARTNERS:
                eventually(lambda one=one: is_ready(api, one.name))
                for obj in belongings(namespace_name(one.name)):
                    api.create(obj)
        yield up


def belongings(namespace):
    """What a partner has, all of it called ``theirs``."""
    at = {"name": "theirs", "namespace": namespace}
    yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": at, "data": {"a": "b"}}
    yield {"apiVersion": "v1", "kind": "Secret", "metadata": at, "stringData": {"a": "b"}}
    yield {**JOB, "metadata": {**JOB["metadata"], **at}}
    yield {**REMOTE_JOB, "metadata": at}
    yield {"apiVersion": "v1", "kind": "Pod", "metadata": at, "spec": POD}


class Person:
    """Somebody of a partner, with a connection of their own."""

    def __init__(self, plane, folder: Path, name: str, partner: Tenant) -> None:
        self.partner = partner
        config = yaml.safe_load(plane.kubeconfig.read_text())
        pki = next(plane.kubeconfig.parent.glob("kwok/clusters/*/pki"))
        certificate = folder / f"{name}-{partner.name}.pem"
        certificate.write_bytes(signed(pki, name, partner.groups[0]))
        self.connection = urllib3.connection_from_url(
            config["clusters"][0]["cluster"]["server"],
            cert_file=str(certificate),
            ca_certs=str(pki / "ca.crt"),
            assert_hostname=False,
        )

    def sends(self, one: Try, other: Tenant) -> int:
        """The status of the answer."""

        def filled(text: str) -> str:
            named = text.replace("NS", namespace_name(other.name)).replace("OTHER", other.name)
            return named.replace("MINE", namespace_name(self.partner.name))

        kinds = {"PATCH": "application/merge-patch+json"}
        path = filled(one.path)
        body = {"dryRun": ["All"]} if one.method == "DELETE" else one.body
        if one.method in ("POST", "PATCH"):
            path += ("&" if "?" in path else "?") + "dryRun=All"
        answer = self.connection.request(
            one.method,
            path,
            body=None if one.method == "GET" else filled(json.dumps(body)),
            headers={"Content-Type": kinds.get(one.method, "application/json")},
            timeout=60,
        )
        return int(answer.status)


def signed(pki: Path, name: str, group: str) -> bytes:
    """A person's key and certificate, in PEM, for an hour."""
    authority = x509.load_pem_x509_certificate((pki / "ca.crt").read_bytes())
    signer = serialization.load_pem_private_key((pki / "ca.key").read_bytes(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    attributes = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, group),
        x509.NameAttribute(NameOID.COMMON_NAME, f"{name}@{group}"),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(attributes))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def people(plane, tmp_path_factory):
    """Two of each partner."""
    folder = tmp_path_factory.mktemp("people")
    return [Person(plane, folder, name, partner) for partner in PARTNERS for name in PEOPLE]


def test_a_partners_own_people_may_what_is_theirs(people):
    answers = {
        (one.kind, one.method, one.path): person.sends(one, person.partner)
        for person in people[:4]
        for one in TRIES
        if one.own
    }
    refused = {asked: status for asked, status in answers.items() if status in (401, 403)}
    assert refused == {}


def test_no_person_of_any_partner_gets_at_another(people):
    pairs = list(permutations(PARTNERS, 2))

    def everything(person: Person) -> list[tuple[str, str, int]]:
        return [
            (
                one.kind,
                f"{person.partner.name} -> {other.name}: {one.method} {one.path}",
                person.sends(one, other),
            )
            for other in PARTNERS
            if other is not person.partner
            for one in TRIES
        ]

    with ThreadPoolExecutor(4) as threads:
        answers = [answer for found in threads.map(everything, people) for answer in found]
    tried = Counter(kind for kind, _, _ in answers)
    refused = Counter(kind for kind, _, status in answers if status == 403)
    print(f"{'kind of try':14} {'tried':>7} {'refused':>8}   ({len(pairs)} pairs, {len(PEOPLE)} people each)")
    for kind in tried:
        print(f"{kind:14} {tried[kind]:7} {refused[kind]:8}")
    print(f"{'all':14} {tried.total():7} {refused.total():8}")
    assert tried.total() == len(pairs) * len(PEOPLE) * len(TRIES)
    assert [answer for answer in answers if answer[2] != 403] == []


def test_nobody_looks_at_the_whole_cluster(people):
    paths = (
        *("/api/v1/pods", "/api/v1/secrets", "/api/v1/namespaces", "/api/v1/nodes", "/apis/batch/v1/jobs"),
        *(f"/apis/{ANTENNA}/tenants", f"/apis/{ANTENNA}/remotejobs", f"/apis/{ANTENNA}/remotesites"),
        *(f"/apis/{KUEUE}/workloads", f"/apis/{KUEUE}/clusterqueues", "/metrics"),
    )
    answers = {
        (path, person.sends(Try("cluster", "GET", path), person.partner))
        for person in people
        for path in paths
    }
    assert {status for _, status in answers} == {403}
