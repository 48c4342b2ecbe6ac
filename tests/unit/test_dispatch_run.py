"""The dispatch's own loop: sites get workers, results find their jobs, and who does not lead does nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from operators.api import API_VERSION
from operators.api.names import REMOTE_JOB
from operators.api.remote_site import remote_site_object
from operators.api.tenant import tenant_object
from operators.dispatch.decide import Bounds
from operators.dispatch.feed import Listing
from operators.dispatch.run import Dispatch, Settings
from operators.dispatch.site_worker import SiteWorker
from operators.dispatch.tasks import Looked
from operators.manifests import LEASE
from operators.queues import GPU, Cohort, Flavor, cohort_objects
from operators.sites.flavors import flavors, quotas
from operators.tenancy import Allocation, Quota, Tenant
from tests.cluster.remote_world import Granted, Scheduler, jupiter, lumi
from tests.unit.api_server import ApiServer, kueue

LUMI, JUPITER = lumi("lumi"), jupiter("jupiter")
TODAY = datetime.now(UTC).date()
GRANT = Allocation(
    *("lumi", "project_465000001", Fraction(100), "gpu-hours"),
    *(TODAY - timedelta(days=1), TODAY + timedelta(days=300)),
)
KINDS = {"remotesites": "RemoteSite", "tenants": "Tenant", "workloads": "Workload", "remotejobs": REMOTE_JOB}


@dataclass
class World:
    server: ApiServer = field(default_factory=ApiServer)
    scheduler: Scheduler = field(default_factory=lambda: Scheduler(LUMI))
    opened: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    dispatch: Dispatch = field(init=False)

    def __post_init__(self) -> None:
        cohort = Cohort("antenna", (Flavor("h100"), *flavors((LUMI,))))
        quota = {"h100": {GPU: Quota(1)}} | quotas((GRANT,), (LUMI,))
        vib = Tenant("vib", "VIB", "flanders", ("science-research",), ("vib",), quota, allocations=(GRANT,))
        lease = {"name": LEASE, "namespace": "antenna-system"}
        self.server.create({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": lease})
        for obj in (
            *cohort_objects(cohort),
            tenant_object(vib, cohort),
            *map(remote_site_object, (LUMI, JUPITER)),
        ):
            self.server.create(obj)
        self.start()

    def start(self) -> None:
        """A new process."""
        bounds = Bounds(window=3, sending=2, margin=0, again=0.1, stale=2)
        settings = Settings("antenna-system", "one", bounds=bounds, look_every=0.1)
        self.dispatch = Dispatch(
            self.server,  # type: ignore[arg-type]
            settings,
            access=self,
            accounts=Granted(),
        )
        for reflector in self.dispatch._reflectors:
            reflector.health.listed = True

    def turn(self) -> None:
        one = self.dispatch
        for source, kind in KINDS.items():
            one._happened(Listing(source, tuple(self.server.of(kind))))
        one._leadership.look()
        one._lead()
        if one._leads:
            one._act()
        kueue(self.server, {"lumi-small-g": 9})
        while not one._inbox.empty():
            one._take_in()
        time.sleep(0.01)

    def until(self, holds: Callable[[], object], seconds: float = 20) -> None:
        ends = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < ends, self.status()
            self.turn()

    def make(self, **spec: Any) -> str:
        wanted = {"site": "lumi", "partition": "small-g", "gpusPerNode": 1, "timeLimit": "1h", "script": "x"}
        metadata = {"name": "one", "namespace": "tenant-vib", "uid": "one-uid"}
        obj = {
            "apiVersion": API_VERSION,
            "kind": REMOTE_JOB,
            "metadata": metadata,
            "spec": {**wanted, **spec},
        }
        return str(self.server.create(obj)["metadata"]["uid"])

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = (self.server.find("", REMOTE_JOB, "one", "tenant-vib") or {}).get(
            "status"
        ) or {}
        return found

    def end(self) -> None:
        self.dispatch._stop.set()
        self.dispatch._end_workers()

    def name(self, site: Any, tenant: str) -> str:
        return tenant or "reader"

    def open(self, site: Any, tenant: str, projects: tuple[str, ...]) -> Scheduler:
        self.opened.append((tenant or "reader", projects))
        return self.scheduler


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.end()


def test_a_job_is_sent_followed_and_ended(world: World) -> None:
    world.make()
    world.until(lambda: world.status().get("state") == "running")
    (row,) = world.scheduler.rows
    world.scheduler.end(row.id)
    world.until(lambda: world.status().get("state") == "succeeded")
    assert world.status()["logTail"].startswith("epoch 1 of antenna-one-uid")
    assert len(world.scheduler.rows) == 1


def test_sites_where_somebody_has_a_project_have_a_worker_each(world: World) -> None:
    world.turn()
    world.turn()
    assert world.opened == [("reader", ("project_465000001",))]


def test_a_new_project_costs_no_new_connection(world: World) -> None:
    world.until(lambda: world.opened)
    more = replace(GRANT, project="project_465000002")
    tenant = next(iter(world.server.of("Tenant")))
    vib = Tenant(
        *("vib", "VIB", "flanders", ("science-research",), ("vib",), {"h100": {GPU: Quota(1)}}),
        allocations=(GRANT, more),
    )
    spec = tenant_object(vib, Cohort("antenna", (Flavor("h100"), *flavors((LUMI,)))))["spec"]
    world.server.patch(API_VERSION, "Tenant", tenant["metadata"]["name"], None, {"spec": spec})
    world.until(lambda: world.scheduler.served)
    assert world.scheduler.served == [("project_465000001", "project_465000002")]
    assert len(world.opened) == 1


def test_a_job_goes_though_its_site_s_entry_changes_while_the_site_is_busy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The site gets another worker, and what the one before had not begun is asked of that."""
    login, goes_on, looks = ("lumi", "vib"), threading.Event(), SiteWorker._look

    def look(worker: SiteWorker) -> None:
        if worker._tenant == "vib":
            goes_on.wait(20)
        looks(worker)

    monkeypatch.setattr(SiteWorker, "_look", look)
    world.make()
    world.until(lambda: login in world.dispatch._workers and not tasks(world, login).empty())
    waits = tasks(world, login)
    longer = replace(LUMI, access=replace(LUMI.access, poll_floor_seconds=61))
    world.server.patch(API_VERSION, "RemoteSite", "lumi", None, {"spec": remote_site_object(longer)["spec"]})
    world.until(lambda: login not in world.dispatch._workers or tasks(world, login) is not waits)
    goes_on.set()
    world.until(lambda: world.status().get("state") == "running")


