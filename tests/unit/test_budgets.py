"""What is left of allocations: periods, months that carry over, what runs, and the day it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from fractions import Fraction

import pytest

from operators.sites.access import Granted
from operators.usage.budgets import (
    DAY,
    Allocation,
    Balance,
    Window,
    balance,
    carried,
    difference,
    local_balance,
    local_windows,
    outstanding,
    recent,
    shown,
    windows,
)
from tests.unit.remote_sites import JUPITER, LUMI


def at(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


LUMI_YEAR = Allocation(
    "ugent", "lumi", "project_465000001", "gpu-hours", Fraction(1000), date(2026, 1, 1), date(2026, 12, 31)
)
QUARTER = Allocation(
    "imec", "jupiter", "antenna-imec", "core-hours", Fraction(3000), date(2026, 1, 1), date(2026, 3, 31)
)


def stands(allocation, site, now, by_month, *, week=0, reserved=0):
    """The balance, where ``by_month`` was used in the periods that have begun, one after the other."""
    begun = windows(allocation, site.accounting, now)
    used = dict(zip(begun, map(Fraction, by_month), strict=True))
    used[recent(allocation, now)] = Fraction(week)
    return balance(allocation, site.accounting, used=used, reserved=Fraction(reserved), now=now)


def test_of_a_projects_budget_all_may_be_used_at_any_time():
    found = stands(LUMI_YEAR, LUMI, at("2026-03-01"), [400], week=70, reserved=100)
    assert (found.allocated, found.used, found.remaining) == (1000, 400, 500)
    assert found.window == Window(at("2026-01-01"), at("2027-01-01"))
    assert found.burn == 10
    assert found.exhaustion == at("2026-03-01") + 60 * DAY


def test_a_monthly_budget_is_divided_evenly_over_its_months():
    found = stands(QUARTER, JUPITER, at("2026-01-15"), [250])
    assert (found.allocated, found.remaining) == (1000, 750)
    assert found.window == Window(at("2026-01-01"), at("2026-02-01"))


def test_the_rest_of_a_month_can_be_used_in_the_next_one_only():
    assert stands(QUARTER, JUPITER, at("2026-02-10"), [200, 0]).allocated == 1800
    # January's 800 are gone in March; of February 1000 are left, or what was taken after those 800.
    assert stands(QUARTER, JUPITER, at("2026-03-10"), [200, 0, 0]).allocated == 2000
    assert stands(QUARTER, JUPITER, at("2026-03-10"), [200, 700, 0]).allocated == 2000
    assert stands(QUARTER, JUPITER, at("2026-03-10"), [200, 900, 0]).allocated == 1900


def test_what_a_month_used_too_much_is_taken_off_the_next():
    assert stands(QUARTER, JUPITER, at("2026-02-10"), [1300, 0]).allocated == 700
    assert stands(QUARTER, JUPITER, at("2026-03-10"), [2500, 0, 0]).allocated == 500
    assert stands(QUARTER, JUPITER, at("2026-03-10"), [1300, 700, 0]).allocated == 1000


@pytest.mark.parametrize(
    ("months", "used", "adds"),
    [
        (0, [0, 0, 0], 0),
        (1, [], 0),
        (1, [0, 0, 0], 10),
        (2, [0, 0, 0], 20),
        (2, [0, 12, 0], 18),  # the second month takes the first's 10, then 2 of its own 10
        (2, [0, 12, 9], 9),  # the third takes the 8 that are left of the second's, then 1 of its own
        (0, [12], -2),
        (1, [35], -25),
        (1, [35, 0, 0], -5),
        (1, [35, 0, 0, 0], 5),
    ],
)
def test_rests_are_used_oldest_first_and_debts_last(months, used, adds):
    assert carried(Fraction(10), list(map(Fraction, used)), months) == adds


def test_an_allocation_counts_from_its_first_day_to_its_last():
    for now, in_force in (
        ("2025-12-31T23:59:59", False),
        ("2026-01-01", True),
        ("2026-12-31T23:59:59", True),
        ("2027-01-01", False),
    ):
        assert bool(windows(LUMI_YEAR, LUMI.accounting, at(now))) == in_force
    assert balance(LUMI_YEAR, LUMI.accounting, used={}, reserved=Fraction(0), now=at("2027-01-01")) is None


def test_months_are_cut_to_the_allocation():
    short = Allocation("a", "jupiter", "p", "core-hours", Fraction(2), date(2026, 1, 20), date(2026, 2, 10))
    assert windows(short, JUPITER.accounting, at("2026-02-05")) == (
        Window(at("2026-01-20"), at("2026-02-01")),
        Window(at("2026-02-01"), at("2026-02-11")),
    )


def test_the_burn_of_a_young_allocation_is_over_its_own_days():
    now = at("2026-01-03")
    assert recent(LUMI_YEAR, now) == Window(at("2026-01-01"), now)
    assert stands(LUMI_YEAR, LUMI, now, [30], week=30).burn == 15
    assert stands(LUMI_YEAR, LUMI, at("2026-01-01T06:00"), [30], week=30).burn == 30
    assert stands(LUMI_YEAR, LUMI, at("2026-01-01"), [0]).burn == 0


def test_what_lasts_until_its_end_has_no_day_of_exhaustion():
    assert stands(LUMI_YEAR, LUMI, at("2026-12-20"), [400], week=70).exhaustion is None
    assert stands(LUMI_YEAR, LUMI, at("2026-03-01"), [400], week=0).exhaustion is None
    assert stands(QUARTER, JUPITER, at("2026-01-25"), [250], week=70).exhaustion is None


def test_what_is_used_up_is_exhausted_now():
    now = at("2026-03-01")
    assert stands(LUMI_YEAR, LUMI, now, [1001], week=0).exhaustion == now
    assert stands(LUMI_YEAR, LUMI, now, [1001]).remaining == -1


def test_a_running_job_reserves_what_its_limit_leaves_it():
    assert outstanding(Fraction(4), 7200, None, 500) == 8
    assert outstanding(Fraction(4), 7200, 100, 1900) == 6
    assert outstanding(Fraction(4), 7200, 100, 99999) == 0


def test_used_and_reserved_of_a_running_job_are_its_estimate_at_every_second():
    for ran in range(0, 3601, 7):
        assert Fraction(7, 3) * ran / 3600 + outstanding(Fraction(7, 3), 3600, 0, ran) == Fraction(7, 3)


def test_the_sites_own_figure_is_compared_exactly():
    assert difference(Granted("p", "gpu-hours", 1000, 401.3), Fraction(4003, 10)) == 1
    assert difference(Granted("p", "gpu-hours", 1000, 0.1), Fraction(1, 10)) == 0


def test_local_work_is_shown_by_the_month_and_never_runs_out():
    now = at("2026-12-31T12:00")
    month, week = local_windows(now)
    assert month == Window(at("2026-12-01"), at("2027-01-01"))
    found = local_balance(
        "ulb", used={month: Fraction(50), week: Fraction(14)}, reserved=Fraction(1), now=now
    )
    assert (found.allocated, found.remaining, found.exhaustion) == (None, None, None)
    assert (found.used, found.burn, found.unit) == (50, 2, "gpu-hours")


def test_a_project_that_may_overdraw_goes_on_until_it_owes_a_months_quota():
    jsc = replace(JUPITER, accounting=replace(JUPITER.accounting, overdraw=True))
    assert stands(QUARTER, JUPITER, at("2026-01-15"), [250]).overdraft == 0, "not unless the site says so"
    found = stands(QUARTER, jsc, at("2026-01-15"), [1700])
    assert (found.allocated, found.remaining, found.overdraft) == (1000, -700, 1000)
    # What it owes is off the next month's quota, and the limit stays a month's quota below nothing.
    found = stands(QUARTER, jsc, at("2026-02-15"), [1700, 0])
    assert (found.allocated, found.remaining, found.overdraft) == (300, 300, 1000)


def test_amounts_are_shown_without_needless_digits():
    assert [shown(Fraction(n, 1000)) for n in (0, 1, 1234567, 10**6, -2500)] == [
        "0",
        "0",
        "1,234.57",
        "1,000",
        "-2.5",
    ]


def test_a_balance_says_whose_it_is():
    found = stands(LUMI_YEAR, LUMI, at("2026-03-01"), [1])
    assert isinstance(found, Balance)
    assert (found.tenant, found.site, found.project, found.unit) == (
        "ugent",
        "lumi",
        "project_465000001",
        "gpu-hours",
    )
