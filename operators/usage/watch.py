"""Where go the answers of a remote site about its jobs, and what is asked of it besides.

A question that fails is told in the log and asked again after the next look; its source's age grows.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from operators.ledger.trouble import told
from operators.sites.access import Held, RemoteJobRow, SiteAccess, SiteError
from operators.usage.remote import RemoteUsage

GRANTED_EVERY: Final = 3600.0
"""Seconds between two questions for a project's own figures, which sites refresh once a day."""

_log = logging.getLogger(__name__)


class RemoteWatch:
    """One site's. Called from the one thread that asks the site."""

    def __init__(self, site: str, usage: RemoteUsage, clock: Callable[[], float] = time.monotonic) -> None:
        self._site = site
        self._usage = usage
        self._clock = clock
        self._asked: dict[str, float] = {}

    def queued(self, rows: Sequence[RemoteJobRow]) -> None:
        """Account for the jobs that wait or run."""
        self._try("queue", lambda: self._usage.queue(self._site, rows))

    def ended(self, rows: Sequence[RemoteJobRow], until: int | None = None) -> None:
        """Account for jobs that have ended; ``until``: they are all, see RemoteUsage."""
        self._try("accounting", lambda: self._usage.ended(self._site, rows, until))

    def looked(self, access: SiteAccess) -> None:
        """Ask the site for nodes and, now and then, its own figures."""
        self._try("nodes", lambda: self._usage.nodes(self._site, access.nodes()))
        now = self._clock()
        for project in self._usage.projects(self._site):
            due = now - self._asked.get(project, float("-inf")) >= GRANTED_EVERY
            if due and self._try("granted", partial(self._ask_granted, access, project)):
                self._asked[project] = now

    def _ask_granted(self, access: SiteAccess, project: str) -> None:
        self._usage.granted(self._site, access.granted(project))

    def _try(self, what: str, work: Callable[[], None]) -> bool:
        try:
            work()
        except Held:
            return False  # too soon, by the site's own floor
        except SiteError as error:
            _log.warning("%s, %s: %s", self._site, what, error)
            return False
        except SQLAlchemyError as error:
            _log.warning(
                "%s, %s: not written to the ledger, and told again: %s", self._site, what, told(error)
            )
            return False
        return True
