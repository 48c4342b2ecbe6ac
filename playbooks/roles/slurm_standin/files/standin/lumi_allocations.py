"""``lumi-allocations``, as LUMI's own prints it: github.com/Lumi-supercomputer/lumi-allocations, data.py."""

from __future__ import annotations

import argparse
import os
import pwd
import sys
import time
from collections.abc import Mapping

from . import entry, figures

WIDTH = 134
COLUMNS = (
    ("CPU (used/allocated)", "core-hours", "core/hours", 40),
    ("GPU (used/allocated)", "gpu-hours", "gpu/hours", 35),
    ("Storage (used/allocated)", "tb-hours", "TB/hours", 35),
)
"""Head, our unit, its unit, width."""


def table(
    accounts: Mapping[str, entry.Account], used: Mapping[str, Mapping[str, Mapping[str, float]]], at: int
) -> str:
    """The whole answer for these projects. Pure but for the zone of the clock."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    head = f"{'Project':<20}|" + "|".join(f"{title:>{width}}" for title, *_, width in COLUMNS)
    lines = [f"Data updated: {stamp}", head, "-" * WIDTH]
    for project, account in accounts.items():
        cells = []
        for _, unit, words, width in COLUMNS:
            spent = int(sum(used.get(project, {}).get(unit, {}).values()))
            granted = int(sum(grant.amount for grant in account.grants if grant.unit == unit))
            share = f"({spent / granted * 100:.1f}%)" if granted else "(N/A)"
            cells.append(f"{f'{spent}/{granted} {share:>8} {words}':>{width}}")
        lines.append(f"{project:<20}|" + "|".join(cells))
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="lumi-allocations", description="Get data about your LUMI projects")
    parser.add_argument("-p", "--projects", default="", help="Project numbers, comma separated")
    asked = [p for p in parser.parse_args().projects.split(",") if p]
    known = {account.project: account for account in entry.read().accounts}
    login = pwd.getpwuid(os.getuid()).pw_name
    mine = sorted(account.project for account in known.values() if account.user == login)
    for project in asked:
        if project not in known:
            print(f"Error: You do not have permissions to access {project}", file=sys.stderr)
            return
    at, used = figures.read()
    print(table({p: known[p] for p in asked or mine}, used, at))


if __name__ == "__main__":
    main()
