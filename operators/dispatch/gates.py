"""Partitions that take no job now, of anybody or of one login: nobody else tries meanwhile. Pure."""

from __future__ import annotations

from operators.api.remote_job import Attempt
from operators.dispatch.tasks import Refusal
from operators.sites.access import Lasting

Gate = tuple[str, str, str]
"""(site, partition, login); no login: everybody's."""


class Gates:
    """What a refusal that passes says to the jobs after it; one of a job alone says nothing to them."""

    def __init__(self) -> None:
        self._shut: dict[Gate, tuple[float, str]] = {}

    def clear(self) -> None:
        """All are open."""
        self._shut.clear()

    def refused(self, refusal: Refusal, until: float) -> None:
        """The scheduler refused a job, and is not asked to take it again before ``until``."""
        attempt = refusal.attempt
        match refusal.lasting:
            case Lasting.OF_THE_SITE:
                self._shut[attempt.site, attempt.partition, ""] = until, refusal.why
            case Lasting.FOR_NOW:
                self._shut[attempt.site, attempt.partition, attempt.login] = until, refusal.why
            case _:
                return

    def shut(self, attempt: Attempt, now: float) -> tuple[float, str] | None:
        """Until when, and why, a job that would be submitted so has to wait."""
        for login in ("", attempt.login):
            until, why = self._shut.get((attempt.site, attempt.partition, login), (0.0, ""))
            if until > now:
                return until, why
        return None
