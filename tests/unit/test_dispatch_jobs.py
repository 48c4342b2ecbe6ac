"""One look at a RemoteJob after the other, against an API server in memory: what is written, asked, told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest

from operators.admission.rows import KEPT_SECONDS
from operators.api import API_VERSION
from operators.api.names import REMOTE_JOB
from operators.api.remote_job import Attempt
from operators.api.remote_site import Maintenance
from operators.dispatch.checks import Health
from operators.dispatch.context import Context
from operators.dispatch.decide import Bounds
from operators.dispatch.jobs import IN_HAND, Jobs
from operators.dispatch.known_logins import KnownLogins
from operators.dispatch.reading import FINALIZER
from operators.dispatch.tasks import (
    Cancel,
    Cancelled,
    Failed,
    Find,
    Found,
    Log,
    ReadLog,
    Refusal,
    Seen,
    Submit,
    Submitted,
    Task,
    rank,
)
from operators.kube.errors import Conflict
from operators.sites.access import Lasting, RemoteJobRow, SiteAccess, Unreachable
from operators.sites.model import Site
from operators.tenancy import Allocation, Object, Tenant
from tests.cluster.remote_world import Granted, jupiter, lumi
from tests.unit.api_server import ApiServer, kueue

LUMI, JUPITER = lumi("lumi"), jupiter("jupiter")
SITES = {"lumi": LUMI, "jupiter": JUPITER}
NAMESPACE = "tenant-vib"
WELL = Health(True, "answers")
YEAR = (date(2026, 1, 1), date(2026, 12, 31))
GRANTS = (
    Allocation("lumi", "project_465000001", Fraction(100), "gpu-hours", *YEAR),
    Allocation("jupiter", "antenna-vib", Fraction(10_000), "core-hours", *YEAR),
)
VIB = Tenant("vib", "VIB", "flanders", ("science-research",), ("vib",), {}, allocations=GRANTS)
ROOM = {"lumi-small-g": 1, "lumi-standard-g": 1, "jupiter-booster": 1}


class Left(Granted):
    """Accounts of which a test says what is left."""

    def __init__(self) -> None:
        super().__init__()
        self.left: dict[tuple[str, str], Fraction | None] = {
            (grant.site, grant.unit): grant.amount for grant in GRANTS
        }

    def remaining(self, tenant: str, site: str, unit: str) -> Fraction | None:
        return self.left.get((site, unit))


@dataclass
class World:
    """A cluster and its dispatch; sites answer when the test says so."""

    server: ApiServer = field(default_factory=ApiServer)
    now: float = 1_780_000_000.0
    health: dict[str, Health] = field(default_factory=lambda: {"lumi": WELL, "jupiter": WELL})
    maintenance: dict[str, Maintenance] = field(default_factory=dict)
    budgets: Left = field(default_factory=Left)
    tasks: list[tuple[str, Task]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Whose workers have been given something, in order."""
    leads: bool = True
    logins: dict[str, str] = field(default_factory=dict)
    """By partner; the partner's name where nothing is said."""
    partners: dict[str, Tenant] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    """RemoteJobs, and their namespaces."""
    known: KnownLogins = field(init=False)
    jobs: Jobs = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """A process begins, and knows nothing but the cluster."""
        self.tasks.clear()
        self.known = KnownLogins(self, SITES, self.partners, lambda: self.now)
        self.jobs = Jobs(
            Context(
                cluster=self.server,  # type: ignore[arg-type]
                clock=lambda: self.now,
                bounds=Bounds(),
                accounts=self.budgets,
                may_send=lambda: self.leads,
                writer=lambda: "test/1",
                sites=SITES,
                allocations={"vib": GRANTS},
                health=self.health,
                maintenance=self.maintenance,
                logins=self.known,
                ask=self._ask,
            )
        )
        self.see()
        self.jobs.begin()

    def see(self) -> None:
        """The streams are up to date."""
        jobs, label = self.jobs, "antenna.be/remote-job"
        for there, kind in ((jobs.objects, REMOTE_JOB), (jobs.workloads, "Workload")):
            there.clear()
            there.update(
                {
                    o["metadata"].get("labels", {}).get(label) or o["metadata"]["uid"]: o
                    for o in self.server.of(kind)
                }
            )

    def turn(self, times: int = 4) -> None:
        """Everybody looks at everything."""
        for _ in range(times):
            self.see()
            for uid in sorted(self.jobs.objects):
                self.jobs.look(uid)
            kueue(self.server, ROOM)
        self.see()

    def make(self, name: str = "one", namespace: str = NAMESPACE, **spec: Any) -> str:
        self.made[name] = namespace
        wanted = {"site": "lumi", "partition": "small-g", "gpusPerNode": 1, "timeLimit": "1h", "script": "x"}
        made = self.server.create(
            {
                "apiVersion": API_VERSION,
                "kind": REMOTE_JOB,
                "metadata": {"name": name, "namespace": namespace, "uid": f"{name}-uid"},
                "spec": {k: v for k, v in {**wanted, **spec}.items() if v is not None},
            }
        )
        return str(made["metadata"]["uid"])

    def status(self, name: str = "one", namespace: str = NAMESPACE) -> Object:
        found = self.server.find(API_VERSION, REMOTE_JOB, name, namespace)
        return (found or {}).get("status") or {}

    def task(self) -> Task:
        """The one task that a worker was given since."""
        ((_, task),) = self.tasks
        self.tasks.clear()
        return task

    def submit(self, uid: str) -> Submit:
        """Everything until the job is with the worker."""
        self.turn()
        found = self.task()
        assert isinstance(found, Find)
        self.found(uid, (), self.now)
        self.turn(1)
        sent = self.task()
        assert isinstance(sent, Submit)
        return sent

    def run(self, uid: str) -> RemoteJobRow:
        """Everything until it runs."""
        sent = self.submit(uid)
        self.submitted(uid, sent.attempt, 7)
        running = row(sent.attempt.name)
        self.seen(uid, (running,), self.now)
        self.turn(1)
        return running

    def found(self, uid: str, rows: tuple[RemoteJobRow, ...], asked: float) -> None:
        self.jobs.happened(Found(uid, rows, asked))

    def seen(self, uid: str, rows: tuple[RemoteJobRow, ...], asked: float) -> None:
        self.jobs.happened(Seen(uid, rows, asked))

    def failed(self, uid: str, why: str) -> None:
        self.jobs.happened(Failed(uid, why, 0))

    def submitted(self, uid: str, attempt: Attempt, id: int) -> None:
        self.jobs.happened(Submitted(uid, attempt, id))

    def cancelled(self, uid: str, at: float) -> None:
        self.jobs.happened(Cancelled(uid, at))

    def logged(self, uid: str, output: bytes) -> None:
        self.jobs.happened(Log(uid, output))

    def name(self, site: Site, tenant: str) -> str:
        """As in Logins."""
        login = self.logins.get(tenant, tenant or "reader")
        if not login:
            raise Unreachable(f"its credentials are not there yet: {site.name}.{tenant}.user")
        return login

    def open(self, site: Site, tenant: str, projects: tuple[str, ...]) -> SiteAccess:
        """As in Logins; nobody does here."""
        raise AssertionError

    def _ask(self, site: str, tenant: str, task: Task) -> bool:
        self.asked.append(tenant or "reader")
        self.tasks.append((site, task))
        return True


