"""A ledger that cannot be written: what is told of it, that nothing is let go, and that nothing is lost."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from prometheus_client.parser import text_string_to_metric_families as read_text
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from operators.catalog import FAMILIES
from operators.collectors.ledger import Writes
from operators.dispatch import checks
from operators.dispatch.placement import Place
from operators.exposition.store import Store
from operators.ledger.database import connect
from operators.ledger.ledger import Ledger
from operators.ledger.opening import opened
from operators.ledger.remote import Read, RemoteLedger
from operators.ledger.tables import METADATA
from operators.ledger.trouble import words
from operators.sites.access import RemoteJobRow
from operators.usage.accounts import RemoteAccounts
from operators.usage.remote import RemoteUsage
from operators.why.remote import explain_remote
from tests.unit import rig
from tests.unit.remote_sites import LUMI
from tests.unit.test_collectors_remote import ALLOCATIONS, PAYERS, START, job
from tests.unit.test_dispatch_jobs import World as Jobs
from tests.unit.test_ledger_remote import LUMI_GRANT, line, used

AT = "2026-03-02 00:01:40 UTC"
PLACE = Place("lumi", "small-g", "project_465000001", "gpu-hours", False, 1, 1, None, None)


class Full:
    """An SQLite ledger whose volume has room, or has none: SQLite's own limit on the size of its file."""

    def __init__(self, path):
        self.ledger = RemoteLedger(path)
        self.engine = self.ledger._engine
        event.listen(self.engine, "checkout", self._limit)
        self.pages = 2**30

    def _limit(self, connection, *_):
        connection.execute(f"PRAGMA max_page_count={self.pages}")

    def fill(self):
        self.pages = 1  # no more than there are
        with self.engine.connect() as connection:
            room = "CREATE TABLE fill (x BLOB); INSERT INTO fill VALUES (zeroblob(9999999))"
            for statement in room.split(";"):
                with suppress(SQLAlchemyError):
                    connection.exec_driver_sql(statement)

    def empty(self):
        self.pages = 2**30


@pytest.fixture
def full(tmp_path):
    one = Full(tmp_path / "ledger.sqlite")
    yield one
    one.ledger.close()


MANY = range(2500)  # more than free pages take


def test_how_far_the_accounting_was_read_is_written_with_the_rows_or_not_at_all(full):
    full.ledger.write([line(1)], Read("lumi", "accounting", 100))
    full.fill()
    with pytest.raises(OperationalError) as failed:
        full.ledger.write([line(n) for n in MANY], Read("lumi", "accounting", 200))
    assert words(failed.value) == "its volume is full"
    assert full.ledger.since("lumi") == 100
    assert full.ledger.totals().finished == {("lumi", "small-g", "ugent", "succeeded"): 1}
    full.empty()
    full.ledger.write([line(n) for n in MANY], Read("lumi", "accounting", 200))
    assert full.ledger.since("lumi") == 200
    assert full.ledger.totals().finished == {("lumi", "small-g", "ugent", "succeeded"): len(MANY)}


def test_a_poll_is_one_transaction_however_many_jobs_it_tells_of(tmp_path):
    ledger, commits = RemoteLedger(tmp_path / "ledger.sqlite"), []
    event.listen(ledger._engine, "commit", commits.append)
    usage = RemoteUsage(Store(FAMILIES), ledger, clock=lambda: START)
    usage.configure((LUMI,), ALLOCATIONS, PAYERS)
    for rows in ([], [job(n) for n in MANY]):
        commits.clear()
        usage.queue("lumi", rows)
        assert len(commits) == 1
    for rows in ([], [job(n, "failed", started=0, ended=9) for n in MANY]):
        commits.clear()
        usage.ended("lumi", rows, START)
        assert len(commits) == 2, "the rows and how far they were read, and what counters show"
    ledger.close()


