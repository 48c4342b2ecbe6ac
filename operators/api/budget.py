"""``Budget``: what a partner may use, has used and has left, for its own people to read.

The operator writes one in each partner's namespace; whoever may read there sees their own partner's figures
and nobody else's. It holds what the operator's document of budgets does, a row an allocation.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field

from operators.api import API_VERSION
from operators.api.names import BUDGET, BUDGET_NAME
from operators.api.values import Model
from operators.tenancy import namespace_name

Object = dict[str, Any]

KIND: Final = BUDGET
PLURAL: Final = "budgets"
NAME: Final = BUDGET_NAME

Word = Annotated[str, Field(max_length=200)]
Moment = Annotated[str, Field(max_length=20)]
"""RFC 3339, in UTC."""


class BudgetRow(Model):
    """An allocation's present period, or what was used here this month. Amounts are in the unit."""

    site: Word
    """The site that granted it; local: the Antenna's own GPUs."""
    project: Word = ""
    """The project that the site granted it to."""
    unit: Word
    """What the site bills in."""
    since: Moment = Field(alias="from")
    """When the period began."""
    until: Moment = Field(alias="to")
    """When it ends."""
    allocated: float | None = None
    """Absent: nobody limits it."""
    used: float
    """By work that has ended and work that runs."""
    reserved: float
    """What running and submitted jobs may use yet, up to their time limits."""
    remaining: float | None = None
    """What new work may use; below 0 where more was used than there was."""
    burn_per_day: float = Field(alias="burnPerDay")
    """Used a day, over the last days."""
    exhaustion: Moment | None = None
    """When all is used if the burn goes on. Absent: it lasts."""
    site_used: float | None = Field(default=None, alias="siteUsed")
    """The site's own figure."""
    site_as_of: Moment | None = Field(default=None, alias="siteAsOf")
    """How old that is."""
    difference: float | None = None
    """The site's own figure less ours."""


class BudgetStatus(Model):
    """The figures."""

    as_of: Moment = Field(alias="asOf")
    """When they last changed."""
    rows: tuple[BudgetRow, ...] = Field(default=(), max_length=256)
    """One an allocation in force, and one of what was used here."""


class Budget(Model):
    """What a partner may use, has used and has left, at every site. The operator writes it."""

    status: BudgetStatus | None = None


def budget_object(tenant: str) -> Object:
    """The Budget of a partner, without figures."""
    metadata = {"name": NAME, "namespace": namespace_name(tenant)}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata}


def row_of(found: Object) -> BudgetRow:
    """A row of the operator's document of budgets, which names the partner too."""
    return BudgetRow(**{key: value for key, value in found.items() if key != "tenant"})


def document_rows(tenant: str, status: BudgetStatus) -> list[Object]:
    """The rows in the form of the operator's document of budgets."""
    rows = (row.model_dump() for row in status.rows)
    return [{"tenant": tenant, "from": row.pop("since"), "to": row.pop("until"), **row} for row in rows]
