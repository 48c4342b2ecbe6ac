"""What the operator tells of its controllers, and how it ends when a part of it fails."""

from __future__ import annotations

import threading

import pytest

from operators import __main__ as operator
from operators import controllers
from operators.catalog import FAMILIES
from operators.exposition.store import Store


def test_reconciliations_that_failed_are_counted(monkeypatch):
    store = Store(FAMILIES)

    def shown():
        lines = b"".join(store.render(False)).decode().splitlines()
        return [x for x in lines if x.startswith("antenna_operator_reconcile_errors_total")]

    seen = []

    def run(cluster, kubeconfig, stop, failed):
        seen.append(shown())
        failed()
        failed()

    monkeypatch.setattr(controllers, "run", run)
    operator._control(None, None, store, threading.Event())
    assert seen == [['antenna_operator_reconcile_errors_total{kind="Tenant"} 0']]
    assert shown() == ['antenna_operator_reconcile_errors_total{kind="Tenant"} 2']


def broken():
    raise ValueError("no more")


@pytest.fixture
def stop(monkeypatch):
    """What ends the operator; every thread that fails sets it while the test runs."""
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    return threading.Event()


def test_any_thread_that_fails_ends_the_operator_and_is_named_in_its_log(stop, caplog):
    failed = operator._end_when_a_thread_fails(stop)
    operator._begin("publish", lambda: None)
    operator._begin("ledger", broken)
    assert stop.wait(10)
    assert failed.is_set()
    assert "ledger failed: ValueError('no more'); ending" in caplog.text
    assert "in broken" in caplog.text


def test_what_breaks_while_the_operator_ends_is_no_failure(stop):
    failed = operator._end_when_a_thread_fails(stop)
    stop.set()
    thread = threading.Thread(target=broken)
    thread.start()
    thread.join()
    assert not failed.is_set()