class Watched:
    """One operator's figures and accounts, and the reasons that it gives."""

    def __init__(self, ledger):
        self.now = 0
        self.store = Store(FAMILIES)
        self.usage = RemoteUsage(self.store, ledger, clock=lambda: START + self.now)
        self.usage.configure((LUMI,), ALLOCATIONS, PAYERS)
        self.accounts = RemoteAccounts(self.usage)

    def poll(self, *rows: RemoteJobRow):
        known = self.accounts.since("lumi")
        self.accounts.queued("lumi", [])
        self.accounts.ended("lumi", rows, None if known is None else START + self.now)

    def figure(self, family):
        text_ = b"".join(self.store.render(False)).decode()
        return next(
            s.value
            for one in read_text(text_)
            for s in one.samples
            if s.name == family and s.labels == {"site": "lumi"}
        )

    def verdict(self):
        left = self.accounts.remaining("ugent", "lumi", "gpu-hours")
        trouble = self.accounts.trouble("lumi")
        return checks.budget(
            PLACE, "LUMI", Fraction(1), remaining=left, reserved=Fraction(0), trouble=trouble
        )


def ends(*numbers, at=9):
    return [job(n, "succeeded", started=0, ended=at) for n in numbers]


def test_a_ledger_that_is_not_written_lets_nothing_go_says_why_and_is_a_figure(full):
    one = Watched(full.ledger)
    one.poll(*ends(1))
    assert one.verdict().ready
    full.fill()
    one.now = 100
    one.poll(*ends(*MANY))
    for one.now in (100, 160, 280):
        assert one.verdict() == checks.Verdict(
            False,
            "nothing can be charged to project_465000001 at LUMI: the ledger cannot be written since "
            f"{AT}: its volume is full",
        )
        one.poll(*ends(*MANY))
        assert one.figure("antenna_ledger_unwritten_seconds") == one.now - 100
    assert one.figure("antenna_ledger_unwritten_limit_seconds") == 2 * LUMI.access.poll_floor_seconds == 120
    full.empty()
    one.now = 290
    one.poll(*ends(*MANY))
    assert one.figure("antenna_ledger_unwritten_seconds") == 0
    assert one.verdict().ready
    assert used(full.ledger)[LUMI_GRANT] == Fraction(9 * len(MANY), 3600)


def test_one_source_that_is_written_does_not_hide_that_another_is_not():
    now = [0.0]
    writes = Writes(Store(FAMILIES), lambda: now[0])
    writes.expect("lumi", 120)
    with suppress(OperationalError), writes.attempt("lumi", "accounting"):
        raise OperationalError("", {}, Exception())
    now[0] = 10
    with writes.attempt("lumi", "queue"):
        pass
    assert "since 1970-01-01 00:00:00 UTC" in writes.trouble("lumi")
    with writes.attempt("lumi", "accounting"):
        assert writes.trouble("lumi"), "until it has succeeded"
    assert writes.trouble("lumi") == ""


def test_a_write_that_does_not_end_is_trouble_after_two_polls():
    now = [0.0]
    writes = Writes(Store(FAMILIES), lambda: now[0])
    writes.expect("lumi", 120)
    with writes.attempt("lumi", "queue"):
        now[0] = 120
        assert writes.trouble("lumi") == ""
        now[0] = 121
        assert writes.trouble("lumi").endswith("its database does not answer")
        assert writes.trouble("jupiter") == ""
    with suppress(ValueError), writes.attempt("lumi", "queue"):
        raise ValueError("no fault of the ledger")
    assert writes.trouble("lumi") == ""


def test_a_job_that_waits_for_the_ledger_says_so_and_goes_when_it_is_written():
    world = Jobs()
    uid = world.make()
    said = f"the ledger cannot be written since {AT}: its volume is full"
    world.budgets.trouble = lambda site: said if site == "lumi" else ""
    world.turn()
    assert world.status()["reason"] == "Budget"
    assert world.tasks == []
    world.see()
    told = explain_remote(next(iter(world.jobs.objects.values())))
    assert told.text == (
        "one waits: nothing can be charged to project_465000001 at LUMI: the ledger cannot be written since "
        f"{AT}: its volume is full."
    )
    check = next(
        one for one in world.jobs.workloads[uid]["status"]["admissionChecks"] if one["name"] == "budget"
    )
    assert (check["state"], said in check["message"]) == ("Pending", True)
    world.budgets.trouble = lambda _: ""
    world.submit(uid)