def tasks(world: World, login: tuple[str, str]) -> Any:
    return world.dispatch._workers[login][1]._tasks


def test_a_site_says_whether_its_entry_is_usable_and_how_it_answers(world: World) -> None:
    def said() -> dict[str, tuple[str, str]]:
        found = world.server.find("", "RemoteSite", "lumi") or {}
        conditions = (found.get("status") or {}).get("conditions") or ()
        return {c["type"]: (c["status"], c["message"]) for c in conditions}

    world.until(lambda: said().get("Answers") == ("True", "answers"))
    assert said()["Ready"] == ("True", "")
    world.scheduler.down = True
    world.until(lambda: said()["Answers"] == ("False", "does not answer: no route to host"))


def test_a_site_where_nobody_has_a_project_is_not_said_to_answer(world: World) -> None:
    def answers() -> list[tuple[str, str, str]]:
        found = world.server.find("", "RemoteSite", "lumi") or {}
        conditions = (found.get("status") or {}).get("conditions") or ()
        return [(c["status"], c["reason"], c["message"]) for c in conditions if c["type"] == "Answers"]

    world.until(lambda: answers() == [("True", "Answers", "answers")])
    (tenant,) = world.server.of("Tenant")
    cohort = Cohort("antenna", (Flavor("h100"), *flavors((LUMI,))))
    none = Tenant("vib", "VIB", "flanders", ("science-research",), ("vib",), {"h100": {GPU: Quota(1)}})
    spec = tenant_object(none, cohort)["spec"] | {"allocations": []}
    world.server.patch(API_VERSION, "Tenant", tenant["metadata"]["name"], None, {"spec": spec})
    world.until(lambda: answers() == [("Unknown", "NotAsked", "no partner has a project there")])


def test_the_admission_checks_are_active_while_somebody_leads(world: World) -> None:
    world.turn()
    for name in ("budget", "site-health"):
        found = world.server.find("", "AdmissionCheck", name) or {}
        assert [(c["type"], c["status"]) for c in found["status"]["conditions"]] == [("Active", "True")]


def test_who_does_not_lead_writes_nothing_and_asks_nobody(world: World) -> None:
    other = {"spec": {"holderIdentity": "other", "leaseDurationSeconds": 90}}
    world.server.patch("", "Lease", LEASE, "antenna-system", other)
    world.make()
    writes = len(world.server.writes)
    for _ in range(5):
        world.turn()
    assert world.opened == []
    assert len(world.server.writes) == writes


def test_a_process_that_starts_anew_finds_the_job_of_the_one_before(world: World) -> None:
    world.make()
    world.until(lambda: "attempt" in world.status())
    world.end()
    world.start()
    world.until(lambda: world.status().get("state") == "running", 70)
    assert len(world.scheduler.rows) == 1


def test_what_a_site_tells_of_a_job_that_is_elsewhere_counts_for_nothing(world: World) -> None:
    uid = world.make()
    world.until(lambda: world.status().get("state") == "running")
    ended = replace(world.scheduler.rows[0], state="failed", raw_state="FAILED", ended=int(time.time()))
    world.dispatch._happened(Looked("jupiter", (ended,), time.time() + 1))
    for _ in range(5):
        world.turn()
    assert world.status()["state"] == "running"
    world.dispatch._happened(Looked("lumi", (ended,), time.time() + 1))
    world.until(lambda: world.status()["state"] == "failed")
    assert uid in world.dispatch.jobs.objects


def test_a_job_whose_workload_was_admitted_waits_for_a_silent_site_and_goes_then(world: World) -> None:
    world.scheduler.down = True
    world.make()
    world.until(lambda: world.status().get("reason") == "SiteHealth")
    world.scheduler.down = False
    world.until(lambda: world.status().get("state") == "running")
