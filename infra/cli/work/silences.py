"""Announced maintenance as silences of Alertmanager. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

LONGEST: Final = timedelta(days=14)
"""What is silent for longer is forgotten."""

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
_DURATION: Final = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_PREFIX: Final = "maintenance of "


def duration(text: str) -> timedelta:
    """Of "90m", "2h", "3d". Raises ValueError with what to write."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no duration; write one such as 90m, 2h or 1d")
    lasts = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if lasts > LONGEST:
        raise ValueError(f"{text} is longer than {LONGEST.days}d, the longest; announce the rest later")
    return lasts


def wanted(
    site: str, links: Iterable[str], *, begin: datetime, lasts: timedelta, author: str, reason: str
) -> list[dict[str, Any]]:
    """Bodies for /api/v2/silences: one for what names the site, one for each link to it."""
    return [
        {
            "matchers": [{"name": label, "value": value, "isRegex": False, "isEqual": True}],
            "startsAt": begin.isoformat(),
            "endsAt": (begin + lasts).isoformat(),
            "createdBy": author,
            "comment": f"{_PREFIX}{site}: {reason}",
        }
        for label, value in (("site", site), *(("link", link) for link in links))
    ]


def announced(silences: Iterable[Mapping[str, Any]], site: str) -> list[str]:
    """Identifiers of the silences of a site's maintenance that are not over."""
    return [
        silence["id"]
        for silence in silences
        if silence["status"]["state"] != "expired" and silence["comment"].startswith(f"{_PREFIX}{site}: ")
    ]
