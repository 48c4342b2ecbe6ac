"""Jobs that ended while a site could not be asked: the accounting is asked of them some at a time."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from operators.sites.slurm import access, commands
from operators.sites.slurm.access import SlurmAccess
from operators.sites.slurm.answers import Answer, Part
from operators.sites.slurm.commands import Command
from tests.unit.remote_sites import LUMI
from tests.unit.test_slurm_answers import RUNNING, TOKEN, WAITING, sacct, squeue, waiting

JOBS = [str(number) for number in range(2001, 2006)]


def test_more_vanished_jobs_than_one_question_names_are_asked_for_in_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands, "MOST_IDS", 2)
    monkeypatch.setattr(access, "_token", lambda: TOKEN)
    site = SlurmAccess(
        site=LUMI, user="r", key=Path("k"), known_hosts=Path("h"), projects=["project_465000001"]
    )
    there = [(job, *RUNNING[1:]) for job in JOBS]
    asked: list[str] = []

    def whole(command: Command) -> Answer:
        if found := re.search(r"--jobs=([0-9,]+)", command.line):
            asked.append(found[1])
            ended = sacct(*({"JobIDRaw": job} for job in found[1].split(",")))
            return Answer(0, (Part(ended, 0),))
        return Answer(0, (Part(squeue(*there), 0), Part(waiting(), 0)))

    monkeypatch.setattr(site, "_whole", whole)
    monkeypatch.setattr(site._floor, "wait", lambda *_: 0.0)
    assert len(site.queue()) == len(JOBS)
    there = []
    assert site.queue() == []
    assert asked == ["2001,2002", "2003,2004", "2005"]


def test_where_cores_have_threads_what_is_given_is_told_in_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that waits may be given a core for each CPU that it asks for, as the site has it."""
    monkeypatch.setattr(access, "_token", lambda: TOKEN)
    partitions = tuple(replace(one, threads_per_core=2) for one in LUMI.partitions)
    threaded = replace(LUMI, partitions=partitions)
    site = SlurmAccess(
        site=threaded, user="r", key=Path("k"), known_hosts=Path("h"), projects=["project_465000001"]
    )
    odd = ("1003", *RUNNING[1:11], "cpu=3,mem=1G,node=1", *RUNNING[12:])
    elsewhere = ("1004", *RUNNING[1:4], "elsewhere", *RUNNING[5:])
    told = Answer(0, (Part(squeue(RUNNING, odd, elsewhere, WAITING), 0), Part(waiting(), 0)))
    monkeypatch.setattr(site, "_whole", lambda _: told)
    assert [row.resources.cores for row in site.queue()] == [2, 2, 4, 112]
    ended = Answer(0, (Part(sacct({"AllocTRES": "cpu=16,node=1", "Partition": "small-g"}), 0),))
    monkeypatch.setattr(site, "_whole", lambda _: ended)
    assert [row.resources.cores for row in site.ended(0)] == [8]