def test_what_was_left_before_counts_for_nothing_while_the_ledger_is_not_written():
    world = Jobs()
    world.make()
    world.turn(1)
    world.budgets.trouble = lambda _: "the ledger cannot be written"
    uid = world.make("two", partition="standard-g", gpusPerNode=None)
    world.turn()
    assert "cannot be written" in world.status("two")["message"]
    assert not any(task.uid == uid for _, task in world.tasks)


def test_figures_of_work_in_this_cluster_say_it_too(tmp_path):
    one = rig.Rig(tmp_path / "ledger.sqlite")
    one.lists(**rig.partner("a"))
    one.apply("jobs", rig.ended("x", at=20, queue=""))
    local = {"site": "local"}
    one.commit()
    assert one.figure("antenna_ledger_unwritten_seconds", **local) == 0
    one.apply("jobs", rig.ended("y", at=30, queue=""))
    with one.ledger._engine.begin() as connection:
        connection.execute(text("ALTER TABLE jobs RENAME TO elsewhere"))
    for one.now in (40, 50):
        with suppress(SQLAlchemyError):
            one.commit()
    assert one.figure("antenna_ledger_unwritten_seconds", **local) == 10
    assert one.figure("antenna_ledger_unwritten_limit_seconds", **local) == 120
    with one.ledger._engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO jobs"))
    one.commit()
    assert one.figure("antenna_ledger_unwritten_seconds", **local) == 0
    one.ledger.close()


def failure(engine, statement):
    with pytest.raises(DBAPIError) as failed, engine.begin() as connection:
        connection.execute(text(statement))
    return words(failed.value)


def test_what_is_wrong_with_a_file_is_said_in_words(tmp_path):
    path = tmp_path / "ledger.sqlite"
    RemoteLedger(path).close()
    only = create_engine(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert failure(only, "DELETE FROM remote_jobs") == "it is read-only"
    assert failure(connect(f"sqlite:///{tmp_path}"), "SELECT 1") == "its file cannot be opened"
    (tmp_path / "other").write_text("this is no database, whatever it is called, " * 99)
    assert failure(connect(tmp_path / "other"), "SELECT 1") == "its file is damaged"


def test_what_is_wrong_with_a_server_is_said_in_words_without_its_address(postgres_url):
    url = make_url(postgres_url)
    for wrong in (url.set(port=1), url.set(username="nobody")):
        engine = connect(wrong.render_as_string(hide_password=False))
        assert failure(engine, "SELECT 1") == "there is no connection to its database"
    RemoteLedger(postgres_url).close()
    read_only = url.update_query_dict({"options": "-c default_transaction_read_only=on"})
    engine = connect(read_only.render_as_string(hide_password=False))
    assert failure(engine, "DELETE FROM remote_jobs") == "it is read-only"
    engine.dispose()


def test_a_connection_that_the_server_dropped_is_no_failure(postgres_url):
    ledger = RemoteLedger(postgres_url)
    METADATA.drop_all(ledger._engine)
    METADATA.create_all(ledger._engine)
    ledger.write([line(1)])
    other = create_engine(postgres_url)
    with other.connect() as connection:
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        )
    other.dispose()
    ledger.write([line(2)])
    assert ledger.totals().finished == {("lumi", "small-g", "ugent", "succeeded"): 2}
    ledger.close()


def test_at_start_the_database_is_waited_for(postgres_url, tmp_path, caplog):
    stop, tries = threading.Event(), []

    def make():
        tries.append(1)
        if len(tries) < 3:
            return RemoteLedger(make_url(postgres_url).set(port=1).render_as_string(hide_password=False))
        return RemoteLedger(tmp_path / "ledger.sqlite")

    ledger = opened(make, stop)
    assert ledger is not None and ledger.since("lumi") is None
    assert len(tries) == 3
    assert "the ledger cannot be opened: there is no connection to its database (" in caplog.text
    ledger.close()


def test_who_is_told_to_end_waits_no_longer(postgres_url):
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    away = make_url(postgres_url).set(port=1).render_as_string(hide_password=False)
    assert opened(lambda: Ledger(away), stop) is None


def test_what_waiting_does_not_mend_is_not_waited_for():
    with pytest.raises(ArgumentError):
        opened(lambda: Ledger("no url"), threading.Event())


def test_the_time_in_the_reason_is_when_it_was_first_tried():
    assert datetime.fromtimestamp(START + 100, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") == AT