def row(name: str, **others: Any) -> RemoteJobRow:
    made = RemoteJobRow(
        *(7, name, name, "project_465000001", "small-g", "vib", "running", "RUNNING", 1_780_000_005)
    )
    return replace(made, **others)


@pytest.fixture
def world() -> World:
    return World()


def test_a_job_goes_through_the_queue_and_the_checks_and_is_looked_for_before_it_is_sent(
    world: World,
) -> None:
    uid = world.make(memoryGiB=32)
    sent = world.submit(uid)
    assert sent.submission.name == f"antenna-{uid}"
    assert sent.submission.project == "project_465000001"
    assert sent.submission.memory_mib_per_node == 32 * 1024
    assert world.status()["attempt"]["asks"] == 1
    assert world.status()["attempt"]["writer"] == "test/1"
    assert FINALIZER in world.jobs.objects[uid]["metadata"]["finalizers"]


def test_the_intention_is_written_before_anything_is_asked(world: World) -> None:
    world.make()
    world.turn()
    assert world.status()["attempt"]["name"] == "antenna-one-uid"
    assert isinstance(world.task(), Find)


def test_a_job_is_followed_to_its_end_and_gives_its_quota_back(world: World) -> None:
    uid = world.make()
    running = world.run(uid)
    assert (world.status()["state"], world.status()["slurmId"]) == ("running", 7)
    ended = replace(running, state="failed", raw_state="TIMEOUT", exit_code=0, ended=1_780_000_100)
    world.seen(uid, (ended,), world.now + 1)
    world.turn(1)
    assert isinstance(world.task(), ReadLog)
    world.logged(uid, b"epoch 1\n")
    world.turn(1)
    said = world.status()
    assert (said["state"], said["reason"], said["logTail"]) == ("failed", "Failed", "epoch 1\n")
    assert said["message"] == "ended at LUMI: TIMEOUT with exit code 0"
    (found,) = world.server.of("Workload")
    assert [c["type"] for c in found["status"]["conditions"] if c["status"] == "True"][-1] == "Finished"
    world.turn(1)
    assert world.jobs.objects[uid]["metadata"]["finalizers"] == []


