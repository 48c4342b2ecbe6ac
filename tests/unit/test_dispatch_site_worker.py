"""A site's worker: what each answer and each error of the site means for the job that it was about."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from operators.dispatch import site_worker
from operators.dispatch.access import READER, Credentials, LateAccess
from operators.dispatch.checks import Health
from operators.dispatch.decide import first
from operators.dispatch.placement import Place
from operators.dispatch.site_worker import LOGS, OVERLAP, SiteWorker
from operators.dispatch.tasks import (
    Answering,
    Failed,
    Find,
    Found,
    Log,
    Looked,
    NotSent,
    ReadLog,
    Refusal,
    Result,
    Submit,
    Submitted,
    Task,
)
from operators.sites.access import (
    Held,
    Lasting,
    Rejected,
    RemoteJobRow,
    Silent,
    SiteAccess,
    SiteError,
    Submission,
    Uncertain,
    Unclear,
    Unreachable,
)
from tests.cluster.remote_world import Granted, Scheduler, lumi

PLACE = Place("lumi", "small-g", "project_465000001", "gpu-hours", False, 1, 1, None, None)
ATTEMPT = first("u1", PLACE, 1_780_000_000)
JOB = Submission("antenna-u1", "c", "p", "small-g", 1, 60, "x")
ROW = RemoteJobRow(7, "antenna-u1", "c", "p", "small-g", "u", "running", "RUNNING", 1_780_000_000)


class Site(Scheduler):
    """Raises what it is told to."""

    error: Exception | None = None

    def _reachable(self) -> None:
        if self.error:
            raise self.error


@pytest.fixture
def site() -> Site:
    return Site(lumi("lumi"))


@pytest.fixture
def told() -> list[Result]:
    return []


@pytest.fixture
def worker(site: Site, told: list[Result]) -> Iterator[SiteWorker]:
    with running(site, told, every=1000) as made:
        until(lambda: len([one for one in told if isinstance(one, Looked)]) == 2)
        told.clear()
        yield made


def until(holds: Any) -> None:
    ends = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.005)


def result(worker: SiteWorker, told: list[Result], task: Task) -> Result:
    told.clear()
    worker.put(task)
    until(lambda: [one for one in told if not isinstance(one, Answering)])
    return next(one for one in told if not isinstance(one, Answering))


def submit(still: bool = True) -> Submit:
    return Submit("u1", ATTEMPT, JOB, lambda: still)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Unreachable("no route"), NotSent("u1", ATTEMPT, "no route")),
        (Held("too soon", 7), NotSent("u1", ATTEMPT, "too soon", 7)),
        (Rejected("bad account"), Refusal("u1", ATTEMPT, "bad account")),
        (
            Rejected("drained", Lasting.OF_THE_SITE, 300),
            Refusal("u1", ATTEMPT, "drained", Lasting.OF_THE_SITE, 300),
        ),
        (Unclear("new words"), Refusal("u1", ATTEMPT, "new words", Lasting.UNCLEAR, 60)),
        (Uncertain("timed out"), Failed("u1", "timed out")),
        (SiteError("garbled"), Failed("u1", "garbled")),
        (ValueError("a fault of ours"), Failed("u1", "ValueError: a fault of ours")),
    ],
)
def test_only_three_errors_of_a_submission_say_that_nothing_was_sent(
    worker: SiteWorker, site: Site, told: list[Result], error: Exception, expected: Result
) -> None:
    site.error = error
    assert result(worker, told, submit()) == expected


@pytest.mark.parametrize(
    "error", [Rejected("no"), Rejected("drained", Lasting.OF_THE_SITE), Unclear("new words")]
)
def test_a_site_that_refuses_or_speaks_in_other_words_answers(
    worker: SiteWorker, site: Site, told: list[Result], error: Exception
) -> None:
    site.error = error
    for _ in range(5):
        result(worker, told, submit())
        assert not any(isinstance(one, Answering) for one in told)


def test_a_submission_gives_the_site_s_id(worker: SiteWorker, told: list[Result]) -> None:
    assert result(worker, told, submit()) == Submitted("u1", ATTEMPT, 1000)


def test_what_may_not_be_sent_any_more_is_not_sent(
    worker: SiteWorker, site: Site, told: list[Result]
) -> None:
    assert result(worker, told, submit(still=False)) == NotSent("u1", ATTEMPT, "", 0)
    assert site.rows == []


def test_an_answer_tells_when_its_question_was_put(
    worker: SiteWorker, site: Site, told: list[Result]
) -> None:
    site.rows.append(ROW)
    before = time.time()
    found = result(worker, told, Find("u1", ATTEMPT, "u"))
    assert isinstance(found, Found)
    assert found.rows == (ROW,)
    assert before <= found.asked <= time.time()


def test_a_question_that_was_not_put_is_told_apart_from_one_that_failed(
    worker: SiteWorker, site: Site, told: list[Result]
) -> None:
    site.error = Held("too soon", 7)
    assert result(worker, told, Find("u1", ATTEMPT, "u")) == Failed("u1", "too soon", 7, asked=False)
    site.error = SiteError("cut off")
    assert result(worker, told, Find("u1", ATTEMPT, "u")) == Failed("u1", "cut off")


def test_an_output_that_cannot_be_read_holds_nothing_up(
    worker: SiteWorker, site: Site, told: list[Result]
) -> None:
    site.error = SiteError("no such file")
    assert result(worker, told, ReadLog("u1", ROW, "")) == Log("u1", b"")


def test_a_site_is_silent_after_two_misses_and_answers_again_with_the_first_word(
    worker: SiteWorker, site: Site, told: list[Result]
) -> None:
    site.error = Unreachable("no route")
    result(worker, told, Find("u1", ATTEMPT, "u"))
    assert not any(isinstance(one, Answering) for one in told)
    result(worker, told, Find("u1", ATTEMPT, "u"))
    assert Answering("lumi", Health(False, "does not answer: no route")) in told
    site.error = None
    result(worker, told, Find("u1", ATTEMPT, "u"))
    assert Answering("lumi", Health(True, "answers")) in told


def test_a_site_that_is_not_asked_for_its_silence_is_silent_and_the_cause_is_told_once(
    told: list[Result],
) -> None:
    site = Site(lumi("lumi"))
    with running(site, told, every=0.01):
        until(lambda: Answering("lumi", Health(True, "answers")) in told)
        site.error = Unreachable("cut off")
        until(lambda: Answering("lumi", Health(False, "does not answer: cut off")) in told)
        told.clear()
        for seconds in (3, 2, 1):
            site.error = Silent(f"LUMI is connected to again in {seconds} s", 0.01)
            time.sleep(0.05)
        assert told == []
        site.error = None
        until(lambda: Answering("lumi", Health(True, "answers")) in told)


def test_one_failure_and_then_no_connection_is_two_misses(told: list[Result]) -> None:
    @dataclass
    class Cut(Site):
        looks: int = 0

        def queue(self) -> Sequence[RemoteJobRow]:
            self.looks += 1
            if self.looks == 2:
                raise SiteError("cut off")
            if self.looks > 2:
                raise Silent("LUMI is connected to again in 17 s", 0.01)
            return super().queue()

        def ended(self, since: int) -> Sequence[RemoteJobRow]:
            if self.looks >= 2:
                raise Silent("LUMI is connected to again in 17 s", 0.01)
            return super().ended(since)

    with running(Cut(lumi("lumi")), told, every=0.01):
        until(lambda: Answering("lumi", Health(False, "does not answer: cut off")) in told)


@dataclass
class Halves(Scheduler):
    """A scheduler, and an accounting that may fail by itself."""

    accounting: Exception | None = None

    def ended(self, since: int) -> Sequence[RemoteJobRow]:
        if self.accounting:
            raise self.accounting
        return super().ended(since)


def test_the_queue_is_told_of_though_the_accounting_does_not_answer(told: list[Result]) -> None:
    site = Halves(lumi("lumi"), rows=[ROW], accounting=SiteError("slurmdbd is down"))
    with running(site, told, every=0.01):
        until(lambda: len([one for one in told if isinstance(one, Looked)]) > 2)
        assert all(one.rows == (ROW,) for one in told if isinstance(one, Looked))
        health = [one.health for one in told if isinstance(one, Answering)]
        assert health == [Health(False, "does not answer: slurmdbd is down")]
        site.accounting = None
        site.end(ROW.id)
        until(lambda: any(one.rows and one.rows[0].ended for one in told if isinstance(one, Looked)))
        until(lambda: Answering("lumi", Health(True, "answers")) in told)


class Slow(Scheduler):
    """Outputs take longer to read than there is between two looks."""

    def log_tail(self, job: RemoteJobRow, directory: str, most: int) -> bytes:
        time.sleep(0.02)
        return b"x"


def test_outputs_that_take_long_to_read_do_not_keep_the_site_from_its_work(told: list[Result]) -> None:
    site = Slow(lumi("lumi"), rows=[ROW])
    ends = time.monotonic() + 2
    with running(site, told, every=0.01) as worker:
        while not any(isinstance(one, Found) for one in told):
            assert time.monotonic() < ends, "it was never looked for"
            worker.follow([("u1", ROW, "")] * 5)
            if worker._tasks.empty():
                worker.put(Find("u1", ATTEMPT, "u"))
            time.sleep(0.005)


def test_every_running_job_s_output_is_read_in_its_turn(told: list[Result]) -> None:
    """What runs is told anew after each look, in the same order, and is more than is read after one."""
    running_now = [(f"u{number}", replace(ROW, id=number), "") for number in range(LOGS * 2 + 1)]
    site = Slow(lumi("lumi"))
    with running(site, told, every=0.01) as worker:

        def all_read() -> bool:
            worker.follow(running_now)
            return {one.uid for one in told if isinstance(one, Log)} == {uid for uid, *_ in running_now}

        until(all_read)


def test_a_worker_that_ends_tells_of_what_it_did_not_begin(site: Site, told: list[Result]) -> None:
    """A site whose entry changes gets another worker: the jobs must not wait for this one."""
    made = SiteWorker("lumi", site, told.append, accounts=Granted(), every=1000)
    made.put(submit())
    made.put(Find("u2", ATTEMPT, "u"))
    made.stop()
    made._next_look = float("inf")
    made.run(threading.Event())
    why = "its site or its login has changed meanwhile"
    assert told == [NotSent("u1", ATTEMPT, why, 1), Failed("u2", why, 1, asked=False)]
    assert site.rows == []


def test_a_job_whose_end_is_told_is_in_the_queue_no_more(told: list[Result]) -> None:
    lingers = Lingering(lumi("lumi"), rows=[replace(ROW, state="succeeded", ended=int(time.time()))])
    with running(lingers, told, every=0.01):
        until(lambda: len([one for one in told if isinstance(one, Looked)]) > 6)
    rows = [one.rows for one in told if isinstance(one, Looked)]
    assert [len(one) for one in rows[2:6:2]] == [0, 0]


class Lingering(Scheduler):
    """The queue shows a job that completes, though the accounting has its end."""

    def queue(self) -> Sequence[RemoteJobRow]:
        return [replace(row, state="running", ended=None) for row in self.rows]


@contextmanager
def running(
    site: Scheduler,
    told: list[Result],
    every: float,
    accounts: Granted | None = None,
    tenant: str = READER,
) -> Iterator[SiteWorker]:
    books = accounts or Granted()
    made = SiteWorker("lumi", site, told.append, accounts=books, every=every, tenant=tenant)
    thread = threading.Thread(target=made.run, args=(threading.Event(),))
    thread.start()
    try:
        yield made
    finally:
        made.stop()
        thread.join(5)
    assert not thread.is_alive()


class Unwritable(Granted):
    """Accounts whose ledger cannot be written."""

    def looked(self, site: str, access: SiteAccess) -> None:
        raise OSError("the disk is full")


def test_a_ledger_that_cannot_be_written_does_not_end_the_worker(
    site: Site, told: list[Result], caplog: pytest.LogCaptureFixture
) -> None:
    with running(site, told, every=0.01, accounts=Unwritable()):
        until(lambda: len([one for one in told if isinstance(one, Looked)]) > 4)
    assert "what is granted there could not be looked at" in caplog.text
    assert "the disk is full" in caplog.text


@dataclass
class Asked(Scheduler):
    """A scheduler that remembers from when on its accounting was asked for."""

    asked: list[int] = field(default_factory=list)

    def ended(self, since: int) -> Sequence[RemoteJobRow]:
        self.asked.append(since)
        return super().ended(since)


class Behind(Granted):
    """Accounts that know until when they have written; None: they cannot tell."""

    def __init__(self, written: int | None) -> None:
        super().__init__()
        self.written = written
        self.told: list[int | None] = []

    def since(self, site: str) -> int | None:
        return self.written

    def ended(self, site: str, rows: Sequence[RemoteJobRow], until: int | None) -> None:
        self.told.append(until)


def test_what_could_not_be_written_is_read_again_however_often_it_was_read(told: list[Result]) -> None:
    site, accounts = Asked(lumi("lumi")), Behind(100_000)
    with running(site, told, every=0.01, accounts=accounts):
        until(lambda: len(accounts.told) > 3)
        assert set(site.asked) == {100_000 - OVERLAP}
        # It has not answered for long enough yet to have been told of all.
        assert set(accounts.told) == {100_000}
        accounts.written = 200_000
        until(lambda: site.asked[-1] == 200_000 - OVERLAP)


def test_accounts_that_cannot_tell_where_they_are_are_not_told_that_all_was_read(told: list[Result]) -> None:
    site, accounts = Asked(lumi("lumi")), Behind(None)
    with running(site, told, every=0.01, accounts=accounts):
        until(lambda: len(accounts.told) > 3)
    assert set(accounts.told) == {None}
    assert all(at > time.time() - OVERLAP - 60 for at in site.asked)


def test_a_site_without_credentials_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "lumi.user").write_text("antenna")
    access = Credentials(tmp_path).open(lumi("lumi"), READER, ("p",))
    with pytest.raises(Unreachable, match=r"not there yet: lumi\.key, lumi\.known_hosts"):
        access.queue()


def test_a_partner_without_a_login_says_what_is_missing_and_the_site_answers_all_the_same(
    tmp_path: Path,
) -> None:
    (tmp_path / "lumi.user").write_text("antenna\n")
    credentials = Credentials(tmp_path)
    assert credentials.name(lumi("lumi"), READER) == "antenna"
    with pytest.raises(Unreachable, match=r"not there yet: lumi\.vib\.user"):
        credentials.name(lumi("lumi"), "vib")


@pytest.mark.parametrize("other", ["lumi.ulb.user", "lumi.user"])
def test_a_login_of_two_is_nobodys_where_accounts_are_not_pooled(tmp_path: Path, other: str) -> None:
    site, credentials = lumi("lumi"), Credentials(tmp_path)
    (tmp_path / "lumi.vib.user").write_text("one")
    (tmp_path / "jupiter.ulb.user").write_text("one")
    assert credentials.name(site, "vib") == "one"
    (tmp_path / other).write_text("one\n")
    with pytest.raises(Unreachable, match=rf"lumi\.vib\.user and {re.escape(other)} are both one"):
        credentials.name(site, "vib")
    pooled = replace(site, access=replace(site.access, pooled_accounts=True))
    assert credentials.name(pooled, "vib") == "one"


@pytest.mark.parametrize("text", ["", "two words", "-x", "a\nb", "x" * 65])
def test_what_is_no_login_is_not_used(tmp_path: Path, text: str) -> None:
    (tmp_path / "lumi.vib.user").write_text(text)
    with pytest.raises(Unreachable, match="is no login"):
        Credentials(tmp_path).name(lumi("lumi"), "vib")


def test_a_partners_worker_looks_at_nothing_and_says_so_when_it_is_let_in_again(
    site: Site, told: list[Result]
) -> None:
    with running(site, told, every=0.01, tenant="vib") as worker:
        time.sleep(0.1)
        assert told == []
        site.error = Unreachable("it does not accept the key")
        worker.put(Find("u1", ATTEMPT, "vib"))
        shut_out = Health(False, "does not answer vib's login: it does not accept the key")
        until(lambda: Answering("lumi", shut_out, "vib") in told)
        site.error = None
        until(lambda: told[-1] == Answering("lumi", Health(True, "answers"), "vib"))


class Opened:
    """A site's access that says what is done to it."""

    def __init__(self, told: list[str], key: str, projects: tuple[str, ...]) -> None:
        self.told, self.key, self.projects = told, key, projects

    def serve(self, projects: tuple[str, ...]) -> None:
        self.projects = projects

    def queue(self) -> list[RemoteJobRow]:
        self.told.append(f"asked with {self.key} for {' '.join(self.projects)}")
        return []

    def close(self) -> None:
        self.told.append(f"closed {self.key}")


