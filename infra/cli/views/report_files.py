"""A report's files: CSV for a spreadsheet, JSON for a program, a page for people."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from infra.cli.views import report_charts
from infra.cli.views.report_figures import Figures

TEMPLATES: Final = Path(__file__).parent / "templates"
USAGE: Final = (
    "day",
    "site",
    "queue",
    "tenant",
    "ecosystem",
    "sector",
    "unit",
    "used",
    "gpu_seconds",
    "kwh",
    "succeeded",
    "failed",
    "cancelled",
    "unknown",
)
BUDGETS: Final = (
    "tenant",
    "site",
    "project",
    "unit",
    "from",
    "to",
    "allocated",
    "used",
    "reserved",
    "remaining",
    "burn_per_day",
    "exhaustion",
    "site_used",
    "site_as_of",
    "difference",
)


def write(folder: Path, stack: str, figures: Figures) -> list[Path]:
    """Write all files of a report into the folder; their paths, the page first. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "report.html": page(stack, figures),
        "report.json": json.dumps({"stack": stack, **figures.document()}, indent=2) + "\n",
        "usage.csv": table(USAGE, ({**row, **row["jobs"]} for row in figures.rows)),
        "budgets.csv": table(BUDGETS, figures.budgets),
    }
    for name, content in contents.items():
        (folder / name).write_text(content, encoding="utf-8", newline="")
    return [folder / name for name in contents]


def table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """CSV as RFC 4180 has it, with a header; what a row lacks is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def page(stack: str, figures: Figures) -> str:
    """The whole page, with its charts and styles inside."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["amount"] = amount
    return environment.get_template("report.html.j2").render(
        stack=stack,
        figures=figures,
        titles={line.name: line.title for line in figures.tenants},
        last_day=last_day,
        by_day=report_charts.by_day(figures),
        by_partner=report_charts.by_partner(figures.tenants, figures),
    )


def last_day(end: str) -> str:
    """The day before a period's end, which is a midnight."""
    return (datetime.fromisoformat(end) - timedelta(seconds=1)).date().isoformat()


def amount(value: float | None) -> str:
    """For people: three digits or whole, a dot for nothing."""
    if not value:
        return "·"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