def test_a_job_leaves_days_after_its_end_and_no_sooner(world: World) -> None:
    uid = world.make()
    running = world.run(uid)
    going_on = world.make("two")
    world.seen(uid, (replace(running, state="succeeded", exit_code=0),), world.now + 1)
    world.turn(1)
    world.logged(uid, b"")
    world.turn(2)
    world.now += KEPT_SECONDS - 1
    world.turn(2)
    assert world.status()["state"] == "succeeded"
    world.now += 1
    world.turn(2)
    assert world.jobs.objects.keys() == {going_on}
    assert world.server.find(API_VERSION, REMOTE_JOB, "one", NAMESPACE) is None


def test_a_new_job_of_the_name_does_not_leave_in_the_old_one_s_place(world: World) -> None:
    """It was made after the last that was told of the old one."""
    uid = world.make()
    running = world.run(uid)
    world.seen(uid, (replace(running, state="succeeded", exit_code=0),), world.now + 1)
    world.turn(1)
    world.logged(uid, b"")
    world.turn(2)
    world.server.delete(API_VERSION, REMOTE_JOB, "one", NAMESPACE)
    (old,) = (obj for obj in world.jobs.objects.values() if obj["metadata"]["uid"] == uid)
    again = {**old, "metadata": {"name": "one", "namespace": NAMESPACE, "uid": "another"}}
    world.server.create(again)
    world.now += KEPT_SECONDS
    with pytest.raises(Conflict):
        world.jobs.look(uid)
    assert world.server.find(API_VERSION, REMOTE_JOB, "one", NAMESPACE) is not None


def test_nothing_is_written_while_nothing_changes(world: World) -> None:
    uid = world.make()
    running = world.run(uid)
    world.turn(1)
    before = len(world.server.writes)
    for _ in range(5):
        world.now += 60
        world.seen(uid, (running,), world.now)
        world.turn(1)
    assert len(world.server.writes) == before


def test_another_process_looks_until_it_is_certain_and_then_sends_it_anew(world: World) -> None:
    uid = world.make()
    world.submit(uid)
    world.start()
    world.turn(1)
    assert isinstance(world.task(), Find)
    world.found(uid, (), world.now)
    world.turn(1)
    assert world.tasks == []
    assert world.status()["reason"] == "Uncertain"
    for seconds in (15, 136):
        world.now += seconds
        world.turn(1)
        assert isinstance(world.task(), Find)
        world.found(uid, (), world.now)
        world.turn(1)
    assert world.status()["attempt"]["asks"] == 2
    assert isinstance(world.task(), Submit)


def test_another_process_adopts_what_is_there(world: World) -> None:
    uid = world.make()
    sent = world.submit(uid)
    world.start()
    world.turn(1)
    world.tasks.clear()
    world.found(uid, (row(sent.attempt.name),), world.now)
    world.turn(1)
    assert world.status()["slurmId"] == 7
    assert world.tasks == []


def test_who_does_not_lead_sends_nothing(world: World) -> None:
    uid = world.make()
    world.turn()
    world.tasks.clear()
    world.found(uid, (), world.now)
    world.leads = False
    world.turn()
    assert world.tasks == []