def test_credentials_that_come_or_change_later_are_used_without_a_new_start(tmp_path: Path) -> None:
    key, did = tmp_path / "lumi.key", list[str]()

    def opened(projects: tuple[str, ...]) -> Any:
        if not key.exists():
            raise Unreachable("not there yet")
        return Opened(did, key.read_text(), projects)

    access = LateAccess([key], ["p"], opened)
    with pytest.raises(Unreachable, match="not there yet"):
        access.queue()
    for number, text in enumerate(("one", "one", "two")):
        key.write_text(text)
        os.utime(key, ns=(number // 2, number // 2))
        access.queue()
        access.serve(("p", "q"))
    access.close()
    assert did == [
        "asked with one for p",
        "asked with one for p q",
        "closed one",
        "asked with two for p q",
        "closed two",
    ]


class OneQuestion(Scheduler):
    """As a breaker that is half open: one question a look gets through. Its scheduler is down; its accounting
    comes back after the first one."""

    asked = 0
    read = 0

    def queue(self) -> Sequence[RemoteJobRow]:
        self._through()
        raise SiteError("the controller is down")

    def ended(self, since: int) -> Sequence[RemoteJobRow]:
        self._through()
        self.read += 1
        if self.read == 1:
            raise SiteError("the database is down")
        return super().ended(since)

    def _through(self) -> None:
        self.asked += 1
        if self.asked > 2 and self.asked % 2 == 0:
            raise Silent("asked again soon", 0.01)


def test_a_scheduler_that_is_down_does_not_keep_the_accounting_from_being_read(
    told: list[Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_worker, "SOON", 0.01)
    site = OneQuestion(lumi("lumi"))
    with running(site, told, every=1000):
        until(lambda: site.read > 3)
    assert any(isinstance(one, Looked) for one in told)
