"""Figures of remote work: the families of local work, budgets, and sources that fall silent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from fractions import Fraction

import pytest
from prometheus_client.parser import text_string_to_metric_families as read_text

from operators.catalog import FAMILIES
from operators.collectors.remote import waits_for
from operators.exposition.store import Store
from operators.ledger.entry import Entry
from operators.ledger.ledger import Ledger
from operators.ledger.remote import LOST_SECONDS, RemoteLedger
from operators.ledger.remote_entry import Payer
from operators.reasons import PENDING_REASONS, Reason
from operators.sites.access import Granted, Held, NodeRow, RemoteJobRow, Resources, Unreachable
from operators.usage.budgets import Allocation
from operators.usage.remote import GRANTED_SECONDS, MISSED, RemoteUsage
from operators.usage.watch import RemoteWatch
from tests.unit.remote_sites import JUPITER, LUMI

START = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp())
HOUR = 3600
PROJECT = "project_465000001"
ALLOCATIONS = (
    Allocation("ugent", "lumi", PROJECT, "gpu-hours", Fraction(100), date(2026, 1, 1), date(2026, 12, 31)),
    Allocation(
        "imec", "jupiter", "antenna-imec", "core-hours", Fraction(6000), date(2026, 2, 1), date(2026, 4, 30)
    ),
)
PAYERS = (
    Payer("ugent", "flanders", "science-research"),
    Payer("imec", "flanders", "digital-services"),
)
SMALL_G = {"site": "lumi", "queue": "small-g", "tenant": "ugent"}
UGENT = {"site": "lumi", "tenant": "ugent", "unit": "gpu-hours"}
IMEC = {"site": "jupiter", "tenant": "imec", "unit": "core-hours"}
BEARER = {"site": "lumi", "tenant": "ugent", "sector": "science-research", "ecosystem": "flanders"}


class World:
    """What is shown of what sites told; times are seconds after START."""

    def __init__(self, where):
        self.now = 0
        self.store = Store(FAMILIES)
        self.ledger = RemoteLedger(where)
        self.usage = RemoteUsage(self.store, self.ledger, clock=lambda: START + self.now)
        self.usage.configure((LUMI, JUPITER), ALLOCATIONS, PAYERS)

    def figures(self, family):
        text = b"".join(self.store.render(False)).decode()
        return {
            tuple(sample.labels.items()): sample.value
            for one in read_text(text)
            for sample in one.samples
            if sample.name == family
        }

    def figure(self, family, **labels):
        found = [v for series, v in self.figures(family).items() if labels.items() <= dict(series).items()]
        assert len(found) <= 1, f"several series of {family} have {labels}"
        return found[0] if found else None

    def looked(self, site, rows):
        """The queue has answered, and the accounting."""
        self.usage.queue(site, [row for row in rows if row.ended is None])
        self.usage.ended(site, [row for row in rows if row.ended is not None], START + self.now)

    def balance(self, site):
        return next((one for one in self.usage.balances() if one.site == site), None)


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path / "ledger.sqlite")
    yield one
    one.ledger.close()


def job(number, state="pending", **others):
    """One of two GCDs, a GPU-hour an hour, for an hour at most."""
    at = {"started": None, "ended": None} | {
        name: START + others.pop(name) for name in ("started", "ended") if name in others
    }
    of = {
        "name": f"job-{number}",
        "comment": "",
        "project": PROJECT,
        "partition": "small-g",
        "user": "antenna",
        "raw_state": state.upper(),
        "resources": Resources(1, 14, 2, 122880),
        "submitted": START,
        "limit": HOUR,
        "reason": "Priority" if state == "pending" else "",
    }
    return RemoteJobRow(id=number, state=state, **{**of, **at, **others})


def test_remote_work_is_in_the_families_of_local_work_by_partition_and_tenant(world):
    world.now = 100
    world.usage.queue("lumi", [job(1, "running", started=40), job(2), job(3, submitted=START + 50)])
    assert world.figure("antenna_queue_jobs", **SMALL_G, state="running") == 1
    assert world.figure("antenna_queue_jobs", **SMALL_G, state="pending") == 2
    assert world.figure("antenna_queue_oldest_pending_age_seconds", **SMALL_G) == 100
    assert world.figure("antenna_queue_pending_reason", **SMALL_G, reason="BehindOthers") == 2
    assert world.figure("antenna_queue_gpus_requested", **SMALL_G) == 6
    assert world.figure("antenna_queue_gpus_reserved", **SMALL_G, flavor="lumi-small-g") == 2
    assert world.figure("antenna_queue_memory_bytes_reserved", **SMALL_G) == 120 * 2**30


def test_a_job_that_waits_for_several_partitions_is_in_one_and_reserves_what_the_dearest_takes(world):
    world.now = 100
    world.usage.queue("lumi", [job(1, partition="small-g,standard-g")])
    assert world.figure("antenna_queue_jobs", **SMALL_G, state="pending") == 1
    assert world.figure("antenna_queue_jobs", **{**SMALL_G, "queue": "standard-g"}, state="pending") == 0
    assert world.figure("antenna_job_info", job_name="job-1", queue="small-g") == 1
    world.usage.ended("lumi", [])
    assert world.balance("lumi").reserved == 4, "a whole node for an hour"


def test_an_array_that_waits_is_as_many_jobs_as_it_has_tasks(world):
    world.now = 100
    world.usage.queue("lumi", [job(1, tasks=468), job(2, "running", started=40)])
    world.usage.ended("lumi", [])
    assert world.figure("antenna_queue_jobs", **SMALL_G, state="pending") == 468
    assert world.figure("antenna_queue_pending_reason", **SMALL_G, reason="BehindOthers") == 468
    assert world.figure("antenna_queue_gpus_requested", **SMALL_G) == 469 * 2
    assert world.figure("antenna_job_gpus", job_name="job-1") == 468 * 2
    assert world.balance("lumi").reserved == 468 + Fraction(HOUR - 60, HOUR), "each an hour, and its rest"


def test_a_tenants_partitions_show_zero_while_nothing_is_in_them(world):
    world.usage.queue("lumi", [])
    assert world.figure("antenna_queue_jobs", **SMALL_G, state="pending") == 0
    assert world.figure("antenna_queue_jobs", **{**SMALL_G, "queue": "standard-g"}, state="running") == 0
    # Its project has no CPU-core-hours.
    assert world.figure("antenna_queue_jobs", **{**SMALL_G, "queue": "standard"}, state="running") is None


def test_each_job_has_its_series_while_it_waits_or_runs(world):
    world.usage.queue("lumi", [job(7, "running", started=40)])
    one = {"site": "lumi", "namespace": "tenant-ugent", "job_name": "job-7"}
    assert world.figure("antenna_job_info", **one, queue="small-g", uid=f"7@{START}") == 1
    assert world.figure("antenna_job_state", **one, state="running") == 1
    assert world.figure("antenna_job_gpus", **one) == 2
    assert world.figure("antenna_job_started_timestamp_seconds", **one) == START + 40
    world.usage.queue("lumi", [])
    assert world.figures("antenna_job_info") == {}


def test_two_jobs_of_one_name_are_one_series(world):
    world.usage.queue("lumi", [job(1, name="same"), job(2, name="same", submitted=START + 5)])
    assert world.figure("antenna_job_info", job_name="same", uid=f"2@{START + 5}") == 1
    assert len(world.figures("antenna_job_state")) == 1


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("Priority", Reason.BEHIND_OTHERS),
        ("Resources", Reason.NODES_FULL),
        ("QOSMaxJobsPerUserLimit", Reason.QUOTA_USED_UP),
        ("AssocGrpGRES", Reason.QUOTA_USED_UP),
        ("ReqNodeNotAvail, UnavailableNodes:nid001", Reason.NODES_CLOSED),
        ("PartitionDown", Reason.NODES_CLOSED),
        ("PartitionTimeLimit", Reason.NEVER_FITS),
        ("JobHeldUser", Reason.SUSPENDED),
        ("Nodes required for job are DOWN, DRAINED or reserved", Reason.NODES_CLOSED),
        ("Nodes_required_for_job_are_DOWN,_DRAINED_or_reserved", Reason.NODES_CLOSED),
        ("launch failed requeued held", Reason.SUSPENDED),
        ("job_requeued_in_held_state", Reason.SUSPENDED),
        ("JobHoldMaxRequeue", Reason.SUSPENDED),
        ("JobArrayTaskLimit", Reason.QUOTA_USED_UP),
        ("MaxGRESPerAccount", Reason.QUOTA_USED_UP),
        ("MaxMemPerLimit", Reason.NEVER_FITS),
        ("Licenses", Reason.NODES_FULL),
        ("Reservation", Reason.NODES_CLOSED),
        ("ReservationDeleted", Reason.NEVER_FITS),
        ("BurstBufferStageIn", Reason.STARTING),
        ("InvalidQOS", Reason.NEVER_FITS),
        ("<script>", Reason.UNKNOWN),
        ("", Reason.UNKNOWN),
    ],
)
def test_slurms_words_become_known_reasons(word, reason):
    assert waits_for(word) is reason
    assert reason in PENDING_REASONS


def test_counters_are_sums_over_the_ledger(world):
    world.usage.queue("lumi", [])
    done = [job(1, "succeeded", started=0, ended=1800), job(2, "failed", started=0, ended=900)]
    for _ in range(2):
        world.usage.ended("lumi", done)
    assert world.figure("antenna_gpu_seconds_total", **BEARER) == 2 * 2700
    assert world.figure("antenna_billed_units_total", **BEARER, unit="gpu-hours") == 0.75
    assert world.figure("antenna_remote_energy_joules_total", **BEARER) == pytest.approx(
        0.155 * 2 * 0.75 * 3.6e6
    )
    assert world.figure("antenna_jobs_finished_total", **SMALL_G, outcome="succeeded") == 1
    assert world.figure("antenna_jobs_finished_total", **SMALL_G, outcome="failed") == 1


def test_a_counter_never_goes_back_though_a_job_ended_before_it_was_last_said_to_run(world, tmp_path):
    world.now = 910
    world.looked("lumi", [job(1, "running", started=0)])
    assert world.figure("antenna_gpu_seconds_total", **BEARER) == 2 * 910
    world.looked("lumi", [job(1, "succeeded", started=0, ended=900)])
    assert world.figure("antenna_gpu_seconds_total", **BEARER) == 2 * 910
    again = World(tmp_path / "ledger.sqlite")
    again.looked("lumi", [])
    assert again.figure("antenna_gpu_seconds_total", **BEARER) == 2 * 910
    again.looked("lumi", [job(2, "succeeded", started=0, ended=900)])
    assert again.figure("antenna_gpu_seconds_total", **BEARER) == 2 * 1800
    again.ledger.close()


def test_nodes_are_shown_by_partition_and_state(world):
    world.usage.nodes("lumi", [NodeRow("small-g", "idle", 3), NodeRow("small-g", "down", 1)])
    assert world.figure("antenna_remote_nodes", site="lumi", queue="small-g", node_state="idle") == 3
    world.usage.nodes("lumi", [NodeRow("small-g", "idle", 4)])
    assert world.figure("antenna_remote_nodes", site="lumi", queue="small-g", node_state="down") is None


def test_a_budget_is_what_was_granted_less_what_was_used_and_what_may_be(world):
    world.now = 1800
    world.usage.queue("lumi", [job(1, "running", started=0), job(2)])
    world.usage.ended("lumi", [job(3, "succeeded", started=0, ended=900)])
    # 0.5 by the one that runs, 0.25 by the one that ended; 0.5 and 1 may come.
    assert world.figure("antenna_budget_allocated", **UGENT) == 100
    assert world.figure("antenna_budget_used", **UGENT) == 0.75
    assert world.figure("antenna_budget_reserved", **UGENT) == 1.5
    assert world.figure("antenna_budget_remaining", **UGENT) == 97.75
    assert world.figure("antenna_budget_burn_per_day", **UGENT) == pytest.approx(0.75 / 7)
    assert world.figure("antenna_budget_exhaustion_timestamp_seconds", **UGENT) is None


def test_an_end_before_the_start_gives_no_hours_back(world):
    world.now = 3 * HOUR
    world.usage.queue("lumi", [])
    world.usage.ended("lumi", [job(1, "cancelled", started=HOUR, ended=HOUR - 16)])
    assert world.figure("antenna_budget_used", **UGENT) == 0
    assert world.figure("antenna_budget_remaining", **UGENT) == 100


def test_time_in_which_a_job_is_suspended_is_neither_used_nor_off_its_limit(world):
    world.now = HOUR
    world.looked("lumi", [job(1, "running", started=0, suspended=HOUR // 2)])
    found = world.balance("lumi")
    assert (found.used, found.reserved) == (Fraction(1, 2), Fraction(1, 2))
    assert world.usage.remaining("ugent", "lumi", "gpu-hours") == 100
    world.now = 2 * HOUR
    world.looked("lumi", [job(1, "succeeded", started=0, suspended=HOUR, ended=2 * HOUR)])
    assert world.balance("lumi").used == 1
    assert world.figure("antenna_gpu_seconds_total", **BEARER) == 2 * HOUR
    assert world.figure("antenna_billed_units_total", **BEARER, unit="gpu-hours") == 1


def test_what_runs_reserves_up_to_its_own_limit_and_without_one_up_to_its_partitions(world):
    day = 24 * HOUR
    world.usage.queue("lumi", [job(1, "running", started=0, limit=2 * HOUR)])
    assert world.balance("lumi").reserved == 2
    world.usage.queue("lumi", [job(1, "running", started=0, limit=None)])
    assert world.balance("lumi").reserved == 3 * day // HOUR


def test_a_monthly_budget_has_the_rest_of_the_month_before(world):
    node = Resources(4, 1152, 16, 0)
    at = {"project": "antenna-imec", "partition": "booster", "resources": node}
    world.usage.queue("jupiter", [])
    world.usage.ended("jupiter", [job(1, "succeeded", started=0, ended=HOUR, **at)])
    # February's 2000 are unused.
    assert world.figure("antenna_budget_allocated", **IMEC) == 4000
    assert world.figure("antenna_budget_used", **IMEC) == 4 * 288


def test_the_day_of_exhaustion_follows_from_the_burn(world):
    world.now = 7 * 24 * HOUR
    big = Resources(1, 56, 8, 0)
    world.usage.queue("lumi", [])
    world.usage.ended("lumi", [job(1, "succeeded", started=0, ended=10 * HOUR, resources=big)])
    # 40 of 100 in 7 days: the other 60 in 10.5.
    at = world.figure("antenna_budget_exhaustion_timestamp_seconds", **UGENT)
    assert at == START + world.now + 10.5 * 24 * HOUR


def test_a_job_that_left_the_queue_keeps_its_reservation_until_the_accounting_has_it(world):
    world.now = 600
    world.usage.queue("lumi", [job(1, "running", started=0)])
    world.now = 1200
    world.usage.queue("lumi", [])
    assert world.balance("lumi").used + world.balance("lumi").reserved == 1
    world.usage.ended("lumi", [job(1, "succeeded", started=0, ended=900)])
    assert (world.balance("lumi").used, world.balance("lumi").reserved) == (Fraction(1, 4), 0)


def test_what_the_queue_remembers_to_have_ended_is_neither_running_nor_reserved_anew(world):
    world.now = 1000
    over, never = job(1, "failed", started=100, ended=700), job(2, "cancelled", started=300, ended=300)
    world.usage.queue("lumi", [over, never, job(3, "running", started=100)])
    assert world.figure("antenna_queue_jobs", **SMALL_G, state="running") == 1
    assert world.figure("antenna_jobs_finished_total", **SMALL_G, outcome="failed") is None
    assert (world.balance("lumi").used, world.balance("lumi").reserved) == (
        Fraction(1500, HOUR),
        Fraction(2700, HOUR),
    )


def test_a_job_that_was_cancelled_while_it_waited_reserves_nothing_though_no_accounting_tells_of_it(world):
    world.usage.queue("lumi", [job(1)])
    assert world.balance("lumi").reserved == 1
    world.now = 60
    world.usage.queue("lumi", [job(1, "cancelled", started=50, ended=50)])
    assert world.balance("lumi").reserved == 0


def test_what_may_be_overdrawn_can_be_used_where_the_site_says_so(world):
    books = replace(JUPITER.accounting, overdraw=True)
    world.usage.configure((LUMI, replace(JUPITER, accounting=books)), ALLOCATIONS, PAYERS)
    world.now = 10 * HOUR
    of = {"project": "antenna-imec", "partition": "booster", "resources": Resources(1, 288, 4, 0)}
    world.looked("jupiter", [job(1, "succeeded", started=0, ended=10 * HOUR, **of)])
    # Three months of 2,000 each, the rest of February carried over: 2,000 + 2,000 - 2,880, and 2,000 of debt.
    assert world.balance("jupiter").remaining == 1120
    assert world.usage.remaining("imec", "jupiter", "core-hours") == 3120


def test_who_reserves_whole_jobs_is_told_what_no_ended_job_has_used(world):
    assert world.usage.remaining("ugent", "lumi", "gpu-hours") is None
    world.now = 1800
    world.looked("lumi", [job(1, "running", started=0), job(2), job(3, "failed", started=0, ended=900)])
    # Of 100 a quarter is used by the one that ended; the half that the running one has used is reserved.
    assert world.usage.remaining("ugent", "lumi", "gpu-hours") == 100 - Fraction(1, 4)
    assert world.balance("lumi").remaining == 100 - Fraction(1, 4) - 1 - 1
    assert world.usage.remaining("ugent", "lumi", "core-hours") == 0
    assert world.usage.remaining("imec", "lumi", "gpu-hours") == 0


def test_a_job_that_is_over_is_counted_once_its_end_is_told(world):
    world.now = 600
    world.looked("lumi", [job(1, "running", started=0)])
    world.looked("lumi", [])
    assert world.figure("antenna_queue_jobs", **SMALL_G, state="running") == 0
    assert world.figure("antenna_jobs_finished_total", **SMALL_G, outcome="failed") is None
    assert world.balance("lumi").used + world.balance("lumi").reserved == 1
    world.looked("lumi", [job(1, "failed", started=0, ended=600)])
    assert world.figure("antenna_jobs_finished_total", **SMALL_G, outcome="failed") == 1
    assert (world.balance("lumi").used, world.balance("lumi").reserved) == (Fraction(1, 6), 0)


def test_the_accounting_is_read_on_from_where_the_ledger_says_that_it_was(world):
    assert world.usage.since("lumi") == ALLOCATIONS[0].window.since
    world.now = 500
    world.looked("lumi", [job(1, "failed", started=0, ended=400)])
    world.now = 900
    # While the accounting does not answer the queue may.
    world.usage.queue("lumi", [job(2, "running", started=0)])
    assert world.usage.since("lumi") == START + 500
    # Some of what has ended tells nothing of the rest.
    world.usage.ended("lumi", [job(3, "failed", started=0, ended=800)])
    assert world.usage.since("lumi") == START + 500
    assert world.usage.since("jupiter") == ALLOCATIONS[1].window.since


def test_the_end_of_a_job_that_has_left_the_queue_is_looked_for_until_it_is_told(world):
    world.now = 100
    world.looked("lumi", [job(1, "running", started=0), job(2, "running", started=0)])
    for world.now in (1000, 2000):
        world.looked("lumi", [job(2, "running", started=0)])
        assert world.usage.since("lumi") == START + 100
    world.usage.ended("lumi", [job(1, "failed", started=0, ended=110)], START + 2000)
    assert world.usage.since("lumi") == START + 2000
    world.looked("lumi", [])
    world.now += LOST_SECONDS + 1
    world.looked("lumi", [])
    assert world.usage.since("lumi") == START + world.now


def test_a_clock_that_was_ahead_hides_nothing(world):
    world.now = 10**6
    world.looked("lumi", [])
    world.now = 50
    assert world.usage.since("lumi") == START + 50
    world.looked("lumi", [])
    world.now = 90
    assert world.usage.since("lumi") == START + 50


class Site:
    """A site that answers what it was told to, or fails."""

    def __init__(self):
        self.asked = []
        self.trouble = None

    def nodes(self):
        self.asked.append("nodes")
        if self.trouble:
            raise self.trouble
        return [NodeRow("small-g", "idle", 3)]

    def granted(self, project):
        self.asked.append(project)
        if self.trouble:
            raise self.trouble
        return Granted(project, "gpu-hours", 100, 1)


def test_after_each_look_nodes_are_asked_for_and_each_project_once_an_hour(world):
    now = [0.0]
    site, watch = Site(), RemoteWatch("lumi", world.usage, clock=lambda: now[0])
    for at in (0, 60, 3600):
        now[0] = at
        watch.looked(site)
    assert site.asked == ["nodes", PROJECT, "nodes", "nodes", PROJECT]
    assert world.figure("antenna_remote_nodes", site="lumi", queue="small-g", node_state="idle") == 3


@pytest.mark.parametrize("trouble", [Unreachable("no route"), Held("too soon", 5)])
def test_what_fails_is_asked_again_and_jobs_are_counted_all_the_same(world, trouble):
    site, watch = Site(), RemoteWatch("lumi", world.usage, clock=lambda: 0.0)
    site.trouble = trouble
    watch.queued([job(1)])
    watch.looked(site)
    assert world.figure("antenna_queue_jobs", **SMALL_G, state="pending") == 1
    assert world.figures("antenna_remote_nodes") == {}
    site.trouble = None
    watch.looked(site)
    assert site.asked == ["nodes", PROJECT] * 2


def test_a_job_that_nobody_tells_of_any_more_reserves_nothing_in_the_end(world):
    world.usage.queue("lumi", [job(1)])
    world.now = LOST_SECONDS - 1
    world.usage.queue("lumi", [])
    assert world.balance("lumi").reserved == 1
    world.now = LOST_SECONDS
    world.usage.queue("lumi", [])
    assert world.balance("lumi").reserved == 0


def test_what_is_told_of_an_unknown_site_is_passed_over(world):
    world.looked("elsewhere", [job(1)])
    world.usage.nodes("elsewhere", [NodeRow("a", "idle", 3)])
    world.usage.granted("elsewhere", Granted("p", "gpu-hours", 100, 1))
    assert world.ledger.since("elsewhere") is None
    assert world.usage.remaining("ugent", "elsewhere", "gpu-hours") is None


def test_until_queue_and_accounting_were_read_nobody_is_told_what_is_left(world):
    world.usage.queue("lumi", [])
    assert world.usage.remaining("ugent", "lumi", "gpu-hours") is None
    world.usage.ended("lumi", [])
    assert world.usage.remaining("ugent", "lumi", "gpu-hours") is None
    world.usage.ended("lumi", [], START)
    assert world.usage.remaining("ugent", "lumi", "gpu-hours") == 100


def test_until_a_sites_queue_is_known_its_budget_is_not(world):
    world.usage.ended("lumi", [job(3, "succeeded", started=0, ended=900)])
    assert world.balance("lumi") is None
    assert world.figure("antenna_budget_remaining", **UGENT) is None
    world.usage.queue("lumi", [])
    assert world.balance("lumi").used == Fraction(1, 4)


def test_the_sites_own_figure_is_compared_as_of_when_it_was_refreshed(world):
    world.now = HOUR
    world.usage.queue("lumi", [])
    world.usage.granted("lumi", Granted(PROJECT, "gpu-hours", 100, 2.5, as_of=START + 1800))
    world.usage.ended("lumi", [job(1, "succeeded", started=0, ended=HOUR)])
    assert world.figure("antenna_budget_difference", **UGENT) == 2
    assert world.figure("antenna_budget_used", **UGENT) == 1


def test_a_source_that_falls_silent_takes_its_series_along_and_its_age_stays(world):
    world.usage.queue("lumi", [job(1)])
    limit = world.figure("antenna_remote_source_limit_seconds", site="lumi", source="queue")
    assert limit == MISSED * 60
    world.now = limit
    assert world.figure("antenna_queue_jobs", **SMALL_G, state="pending") == 1
    world.now = limit + 1
    assert world.figures("antenna_queue_jobs") == {}
    assert world.figures("antenna_job_info") == {}
    assert world.figure("antenna_remote_source_age_seconds", site="lumi", source="queue") == limit + 1
    world.usage.queue("lumi", [job(1)])
    assert world.figure("antenna_queue_jobs", **SMALL_G, state="pending") == 1
    assert world.figure("antenna_remote_source_age_seconds", site="lumi", source="queue") == 0


def test_a_source_that_never_answered_has_an_age_from_when_it_was_expected(world):
    world.now = 77
    ages = world.figures("antenna_remote_source_age_seconds")
    assert len(ages) == 8
    assert set(ages.values()) == {77}
    assert (
        world.figure("antenna_remote_source_limit_seconds", site="jupiter", source="granted")
        == GRANTED_SECONDS
    )


def test_a_site_that_is_gone_leaves_nothing_behind(world):
    world.usage.queue("lumi", [job(1)])
    world.usage.nodes("lumi", [NodeRow("small-g", "idle", 3)])
    world.usage.configure((JUPITER,), ALLOCATIONS, PAYERS)
    for family in ("antenna_queue_jobs", "antenna_job_info", "antenna_remote_nodes"):
        assert world.figures(family) == {}
    assert world.figure("antenna_remote_source_age_seconds", site="lumi", source="queue") is None
    assert world.balance("lumi") is None


def test_a_third_site_is_counted_without_a_line_of_code(world):
    karolaina = replace(LUMI, name="karolaina")
    mine = replace(ALLOCATIONS[0], site="karolaina", project="dd-26-1")
    world.usage.configure((LUMI, JUPITER, karolaina), (*ALLOCATIONS, mine), PAYERS)
    world.usage.queue("karolaina", [job(1, "running", started=0, project="dd-26-1")])
    place = {**SMALL_G, "site": "karolaina"}
    assert world.figure("antenna_queue_jobs", **place, state="running") == 1
    assert world.balance("karolaina").reserved == 1


def test_local_gpu_hours_are_shown_beside_the_remote_ones(world, tmp_path):
    jobs = Ledger(tmp_path / "ledger.sqlite")
    whose = {"queue": "ulb", "tenant": "ulb", "ecosystem": "brussels-capital", "sector": "agri-food"}
    jobs.commit(
        [Entry(uid="a", namespace="n", job="a", created=START, gpus=4, running_since=START, **whose)],
        {},
        seen=1.0,
    )
    world.now = HOUR
    world.usage.local()
    ulb = {"site": "local", "tenant": "ulb", "unit": "gpu-hours"}
    assert world.figure("antenna_budget_used", **ulb) == 4
    assert world.figure("antenna_budget_used", site="local", tenant="imec", unit="gpu-hours") == 0
    assert world.figure("antenna_budget_allocated", **ulb) is None
    jobs.close()