def test_a_write_on_an_old_version_fails_and_nothing_is_sent(world: World) -> None:
    """Another leader has written its intention: this one's view is from before that."""
    uid = world.make()
    world.turn(2)
    stale = world.jobs.objects[uid]
    world.server.patch("", REMOTE_JOB, "one", NAMESPACE, {"status": {"message": "from another"}})
    world.jobs.objects[uid] = stale
    world.tasks.clear()
    with pytest.raises(Conflict):
        world.jobs.look(uid)
    assert world.tasks == []


def test_a_deleted_job_is_cancelled_and_let_go_when_it_has_ended(world: World) -> None:
    uid = world.make()
    running = world.run(uid)
    world.server.delete("", REMOTE_JOB, "one", NAMESPACE)
    world.turn(1)
    assert isinstance(world.task(), Cancel)
    world.cancelled(uid, world.now)
    world.now += 20
    world.turn(1)
    assert isinstance(world.task(), Find)
    world.found(uid, (replace(running, state="cancelled", raw_state="CANCELLED"),), world.now)
    world.turn(1)
    world.logged(uid, b"")
    world.turn(2)
    assert world.server.find("", REMOTE_JOB, "one", NAMESPACE) is None


def test_a_deleted_job_that_was_never_sent_goes_at_once(world: World) -> None:
    world.make()
    world.server.delete("", REMOTE_JOB, "one", NAMESPACE)
    world.turn(1)
    assert world.server.find("", REMOTE_JOB, "one", NAMESPACE) is None
    assert world.tasks == []


def test_what_a_budget_cannot_pay_is_held_and_what_was_let_go_is_reserved(world: World) -> None:
    world.budgets.left["lumi", "gpu-hours"] = Fraction(1)
    world.make("a")  # half a GPU-hour
    world.make("b", partition="standard-g", gpusPerNode=None)  # four
    world.turn()
    assert world.status("b")["reason"] == "Budget"
    assert world.status("b")["message"] == (
        "costs up to 4 gpu-hours, and project_465000001 at LUMI has 0.5 left "
        "(0.5 more are reserved by work that was let go); a shorter timeLimit or fewer nodes cost less"
    )
    world.budgets.left["lumi", "gpu-hours"] = Fraction(5)
    world.now += 10
    world.turn()
    assert world.status("b")["reason"] == "Submitting"


def test_a_job_that_only_a_debt_pays_for_goes_and_one_beyond_that_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROOM, "jupiter-booster", 2)
    jsc = replace(JUPITER, accounting=replace(JUPITER.accounting, overdraw=True))
    world.jobs._context.sites = {"lumi": LUMI, "jupiter": jsc}
    world.budgets.left["jupiter", "core-hours"] = Fraction(300)  # of which some may be a debt
    world.make("a", site="jupiter", partition="booster", gpusPerNode=None)
    world.make("b", site="jupiter", partition="booster", gpusPerNode=None)
    world.turn()
    assert world.status("a")["reason"] == "Submitting"
    assert world.status("b")["message"].startswith(
        "costs up to 288 core-hours, and antenna-vib at JUPITER has 12 left, with what may be overdrawn (288"
    )


def test_an_unknown_budget_and_a_silent_site_hold(world: World) -> None:
    world.budgets.left.clear()
    world.health["lumi"] = Health(False, "does not answer: no route to host")
    world.make()
    world.turn()
    assert world.status()["message"] == "the budget of project_465000001 at LUMI is not known yet"
    world.budgets.left["lumi", "gpu-hours"] = Fraction(5)
    world.turn()
    assert world.status()["reason"] == "SiteHealth"
    assert world.status()["message"] == "LUMI does not answer: no route to host"


def test_a_site_in_maintenance_is_sent_no_new_job_until_it_is_over(world: World) -> None:
    until = datetime.fromtimestamp(world.now + 600, UTC)
    world.maintenance["lumi"] = Maintenance(until=until, because="new switches")
    world.make()
    world.turn()
    assert world.status()["reason"] == "SiteHealth"
    assert (
        world.status()["message"] == f"LUMI is in maintenance until {until:%Y-%m-%d %H:%M} UTC: new switches"
    )
    world.now += 599
    world.turn()
    assert world.status()["reason"] == "SiteHealth"
    world.now += 1
    world.turn()
    assert world.status()["reason"] == "Submitting"


