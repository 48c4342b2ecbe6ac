"""The version of the ledger's tables: earlier ones are brought up to date, later ones are left alone."""

from __future__ import annotations

import hashlib
import sqlite3

import pytest
from msgspec.structs import replace
from sqlalchemy import insert, inspect, select, text, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from operators.__main__ import main
from operators.ledger import schema
from operators.ledger.database import connect
from operators.ledger.ledger import Ledger
from operators.ledger.remote import Read, RemoteLedger
from operators.ledger.schema import TABLES, VERSION, NewerSchema, prepare
from operators.ledger.tables import SCHEMA
from tests.unit.test_ledger import BOUNDS, over
from tests.unit.test_ledger_remote import LUMI_GRANT, line, used

WRITTEN = {1: "e15828082836cf46", 2: "3d2da0a67abe3db1"}
"""Version -> of the tables that it stands for: a change of them is a new version, and a new row here."""


@pytest.fixture
def engine(where):
    one = connect(where)
    yield one
    one.dispose()


def version(engine):
    with engine.connect() as connection:
        return connection.scalar(select(SCHEMA.c.version))


def test_the_version_stands_for_the_tables():
    made = [str(CreateTable(table).compile(dialect=sqlite.dialect())) for table in TABLES.sorted_tables]
    found = hashlib.sha256("\n".join(made).encode()).hexdigest()[:16]
    assert max(WRITTEN) == VERSION
    assert WRITTEN[VERSION] == found, "the tables have changed: raise VERSION, and keep what old ledgers hold"


def test_a_new_ledger_has_the_version_and_is_not_written_when_it_is_opened_again(where, engine):
    Ledger(where).close()
    assert version(engine) == VERSION
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE remote_marks"))
    RemoteLedger(where).close()
    assert not inspect(engine).has_table("remote_marks"), "of the present version nothing is looked through"


def test_a_ledger_from_before_there_were_versions_is_taken_on_with_all_that_it_holds(where, engine):
    local, remote = Ledger(where), RemoteLedger(where)
    local.commit(
        [over("a", evictions=(("Preempted", 2),))], {("t", "s", "e"): 7.5}, seen=3.5, positions={"jobs": 9}
    )
    remote.write([line(1), line(2, state="running", ended=None)])
    before = used(remote)
    local.close()
    remote.close()
    with engine.begin() as connection:
        # As the operator before this one left it.
        for table in ("schema_version", "remote_cursors"):
            connection.execute(text(f"DROP TABLE {table}"))
        connection.execute(text("ALTER TABLE jobs DROP COLUMN workload"))
    local, remote = Ledger(where), RemoteLedger(where)
    assert version(engine) == VERSION
    assert local.settled(BOUNDS).gpu_seconds == {("t", "agri-food", "federal"): 100}
    assert (local.seen(), local.positions(), local.marks()) == (3.5, {"jobs": 9}, {("t", "s", "e"): 7.5})
    assert used(remote) == before != {}
    assert remote.since("lumi") is None, "nobody knows how far it was read: from the beginning, once"
    remote.write([], Read("lumi", "accounting", 77))
    assert remote.since("lumi") == 77
    assert used(remote)[LUMI_GRANT] == before[LUMI_GRANT]
    local.close()
    remote.close()


def test_what_an_operator_reckoned_by_the_size_at_the_end_stays_as_it_was_reckoned(where, engine):
    local = Ledger(where)
    there = over("b", gone=False, outcome=None, finished=None, run=None, ran=0, running_since=50)
    local.commit([over("a", past=20, earlier=3), replace(there, past=20, earlier=3)], {}, seen=3.5)
    local.close()
    with engine.begin() as connection:
        # As version 1 left it.
        for column in ("banked", "resized"):
            connection.execute(text(f"ALTER TABLE jobs DROP COLUMN {column}"))
        connection.execute(update(SCHEMA).values(version=1))
    local = Ledger(where)
    ran, gpus = over("a").ran, over("a").gpus
    assert local.settled(BOUNDS).gpu_seconds == {("t", "agri-food", "federal"): gpus * (20 + 3 + ran)}
    (kept,) = local.present()
    assert (kept.gpu_seconds, kept.running_since) == (gpus * (20 + 3), 50)
    local.close()


def test_a_ledger_of_a_later_operator_is_refused_and_left_as_it_is(where, engine):
    RemoteLedger(where).close()
    with engine.begin() as connection:
        connection.execute(update(SCHEMA).values(version=VERSION + 1))
        connection.execute(text("DROP TABLE remote_marks"))
    for kind in (Ledger, RemoteLedger):
        with pytest.raises(
            NewerSchema, match=f"has schema version {VERSION + 1}.*up to {VERSION}: "
        ) as refused:
            kind(where)
        assert (engine.url.password or "no password") not in str(refused.value)
    assert version(engine) == VERSION + 1
    assert not inspect(engine).has_table("remote_marks")


def test_a_change_of_the_tables_happens_whole_or_not_at_all(where, engine, monkeypatch):
    def cut(connection, *_):
        assert inspect(connection).has_table("remote_jobs")
        raise KeyboardInterrupt

    monkeypatch.setattr(schema, "_add_columns", cut)
    with pytest.raises(KeyboardInterrupt):
        prepare(engine)
    assert inspect(engine).get_table_names() == []
    monkeypatch.undo()
    prepare(engine)
    assert version(engine) == VERSION


def test_who_comes_second_finds_it_done(where, engine, monkeypatch):
    """Another operator, a later one, was quicker between the look and the change."""
    begin = schema._begin_alone

    def late(connection):
        begin(connection)
        SCHEMA.create(connection)
        connection.execute(insert(SCHEMA).values(name="ledger", version=VERSION + 1))

    monkeypatch.setattr(schema, "_begin_alone", late)
    with pytest.raises(NewerSchema):
        prepare(engine)


def test_the_operator_ends_with_one_clear_line(tmp_path, capsys):
    path = tmp_path / "ledger.sqlite"
    RemoteLedger(path).close()
    with sqlite3.connect(path) as later:
        later.execute("UPDATE schema_version SET version = 99")
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)
    argv = ["--kubeconfig", str(kubeconfig), "--state", str(tmp_path), "--plain", "--listen", "127.0.0.1:0"]
    assert main([*argv, "--no-controllers"]) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if "ERROR" in line or "rror" in line]
    (line_,) = said
    assert "has schema version 99, and this operator knows versions up to" in line_
    with sqlite3.connect(path) as later:
        assert later.execute("SELECT version FROM schema_version").fetchall() == [(99,)]


KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
"""
