"""Bad Tenants are refused by the API server or by a condition, each with its reason; nothing else changes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from operators.api import API_VERSION
from operators.api.tenant import KIND, tenant_object
from operators.controllers.decisions import key
from operators.queues import API_VERSION as KUEUE
from operators.queues import GPU, Cohort, Flavor, cluster_queue, cohort_objects, tenant_objects
from operators.tenancy import Quota, Tenant, namespace_name
from tests.cluster.conftest import RUN, Bundle
from tests.cluster.patience import eventually
from tests.cluster.tenant_controller import (
    given,  # noqa: F401 (a fixture)
    is_ready,
    ready,
    refused,
    runs,
    tenant_controller,
    train,
)
from tests.merge_patch import merged

Object = dict[str, Any]
FLAVOR, OTHER = f"refusals-{RUN}", f"refusals-other-{RUN}"
COHORT = Cohort(f"refusals-{RUN}", (Flavor(FLAVOR),))
REFUSED = yaml.safe_load(Path(__file__).with_name("refused_tenants.yaml").read_text())


@pytest.fixture(scope="module")
def controller(admin, tmp_path_factory):
    inputs = {"stack": "test", "name": f"refusals-{RUN}", "kubeconfig": str(admin.kubeconfig)}
    other = cohort_objects(Cohort("", (Flavor(OTHER),)))[0]
    queues = Bundle(inputs).up(*cohort_objects(COHORT), other)
    with tenant_controller(admin, tmp_path_factory.mktemp("operator")) as running:
        yield running
    queues.down()


@pytest.fixture
def good(name):
    quotas = {FLAVOR: {GPU: Quota(4), "cpu": Quota(8), "memory": Quota("16Gi")}}
    return Tenant(name, "VIB", "flanders", ("science-research",), ("vib-people",), quotas)


@pytest.fixture
def before(request, good, cluster, given):  # noqa: F811
    """What is there before the bad Tenant is."""
    match request.param:
        case "namespace":
            obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace_name(good.name)}}
        case "queue":
            obj = cluster_queue(good, COHORT)
            del obj["metadata"]["labels"]
        case "itself" | "work":
            given(good, COHORT)
            eventually(lambda: is_ready(cluster, good.name))
            if request.param == "work":
                job = train(cluster, good.name, gpus=2)
                eventually(lambda: runs(cluster, job))
            yield
            return
        case _:
            yield
            return
    cluster.create(obj)
    yield
    cluster.delete(obj["apiVersion"], obj["kind"], obj["metadata"]["name"])


def test_there_are_twenty_kinds_and_more():
    assert len(REFUSED) >= 20
    assert len({case["bad"] for case in REFUSED}) == len(REFUSED)


@pytest.mark.parametrize(
    ("case", "before"),
    [pytest.param(case, case.get("after", ""), id=case["bad"]) for case in REFUSED],
    indirect=["before"],
)
@pytest.mark.usefixtures("before")
def test_a_bad_tenant_is_refused_with_its_reason_and_nothing_else_changes(
    case, good, admin, cluster, request
):
    bad = merged(tenant_object(good, COHORT), named(case["change"], good.name))
    name = bad["metadata"]["name"]
    was = everything(cluster, good)
    known = cluster.find(API_VERSION, KIND, name)
    said = admin.kubectl(
        *("apply", "--server-side", "--field-manager=test", "--force-conflicts", "--validate=strict"),
        *("-f", "-"),
        given=json.dumps(bad),
        check=False,
    )
    if case["by"] == "server":
        assert case["says"] in said.replace("\\", "")
        now = cluster.find(API_VERSION, KIND, name)
        assert (now or {}).get("spec") == (known or {}).get("spec")
    else:
        request.getfixturevalue("controller").made.add(name)
        eventually(lambda: refused(cluster, name) == case["says"])
        condition = ready(cluster, name)
        assert len(condition["message"]) > 20
        stalled = conditions(cluster, name)["Stalled"]
        assert (stalled["status"], stalled["reason"]) == ("True", case["says"])
        eventually(lambda: events(cluster, name) == [case["says"]])
        time.sleep(1)  # more than a look takes: what it would change, it would have changed
        assert events(cluster, name) == [case["says"]]
    assert everything(cluster, good) == was
    if known is None and case["by"] == "condition":
        cluster.delete(API_VERSION, KIND, name)
        eventually(lambda: cluster.find(API_VERSION, KIND, name) is None)
        assert everything(cluster, good) == was


def test_what_was_refused_is_carried_out_once_it_can_be(good, cluster, given):  # noqa: F811
    """The namespace goes, the flavor comes: nobody has to touch the Tenant again."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace_name(good.name)}}
    cluster.create(namespace)
    late = Flavor(f"late-{good.name}")
    given(good, Cohort(COHORT.name, (late,)))
    eventually(lambda: refused(cluster, good.name) == "NameTaken")
    cluster.delete("v1", "Namespace", namespace_name(good.name))
    eventually(lambda: refused(cluster, good.name) == "UnknownFlavor")
    flavor = cohort_objects(Cohort("", (late,)))[0]
    cluster.create(flavor)
    eventually(lambda: is_ready(cluster, good.name))
    assert events(cluster, good.name) == ["NameTaken", "UnknownFlavor"]
    cluster.delete(API_VERSION, KIND, good.name)
    eventually(lambda: cluster.find(API_VERSION, KIND, good.name) is None)
    cluster.delete(KUEUE, "ResourceFlavor", late.name)


def named(value: Any, name: str) -> Any:
    """The change with the test's own names in it."""
    text = json.dumps(value).replace("NAME", name).replace("FLAVOR", FLAVOR).replace("OTHER", OTHER)
    return json.loads(text)


def everything(cluster, partner: Tenant) -> dict[tuple[str, str], Object | None]:
    """All that a partner of this name would have, as it is; what the server counts in it left out."""
    found: dict[tuple[str, str], Object | None] = {}
    for obj in tenant_objects(partner, COHORT):
        metadata = obj["metadata"]
        live = cluster.find(obj["apiVersion"], obj["kind"], metadata["name"], metadata.get("namespace"))
        if live:
            live.pop("status", None)
            for own in ("managedFields", "resourceVersion"):
                live["metadata"].pop(own)
        found[key(obj)] = live
    return found


def conditions(cluster, name: str) -> dict[str, Object]:
    status = cluster.get(API_VERSION, KIND, name)["status"]
    return {condition["type"]: condition for condition in status["conditions"]}


def events(cluster, name: str) -> list[str]:
    found = cluster.list_objects("v1", "Event", "default", fields=f"involvedObject.name={name}")
    return [event["reason"] for event in sorted(found, key=lambda e: e["metadata"]["creationTimestamp"])]
