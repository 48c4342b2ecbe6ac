"""The ledger of remote jobs, in SQLite and in PostgreSQL: a row a job, sums exact to the second."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

import msgspec
import pytest

from operators.ledger.entry import Entry
from operators.ledger.ledger import Ledger
from operators.ledger.remote import Read, RemoteLedger
from operators.ledger.remote_entry import NOBODY, Payer, entry, entry_of_queued
from operators.sites.access import RemoteJobRow, Resources
from operators.usage.billing import billed
from operators.usage.budgets import DAY, Window
from operators.usage.daily import Account, daily
from tests.unit.remote_sites import JUPITER, LUMI

START = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp())
UGENT = Payer("ugent", "flanders", "science-research")
IMEC = Payer("imec", "flanders", "digital-services")
ALWAYS = Window(0, 2**40)
PROJECT = "project_465000001"
LUMI_GRANT = ("lumi", PROJECT, "gpu-hours")


@pytest.fixture
def ledger(where):
    one = RemoteLedger(where)
    yield one
    one.close()


def row(number, *, state="succeeded", submitted=0, started=10, ended=110, **others):
    """A job of two GCDs on small-g, which cost a GPU-hour an hour; times after START."""
    since = {
        name: None if at is None else START + at for name, at in (("started", started), ("ended", ended))
    }
    of = {
        "name": f"job-{number}",
        "comment": "",
        "project": PROJECT,
        "partition": "small-g",
        "user": "antenna",
        "raw_state": state.upper(),
        "resources": Resources(1, 14, 2, 122880),
    }
    return RemoteJobRow(id=number, state=state, submitted=START + submitted, **since, **{**of, **others})


def line(number, *, site=LUMI, payer=UGENT, seen=500, **others):
    return entry(row(number, **others), site, payer, START + seen)


def node(number, **others):
    """A job on two whole nodes of JUPITER."""
    of = {"project": "antenna-imec", "partition": "booster", "resources": Resources(2, 576, 8, 0)}
    return line(number, site=JUPITER, payer=IMEC, **{**of, **others})


def used(ledger, window=ALWAYS):
    return dict(ledger.used([window])[window])


def test_an_entry_comes_back_as_it_was_written(ledger):
    one = line(7, state="running", ended=None)
    ledger.write([one])
    assert ledger.open("lumi") == [one]
    assert ledger.open("jupiter") == []


def test_writing_again_changes_nothing(ledger):
    for _ in range(3):
        ledger.write([line(1), line(2), node(1)])
    assert used(ledger) == {
        LUMI_GRANT: Fraction(2 * 100, 3600),
        ("jupiter", "antenna-imec", "core-hours"): Fraction(2 * 288 * 100, 3600),
    }
    assert ledger.totals().finished == {
        ("lumi", "small-g", "ugent", "succeeded"): 2,
        ("jupiter", "booster", "imec", "succeeded"): 1,
    }


def test_the_ledger_is_the_formula_of_every_job_to_the_second(ledger):
    held = [Resources(1, n % 57 + 1, n % 9, (n * 37 % 500) * 1024) for n in range(300)]
    ledger.write(
        [line(n, resources=one, started=n, ended=3 * n + 1) for n, one in enumerate(held)],
    )
    rule = LUMI.partition("small-g").billing
    assert used(ledger)[LUMI_GRANT] == sum(billed(rule, one, 2 * n + 1) for n, one in enumerate(held))


def test_an_id_that_the_site_uses_again_is_another_job(ledger):
    ledger.write([line(1, submitted=0)])
    ledger.write([line(1, submitted=300, started=310, ended=410)])
    assert used(ledger)[LUMI_GRANT] == Fraction(2 * 100, 3600)


def test_what_is_told_later_replaces_what_was_told_before(ledger):
    asked = Resources(1, 14, 8, 122880)
    ledger.write([line(1, state="pending", started=None, ended=None, resources=asked, seen=5)])
    assert used(ledger) == {}
    ledger.write([line(1, state="running", ended=None, seen=60)])
    assert used(ledger)[LUMI_GRANT] == Fraction(50, 3600)
    ledger.write([line(1, state="running", ended=None, seen=100)])
    ledger.write([line(1)])
    assert used(ledger)[LUMI_GRANT] == Fraction(100, 3600)
    assert ledger.open("lumi") == []


def test_a_job_that_ended_is_never_opened_again_and_an_older_word_never_counts(ledger):
    ledger.write([line(1)])
    ledger.write([line(1, state="running", ended=None, seen=900)])
    assert used(ledger)[LUMI_GRANT] == Fraction(100, 3600)
    ledger.write([line(2, state="running", ended=None, seen=100)])
    ledger.write([line(2, state="pending", started=None, ended=None, seen=50)])
    assert [one.state for one in ledger.open("lumi")] == ["running"]


def test_a_job_stays_whose_it_was(ledger):
    ledger.write([line(1, state="running", ended=None)])
    ledger.write([line(1, payer=IMEC)])
    assert ledger.totals().finished == {("lumi", "small-g", "ugent", "succeeded"): 1}


def test_a_rate_that_changes_does_not_change_the_past(ledger):
    ledger.write([line(1)])
    ledger.write([msgspec.structs.replace(line(2), rate="7/3")])
    assert used(ledger)[LUMI_GRANT] == Fraction(100, 3600) * (1 + Fraction(7, 3))


def test_a_period_has_its_part_of_a_job(ledger):
    ledger.write([line(1, started=0, ended=3600), line(2, started=5000, ended=5001)])
    whole = Window(START, START + 3600)
    parts = [Window(START + at, START + at + 900) for at in range(0, 3600, 900)]
    found = ledger.used([whole, *parts])
    assert sum(found[part][LUMI_GRANT] for part in parts) == found[whole][LUMI_GRANT] == 1
    assert found[parts[0]][LUMI_GRANT] == Fraction(1, 4)


def test_a_job_that_never_ran_is_counted_and_costs_nothing(ledger):
    ledger.write([line(1, state="cancelled", started=None, ended=50)])
    assert used(ledger) == {}
    assert ledger.totals().finished == {("lumi", "small-g", "ugent", "cancelled"): 1}
    (interval,) = ledger.intervals(ALWAYS, START)
    assert (interval.since, interval.until, interval.outcome) == (START + 50, START + 50, "cancelled")


def test_a_run_that_was_put_back_into_the_queue_is_billed_and_its_job_counted_once(ledger):
    ledger.write([line(1, state="pending", raw_state="REQUEUED", started=0, ended=1800)])
    ledger.write([line(1, submitted=1800, started=2000, ended=3800)])
    assert used(ledger)[LUMI_GRANT] == 1
    assert ledger.open("lumi") == []
    assert ledger.totals().finished == {("lumi", "small-g", "ugent", "succeeded"): 1}
    assert {one.outcome for one in ledger.intervals(ALWAYS, START)} == {None, "succeeded"}


def test_what_the_queue_remembers_to_have_ended_held_until_then_what_it_held_and_is_open(ledger):
    ledger.write([entry_of_queued(row(1, started=0, ended=1800), LUMI, UGENT, START + 2000)])
    (one,) = ledger.open("lumi")
    assert (one.ended, one.seen) == (None, START + 1800)
    assert used(ledger)[LUMI_GRANT] == Fraction(1, 2)
    ledger.write([line(1, started=0, ended=1790)], Read("lumi", "accounting", START + 2000))
    ledger.write([entry_of_queued(row(1, started=0, ended=1800), LUMI, UGENT, START + 2060)])
    assert ledger.open("lumi") == []
    assert used(ledger)[LUMI_GRANT] == Fraction(1790, 3600)


@pytest.mark.parametrize("started", [None, 50])
def test_no_accounting_is_waited_for_by_what_never_held_anything(ledger, started):
    one = row(1, state="cancelled", started=started, ended=50)
    ledger.write([entry_of_queued(one, LUMI, UGENT, START + 60)])
    assert ledger.open("lumi") == []
    assert ledger.totals().finished == {("lumi", "small-g", "ugent", "cancelled"): 1}
    assert not any(used(ledger).values())


def test_work_of_nobody_and_of_a_partition_without_a_rule_is_kept_apart(ledger):
    ledger.write([line(1, payer=NOBODY), line(2, partition="lumid", payer=NOBODY)])
    assert used(ledger) == {
        LUMI_GRANT: Fraction(100, 3600),
        ("lumi", PROJECT, ""): 0,
    }


def test_totals_are_by_whose_the_jobs_were(ledger):
    ledger.write([line(1), line(2, state="running", ended=None, seen=60), node(1, state="failed")])
    totals = ledger.totals()
    ugent = ("lumi", "ugent", "science-research", "flanders")
    imec = ("jupiter", "imec", "digital-services", "flanders")
    assert totals.gpu_seconds == {ugent: 2 * 150, imec: 8 * 100}
    assert totals.billed == {
        (ugent, "gpu-hours"): Fraction(150, 3600),
        (imec, "core-hours"): Fraction(576 * 100, 3600),
    }
    assert totals.kwh == {ugent: Fraction(155, 1000) * 2 * 150 / 3600}


def test_what_counters_showed_is_kept(ledger, where):
    first, second = ("family", ("lumi", 'a "b"', "é")), ("family", ("lumi", "c", ""))
    assert ledger.raised({first: 2.5, second: 1}) == {first: 2.5, second: 1}
    again = RemoteLedger(where)
    assert again.raised({first: 2.0, second: 7}) == {first: 2.5, second: 7}
    assert again.raised({first: 3.0}) == {first: 3.0}
    again.close()


def test_intervals_of_days_sum_up_to_what_the_database_sums_up(ledger, where):
    ledger.write([line(n, started=n * 4001, ended=n * 9001 + 1) for n in range(40)])
    window = Window(START + DAY // 2, START + 3 * DAY + 77)
    days = daily(ledger.intervals(window, START), window)
    assert sum(sums.used for sums in days.values()) == used(ledger, window)[LUMI_GRANT]
    assert sum(sums.jobs.get("succeeded", 0) for sums in days.values()) == sum(
        window.since <= START + n * 9001 + 1 < window.until for n in range(40)
    )


def local(uid, **others):
    whose = {"queue": "ulb", "tenant": "ulb", "ecosystem": "brussels-capital", "sector": "science-research"}
    return Entry(uid=uid, namespace="tenant-ulb", job=uid, created=START, **{**whose, "gpus": 2, **others})


def test_local_gpu_hours_are_those_of_the_ledger_of_local_jobs(ledger, where):
    jobs = Ledger(where)
    over = {"outcome": "succeeded", "gone": True}
    jobs.commit(
        [
            local("ended", ran=100, run=100, finished=START + 200, **over),
            local("ended-after-eviction", earlier=30, past=20, ran=50, finished=START + 300, **over),
            local("runs", running_since=START + 100, past=10),
            local("put-back", wait=40, past=15),
            local("waits"),
        ],
        {},
        seen=START + 160.0,
    )
    now = START + 160
    windows = [ALWAYS, Window(START + 150, START + 250), Window(START - 90, START - 80)]
    found = ledger.local_gpu_hours(windows, now)
    held = 2 * (100 + 100 + (60 + 10) + 15)
    assert found[windows[0]] == {"ulb": Fraction(held, 3600)}
    # 50 s of the first, 50 s of the second (200 to 250), 10 s of the one that runs.
    assert found[windows[1]] == {"ulb": Fraction(2 * (50 + 50 + 10), 3600)}
    assert found[windows[2]] == {}
    days = daily(ledger.intervals(ALWAYS, now), ALWAYS)
    account = Account("local", "ulb", "ulb", "brussels-capital", "science-research", "gpu-hours")
    assert days[START, account].gpu_seconds == held
    assert days[START, account].jobs == {"succeeded": 2}
    jobs.close()


def test_both_ledgers_keep_their_rows_in_one_database(where):
    first = Ledger(where)
    first.commit([local("a", running_since=START)], {}, seen=1.0)
    again = RemoteLedger(where)
    again.write([line(1)])
    assert [one.uid for one in first.present()] == ["a"]
    assert used(again)[LUMI_GRANT] == Fraction(100, 3600)
    first.close()
    again.close()
