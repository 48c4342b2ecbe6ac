"""What `antenna alerts` adds to an alert: how often it fired, its runbook, the next command. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

from monitoring.firing import Labels, Row, identity
from monitoring.rules.alerts import ALERTS

NIGHT_SECONDS: Final = 12 * 3600
"""How far back is counted how often an alert has fired."""
STEP_SECONDS: Final = 30
"""Between two looks of that count."""

_PLACEHOLDER: Final = re.compile(r"<([a-z][a-z -]*)>")


def fired(series: Iterable[Mapping[str, Any]]) -> Counter[Labels]:
    """How often each alert began to fire, from a range of ALERTS{alertstate="firing"}, a sample a step."""
    found: Counter[Labels] = Counter()
    for one in series:
        moments = [float(moment) for moment, _ in one["values"]]
        gaps = sum(after - before > 1.5 * STEP_SECONDS for before, after in pairwise(moments))
        labels = frozenset(
            item for item in one["metric"].items() if item[0] not in ("__name__", "alertstate")
        )
        found[identity(dict(labels))] += gaps + bool(moments)
    return found


def with_pages(rows: Iterable[Row], pages: Mapping[str, tuple[str, str]], stack: str) -> list[Row]:
    """Rows with their runbooks; ``pages`` has of each alert the page's path and its text."""
    found = []
    for row in rows:
        path, text = pages.get(row.name, ("", ""))
        found.append(
            replace(row, runbook=path, command=first_command(text, {**dict(row.labels), "stack": stack}))
        )
    return found


def first_command(page: str, values: Mapping[str, str]) -> str:
    """The first command under "Diagnosis", its comment left out, with <label> replaced where it is known."""
    block = page.partition("## Diagnosis")[2].partition("```sh\n")[2].partition("```")[0]
    line = next((line for line in block.splitlines() if line.strip()), "")
    command = re.sub(r"\s+#\s.*$", "", line).strip()
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), command)


def names() -> Sequence[str]:
    """All alerts that there are."""
    return [alert.name for alert in ALERTS]