def test_what_was_sent_before_a_maintenance_is_followed_through_it(world: World) -> None:
    world.make()
    world.turn()
    assert world.status()["reason"] == "Submitting"
    until = datetime.fromtimestamp(world.now + 600, UTC)
    world.maintenance["lumi"] = Maintenance(until=until, because="new switches")
    world.turn()
    assert world.status()["reason"] == "Submitting"


def test_a_job_for_any_goes_elsewhere_while_its_site_is_in_maintenance(world: World) -> None:
    until = datetime.fromtimestamp(world.now + 600, UTC)
    world.maintenance["lumi"] = Maintenance(until=until, because="new switches")
    world.make(site="any", partition=None, gpusPerNode=4)
    world.turn()
    assert world.status()["site"] == "jupiter"


def test_a_job_for_any_goes_elsewhere_when_its_site_falls_silent(world: World) -> None:
    world.health["lumi"] = Health(False, "does not answer")
    world.make(site="any", partition=None, gpusPerNode=4)
    world.turn()
    assert world.status()["site"] == "jupiter"


def test_a_job_for_any_that_is_held_everywhere_waits_and_goes_to_the_first_that_is_free(world: World) -> None:
    silent = Health(False, "does not answer")
    world.health.update(lumi=silent, jupiter=silent)
    world.make(site="any", partition=None, gpusPerNode=4)
    world.turn()
    assert (world.status()["reason"], world.status()["site"]) == ("SiteHealth", "lumi")
    world.health["jupiter"] = WELL
    world.turn()
    assert world.status()["site"] == "jupiter"
    assert world.status()["reason"] == "Submitting"


@pytest.mark.parametrize("attempted", [False, True])
def test_a_workload_that_somebody_deletes_is_made_anew_and_calls_nothing_back(
    world: World, attempted: bool
) -> None:
    uid = world.make(site="any", partition=None, gpusPerNode=4)
    if attempted:
        world.run(uid)
    else:
        world.turn(2)
    (found,) = world.server.of("Workload")
    world.server.delete("", "Workload", found["metadata"]["name"], NAMESPACE)
    world.tasks.clear()
    world.turn()
    (made,) = world.server.of("Workload")
    assert {c["type"] for c in made["status"]["conditions"]} >= {"QuotaReserved", "Admitted"}
    assert not any(isinstance(task, Cancel) for _, task in world.tasks)


def test_an_evicted_job_that_runs_is_cancelled_and_ends_cancelled(world: World) -> None:
    uid = world.make()
    running = world.run(uid)
    (found,) = world.server.of("Workload")
    evicted = {"type": "Evicted", "status": "True", "message": "the queue is drained"}
    conditions = [*found["status"]["conditions"], evicted]
    patch = {"status": {"conditions": conditions}}
    world.server.patch("", "Workload", found["metadata"]["name"], NAMESPACE, patch)
    world.turn(1)
    assert isinstance(world.task(), Cancel)
    world.cancelled(uid, world.now)
    world.seen(uid, (replace(running, state="cancelled", raw_state="CANCELLED"),), world.now + 1)
    world.turn(1)
    world.logged(uid, b"")
    world.turn(1)
    assert world.status()["state"] == "cancelled"


def test_kueue_is_told_of_what_it_admits_that_it_waits_for_no_pods(world: World) -> None:
    world.run(world.make())
    (found,) = world.server.of("Workload")
    (ready,) = [c for c in found["status"]["conditions"] if c["type"] == "PodsReady"]
    assert (ready["status"], ready["reason"]) == ("True", "Started")
    writes = found["metadata"]["resourceVersion"]
    world.turn(3)
    assert world.server.of("Workload")[0]["metadata"]["resourceVersion"] == writes


def test_a_job_is_the_partners_own_login_s_from_the_intention_on(world: World) -> None:
    sent = world.submit(world.make())
    assert (sent.attempt.login, sent.submission.login) == ("vib", "vib")
    assert world.status()["attempt"]["login"] == "vib"
    assert world.asked == ["vib", "vib"]


