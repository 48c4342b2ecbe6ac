"""What a site's own tools say of a project's budget: LUMI's, JSC's, and Slurm itself."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from operators.sites.access import Granted
from operators.sites.slurm.answers import Garbled
from operators.sites.slurm.commands import SSHARE_FIELDS

_LUMI_UNITS: Final = {"core/hours": "core-hours", "gpu/hours": "gpu-hours", "TB/hours": "tb-hours"}
_LUMI_CELL = re.compile(r"([0-9.]+)/([0-9.]+) +\((?:[0-9.]+%|N/A)\) ([A-Za-z]+/[a-z]+)")
_JUTIL_AMOUNT = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?) ?(?:core-h)?")
_LUMI_UPDATED = re.compile(r"Data updated: ([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})")


def parse_granted(tool: str, output: bytes, project: str, unit: str) -> Granted:
    """The project's budget in ``unit`` from the output of one of model.Accounting's tools. Raises Garbled."""
    text = output.decode("utf-8", "replace")
    told = [one for one in _TOOLS[tool](text) if one.project == project]
    found = [one for one in told if one.unit == unit]
    if len(found) != 1:
        known = ", ".join(f"{one.project} {one.unit}" for one in told) or "nothing of it"
        raise Garbled(f"{tool} tells no {unit} of {project} ({known})")
    return found[0]


def _lumi_allocations(text: str) -> Iterator[Granted]:
    """A table with a row a project, columns CPU, GPU, storage (and QPU where it has any).

    Layout: ``printQuotas`` in lumi_allocations/data.py of github.com/Lumi-supercomputer/lumi-allocations
    (17024f5). Its time is when the site wrote the project's file, by ``datetime.fromtimestamp``: in the zone
    of whoever runs it, and ``commands`` runs it with TZ=UTC0.
    """
    found = _LUMI_UPDATED.search(text)
    as_of = None
    if found:
        as_of = int(datetime.fromisoformat(found[1]).replace(tzinfo=UTC).timestamp())
    for line in text.splitlines():
        project, *cells = (cell.strip() for cell in line.split("|"))
        if not cells or project == "Project":
            continue
        for cell in cells:
            amount = _LUMI_CELL.fullmatch(cell)
            if amount is None:
                # Older versions say so of what is not allocated.
                if cell == "N/A":
                    continue
                raise Garbled(f"lumi-allocations tells {cell[:60]!r}")
            if unit := _LUMI_UNITS.get(amount[3]):
                yield Granted(project, unit, float(amount[2]), float(amount[1]), as_of)


def _jutil(text: str) -> Iterator[Granted]:
    """The newest month of each project: what was granted for it, with what is left of the month before.

    JSC publishes the command (apps.fz-juelich.de/jsc/hps/jureca/accounting.html), not the fields of its
    answer. Known from who reads ``jutil project dataquota -o json`` of JUPITER (``parse_jutil`` in
    src/anemoi/registry/v2/site/parsers.py of github.com/ecmwf/anemoi-registry): it is a list of objects,
    keys are columns with dashes, ``project`` among them, every value is text, and amounts have their unit
    behind them. So amounts are read as text and as numbers. The other keys here are not known to be jutil's;
    another form is refused.
    """
    try:
        entries = json.loads(text)
    except ValueError:
        raise Garbled("jutil's answer is not JSON") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Garbled("jutil's answer is not a list of budgets")
    newest: dict[str, dict[str, Any]] = {}
    for entry in entries:
        project, month = entry.get("project"), entry.get("month")
        if not isinstance(project, str) or not isinstance(month, str):
            raise Garbled("jutil's answer names no project and month")
        if project not in newest or newest[project]["month"] < month:
            newest[project] = entry
    for project, entry in newest.items():
        if entry.get("unit") != "core-h":
            raise Garbled(f"jutil tells the budget in {str(entry.get('unit'))[:40]!r}")
        granted = _quantity(entry, "quota") + _quantity(entry, "rest")
        updated = entry.get("updated")
        as_of = _date(updated) if isinstance(updated, str) else None
        yield Granted(project, "core-hours", granted, _quantity(entry, "used"), as_of)


def _sshare(text: str) -> Iterator[Granted]:
    """Limits and use of the account as a whole, in minutes of each kind of resource."""
    lines = text.splitlines()
    if not lines or lines[0].split("|") != list(SSHARE_FIELDS):
        raise Garbled("sshare answered with other columns")
    for line in lines[1:]:
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) != len(SSHARE_FIELDS):
            raise Garbled("sshare's answer is not in rows")
        project, user, limits, used = cells
        if user:
            continue
        granted, taken = _minutes(limits), _minutes(used)
        for tres, unit in (("cpu", "core-hours"), ("gres/gpu", "gpu-hours")):
            if tres in granted:
                yield Granted(project, unit, granted[tres] / 60, taken.get(tres, 0) / 60)


_TOOLS: Final[dict[str, Callable[[str], Iterator[Granted]]]] = {
    "lumi-allocations": _lumi_allocations,
    "jutil": _jutil,
    "sacct": _sshare,
}


def _quantity(entry: dict[str, Any], key: str) -> float:
    value = entry.get(key)
    if isinstance(value, str) and (found := _JUTIL_AMOUNT.fullmatch(value)):
        return float(found[1])
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Garbled(f"jutil tells no {key}")
    return float(value)


def _date(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Garbled(f"{text[:40]!r} is no date") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _minutes(text: str) -> dict[str, float]:
    told = {}
    for item in filter(None, text.split(",")):
        name, _, amount = item.partition("=")
        if not amount.isdecimal():
            raise Garbled(f"sshare tells {text[:80]!r}")
        told[name] = float(amount)
    return told
