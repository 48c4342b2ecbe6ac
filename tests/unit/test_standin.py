"""The programs of a remote site's stand-in: what is billed, and what the site's own tools say of it."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from calendar import timegm
from pathlib import Path
from typing import Any

import pytest

from infra.paths import REPOSITORY, site_file
from infra.sitefile import read
from operators.sites.access import Granted
from operators.sites.slurm import commands
from operators.sites.slurm.answers import parse_answer
from operators.sites.slurm.budgets import parse_granted
from playbooks.roles.slurm_standin.files.standin import accounts, entry, figures, jutil, lumi_allocations
from playbooks.roles.slurm_standin.files.standin.figures import Job

SITES = {site["name"]: site for site in read(site_file("example-site"))["sites"]}
RULES = {p["name"]: p["billing"] for site in SITES.values() for p in site["partitions"]}
HOUR = 3600


def job(partition: str, **amounts: Any) -> Job:
    defaults = {"seconds": HOUR, "nodes": 1, "cores": 0, "gpus": 0, "memory_mib": 0.0}
    return Job("p", partition, "2026-03", **{**defaults, **amounts})


@pytest.mark.parametrize(
    ("asked", "units"),
    [
        (job("standard-g", nodes=3, gpus=24, seconds=2 * HOUR), 24.0),
        (job("small-g", gpus=1, cores=8, memory_mib=65536), 0.5),
        (job("small-g", gpus=1, cores=9, memory_mib=65536), 1.0),
        (job("small-g", gpus=1, cores=1, memory_mib=65537), 1.0),
        (job("dev-g", gpus=8, cores=56, seconds=HOUR // 2), 2.0),
        (job("standard", nodes=2, cores=256), 256.0),
        (job("small", cores=4, memory_mib=16 * 1024), 8.0),
        (job("debug", cores=5, seconds=720), 1.0),
        (job("booster", nodes=10, cores=2880, gpus=40, seconds=HOUR // 2), 1440.0),
    ],
)
def test_jobs_cost_what_the_sites_rules_say(asked: Job, units: float) -> None:
    assert figures.units(RULES[asked.partition], asked) == pytest.approx(units)


def test_a_job_is_read_from_what_it_was_allocated_and_split_at_months() -> None:
    start, end = timegm((2026, 1, 31, 23, 0, 0)), timegm((2026, 2, 1, 2, 0, 0))
    text = (
        f"project_1|small-g|{start}|{end}|billing=8,cpu=8,gres/gpu=2,mem=64G,node=1\n"
        "project_1|small-g|Unknown|Unknown|\n"
    )
    first, second = figures.parse(text, now=end)
    assert (first.month, first.seconds, first.gpus, first.memory_mib) == ("2026-01", HOUR, 2, 65536)
    assert (second.month, second.seconds) == ("2026-02", 2 * HOUR)
    used = figures.total(SITES["lumi"], [first, second])
    assert used == {"project_1": {"gpu-hours": {"2026-01": 1.0, "2026-02": 2.0}}}


def test_a_running_job_counts_to_now() -> None:
    start = timegm((2026, 1, 2, 0, 0, 0))
    (running,) = figures.parse(f"p|debug|{start}|Unknown|cpu=4,mem=8G,node=1\n", now=start + 90)
    assert running.seconds == 90


GRANTS = (
    entry.Grant(300, "gpu-hours", "2026-01-01", "2026-12-31"),
    entry.Grant(1000, "core-hours", "2026-01-01", "2026-12-31"),
    entry.Grant(10, "tb-hours", "2026-01-01", "2026-12-31"),
)
# As LUMI's tool printed it for a project without jobs.
REAL = """\
Project             |                    CPU (used/allocated)|               GPU (used/allocated)|           Storage (used/allocated)
--------------------------------------------------------------------------------------------------------------------------------------
project_465002906   |              0/1000   (0.0%) core/hours|           0/300   (0.0%) gpu/hours|             0/10   (0.0%) TB/hours"""  # noqa: E501


def test_lumi_allocations_answers_letter_for_letter() -> None:
    account = entry.Account("project_465002906", "ulb", (), GRANTS)
    shown = lumi_allocations.table({account.project: account}, {}, at=0)
    head, _, rest = shown.partition("\n")
    assert head.startswith("Data updated: ")
    assert len(head) == len("Data updated: 2026-04-22 14:47:17")
    assert rest == REAL


def test_lumi_allocations_rounds_down_and_tells_what_was_not_granted() -> None:
    account = entry.Account("project_465000001", "imec", (), GRANTS[:1])
    used = {account.project: {"gpu-hours": {"2026-01": 20.9, "2026-02": 10.4}}}
    row = lumi_allocations.table({account.project: account}, used, at=0).splitlines()[-1]
    assert " 31/300  (10.3%) gpu/hours|" in row
    assert "0/0    (N/A) core/hours|" in row


def test_jutil_carries_one_months_rest_over_and_no_more() -> None:
    account = entry.Account("p", "imec", (), (entry.Grant(100, "core-hours", "2026-01-01", "2026-03-31"),))
    used = {"core-hours": {"2026-01": 20.0, "2026-02": 30.0}}
    rows = jutil.rows(SITES["jupiter"], account, used, at=timegm((2026, 3, 15, 0, 0, 0)))
    assert [(r["month"], r["quota"], r["rest"], r["used"]) for r in rows] == [
        ("2026-01", 100, 0, 20.0),
        ("2026-02", 100, 80.0, 30.0),
        # Of February's rest 50 of January's have lapsed: what is left is February's own.
        ("2026-03", 100, 100, 0.0),
    ]
    without = copy.deepcopy(SITES["jupiter"])
    without["accounting"]["carry_over_months"] = 0
    assert [r["rest"] for r in jutil.rows(without, account, used, at=timegm((2026, 3, 1, 0, 0, 0)))] == [
        0,
        0,
        0,
    ]


def test_jutil_s_answer_is_understood() -> None:
    account = entry.Account("p", "imec", (), (entry.Grant(100, "core-hours", "2026-01-01", "2026-03-31"),))
    at = timegm((2026, 2, 15, 0, 0, 0))
    shown = jutil.text(jutil.rows(SITES["jupiter"], account, {"core-hours": {"2026-02": 30.25}}, at=at))
    assert all(isinstance(value, str) for row in json.loads(shown) for value in row.values())
    told = parse_granted("jutil", shown.encode(), "p", "core-hours")
    assert told == Granted("p", "core-hours", granted=200, used=30.25, as_of=at)


def test_lumi_allocations_tells_its_time_in_the_zone_of_the_operator_s_command(tmp_path: Path) -> None:
    """The real one prints local time (``datetime.fromtimestamp``) as this one does (``time.localtime``)."""
    at, token = timegm((2026, 7, 1, 12, 0, 0)), "x0123456789abcdef01234567"
    program = tmp_path / "lumi-allocations"
    program.write_text(
        f"#!{sys.executable}\n"
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from playbooks.roles.slurm_standin.files.standin import entry, lumi_allocations\n"
        'grant = entry.Grant(300, "gpu-hours", "2026-01-01", "2026-12-31")\n'
        'account = entry.Account("p", "imec", (), (grant,))\n'
        f'print(lumi_allocations.table({{"p": account}}, {{}}, at={at}))\n'
    )
    program.chmod(0o755)
    asked = commands.granted(token, "lumi-allocations", "p")
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TZ": "Europe/Helsinki"}
    done = subprocess.run(["sh", "-c", asked.line], env=environment, capture_output=True, check=True)
    (part,) = parse_answer(done.stdout, token, asked.parts).parts
    assert parse_granted("lumi-allocations", part.output, "p", "gpu-hours").as_of == at


TOLD = entry.Entry(
    SITES["lumi"],
    (entry.Account("project_1", "imec", (), ()), entry.Account("project_2", "ulb", (), ())),
)


def test_accounts_are_brought_to_what_is_declared_and_then_left_alone() -> None:
    declared = accounts.wanted(TOLD)
    assert declared.qos["standard-g"] == "MaxJobsPerUser=200 MaxSubmitJobsPerUser=210"
    assert accounts.changes(declared, declared) == []
    empty = accounts.Declared({}, frozenset())
    calls = accounts.changes(empty, declared)
    assert ("add", "qos", "dev-g", "MaxJobsPerUser=1", "MaxSubmitJobsPerUser=2") in calls
    assert calls[-4:] == [
        ("add", "account", "project_1"),
        ("add", "account", "project_2"),
        ("add", "user", "imec", "account=project_1"),
        ("add", "user", "ulb", "account=project_2"),
    ]
    gone = accounts.Declared(declared.qos, declared.pairs | {("project_3", "vub")})
    assert accounts.changes(gone, declared) == [("delete", "user", "name=vub")]
    moved = accounts.Declared(declared.qos, declared.pairs | {("project_2", "imec")})
    assert accounts.changes(moved, declared) == [("delete", "user", "name=imec", "account=project_2")]


def test_a_login_that_comes_back_before_its_jobs_have_ended_may_submit_again() -> None:
    """Who has jobs cannot be taken away, and is closed until they have ended."""
    declared = accounts.wanted(TOLD)
    there = accounts.Declared(declared.qos, declared.pairs, frozenset({("project_1", "imec"), ("p", "gone")}))
    assert accounts.changes(there, declared) == [
        ("modify", "user", "where", "name=imec", "account=project_1", "set", "MaxSubmitJobs=-1")
    ]


def test_who_worked_for_all_projects_works_for_none_and_each_login_takes_its_own_key() -> None:
    """A build before had one login for all partners; now it reads, and each has its own."""
    told = entry.parse(
        {
            "site": SITES["lumi"],
            "accounts": [
                {"project": "project_1", "user": "imec", "keys": ["a person's"]},
                {"project": "project_2", "user": "ulb"},
            ],
            "reader": "antenna",
            "login_keys": {"antenna": "the reader's", "imec": "for imec", "ulb": "for ulb"},
        }
    )
    assert (told.reader, told.reader_keys) == ("antenna", ("the reader's",))
    assert [account.keys for account in told.accounts] == [("a person's", "for imec"), ("for ulb",)]
    declared = accounts.wanted(told)
    pooled = declared.pairs | {("project_1", "antenna"), ("project_2", "antenna")}
    there = accounts.Declared(declared.qos, pooled)
    assert accounts.changes(there, declared) == [("delete", "user", "name=antenna")]


@pytest.mark.parametrize(
    ("project", "user"), [("p;x", "imec"), ("p", "root imec"), ("p", "-x"), ("", "imec")]
)
def test_names_that_are_no_accounts_are_refused(project: str, user: str) -> None:
    with pytest.raises(ValueError, match="cannot be an account"):
        accounts.wanted(entry.Entry(SITES["lumi"], (entry.Account(project, user, (), ()),)))
