"""``jutil project cpuquota``, as JSC's accounting tool is asked: a row a month of the project's budget.

JSC publishes the command and that it can write JSON, not the JSON's fields: those here are made up, in the
form that ``jutil project dataquota`` has on JUPITER: columns in lower case with dashes, every value as text.
What is carried over is one month's rest, no more.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from . import entry, figures


def rows(
    site: Mapping[str, Any], account: entry.Account, used: Mapping[str, Mapping[str, float]], at: int
) -> list[dict[str, Any]]:
    """A row a month from the first grant to the month of ``at``. Pure.

    ``quota`` is what was granted for the month, ``rest`` what of last month's is still usable.
    """
    grants = [grant for grant in account.grants if grant.unit == "core-hours"]
    if not grants:
        return []
    carried = 0.0
    found = []
    for month in _months(min(grant.start for grant in grants)[:7], time.strftime("%Y-%m", time.gmtime(at))):
        quota = sum(grant.amount for grant in grants if grant.start[:7] <= month <= grant.end[:7])
        spent = used.get("core-hours", {}).get(month, 0.0)
        found.append(
            {
                "project": account.project,
                "budget": account.project,
                "system": site["title"],
                "month": month,
                "unit": "core-h",
                "quota": round(quota, 2),
                "rest": round(carried, 2),
                "used": round(spent, 2),
                "updated": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at)),
            }
        )
        # The rest of the month before is spent first; of this month's the remainder goes on.
        carried = max(0.0, quota - max(0.0, spent - carried)) if _carries(site) else 0.0
    return found


def text(found: list[dict[str, Any]]) -> str:
    """The rows as jutil's JSON: nothing but text in it."""
    return json.dumps([{name: str(value) for name, value in row.items()} for row in found], indent=2)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="jutil")
    parser.add_argument("entity", choices=["project"])
    parser.add_argument("query", choices=["cpuquota"])
    parser.add_argument("-p", "--project", required=True)
    parser.add_argument("-o", "--format", default="rows", choices=["rows", "columns", "parsable", "json"])
    asked = parser.parse_args()
    told = entry.read()
    account = next((a for a in told.accounts if a.project == asked.project), None)
    if account is None:
        sys.exit(f"jutil: no such project: {asked.project}")
    at, used = figures.read()
    found = rows(told.site, account, used.get(account.project, {}), at)
    if asked.format == "json":
        print(text(found))
        return
    separator = "|" if asked.format == "parsable" else "  "
    for row in [list(found[0]) if found else [], *(row.values() for row in found)]:
        print(separator.join(str(cell) for cell in row))


def _carries(site: Mapping[str, Any]) -> bool:
    return bool(site["accounting"].get("carry_over_months"))


def _months(first: str, last: str) -> list[str]:
    found = []
    year, month = map(int, first.split("-"))
    while (label := f"{year}-{month:02}") <= last:
        found.append(label)
        year, month = year + month // 12, month % 12 + 1
    return found


if __name__ == "__main__":
    main()