@pytest.mark.parametrize(
    "others",
    [{"user": "ulb"}, {"user": "reader"}, {"project": "project_465000002", "user": "ulb"}],
    ids=["another partner's", "the reader's", "another project's"],
)
def test_a_job_that_somebody_else_gave_our_name_counts_for_nothing(
    world: World, others: dict[str, Any]
) -> None:
    uid = world.make()
    sent = world.submit(uid)
    theirs = row(sent.attempt.name, id=99, state="failed", raw_state="FAILED", **others)
    world.failed(uid, "timed out")
    world.seen(uid, (theirs,), world.now)
    assert world.jobs.memory[uid].told.answer is None
    world.found(uid, (theirs, row(sent.attempt.name)), world.now + 1)
    world.turn(1)
    assert (world.status()["slurmId"], world.status()["state"]) == (7, "running")


@pytest.mark.parametrize("others", [{"partition": "standard-g"}, {"project": "project_465000002"}])
def test_a_job_of_its_login_elsewhere_is_not_its_own_and_no_proof_that_there_is_none(
    world: World, others: dict[str, Any]
) -> None:
    uid = world.make()
    sent = world.submit(uid)
    world.failed(uid, "timed out")
    for _ in range(40):
        world.now += 15
        world.tasks.clear()
        world.found(uid, (row(sent.attempt.name, **others),), world.now)
        world.turn(1)
    assert "slurmId" not in world.status()
    assert world.status()["attempt"]["asks"] == 1
    assert not [task for _, task in world.tasks if isinstance(task, Submit)]


def test_a_job_that_the_site_has_is_followed_wherever_somebody_there_moves_it(world: World) -> None:
    uid = world.make()
    running = world.run(uid)
    moved = replace(running, partition="standard-g", project="project_465000002")
    world.seen(uid, (moved,), world.now + 1)
    world.turn(1)
    assert (world.status()["state"], world.status()["partition"]) == ("running", "standard-g")
    world.seen(uid, (replace(moved, id=99),), world.now + 2)
    world.turn(1)
    assert world.tasks == [], "another job of that name there is nobody's"
    world.seen(uid, (replace(moved, state="succeeded", raw_state="COMPLETED", exit_code=0),), world.now + 3)
    world.turn(1)
    world.logged(uid, b"")
    world.turn(1)
    assert (world.status()["state"], world.status()["reason"]) == ("succeeded", "Succeeded")


def refused(world: World, uid: str, lasting: Lasting, seconds: float = 0) -> None:
    """The job is sent, and its scheduler refuses it."""
    for _ in range(400):
        tasks, world.tasks[:] = [task for _, task in world.tasks], []
        for task in tasks:
            if isinstance(task, Submit):
                assert task.uid == uid
                world.jobs.happened(Refusal(uid, task.attempt, "LUMI: no", lasting, seconds))
                world.turn(1)
                return
            world.found(task.uid, (), world.now)
        world.now += 10
        world.turn(1)
    pytest.fail("it was not sent")


def test_a_job_that_is_refused_for_good_fails_after_some_tries(world: World) -> None:
    uid = world.make()
    began = world.now
    for tries in range(3):
        refused(world, uid, Lasting.FOR_GOOD, 60)
        if tries < 2:
            assert (world.status()["state"], world.status()["reason"]) == ("pending", "Rejected")
            assert world.status()["message"].startswith("LUMI refuses it: LUMI: no; it is tried again at ")
    assert world.now - began < 600
    world.turn(1)
    assert (world.status()["state"], world.status()["reason"]) == ("failed", "Rejected")


@pytest.mark.parametrize("lasting", [Lasting.FOR_NOW, Lasting.OF_THE_SITE, Lasting.UNCLEAR])
def test_a_job_that_is_refused_for_a_while_is_tried_less_and_less_often_and_fails_after_a_week(
    world: World, lasting: Lasting
) -> None:
    uid = world.make()
    began, tries = world.now, []
    for _ in range(9):
        refused(world, uid, lasting, 60)
        tries.append(world.now)
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert gaps == sorted(gaps)
    longest = 1800 if lasting is not Lasting.UNCLEAR else 2700  # until it is certain that it was not taken
    assert 1800 <= gaps[-1] < longest + 100
    assert world.status()["state"] == "pending"
    world.now = began + 7 * 86400
    for _ in range(100):
        world.now += 15
        world.turn(1)
        if world.tasks:
            world.found(uid, (), world.now)
        world.tasks.clear()
    assert world.status()["state"] == "failed"
    assert world.status()["message"].endswith("LUMI: no")


