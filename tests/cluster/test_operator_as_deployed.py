"""The operator as its manifest deploys it starts, again and again, beside all kinds of work that are there.

Jobs, their Workloads and RemoteJobs are in every state, left by an operator that ran before.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
import sqlalchemy

from operators.admission.policies import NAME as POLICY
from operators.admission.policies import admission
from operators.api import API_VERSION
from operators.api.names import REMOTE_JOB
from operators.api.remote_site import remote_site_object
from operators.api.tenant import tenant_object
from operators.catalog import FAMILIES
from operators.kube.client import connect
from operators.kube.errors import ApiError
from operators.manifests import NAMESPACE
from operators.queues import API_VERSION as KUEUE
from operators.queues import GPU, QUEUE_LABEL, Cohort, Flavor, cohort_objects
from operators.sites.flavors import flavors, quotas
from operators.tenancy import Allocation, Quota, Tenant, namespace_name
from tests.cluster import truth
from tests.cluster.comparison import first_differences
from tests.cluster.deployed import DeployedOperator, deployed_arguments, install
from tests.cluster.light import light_cluster
from tests.cluster.patience import eventually
from tests.cluster.remote_world import Scheduler, dispatch, jupiter, lumi
from tests.cluster.tenant_controller import is_ready
from tests.cluster.world import Load
from tests.unit import postgres

LONG = 100_000  # seconds
LUMI, JUPITER = lumi("lumi"), jupiter("jupiter")
COHORT = Cohort("deployed", (Flavor("gpu"), *flavors((LUMI, JUPITER))))
TODAY = datetime.now(UTC).date()
YEAR = (TODAY - timedelta(days=30), TODAY + timedelta(days=330))
GRANTS = (
    Allocation("lumi", "project_465000001", Fraction(1000), "gpu-hours", *YEAR),
    Allocation("jupiter", "antenna-vib", Fraction(100_000), "core-hours", *YEAR),
)
ELASTIC = "kueue.x-k8s.io/elastic-job"
BINDING = "ValidatingAdmissionPolicyBinding", f"{POLICY}-jobs"


def tenant(name, gpus, grants=()):
    local = {"gpu": {GPU: Quota(gpus), "cpu": Quota(20), "memory": Quota("64Gi")}}
    mine = local | quotas(grants, (LUMI, JUPITER))
    return Tenant(name, name, "flanders", ("science-research",), (name,), mine, allocations=grants)


OWNER, BORROWER, REMOTE = tenant("owner", 2), tenant("borrower", 1), tenant("remote", 1, GRANTS)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A control plane of this module's: the operator is installed on it as on a site."""
    folder = tmp_path_factory.mktemp("deployed")
    with light_cluster(folder, gates=("ElasticJobsViaWorkloadSlices=true",)) as up:
        yield up


