"""Each partner's ``Budget``: written when its figures change, and put back where somebody took it away."""

from __future__ import annotations

from typing import Any

from operators.api.budget import KIND, NAME
from operators.tenancy import namespace_name
from operators.usage.tenants import AGAIN, TenantBudgets
from tests.unit.api_server import ApiServer

ROW = {
    **{"tenant": "vib", "site": "lumi", "project": "project_1", "unit": "gpu-hours"},
    **{"from": "2026-12-01T00:00:00Z", "to": "2027-01-01T00:00:00Z"},
    **{"allocated": 100.0, "used": 1.0, "reserved": 0.0, "remaining": 99.0, "burn_per_day": 0.0},
}


def used(server: ApiServer) -> float:
    (found,) = server.of(KIND)
    return float(found["status"]["rows"][0]["used"])


def test_figures_are_written_when_they_change() -> None:
    server = ApiServer()
    document: dict[str, Any] = {"as_of": "2026-12-01T12:00:00Z", "budgets": [ROW]}
    budgets = TenantBudgets(server, lambda _: document, lambda: 0.0)  # type: ignore[arg-type]
    assert budgets.write() == 1
    assert budgets.write() == 0
    document["budgets"] = [{**ROW, "used": 2.0}]
    assert budgets.write() == 1
    assert used(server) == 2.0


def test_a_budget_that_somebody_took_away_comes_back_though_its_figures_stay() -> None:
    server, now = ApiServer(), [0.0]
    document: dict[str, Any] = {"as_of": "2026-12-01T12:00:00Z", "budgets": [ROW]}
    budgets = TenantBudgets(server, lambda _: document, lambda: now[0])  # type: ignore[arg-type]
    budgets.write()
    server.delete("antenna.be/v1alpha1", KIND, NAME, namespace_name("vib"))
    now[0] += AGAIN
    assert budgets.write() == 1
    assert used(server) == 1.0