@pytest.mark.parametrize(
    ("lasting", "whom"),
    [
        (Lasting.OF_THE_SITE, {"mine", "others"}),
        (Lasting.FOR_NOW, {"mine"}),
        (Lasting.FOR_GOOD, set()),
        (Lasting.UNCLEAR, set()),
    ],
)
def test_a_refusal_holds_whom_it_is_about_and_nobody_else(
    world: World, monkeypatch: pytest.MonkeyPatch, lasting: Lasting, whom: set[str]
) -> None:
    monkeypatch.setitem(ROOM, "lumi-small-g", 9)
    monkeypatch.setitem(ROOM, "lumi-standard-g", 9)
    world.jobs._context.allocations = {"vib": GRANTS, "ulb": GRANTS}
    uid = world.make()
    world.turn()
    refused(world, uid, lasting, 300)
    of = {"mine": {}, "others": {"namespace": "tenant-ulb"}, "elsewhere": {"partition": "standard-g"}}
    for name, fields in of.items():
        world.make(name, **{"gpusPerNode": None if "partition" in fields else 1, **fields})
    world.turn()
    assert {name for name in of if "attempt" not in world.status(name, world.made[name])} == whom
    if whom:
        assert world.status("mine")["message"] == "goes to LUMI: LUMI: no"
    world.now += 301
    world.turn()
    assert "attempt" in world.status("mine")


def test_jobs_that_are_refused_for_now_take_no_turn_from_others_of_their_partner(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROOM, "lumi-small-g", 9)
    monkeypatch.setitem(ROOM, "lumi-standard-g", 9)
    for number in range(IN_HAND):
        world.make(f"job{number}")
        world.turn()
        refused(world, f"job{number}-uid", Lasting.FOR_GOOD, 3000)
    world.make("other", partition="standard-g", gpusPerNode=None)
    world.turn()
    assert "attempt" in world.status("other")


def test_a_job_that_was_sent_as_everybody_s_login_is_followed_by_the_one_that_reads(world: World) -> None:
    """An attempt that a build before wrote names no login."""
    uid = world.make()
    world.submit(uid)
    old = {**world.status()["attempt"], "login": ""}
    world.server.patch(API_VERSION, REMOTE_JOB, "one", NAMESPACE, {"status": {"attempt": old}})
    world.start()
    world.turn(1)
    found = world.task()
    assert isinstance(found, Find)
    assert (found.login, world.asked[-1]) == ("reader", "reader")
    world.found(uid, (row(old["name"], user="reader"),), world.now)
    world.turn(1)
    assert (world.status()["slurmId"], world.status()["attempt"]["login"]) == (7, "")
    world.server.delete(API_VERSION, REMOTE_JOB, "one", NAMESPACE)
    world.now += 20
    world.seen(uid, (row(old["name"], user="reader"),), world.now)
    world.turn(1)
    assert isinstance(world.task(), Cancel)
    assert world.asked[-1] == "reader"


def test_what_everybody_s_login_certainly_never_sent_is_sent_as_the_partners_own(world: World) -> None:
    uid = world.make()
    world.submit(uid)
    old = {**world.status()["attempt"], "login": ""}
    world.server.patch(API_VERSION, REMOTE_JOB, "one", NAMESPACE, {"status": {"attempt": old}})
    world.start()
    for _ in range(20):
        world.now += 15
        world.turn(1)
        for _, task in world.tasks[:1]:
            if isinstance(task, Submit):
                assert (task.attempt.login, task.submission.login, task.attempt.asks) == ("vib", "vib", 2)
                return
            assert isinstance(task, Find)
            world.found(uid, (), world.now)
        world.tasks.clear()
    pytest.fail("it was never sent")


def test_a_job_whose_login_is_not_among_the_credentials_any_more_is_asked_of_nobody(world: World) -> None:
    """Another login might not see it, and would say that there is none: it would be sent twice."""
    uid = world.make()
    world.submit(uid)
    world.logins["vib"] = "vib2"
    world.failed(uid, "timed out")
    for _ in range(40):
        world.now += 15
        world.turn(1)
    assert world.tasks == []
    assert world.status()["attempt"]["asks"] == 1
    assert "its login vib is not among the credentials" in world.status()["message"]