@pytest.fixture(scope="module")
def api(own):
    with closing(connect(own.kubeconfig)) as cluster:
        install(own, cluster, [one.name for one in (OWNER, BORROWER, REMOTE)])
        yield cluster


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """The folder that outlives the operator."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def work(own, api, state):
    """Work in every state, made while an operator ran and then went."""
    first = DeployedOperator(own, state, deployed_arguments())
    first.start()
    try:
        for obj in (*cohort_objects(COHORT), *map(remote_site_object, (LUMI, JUPITER))):
            api.apply(obj, manager="test")
        for one in (OWNER, BORROWER, REMOTE):
            api.apply(tenant_object(one, COHORT), manager="test")
        for one in (OWNER, BORROWER, REMOTE):
            eventually(lambda one=one: is_ready(api, one.name))
    finally:
        first.stop()
    load = Load(api, (OWNER, BORROWER, REMOTE), {"gpu-0": 4})
    load.start()
    remote_work(own, api)
    local_work(load)
    yield load
    load.stop()


def local_work(load):
    """Jobs that succeeded, failed, run, run in slices, were put back, wait, are held, and are going."""
    ends, fails = load.submit(OWNER, 1, 0), load.submit(OWNER, 1, 0, outcome="Failed")
    for job in (ends, fails):
        eventually(lambda job=job: truth.finished(again(load, job)) is not None)
    grows = load.submit(OWNER, 1, LONG, pods=4, at_once=1, annotations={ELASTIC: "true"})
    eventually(lambda: truth.state(again(load, grows)) == "running")
    patch(load, grows, {"spec": {"parallelism": 2}})
    eventually(lambda: len(workloads(load, grows)) == 2)
    eventually(lambda: any(truth.holds(one, "Finished") for one in workloads(load, grows)))
    patch(load, grows, {"spec": {"parallelism": 1}})
    lent = [load.submit(BORROWER, 1, LONG) for _ in range(3)]
    eventually(lambda: sum(truth.state(again(load, job)) == "running" for job in lent) >= 2)
    load.submit(REMOTE, 1, LONG)
    eventually(lambda: any(truth.evictions(one) for job in lent for one in workloads(load, job)))
    load.submit(BORROWER, 4, LONG)
    with without_policies(load.cluster):
        patiently(lambda: load.submit(OWNER, 1, LONG, labels={QUEUE_LABEL: "nowhere"}))
        goes = patiently(lambda: load.submit(OWNER, 1, 0, finalizers=["test/hold"]))
    held = load.submit(BORROWER, 1, LONG)
    eventually(lambda: workloads(load, held))
    for one in workloads(load, held):
        where = (one["metadata"]["name"], one["metadata"]["namespace"])
        load.cluster.patch(KUEUE, "Workload", *where, {"spec": {"active": False}})
    eventually(lambda: workloads(load, goes))
    load.cluster.delete("batch/v1", "Job", goes["metadata"]["name"], goes["metadata"]["namespace"])


@contextmanager
def without_policies(api):
    """What is made here is as if it were there from before the policies of Jobs."""
    (binding,) = (o for o in admission() if (o["kind"], o["metadata"]["name"]) == BINDING)
    api.delete(binding["apiVersion"], *BINDING)
    yield
    api.create(binding)


def patiently(make):
    """What it makes, once the API server has heard that nothing forbids it any more."""
    made = []

    def succeeds():
        with suppress(ApiError):
            made.append(make())
        return made

    eventually(succeeds, 20)
    return made[0]


def remote_work(own, api):
    """RemoteJobs that succeeded, failed, run, wait in their queue, and are held by a silent site."""
    schedulers = {site.name: Scheduler(site) for site in (LUMI, JUPITER)}
    with dispatch(own.kubeconfig, schedulers, namespace=NAMESPACE):
        ends, fails, runs = (remote_job(api, "small-g", f"r{number}") for number in range(3))
        for job in (ends, fails, runs):
            eventually(lambda job=job: state_of(api, job) == "running")
        for job, code in ((ends, 0), (fails, 3)):
            (row,) = schedulers["lumi"].named(f"antenna-{job['metadata']['uid']}")
            schedulers["lumi"].end(row.id, code)
        eventually(lambda: [state_of(api, job) for job in (ends, fails)] == ["succeeded", "failed"])
        waits = [remote_job(api, "small-g", f"w{number}", gpusPerNode=8) for number in range(2)]
        schedulers["jupiter"].down = True
        eventually(lambda: answers(api, "jupiter") == "False")
        held = remote_job(api, "booster", "held", site="jupiter", gpusPerNode=None)
        eventually(lambda: sum(status_of(api, job).get("reason") == "Queued" for job in waits) >= 1)
        eventually(lambda: status_of(api, held).get("reason") == "SiteHealth")


def remote_job(api, partition, name, **spec):
    wanted = {"site": "lumi", "gpusPerNode": 1, "timeLimit": "1h", "script": "train", **spec}
    return api.create(
        {
            "apiVersion": API_VERSION,
            "kind": REMOTE_JOB,
            "metadata": {"name": name, "namespace": namespace_name(REMOTE.name)},
            "spec": {key: value for key, value in wanted.items() if value is not None}
            | {"partition": partition},
        }
    )


def answers(api, site):
    conditions = (api.get(API_VERSION, "RemoteSite", site).get("status") or {}).get("conditions") or ()
    return next((c["status"] for c in conditions if c["type"] == "Answers"), "")


def status_of(api, job):
    where = (job["metadata"]["name"], job["metadata"]["namespace"])
    return api.get(API_VERSION, REMOTE_JOB, *where).get("status") or {}


def state_of(api, job):
    return status_of(api, job).get("state")


def again(load, job):
    return load.cluster.get("batch/v1", "Job", job["metadata"]["name"], job["metadata"]["namespace"])


def patch(load, job, change):
    load.cluster.patch("batch/v1", "Job", job["metadata"]["name"], job["metadata"]["namespace"], change)


def workloads(load, job):
    labels = f"kueue.x-k8s.io/job-uid={job['metadata']['uid']}"
    return load.cluster.list_objects(KUEUE, "Workload", job["metadata"]["namespace"], labels=labels)


@pytest.fixture
def operator(own, work, state):
    """As deployed, with the state that its predecessors left."""
    one = DeployedOperator(own, state, deployed_arguments())
    yield one
    one.stop()


def differences(api, load, operator):
    with load.hold():
        return "\n".join(first_differences(api, operator))


def test_there_is_work_in_every_state(work, api):
    jobs = [truth.state(job) for job in api.list_objects("batch/v1", "Job")]
    assert set(jobs) == {"pending", "running", "succeeded", "failed", "cancelled"}
    conditions = {
        (c["type"], c["status"])
        for one in api.list_objects(KUEUE, "Workload")
        for c in one.get("status", {}).get("conditions", ())
    }
    true = {"QuotaReserved", "Admitted", "Finished", "Evicted"}
    assert {kind for kind, status in conditions if status == "True"} >= true
    assert ("QuotaReserved", "False") in conditions
    remote = {(job.get("status") or {}).get("state") for job in api.list_objects(API_VERSION, REMOTE_JOB)}
    assert remote == {"pending", "running", "succeeded", "failed"}


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGKILL, signal.SIGTERM])
def test_it_is_ready_right_and_without_an_error_when_it_comes_again(work, api, operator, ended_by):
    took = operator.start()
    print(f"ready after {took:.1f} s")
    assert not differences(api, work, operator)
    assert operator.errors() == []
    operator.end(ended_by)


def test_it_is_right_though_things_have_changed_while_it_was_away(work, api, operator):
    operator.start()
    operator.end()
    running = [job for job in work.jobs() if truth.state(job) == "running"]
    api.delete("batch/v1", "Job", running[0]["metadata"]["name"], running[0]["metadata"]["namespace"])
    ends = work.submit(OWNER, 1, 0)
    eventually(lambda: truth.finished(again(work, ends)) is not None)
    operator.start()
    assert not differences(api, work, operator)
    assert operator.errors() == []
    assert operator.end() == 0


def test_it_says_how_old_what_it_says_is(work, operator):
    operator.start()
    streams = operator.document("/streams")["streams"]
    assert {one["resource"] for one in streams} >= {"jobs", "workloads", "nodes", "pods", "tenants"}
    assert all(one["listed"] and 0 <= one["age_seconds"] < 15 for one in streams), streams
    operator.end()


# Every combination of options that the manifests or the docs name

PER_OBJECT = [f"--without={family.name}" for family in FAMILIES if family.per_object]
COMBINATIONS = {
    "as deployed": deployed_arguments(),
    "without any series of one object (docs/metrics.md)": [*deployed_arguments(), *PER_OBJECT],
    "with its log for people": [a for a in deployed_arguments() if not a.startswith("--log-format")],
    "with its certificate in a folder of its own": [*deployed_arguments(), "--cert-dir=/etc/certificate"],
    "metrics alone, as a pod": [*deployed_arguments(), "--no-controllers"],
    "metrics alone, beside a cluster": [
        *("--plain", "--listen=127.0.0.1:8080", "--no-controllers", "--state=/tmp/state"),
    ],
}
GIVEN = {"--kubeconfig", "--identity", "--help"}
"""Options that every start here has, and one that starts nothing."""


@pytest.mark.parametrize("named", COMBINATIONS)
def test_it_starts_with_each_combination_of_options(own, work, tmp_path, named):
    one = DeployedOperator(own, tmp_path, COMBINATIONS[named])
    try:
        one.start()
        figures = one.scrape()
        per_object = not any("--without" in argument for argument in COMBINATIONS[named])
        assert bool(figures["antenna_job_info"]) == per_object
        assert figures["antenna_queue_gpus_quota"]
        assert one.errors() == []
        assert one.end() == 0
    finally:
        one.stop()


def test_it_starts_with_its_ledger_in_another_database(own, work, tmp_path):
    with postgres.server() as url:
        one = DeployedOperator(own, tmp_path, deployed_arguments(), environment={"ANTENNA_LEDGER_URL": url})
        try:
            for _ in range(2):
                one.start()
                assert one.scrape()["antenna_queue_gpus_quota"]
                assert one.errors() == []
                assert one.end() == 0
        finally:
            one.stop()
        database = sqlalchemy.create_engine(url)
        assert sqlalchemy.inspect(database).get_table_names()
        database.dispose()
    assert not [*tmp_path.rglob("*.sqlite")]


def test_no_option_is_in_no_combination():
    said = subprocess.run(
        [sys.executable, "-m", "operators", "--help"], capture_output=True, text=True, check=True
    ).stdout
    options = set(re.findall(r"--[a-z][a-z-]+", said.partition("options:")[2].partition("Exit codes")[0]))
    tried = {argument.partition("=")[0] for arguments in COMBINATIONS.values() for argument in arguments}
    assert options - GIVEN == tried
