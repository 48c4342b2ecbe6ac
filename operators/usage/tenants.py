"""Writes each partner's budget into its namespace, where its own people may read it."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final

from operators.api import API_VERSION
from operators.api.budget import KIND, NAME, BudgetStatus, budget_object, row_of
from operators.kube.client import Cluster
from operators.kube.errors import KubernetesError, NotFound

Document = dict[str, Any]

FIRST: Final = 5.0  # seconds after the start
SECONDS: Final = 30.0  # between two rounds
AGAIN: Final = 300.0  # after which figures that stay are written again: their namespace may be another

_log = logging.getLogger(__name__)


class TenantBudgets:
    """``budgets`` makes the operator's document of all partners' budgets. ``run`` is a thread's work."""

    def __init__(
        self,
        cluster: Cluster,
        budgets: Callable[[Mapping[str, str]], Document],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._budgets = budgets
        self._clock = clock
        self._written: dict[str, tuple[float, list[Document]]] = {}
        """By tenant: when, and which rows."""

    def run(self, stop: threading.Event) -> None:
        """Write until stopped. What fails is tried again with the next round."""
        pause = FIRST
        while not stop.wait(pause):
            pause = SECONDS
            try:
                self.write()
            except Exception:
                _log.exception("budgets: a round failed")

    def write(self) -> int:
        """One round; how many Budgets were written. Figures that stay are left alone for a while."""
        document = self._budgets({})
        rows: dict[str, list[Document]] = defaultdict(list)
        for row in document["budgets"]:
            rows[row["tenant"]].append(row)
        written = 0
        for tenant, found in rows.items():
            at, before = self._written.get(tenant, (0.0, []))
            if before == found and self._clock() - at < AGAIN:
                continue
            status = BudgetStatus(asOf=document["as_of"], rows=tuple(map(row_of, found)))
            try:
                self._put(tenant, status.model_dump(mode="json", by_alias=True, exclude_none=True))
            except NotFound:
                continue  # its namespace is not there yet, or not any more
            except KubernetesError as error:
                _log.warning("budgets: %s: %s", tenant, error)
                continue
            self._written[tenant] = (self._clock(), found)
            written += 1
        return written

    def _put(self, tenant: str, status: Document) -> None:
        """A list is replaced as a whole by a merge patch."""
        made = budget_object(tenant)
        namespace = made["metadata"]["namespace"]
        patch = {"status": status}
        try:
            self._cluster.patch(API_VERSION, KIND, NAME, namespace, patch, subresource="status")
        except NotFound:
            self._cluster.create(made)
            self._cluster.patch(API_VERSION, KIND, NAME, namespace, patch, subresource="status")