def test_a_partner_without_a_login_waits_and_says_why(world: World) -> None:
    world.logins["vib"] = ""
    world.make()
    world.turn()
    assert (world.status()["reason"], world.tasks) == ("SiteHealth", [])
    assert "LUMI has no login for vib" in world.status()["message"]
    world.logins["vib"] = "vib"
    world.now += 3
    world.turn()
    assert isinstance(world.task(), Find)


def test_a_login_that_is_declared_otherwise_is_not_used(world: World) -> None:
    world.partners["vib"] = replace(VIB, logins={"lumi": "antenna-vib"})
    world.make()
    world.turn()
    assert "declared as antenna-vib" in world.status()["message"]
    assert world.tasks == []


def test_a_login_that_is_shut_out_holds_its_partner_and_nobody_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROOM, "lumi-small-g", 5)
    world.known.tell("lumi", "ulb", Health(False, "does not answer ulb's login: it does not accept the key"))
    world.make("a")
    world.turn()
    assert isinstance(world.task(), Find)
    world.known.tell("lumi", "vib", Health(False, "does not answer vib's login: it does not accept the key"))
    world.make("b")
    world.turn()
    assert world.status("b")["reason"] == "SiteHealth"
    assert world.status("b")["message"] == "LUMI does not answer vib's login: it does not accept the key"


def test_a_partition_s_jobs_of_a_user_are_counted_a_login(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = replace(LUMI, partitions=tuple(replace(p, max_jobs=1) for p in LUMI.partitions))
    world.jobs._context.sites = {"lumi": narrow, "jupiter": JUPITER}
    world.jobs._context.allocations = {"vib": GRANTS, "ulb": GRANTS}
    monkeypatch.setitem(ROOM, "lumi-small-g", 5)
    for name, namespace in (("a", NAMESPACE), ("b", NAMESPACE), ("c", "tenant-ulb")):
        world.make(name, namespace=namespace)
    world.turn()
    attempts = {name: world.status(name, where).get("attempt") for name, where in world.made.items()}
    assert sum(attempts[name] is not None for name in ("a", "b")) == 1
    assert attempts["c"]["login"] == "ulb"


def test_no_more_jobs_are_sent_than_a_partition_takes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = replace(LUMI, partitions=tuple(replace(p, max_jobs=1) for p in LUMI.partitions))
    world.jobs._context.sites = {"lumi": narrow, "jupiter": JUPITER}
    monkeypatch.setitem(ROOM, "lumi-small-g", 5)
    world.make("a")
    world.make("b")
    world.turn()
    attempts = [world.status(name).get("attempt") for name in ("a", "b")]
    assert sum(attempt is not None for attempt in attempts) == 1


def test_many_jobs_at_once_are_all_sent_though_each_takes_its_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thing at a time at 3 s each: were all intended at once, none could be begun within its window."""
    monkeypatch.setitem(ROOM, "lumi-small-g", 40)
    uids = [world.make(f"job{number}") for number in range(40)]
    world.turn()
    line: list[Task] = []
    for done in range(200):
        line += [task for _, task in world.tasks]
        world.tasks.clear()
        if not line:
            break
        task = min(line, key=rank)
        line.remove(task)
        world.now += 3
        if isinstance(task, Submit):
            assert task.still()
            world.submitted(task.uid, task.attempt, 1000 + done)
        else:
            world.found(task.uid, (), world.now - 3)
        world.see()
        for uid in {task.uid, *world.jobs.in_turn()}:
            world.jobs.look(uid)
    assert sum(world.status(f"job{number}").get("slurmId") is not None for number in range(40)) == len(uids)
    assert done == 2 * len(uids)


def test_a_reservation_is_known_again_before_a_new_process_judges(world: World) -> None:
    world.budgets.left["lumi", "gpu-hours"] = Fraction(4)
    world.make("z", partition="standard-g", gpusPerNode=None)
    world.turn()
    assert world.status("z")["reason"] == "Submitting"
    world.start()
    world.make("a")
    world.turn()
    assert world.status("a")["reason"] == "Budget"


def test_a_project_that_ends_before_its_job_is_sent_ends_the_job(world: World) -> None:
    uid = world.make()
    world.turn()
    world.tasks.clear()
    world.jobs._context.allocations = {"vib": ()}
    world.found(uid, (), world.now)
    world.turn()
    assert world.tasks == []
    assert (world.status()["state"], world.status()["reason"]) == ("failed", "NoProject")
