"""What the operator tells of its controllers."""

from __future__ import annotations

import threading

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
