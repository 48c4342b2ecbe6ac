"""The Tenant controller: kopf says what changed, ``Reconciler`` puts it right.

A Tenant is looked at whenever it or anything of its own changes, and now and then besides. What a look
does depends on what is there and not on what happened, so that no event is needed twice and none is
missed; kopf therefore keeps no state of its own in the cluster.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import kopf

from operators.api import GROUP, VERSION
from operators.api.tenant import PLURAL
from operators.kube.errors import KubernetesError
from operators.tenancy import TENANT_LABEL

Reconcile = Callable[[str], float | None]

# (group, version, plural) of what a Tenant gets.
CHILDREN: Final = (
    ("", "v1", "namespaces"),
    ("", "v1", "resourcequotas"),
    ("", "v1", "limitranges"),
    ("networking.k8s.io", "v1", "networkpolicies"),
    ("rbac.authorization.k8s.io", "v1", "roles"),
    ("rbac.authorization.k8s.io", "v1", "rolebindings"),
    ("kueue.x-k8s.io", "v1beta2", "localqueues"),
    ("kueue.x-k8s.io", "v1beta2", "clusterqueues"),
)

AT_ONCE: Final = 4  # Tenants that are looked at at the same time, a thread each
GAP: Final = 0.3  # seconds between two looks at the same one: what comes in a burst is looked at once
LONGEST: Final = 60.0  # seconds between two tries after errors

_log = logging.getLogger(__name__)


class WorkQueue:
    """A task for each Tenant, which looks at it as often as there is reason to. Of one event loop."""

    def __init__(self, reconcile: Reconcile, on_error: Callable[[], None]) -> None:
        self._reconcile = reconcile
        self._on_error = on_error
        self._free = asyncio.Semaphore(AT_ONCE)
        self._wanted: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def look(self, name: str) -> None:
        """Look at a Tenant soon; it need not exist."""
        if name not in self._wanted:
            self._wanted[name] = asyncio.Event()
            task = asyncio.create_task(self._keep_looking(name), name=f"tenant {name}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._wanted[name].set()

    async def end(self) -> None:
        """Stop looking; a look that is under way is finished by its thread."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep_looking(self, name: str) -> None:
        wanted, failures = self._wanted[name], 0
        while True:
            wanted.clear()
            try:
                async with self._free:
                    pause = await asyncio.to_thread(self._reconcile, name)
                failures = 0
            except Exception as error:
                # One Tenant that cannot be handled must not end the others' turn.
                self._on_error()
                failures += 1
                pause = min(LONGEST, 2.0**failures) * random.uniform(0.5, 1)  # noqa: S311 (jitter)
                _log.error(
                    "tenant %s: %s; tried again in %.0f s",
                    name,
                    error,
                    pause,
                    exc_info=None if isinstance(error, KubernetesError) else error,
                )
            if pause is None and not wanted.is_set():
                del self._wanted[name]
                return
            await asyncio.sleep(GAP)
            with suppress(TimeoutError):
                await asyncio.wait_for(wanted.wait(), pause)


def register(registry: kopf.OperatorRegistry, reconcile: Reconcile, on_error: Callable[[], None]) -> None:
    """Handlers that look at a Tenant whenever it, or what is labelled as its own, changes."""
    looks: list[WorkQueue] = []

    @kopf.on.startup(registry=registry)
    async def begin(**_: Any) -> None:
        looks.append(WorkQueue(reconcile, on_error))

    @kopf.on.cleanup(registry=registry)
    async def end(**_: Any) -> None:
        await looks.pop().end()

    @kopf.on.event(group=GROUP, version=VERSION, plural=PLURAL, registry=registry)
    async def tenant(name: str | None, **_: Any) -> None:
        looks[0].look(str(name))

    async def child(labels: kopf.Labels, **_: Any) -> None:
        looks[0].look(labels[TENANT_LABEL])

    for group, version, plural in CHILDREN:
        kopf.on.event(
            group=group,
            version=version,
            plural=plural,
            id=plural,
            labels={TENANT_LABEL: kopf.PRESENT},
            registry=registry,
        )(child)
