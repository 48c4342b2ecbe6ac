"""What partners' people may make on a whole site, and that nothing of theirs runs beside its queue.

Some jobs here, and a few moments; ANTENNA_TEST_ADMISSION=200:50 is 200 jobs, looked at in 50 moments.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from infra import paths
from infra.cli.work import burst
from operators.api import API_VERSION
from operators.kube.client import Cluster, connect
from operators.kube.errors import NotFound
from operators.queues import GPU
from operators.tenancy import namespace_name
from tests.cluster.invariant import Object, follow, lastingly_beside_the_queue, pushed_off
from tests.cluster.partner_work import TABLE, impersonating, made_or_said, manifest
from tests.live.site_under_test import SiteUnderTest, eventually

JOBS, MOMENTS = (int(n) for n in os.environ.get("ANTENNA_TEST_ADMISSION", "30:10").split(":"))
LABEL = "antenna.be/test"
ELSEWHERE = "a token in a Secret never ends"
"""What another policy says of a row, in all namespaces; either may be told."""


@pytest.fixture
def cluster(site: SiteUnderTest) -> Iterator[Cluster]:
    """The site's administrator; jobs of the test are gone after it."""
    one = connect(paths.kubeconfig(site.stack))
    yield one
    for job in one.list_objects("batch/v1", "Job", labels=LABEL):
        with suppress(NotFound):
            one.delete("batch/v1", "Job", job["metadata"]["name"], job["metadata"]["namespace"])
    eventually("the test's jobs are gone", lambda: not one.list_objects("batch/v1", "Job", labels=LABEL))
    one.close()


@pytest.fixture
def people(site: SiteUnderTest, cluster: Cluster) -> Iterator[dict[str, Cluster]]:
    """Somebody of each partner, by its name."""
    found = {
        tenant["metadata"]["name"]: impersonating(
            paths.kubeconfig(site.stack), "somebody", tenant["spec"]["groups"][0]
        )
        for tenant in cluster.list_objects(API_VERSION, "Tenant")
    }
    yield found
    for one in found.values():
        one.close()


def test_a_person_is_refused_what_the_table_says_and_admitted_what_it_says(
    people: dict[str, Cluster],
) -> None:
    name, person = next(iter(people.items()))
    where = namespace_name(name)
    wrong = []
    for case in TABLE["refused"]:
        said = made_or_said(person, manifest(case, where))
        if not any(f"denied request: {words}" in str(said) for words in (case["says"], ELSEWHERE)):
            wrong.append(f"{case['bad']}: {said}")
    for case in TABLE["admitted"]:
        made = made_or_said(person, manifest(case, where))
        if isinstance(made, str):
            wrong.append(f"{case['good']}: {made}")
        else:
            person.delete(made["apiVersion"], made["kind"], made["metadata"]["name"], where)
    assert wrong == []


def test_whatever_is_sent_no_partner_runs_beside_its_queue_and_nobody_is_pushed_off(
    site: SiteUnderTest, cluster: Cluster, people: dict[str, Cluster]
) -> None:
    dice = random.Random(12)  # noqa: S311
    pods: dict[str, Object] = {}
    stop = threading.Event()
    watching = threading.Thread(target=follow, args=(paths.kubeconfig(site.stack), pods, stop))
    watching.start()
    try:
        tried: Counter[str] = Counter()
        moments = 0
        for number in range(JOBS):
            tenant, person = dice.choice(list(people.items()))
            which = dice.choice(("refused", "admitted", "admitted"))
            cases = [case for case in TABLE[which] if case["kind"] == "Job"]
            said = made_or_said(person, real(dice, dice.choice(cases), namespace_name(tenant)))
            assert (which == "refused") == ("denied request" in str(said)), said
            tried[which] += 1
            if moments < MOMENTS * number // JOBS:
                moments += 1
                assert lastingly_beside_the_queue(cluster) == {}
        while moments < MOMENTS:
            moments += 1
            time.sleep(1)
            assert lastingly_beside_the_queue(cluster) == {}
    finally:
        stop.set()
        watching.join(20)
    assert min(tried.values()) > JOBS // 10, tried
    assert not [pod["metadata"]["name"] for pod in pods.values() if pushed_off(pod)]
    print(f"{dict(tried)}, {len(pods)} pods seen, {moments} moments")


def real(dice: random.Random, case: Object, namespace: str) -> Object:
    """A row's Job with an image that is there, a random size, and a few seconds to run."""
    job = manifest(case, namespace)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    resources = container.get("resources", {})
    limits = dict(resources.get("limits", {}))
    if not any("/" in name for name in limits):
        limits[GPU] = str(dice.choice((1, 1, 2, 3)))
    played = {
        "image": burst.IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/busybox", "sleep", str(dice.randint(2, 8))],
        "resources": {**resources, "limits": limits},
    }
    first = [
        {**one, "image": burst.IMAGE, "command": ["/bin/busybox", "true"]}
        for one in pod.get("initContainers", ())
    ]
    sized: dict[str, Any] = {"parallelism": (pods := dice.choice((1, 1, 2))), "completions": pods}
    template = {
        **job["spec"]["template"],
        "spec": {
            **pod,
            "securityContext": {"runAsUser": 65532},
            "containers": [{**container, **played}],
            **({"initContainers": first} if first else {}),
        },
    }
    labels = {**job["metadata"].get("labels", {}), LABEL: "admission"}
    return {
        **job,
        "metadata": {**job["metadata"], "labels": labels},
        "spec": {"backoffLimit": 0, **sized, **job["spec"], "template": template},
    }
