"""A RemoteJob waits in its partner's queue, is held by each check, goes once, and is followed to its end."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import pytest

from operators.api import API_VERSION
from operators.api.remote_job import KIND
from operators.api.remote_site import remote_site_object
from operators.queues import API_VERSION as KUEUE
from operators.queues import GPU, REMOTE_GPU, Cohort, Flavor, cohort_objects
from operators.sites.flavors import flavors, quotas
from operators.tenancy import Allocation, Quota, Tenant, namespace_name
from tests.cluster.conftest import RUN, Bundle
from tests.cluster.remote_world import Scheduler, dispatch, jupiter, lumi
from tests.cluster.tenant_controller import (
    eventually,
    given,  # noqa: F401 (a fixture)
    is_ready,
    tenant_controller,
)

LOCAL = f"remote-{RUN}"
LUMI, JUPITER = lumi(f"lumi-{RUN}"), jupiter(f"jupiter-{RUN}")
COHORT = Cohort(f"remote-{RUN}", (Flavor(LOCAL), *flavors((LUMI, JUPITER))), {LOCAL: {GPU: 2, "cpu": 8}})
TODAY = datetime.now(UTC).date()
YEAR = (TODAY - timedelta(days=30), TODAY + timedelta(days=330))


@pytest.fixture(scope="module")
def schedulers():
    return {site.name: Scheduler(site) for site in (LUMI, JUPITER)}


@pytest.fixture(scope="module")
def controller(admin, tmp_path_factory, schedulers):
    inputs = {"stack": "test", "name": f"remote-{RUN}", "kubeconfig": str(admin.kubeconfig)}
    with tenant_controller(admin, tmp_path_factory.mktemp("operator")) as running:
        sites = [remote_site_object(site) for site in (LUMI, JUPITER)]
        with dispatch(running.kubeconfig, schedulers):
            queues = Bundle(inputs).up(*cohort_objects(COHORT), *sites, wait=True)
            yield running
            # Tenants go first: their namespaces hold RemoteJobs that the dispatch must let go.
            from operators.kube.client import connect  # noqa: PLC0415

            there = connect(admin.kubeconfig)
            eventually(lambda: not any(there.find(API_VERSION, "Tenant", n) for n in running.made), 90)
            there.close()
    queues.down()


@pytest.fixture
def sites(schedulers):
    """The schedulers, up, by title."""
    yield {"lumi": schedulers[LUMI.name], "jupiter": schedulers[JUPITER.name]}
    for one in schedulers.values():
        one.down = False


def grant(site, project, amount, unit, days=YEAR):
    return Allocation(site.name, project, Fraction(amount), unit, *days)


ALL = (
    grant(LUMI, "project_465000001", 1000, "gpu-hours"),
    grant(JUPITER, "antenna-vib", 100_000, "core-hours"),
)


@pytest.fixture
def partner(controller, name, cluster, given):  # noqa: F811
    """Makes a partner with allocations; its name."""

    def make(*grants: Allocation) -> str:
        local = {LOCAL: {GPU: Quota(1), "cpu": Quota(2), "memory": Quota("4Gi")}}
        mine = quotas(grants, (LUMI, JUPITER))
        given(
            Tenant(
                name, "VIB", "flanders", ("science-research",), ("vib",), local | mine, allocations=grants
            ),
            COHORT,
        )
        eventually(lambda: is_ready(cluster, name))
        return name

    return make


@pytest.fixture
def vib(partner):
    return partner(*ALL)


def job(tenant, **spec):
    wanted = {
        "site": LUMI.name,
        "partition": "small-g",
        "gpusPerNode": 1,
        "timeLimit": "1h",
        "script": "train",
    }
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"generateName": "train-", "namespace": namespace_name(tenant)},
        "spec": {k: v for k, v in {**wanted, **spec}.items() if v is not None},
    }


def anywhere(tenant, **spec):
    return job(tenant, **{"site": "any", "partition": None, "gpusPerNode": 4, **spec})


@pytest.fixture
def submit(cluster):
    """Makes a RemoteJob; its metadata. How each stands at the end is shown where the test fails."""
    made = []

    def make(obj):
        made.append(cluster.create(obj)["metadata"])
        return made[-1]

    yield make
    for metadata in made:
        found = cluster.find(API_VERSION, KIND, metadata["name"], metadata["namespace"])
        print(json.dumps([found and found.get("status"), (workload(cluster, metadata) or {}).get("status")]))


@pytest.fixture
def status(cluster):
    def of(metadata):
        return cluster.get(API_VERSION, KIND, metadata["name"], metadata["namespace"]).get("status") or {}

    return of


def workload(cluster, metadata):
    found = cluster.list_objects(
        KUEUE, "Workload", metadata["namespace"], labels=f"antenna.be/remote-job={metadata['uid']}"
    )
    return found[0] if found else None


def true(obj, kind):
    return any(
        c["type"] == kind and c["status"] == "True" for c in (obj.get("status") or {}).get("conditions", ())
    )


def reason_is(status, metadata, reason):
    eventually(lambda: status(metadata).get("reason") == reason)
    return status(metadata)["message"]


# The way of a job


def test_a_job_is_queued_admitted_sent_once_and_followed_to_its_end(vib, submit, status, cluster, sites):
    metadata = submit(job(vib, script="#!/bin/bash\nsrun train", directory="runs/a", memoryGiB=32, cores=7))
    eventually(lambda: status(metadata).get("state") == "running")
    (sent,) = [s for s in sites["lumi"].submissions if s.name == f"antenna-{metadata['uid']}"]
    assert (sent.project, sent.partition, sent.nodes, sent.seconds) == (
        "project_465000001",
        "small-g",
        1,
        3600,
    )
    assert (sent.gpus_per_node, sent.cores_per_task, sent.memory_mib_per_node) == (1, 7, 32768)
    assert sent.directory == "runs/a"
    found = workload(cluster, metadata)
    assert true(found, "Admitted")
    (assigned,) = found["status"]["admission"]["podSetAssignments"]
    assert assigned["flavors"][REMOTE_GPU] == f"{LUMI.name}-small-g"
    (row,) = sites["lumi"].named(sent.name)
    sites["lumi"].end(row.id, code=3)
    eventually(lambda: status(metadata).get("state") == "failed")
    said = status(metadata)
    assert (said["slurmId"], said["exitCode"], said["partition"]) == (row.id, 3, "small-g")
    assert said["message"] == "ended at LUMI: FAILED with exit code 3"
    assert said["logTail"] == f"epoch 1 of {sent.name}\n\N{REPLACEMENT CHARACTER}[31mdone\n"
    eventually(lambda: true(workload(cluster, metadata), "Finished"))
    assert [c["type"] for c in said["conditions"] if c["status"] == "True"] == [
        *("Accepted", "Admitted", "Submitted", "Finished")
    ]
    eventually(
        lambda: (
            not cluster.get(API_VERSION, KIND, metadata["name"], metadata["namespace"])["metadata"].get(
                "finalizers"
            )
        )
    )


def test_the_project_is_the_partner_s_own_whatever_a_job_says(vib, admin, cluster):
    obj = job(vib)
    obj["metadata"] = {"name": "theirs", "namespace": namespace_name(vib)}
    obj["spec"]["project"] = "project_465999999"
    said = admin.kubectl("create", "--validate=strict", "-f", "-", given=json.dumps(obj), check=False)
    assert 'unknown field "spec.project"' in said
    assert cluster.find(API_VERSION, KIND, "theirs", namespace_name(vib)) is None


def test_jobs_beyond_what_the_site_runs_at_once_wait_in_the_partner_s_queue(vib, submit, status, sites):
    first, second = submit(job(vib, gpusPerNode=8)), submit(job(vib, gpusPerNode=8))
    eventually(lambda: {status(first).get("state"), status(second).get("state")} == {"running", "pending"})
    runs, waits = (first, second) if status(first)["state"] == "running" else (second, first)
    message = reason_is(status, waits, "Queued")
    assert "insufficient unused quota for antenna.be/remote-gpu" in message
    (row,) = sites["lumi"].named(f"antenna-{runs['uid']}")
    sites["lumi"].end(row.id)
    eventually(lambda: status(waits).get("state") == "running")


def test_whole_nodes_are_asked_for_where_whole_nodes_are_billed(vib, submit, status, cluster, sites):
    metadata = submit(job(vib, partition="standard-g", nodes=2, gpusPerNode=None))
    eventually(lambda: status(metadata).get("state") == "running")
    (assigned,) = workload(cluster, metadata)["status"]["admission"]["podSetAssignments"]
    assert assigned["resourceUsage"][REMOTE_GPU] == "16"
    (sent,) = [s for s in sites["lumi"].submissions if s.name == f"antenna-{metadata['uid']}"]
    assert (sent.nodes, sent.gpus_per_node, sent.cores_per_task, sent.memory_mib_per_node) == (2, 8, 0, 0)


def test_a_deleted_job_is_cancelled_at_its_site_before_it_is_gone(vib, submit, status, cluster, sites):
    metadata = submit(job(vib))
    eventually(lambda: status(metadata).get("state") == "running")
    cluster.delete(API_VERSION, KIND, metadata["name"], metadata["namespace"])
    eventually(lambda: cluster.find(API_VERSION, KIND, metadata["name"], metadata["namespace"]) is None)
    (row,) = sites["lumi"].named(f"antenna-{metadata['uid']}")
    assert row.state == "cancelled"
    eventually(lambda: workload(cluster, metadata) is None)


def test_a_local_job_never_goes_to_a_remote_flavor(vib, cluster):
    from tests.cluster.tenant_controller import train  # noqa: PLC0415

    for _ in range(4):
        train(cluster, vib, gpus=1)

    def settled():
        found = cluster.list_objects(KUEUE, "Workload", namespace_name(vib))
        held = [w["status"]["admission"] for w in found if (w.get("status") or {}).get("admission")]
        used = {f for a in held for s in a["podSetAssignments"] for f in s["flavors"].values()}
        # Its own, and the two that are nobody's; a partner that is on its way out may lend one more.
        return len(found) == 4 and len(held) >= 3 and used == {LOCAL}

    eventually(settled)


# Held


def test_what_the_budget_cannot_pay_is_held_with_its_reason(partner, submit, status, cluster, sites):
    vib = partner(grant(LUMI, "project_465000001", 10, "gpu-hours"))
    pays = submit(job(vib, gpusPerNode=4, timeLimit="4h"))
    eventually(lambda: status(pays).get("state") == "running")
    held = submit(job(vib, gpusPerNode=2, timeLimit="3h"))
    message = reason_is(status, held, "Budget")
    assert message.startswith("costs up to 3 gpu-hours, and project_465000001 at LUMI has 2 left (8 more")
    states = {c["name"]: c["state"] for c in workload(cluster, held)["status"]["admissionChecks"]}
    assert states == {"budget": "Pending", "site-health": "Ready"}
    (row,) = sites["lumi"].named(f"antenna-{pays['uid']}")
    sites["lumi"].end(row.id)
    eventually(lambda: status(held).get("state") == "running")


def test_what_would_go_to_a_silent_site_is_held_until_it_answers(vib, submit, status, cluster, sites):
    sites["jupiter"].down = True
    answers = {"type": "Answers", "status": "False"}
    eventually(lambda: answers.items() <= said_of_site(cluster, JUPITER.name, "Answers").items())
    held = submit(job(vib, site=JUPITER.name, partition="booster", gpusPerNode=None))
    assert reason_is(status, held, "SiteHealth") == "JUPITER does not answer: no route to host"
    assert sites["jupiter"].named(f"antenna-{held['uid']}") == []
    sites["jupiter"].down = False
    eventually(lambda: status(held).get("state") == "running")


def said_of_site(cluster, site, kind):
    conditions = (cluster.get(API_VERSION, "RemoteSite", site).get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == kind), {})


# Anywhere


def test_a_job_for_any_spills_to_the_next_flavor_that_has_room(vib, submit, status):
    """small-g has room for 8 GPUs; booster is the next that gives 4 a node."""
    jobs = [submit(anywhere(vib)) for _ in range(3)]
    eventually(lambda: all(status(one).get("state") == "running" for one in jobs))
    assert sorted(status(one)["partition"] for one in jobs) == ["booster", "small-g", "small-g"]


def test_a_job_for_any_goes_elsewhere_when_a_site_falls_silent_or_cannot_be_paid(
    partner, submit, status, cluster, sites
):
    vib = partner(grant(LUMI, "project_465000001", 2, "gpu-hours"), ALL[1])
    poor = submit(anywhere(vib, timeLimit="10h"))
    eventually(lambda: (status(poor).get("state"), status(poor).get("site")) == ("running", JUPITER.name))
    sites["lumi"].down = True
    eventually(lambda: said_of_site(cluster, LUMI.name, "Answers").get("status") == "False")
    cut_off = submit(anywhere(vib, timeLimit="1h"))
    eventually(
        lambda: (status(cut_off).get("state"), status(cut_off).get("site")) == ("running", JUPITER.name)
    )


# Refused

ENDED = grant(LUMI, "project_465000001", 5, "gpu-hours", (date(2025, 1, 1), date(2025, 12, 31)))
REFUSED = [
    ("unknown site", ALL, {"site": f"lummi-{RUN}"}, "UnknownSite", f"did you mean lumi-{RUN}?"),
    ("unknown partition", ALL, {"partition": "smal-g"}, "UnknownPartition", "did you mean small-g?"),
    (
        "another site's partition",
        ALL,
        {"partition": "booster"},
        "UnknownPartition",
        "there are: small-g, standard-g",
    ),
    (
        "no project there",
        ALL[:1],
        {"site": JUPITER.name, "partition": "booster", "gpusPerNode": None},
        "NoProject",
        f"no project at JUPITER that pays core-hours; it has one at {LUMI.name}",
    ),
    (
        "a project of another unit",
        ALL,
        {"partition": "standard", "gpusPerNode": None},
        "NoProject",
        "core-hours",
    ),
    ("a project that ended", (ENDED,), {}, "NoProject", "ended on 2025-12-31"),
    (
        "over the time limit",
        ALL,
        {"partition": "standard-g", "gpusPerNode": None, "timeLimit": "60h"},
        "TooLong",
        "at most 48h; small-g allows 72h",
    ),
    ("too many nodes", ALL, {"nodes": 2}, "TooManyNodes", "at most 1"),
    ("too many GPUs", ALL, {"gpusPerNode": 9}, "TooManyGPUs", "at most 8"),
    ("too much memory", ALL, {"memoryGiB": 500}, "TooMuchMemory", "at most 480"),
    (
        "part of a whole node",
        ALL,
        {"partition": "standard-g", "gpusPerNode": 4},
        "WholeNodes",
        "leave gpusPerNode out, or ask for 8",
    ),
    ("no GPUs on a GPU partition", ALL, {"gpusPerNode": None}, "NoGPUs", "gpusPerNode: 1 to 8"),
    ("nowhere at all", ALL, {"site": "any", "partition": None, "timeLimit": "100h"}, "TooLong", "at most"),
]


def test_bad_input_is_refused_at_once_with_the_reason_and_the_nearest_valid_choice(
    partner, submit, status, cluster, sites
):
    vib = partner(*ALL)
    for what, grants, spec, reason, says in REFUSED:
        if grants is not ALL:
            continue
        metadata = submit(job(vib, **spec))
        eventually(lambda m=metadata: status(m).get("state") == "failed", 10)
        said = status(metadata)
        assert (said["reason"], says in said["message"]) == (reason, True), (what, said["message"])
        assert workload(cluster, metadata) is None, what


@pytest.mark.parametrize("case", [c for c in REFUSED if c[1] is not ALL], ids=lambda c: c[0])
def test_a_missing_project_is_refused_at_once(case, partner, submit, status):
    what, grants, spec, reason, says = case
    metadata = submit(job(partner(*grants), **spec))
    eventually(lambda: status(metadata).get("state") == "failed", 10)
    assert (status(metadata)["reason"], says in status(metadata)["message"]) == (reason, True), what


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"partition": None}, "name the partition, or let site be any"),
        ({"site": "any", "partition": None, "gpusPerNode": None}, "site any needs gpusPerNode or cores"),
        ({"timeLimit": "soon"}, "timeLimit"),
        ({"directory": "/scratch/$(id)"}, "directory"),
        ({"script": ""}, "script"),
        ({"nodes": 0}, "nodes"),
    ],
)
def test_what_is_wrong_in_itself_the_server_refuses(vib, admin, spec, says):
    obj = job(vib, **spec)
    obj["metadata"] = {"name": "bad", "namespace": namespace_name(vib)}
    assert says in admin.kubectl("create", "-f", "-", given=json.dumps(obj), check=False)
